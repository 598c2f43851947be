//! The engine's thread.
//!
//! One turn: commands, datagrams in, timers, events and stream data out to the ring, datagrams out;
//! then, if nothing is left to do, sleep until the next deadline, a datagram or a command. Each
//! step is bounded, so that none starves the others; a step that stopped at its bound makes the
//! next turn follow at once.

mod commands;
mod events;
mod io;
mod sessions;
mod streams;

use std::any::Any;
use std::collections::VecDeque;
use std::io as std_io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use mio::{Poll, Token};
use rustc_hash::FxHashMap;
use stt_proto::{Endpoint, Instant, Now};
use stt_udp::UdpSocket;

use crate::clock::Clock;
use crate::command::Command;
use crate::config::EngineConfig;
use crate::engine::Shared;
use crate::event::{EngineEnd, Event, Resource};
use crate::log::Logs;
use crate::stats::EngineStats;
use crate::{READ_AHEAD, SessionNumber, StreamNumber};

use self::io::Io;
use self::sessions::Sessions;
use self::streams::Stream;

/// The socket in the poller.
pub(crate) const SOCKET: Token = Token(0);

/// The waker in the poller.
pub(crate) const WAKER: Token = Token(1);

/// How much longer than its drain a close may take until the thread ends without the peers' answer:
/// the first closer repeats its SESSION_CLOSE by PTO, three times at most (PROTOCOL.md section 6).
const CLOSE_GRACE: Duration = Duration::from_secs(3);

/// The shortest sleep while the socket has no room.
const BLOCKED_WAIT: Duration = Duration::from_millis(1);

/// What the thread owns.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    clock: Clock,
    core: Endpoint,
    /// After the core, whose sessions write until they are dropped.
    _logs: Option<Logs>,
    io: Io,
    sessions: Sessions,
    streams: FxHashMap<StreamNumber, Stream>,
    /// Streams that may have data to read, each at most once.
    readable: VecDeque<StreamNumber>,
    /// Tokens of the application for pings under way.
    pings: FxHashMap<(SessionNumber, u64), u64>,
    /// Events of this turn, not yet published.
    out: Vec<Event>,
    out_bytes: usize,
    commands: Vec<Command>,
    /// Set once the engine is closing: when it ends at the latest.
    closing: Option<Instant>,
    read_ahead: u64,
    send_buffer: u64,
    stats: EngineStats,
}

impl Driver {
    pub(crate) fn new(
        config: EngineConfig,
        socket: UdpSocket,
        poll: Poll,
        clock: Clock,
        logs: Option<Logs>,
        shared: &Arc<Shared>,
    ) -> Self {
        let session = &config.endpoint.session;
        let read_ahead = READ_AHEAD.min(session.stream_recv_buffer).max(1);
        let send_buffer = session.send_buffer;
        let (wanted, granted) = (config.buffers, socket.buffers());
        let mut out = Vec::new();
        for (resource, wanted, granted) in [
            (Resource::SendBuffer, wanted.send, granted.send),
            (Resource::RecvBuffer, wanted.recv, granted.recv),
        ] {
            if granted < wanted {
                let (wanted, granted) = (wanted as u64, granted as u64);
                out.push(Event::ResourceWarning { resource, wanted, granted });
            }
        }
        let mut core =
            Endpoint::new(config.endpoint, config.identity, config.networks, config.rng_seed);
        core.set_tracer(logs.as_ref().map(Logs::tracer));
        Self {
            shared: Arc::clone(shared),
            clock,
            read_ahead,
            send_buffer,
            core,
            _logs: logs,
            io: Io::new(socket, poll),
            sessions: Sessions::default(),
            streams: FxHashMap::default(),
            readable: VecDeque::new(),
            pings: FxHashMap::default(),
            out,
            out_bytes: 0,
            commands: Vec::new(),
            closing: None,
            stats: EngineStats::default(),
        }
    }

    fn run(&mut self) -> std_io::Result<()> {
        loop {
            self.stats.turns += 1;
            let now = self.clock.now();
            self.run_commands(now);
            if self.shared.commands.is_stopping() {
                self.say_goodbye(now);
                return Ok(());
            }
            let more_in = self.receive(now);
            if self.core.poll_timeout().is_some_and(|deadline| deadline <= now.mono) {
                self.core.handle_timeout(now);
            }
            self.collect(now);
            // Published before anything is sent: the application can work while this thread does.
            self.publish();
            let more_out = self.transmit(now);
            if self.is_closed(now) {
                return Ok(());
            }
            if !more_in && !more_out {
                self.sleep()?;
            }
        }
    }

    /// Whether a close has run its course.
    fn is_closed(&self, now: Now) -> bool {
        let Some(limit) = self.closing else { return false };
        now.mono >= limit || (self.sessions.is_empty() && !self.io.is_blocked())
    }

    fn sleep(&mut self) -> std_io::Result<()> {
        let deadline = [self.core.poll_timeout(), self.closing].into_iter().flatten().min();
        let now = self.clock.now().mono;
        let mut timeout = deadline.map(|deadline| deadline.saturating_duration_since(now));
        if self.io.is_blocked() {
            // What is due stays due until it can be sent: wait for the socket, not for the clock.
            timeout = timeout.map(|timeout| timeout.max(BLOCKED_WAIT));
        }
        if timeout == Some(Duration::ZERO) || !self.shared.commands.prepare_sleep() {
            return Ok(());
        }
        self.stats.sleeps += 1;
        let result = self.io.wait(timeout);
        self.shared.commands.woke();
        result
    }

    fn push(&mut self, event: Event) {
        self.out.push(event);
    }

    fn publish(&mut self) {
        self.shared.ring.publish(&mut self.out);
        self.out_bytes = 0;
    }

    /// Whether the ring takes another event, and data.
    fn has_room(&mut self) -> bool {
        let room = self.shared.ring.room(self.out.len(), self.out_bytes);
        self.stats.ring_full += u64::from(!room);
        room
    }
}

/// Runs the driver to its end, whatever that is, and tells the application of it.
pub(crate) fn run(mut driver: Driver, shared: &Shared) {
    // The driver is not used again after a panic, so nobody sees what it left half done.
    let result = catch_unwind(AssertUnwindSafe(|| driver.run()));
    let end = match result {
        Ok(Ok(())) => EngineEnd::Closed,
        Ok(Err(error)) => EngineEnd::Poller(error.raw_os_error().unwrap_or(0)),
        Err(panic) => EngineEnd::Panicked(words(panic.as_ref())),
    };
    let mut last = std::mem::take(&mut driver.out);
    last.push(Event::Closed(end));
    // Sockets and sessions are gone by the time the application hears of it.
    drop(catch_unwind(AssertUnwindSafe(|| drop(driver))));
    shared.ring.publish(&mut last);
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "the engine thread panicked".to_owned())
}

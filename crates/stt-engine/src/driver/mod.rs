//! The engine's thread.
//!
//! One turn: commands, datagrams in, timers, events and stream data out to the ring, datagrams out;
//! then, if nothing is left to do, sleep until the next deadline, a datagram or a command. Each
//! step is bounded, so that none starves the others; a step that stopped at its bound makes the
//! next turn follow at once.

mod blocks;
mod canaries;
mod carry;
mod commands;
mod events;
mod io;
mod lag;
mod memory;
mod messages;
mod moves;
mod pings;
mod rebind;
mod sessions;
mod streams;
mod watch;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use mio::{Registry, Token};
use rustc_hash::FxHashMap;
use stt_proto::{Endpoint, Instant, Memory, Now, SessionConfig};
use stt_udp::UdpSocket;

use crate::clock::Clock;
use crate::command::Command;
use crate::config::EngineConfig;
use crate::event::{Event, Resource};
use crate::log::Logs;
use crate::shared::{LoopTurn, Shared, Turn, Turns};
use crate::stats::EngineStats;
use crate::watch::Watch;
use crate::{READ_AHEAD, SessionNumber, StreamNumber};

use self::canaries::Canaries;
use self::carry::Carried;
pub(crate) use self::io::Sleeper;
use self::io::{Io, Ready};
use self::lag::{LATE, LagWatch};
use self::pings::Pings;
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

/// What the engine's thread works with.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    clock: Clock,
    core: Endpoint,
    /// After the core, whose sessions write until they are dropped.
    _logs: Option<Logs>,
    io: Io,
    canaries: Canaries,
    carried: Carried,
    sessions: Sessions,
    streams: FxHashMap<StreamNumber, Stream>,
    /// Streams that may have data to read, each at most once.
    readable: VecDeque<StreamNumber>,
    /// Sessions that have messages to read.
    message_readers: VecDeque<SessionNumber>,
    /// Sessions whose messages wait in the core to be sent.
    message_writers: Vec<SessionNumber>,
    pings: Pings,
    /// Tokens of the application for moves under way.
    moves: FxHashMap<(SessionNumber, u64), u64>,
    /// Events of this turn, not yet published.
    out: Vec<Event>,
    out_bytes: usize,
    commands: Vec<Command>,
    /// When the sleeping thread wakes by itself.
    wakes: Option<Instant>,
    /// Set once the engine is closing: when it ends at the latest.
    closing: Option<Instant>,
    read_ahead: u64,
    /// What holds for each session that a peer opens.
    session_config: SessionConfig,
    stats: EngineStats,
    looked: rebind::Looked,
    watch: Watch,
    lag: LagWatch,
    /// The application was told that memory is short, and it has not been ample since.
    told_short: bool,
    /// The system refused a send: the core has something to tell that no deadline brings up.
    refused: bool,
}

impl Driver {
    pub(crate) fn new(
        config: EngineConfig,
        socket: UdpSocket,
        registry: Registry,
        clock: Clock,
        logs: Option<Logs>,
        shared: &Arc<Shared>,
        memory: Arc<Memory>,
    ) -> Self {
        let session = &config.endpoint.session;
        let read_ahead = READ_AHEAD.min(session.stream_recv_buffer).max(1);
        let session_config = session.clone();
        let (wanted, granted) = (config.socket, socket.options());
        let mut out = Vec::new();
        for (resource, wanted, granted) in [
            (Resource::SendBuffer, wanted.send_buffer as u64, granted.send_buffer as u64),
            (Resource::RecvBuffer, wanted.recv_buffer as u64, granted.recv_buffer as u64),
            (Resource::BusyPoll, wanted.busy_poll.into(), granted.busy_poll.into()),
        ] {
            if granted < wanted {
                out.push(Event::ResourceWarning { resource, wanted, granted });
            }
        }
        let mut core =
            Endpoint::new(config.endpoint, config.identity, config.networks, config.rng_seed);
        core.share_memory(memory);
        core.set_tracer(logs.as_ref().map(Logs::tracer));
        Self {
            shared: Arc::clone(shared),
            clock,
            read_ahead,
            session_config,
            core,
            _logs: logs,
            io: Io::new(socket, registry),
            canaries: Canaries::default(),
            carried: Carried::default(),
            sessions: Sessions::default(),
            streams: FxHashMap::default(),
            readable: VecDeque::new(),
            message_readers: VecDeque::new(),
            message_writers: Vec::new(),
            pings: Pings::default(),
            moves: FxHashMap::default(),
            out,
            out_bytes: 0,
            commands: Vec::new(),
            wakes: None,
            closing: None,
            stats: EngineStats::default(),
            looked: None,
            watch: Watch::default(),
            lag: LagWatch::default(),
            told_short: false,
            refused: false,
        }
    }
}

impl Turns for Driver {
    type Ready = Ready;

    fn turn(&mut self) -> Turn {
        self.stats.turns += 1;
        let now = self.clock.now();
        if let Some(late) = self.lag.on_turn(now.mono) {
            let (wanted, granted) = (LATE.as_millis() as u64, late.as_millis() as u64);
            let resource = Resource::EngineLag;
            self.push(Event::ResourceWarning { resource, wanted, granted });
        }
        self.run_commands(now);
        if self.shared.commands.is_stopping() {
            self.say_goodbye(now);
            return Turn::Over;
        }
        self.check_loop(now);
        let more_in = self.receive(now);
        self.hear_canaries(now);
        if self.core.poll_timeout().is_some_and(|deadline| deadline <= now.mono) {
            self.core.handle_timeout(now);
        }
        self.collect(now);
        // Published before anything is sent: the application can work while this thread does.
        self.publish();
        let more_out = self.transmit_and_look(now);
        self.publish();
        self.settle_messages();
        self.judge_traffic(now);
        self.publish_stats();
        if self.is_closed(now) {
            return Turn::Over;
        }
        // Messages that wait for room in the ring wake the thread when there is some.
        let more_messages = !self.message_readers.is_empty() && self.has_room();
        self.lag.goes_on(now.mono);
        let refused = std::mem::take(&mut self.refused);
        if more_in || more_out || more_messages || refused {
            return Turn::Again;
        }
        self.lie_down()
    }

    fn short_turn(&mut self) -> bool {
        self.stats.short_turns += 1;
        let now = self.clock.now();
        self.run_commands(now);
        self.collect(now);
        self.publish();
        let more = self.transmit_and_look(now);
        self.publish();
        self.settle_messages();
        self.judge_traffic(now);
        self.publish_stats();
        self.leaves_work(more)
    }

    fn loop_turn(&mut self, socket: u32) -> LoopTurn {
        self.turn_of_loop(socket)
    }

    fn note(&mut self, ready: Ready) -> std::io::Result<()> {
        self.canaries.note(ready.canaries);
        self.io.note(ready)
    }

    fn last_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.out)
    }
}

impl Driver {
    /// Sends what is due. True when another turn has to come at once: because there is more, or because a
    /// send was refused. That may have ended a connect, and nothing else would wake this thread to tell of it.
    fn transmit_and_look(&mut self, now: Now) -> bool {
        let refused = self.stats.send_errors;
        let more = self.transmit(now);
        self.carry();
        more || self.stats.send_errors != refused
    }

    /// After a turn on the application's thread: whether the engine's has to look itself, because there is more, or
    /// because something is due earlier than it wakes.
    fn leaves_work(&mut self, more: bool) -> bool {
        let earlier = match (self.next_deadline(), self.wakes) {
            (Some(deadline), Some(wakes)) => deadline < wakes,
            (deadline, None) => deadline.is_some(),
            (None, Some(_)) => false,
        };
        let refused = std::mem::take(&mut self.refused);
        more || earlier
            || refused
            // Its end is for the engine's thread to see.
            || self.closing.is_some()
            || self.io.is_blocked()
            || !self.readable.is_empty()
            || !self.message_readers.is_empty()
    }

    /// Whether a close has run its course.
    fn is_closed(&self, now: Now) -> bool {
        let Some(limit) = self.closing else { return false };
        now.mono >= limit || (self.sessions.is_empty() && !self.io.is_blocked())
    }

    fn next_deadline(&mut self) -> Option<Instant> {
        let check = self.watch.next_check();
        [self.core.poll_timeout(), self.closing, check].into_iter().flatten().min()
    }

    fn lie_down(&mut self) -> Turn {
        let deadline = self.next_deadline();
        let now = self.clock.now().mono;
        let mut timeout = deadline.map(|deadline| deadline.saturating_duration_since(now));
        if self.io.is_blocked() {
            // What is due stays due until it can be sent: wait for the socket, not for the clock.
            timeout = timeout.map(|timeout| timeout.max(BLOCKED_WAIT));
        }
        if timeout == Some(Duration::ZERO) || !self.shared.commands.prepare_sleep() {
            return Turn::Again;
        }
        self.stats.sleeps += 1;
        self.wakes = deadline;
        // While the socket has no room, what is due waits for that and not for the clock.
        self.lag.sleeps_until(deadline.filter(|_| !self.io.is_blocked()));
        Turn::Sleep(timeout)
    }

    fn push(&mut self, event: Event) {
        self.out.push(event);
    }

    fn publish(&mut self) {
        // First, so that who is told of something finds it counted.
        self.publish_stats();
        self.shared.ring.publish(&mut self.out);
        self.out_bytes = 0;
    }

    fn publish_stats(&mut self) {
        while let Some((handle, stats)) = self.core.poll_stats() {
            if let Some(session) = self.sessions.by_handle(handle) {
                session.credit.stats.publish(Some(stats));
            }
        }
        let segments = self.io.segments() as u64;
        let stats = EngineStats { endpoint: self.core.stats(), segments, ..self.stats };
        self.shared.stats.publish(Some(stats));
    }

    /// Whether the ring takes another event, and data.
    fn has_room(&mut self) -> bool {
        let room = self.shared.ring.room(self.out.len(), self.out_bytes);
        self.stats.ring_full += u64::from(!room);
        room
    }
}

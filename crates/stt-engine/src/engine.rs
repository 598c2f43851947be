//! The application's side of an engine.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::BytesMut;
use mio::{Interest, Poll, Waker};
use stt_proto::{
    ConnectOptions, Connection, FrameType, ListenConfig, Memory, NodeId, SessionConfig,
    SessionStats, Shortage, StreamOptions,
};
use stt_udp::{SocketOptions, UdpSocket};

use crate::clock::Clock;
use crate::command::{CloseOptions, Command, ConnectTarget, MoveTarget};
use crate::config::{EngineConfig, StartError};
use crate::credit::{SendCredit, SessionCredit};
use crate::driver::{Driver, SOCKET, Sleeper, WAKER};
use crate::event::Event;
use crate::inflow::{self, Inflow};
use crate::local::{Cut, Local, Writer};
use crate::log::Logs;
use crate::outbox::Sent;
use crate::ring::{Doorbell, MAX_BYTES, MAX_EVENTS, Ring};
use crate::shared::{self, Shared};
use crate::stats::EngineStats;
use crate::sync::{Mutex, MutexGuard, PoisonError};
use crate::{READ_AHEAD, SessionNumber, StreamNumber};

/// Bytes that may lie until they are flushed. Enough for the engine's thread to have something to do when it is
/// woken, and little enough for a thread that goes on writing.
const HELD: usize = 16 * 1024;

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// So many bytes were taken, from the start. Fewer than offered: an [`Event::Writable`] comes
    /// once there is room again.
    Taken(usize),
    /// The stream takes nothing more, for ever.
    Dead,
    /// Nothing was taken, because memory is at its ceiling and nothing of this stream is under way that
    /// would make room. The stream is as it was; an [`Event::Writable`] comes once there is room again.
    Exhausted(Shortage),
}

/// What became of an event that [`Engine::poll`] offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It was used up.
    Whole,
    /// There was no room for it, or only for a part (which the taker cut off the front of its
    /// bytes). It is offered again next time.
    No,
}

/// What became of a turn of the application's event loop; see [`Engine::turn_of_loop`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watched {
    /// The loop is to go on watching. If not it stops at once, until [`Engine::may_watch`] says
    /// otherwise.
    pub stay: bool,
    /// There is something to [`poll`](Engine::poll) for: the doorbell does not ring for it.
    pub events: bool,
}

/// What became of messages that a connection brought; see [`Engine::receive`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// The connection may be read on. If not, so much waits for the engine's thread that it is to be read no
    /// further until [`Event::ConnectionReadable`].
    pub goes_on: bool,
    /// There is something to [`poll`](Engine::poll) for: the doorbell does not ring for it.
    pub events: bool,
}

/// A socket for the application's event loop to watch; see [`Engine::watched_socket`].
#[cfg(unix)]
#[derive(Debug)]
pub struct WatchedSocket {
    /// The engine's socket by another descriptor. It is only to be watched, and to be closed when the engine
    /// says [`Event::Rebound`] or [`Event::Closed`].
    pub descriptor: std::os::fd::OwnedFd,
    /// Which of the engine's sockets this is.
    pub number: u32,
}

/// One endpoint: a socket, its sessions, and the thread that drives them.
///
/// Every method returns at once. Dropping the engine ends it like [`destroy`](Self::destroy).
pub struct Engine {
    shared: Arc<Shared>,
    local: Mutex<Local>,
    thread: Mutex<Option<JoinHandle<()>>>,
    address: SocketAddr,
    /// What a socket is asked for.
    options: SocketOptions,
    node_id: NodeId,
    /// What holds for each session unless its connect says otherwise.
    config: SessionConfig,
    /// What all sessions hold.
    memory: Arc<Memory>,
}

impl Engine {
    /// Binds the socket and starts the thread.
    ///
    /// `doorbell` is called on the engine's thread when events wait and [`poll`](Self::poll) has
    /// found nothing since the last call. It must not block and must not call the engine.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left behind.
    pub fn start(config: EngineConfig, doorbell: Doorbell) -> Result<Self, StartError> {
        let logs = Logs::open(&config.logs).map_err(StartError::Log)?;
        let mut socket = UdpSocket::bind(config.bind, config.socket).map_err(StartError::Bind)?;
        let address = socket.local_addr();
        let poll = Poll::new().map_err(StartError::Poller)?;
        poll.registry()
            .register(&mut socket, SOCKET, Interest::READABLE)
            .map_err(StartError::Poller)?;
        let waker = Waker::new(poll.registry(), WAKER).map_err(StartError::Poller)?;
        let session = &config.endpoint.session;
        let credit = READ_AHEAD.min(session.stream_recv_buffer).min(session.recv_buffer);
        let waker = Box::new(move || {
            // Fails only when the poller is gone, that is, when nobody is left to wake.
            let _ = waker.wake();
        });
        let memory = Arc::new(Memory::new(config.endpoint.max_memory));
        let shared = Arc::new(Shared::new(waker, credit, ring_within(&memory, doorbell)));
        let session = config.endpoint.session.clone();
        let (node_id, options) = (config.identity.node_id(), config.socket);
        let registry = poll.registry().try_clone().map_err(StartError::Poller)?;
        let (theirs, counted) = (Arc::clone(&shared), Arc::clone(&memory));
        let thread = std::thread::Builder::new()
            .name("stt-engine".to_owned())
            .spawn(move || {
                let clock = Clock::new();
                let driver = Driver::new(config, socket, registry, clock, logs, &theirs, counted);
                shared::run(driver, Sleeper::new(poll), &theirs);
            })
            .map_err(StartError::Thread)?;
        Ok(Self {
            shared,
            local: Mutex::default(),
            thread: Mutex::new(Some(thread)),
            address,
            options,
            node_id,
            config: session,
            memory,
        })
    }

    /// Where the first socket was bound; [`Event::Rebound`] tells of later ones.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// This node's id.
    pub fn node_id(&self) -> NodeId {
        self.node_id
    }

    /// Starts (or, with `None`, stops) accepting peers.
    pub fn listen(&self, config: Option<ListenConfig>) {
        self.push(Command::Listen(config));
    }

    /// Starts a connect, answered by [`Event::Connected`] or [`Event::ConnectFailed`].
    pub fn connect(&self, to: impl Into<ConnectTarget>, options: ConnectOptions) -> SessionNumber {
        let to = to.into();
        let session = self.shared.session_number();
        let credit =
            SessionCredit::new(options.session.as_ref().unwrap_or(&self.config), &self.memory);
        self.local().sessions.insert(session, Arc::clone(&credit));
        self.push(Command::Connect { session, to, options: Box::new(options), credit });
        session
    }

    /// Attaches a connection that the application carries, a WebSocket, which takes `room` bytes for
    /// now. What is to go out by it comes as [`Event::Carry`]. `id` must not have been used before;
    /// `remote` is whom limits for each source count it to.
    pub fn open_connection(&self, id: u32, remote: SocketAddr, room: usize) {
        let inflow = Arc::<Inflow>::default();
        self.local().connections.insert(id, Arc::clone(&inflow));
        let connection = Connection { id: id.into(), remote };
        self.push(Command::OpenConnection(connection, room, inflow));
    }

    /// Messages came by a connection. `each` calls what it is given with one after the other; nobody may make
    /// use of them afterwards, as the engine opens them in place where it can take them on this thread. Where its
    /// own is at work they are copied for that.
    pub fn receive(&self, id: u32, mut each: impl FnMut(&mut dyn FnMut(&mut [u8]))) -> Received {
        let here =
            self.shared.turn_of_connection(|driver| driver.turn_of_connection(id, &mut each));
        if let Some(events) = here {
            return Received { goes_on: true, events };
        }
        let mut goes_on = true;
        let local = self.local();
        if let Some(inflow) = local.connections.get(&id) {
            each(&mut |message| {
                // Counted first, so that the engine never takes away what was not added.
                let cost = inflow::cost(message.len());
                goes_on &= inflow.enter(cost);
                self.memory.add(cost as u64);
                let copy = BytesMut::from(&*message);
                self.shared.commands.leave(std::iter::once(Command::Received(id, copy)));
            });
            self.shared.commands.wake();
        }
        Received { goes_on, events: false }
    }

    /// A connection has passed on `bytes` of what [`Event::Carry`] brought, and takes as many more.
    pub fn connection_writable(&self, id: u32, bytes: usize) {
        self.shared.commands.leave(std::iter::once(Command::ConnectionWritable(id, bytes)));
        self.shared.see_to_commands();
    }

    /// Detaches a connection that is no more: sessions that used it wait for another path
    /// ([`Event::PathLost`]), connects fail.
    pub fn close_connection(&self, id: u32) {
        if self.local().connections.remove(&id).is_some() {
            self.push(Command::CloseConnection(id));
        }
    }

    /// Lets a peer in after [`Event::Incoming`].
    pub fn accept(&self, session: SessionNumber) {
        self.push(Command::Accept(session));
    }

    /// Turns a peer away after [`Event::Incoming`] with an error code of the closed table.
    pub fn refuse(&self, session: SessionNumber, code: u16) {
        self.push(Command::Refuse(session, code));
    }

    /// Ends a session, or gives up a connect, answered by [`Event::SessionClosed`] or
    /// [`Event::ConnectFailed`].
    pub fn close_session(&self, session: SessionNumber, options: CloseOptions) {
        self.push(Command::CloseSession(session, Box::new(options)));
    }

    /// Opens a stream, which can be written at once. Answered by [`Event::Opened`] or
    /// [`Event::OpenFailed`].
    pub fn open_stream(&self, session: SessionNumber, options: StreamOptions) -> StreamNumber {
        let stream = self.shared.stream_number();
        let mut local = self.local();
        let shared = match local.sessions.get(&session) {
            Some(credit) => Arc::clone(credit),
            // Gone already: the engine will say so.
            None => SessionCredit::new(&self.config, &self.memory),
        };
        let credit = SendCredit::new(&shared, self.config.send_buffer);
        local.writers.insert(stream, Writer::new(session, Arc::clone(&credit)));
        drop(local);
        self.push(Command::Open { session, stream, options: Box::new(options), credit });
        stream
    }

    /// Copies the start of `bytes`, as much as the stream may have outstanding, and sends it.
    pub fn write(&self, stream: StreamNumber, bytes: &[u8]) -> Written {
        self.write_all(stream, std::iter::once(bytes))
    }

    /// The same for several pieces in a row, at the price of one. The count runs over all of them.
    pub fn write_all<'a>(
        &self,
        stream: StreamNumber,
        pieces: impl Iterator<Item = &'a [u8]>,
    ) -> Written {
        self.write_within(stream, pieces, 0)
    }

    /// The same as [`write`](Self::write), but the bytes may lie until [`flush`](Self::flush), which the
    /// application calls before long: many small writes in a row then go out together.
    pub fn write_held(&self, stream: StreamNumber, bytes: &[u8]) -> Written {
        self.write_within(stream, std::iter::once(bytes), HELD)
    }

    /// Sees to what [`write_held`](Self::write_held) left.
    pub fn flush(&self) {
        let bytes = self.local().hold(0, 0);
        self.shared.see_to(bytes);
    }

    /// `held`: how many bytes may lie.
    fn write_within<'a>(
        &self,
        stream: StreamNumber,
        pieces: impl Iterator<Item = &'a [u8]>,
        held: usize,
    ) -> Written {
        let mut local = self.local();
        let (total, cut) = local.write(&self.shared.commands, stream, pieces);
        let due = local.hold(total, held);
        drop(local);
        self.shared.see_to(due);
        match cut {
            Some(Cut::Dead) => Written::Dead,
            Some(Cut::Short(asked)) => Written::Exhausted(self.memory.refuse(asked)),
            None => Written::Taken(total),
        }
    }

    /// Ends the sending side after everything written. Answered by [`Event::Finished`].
    pub fn finish(&self, stream: StreamNumber) {
        self.local().end_writing(stream);
        self.push(Command::Finish(stream));
    }

    /// Aborts the sending side.
    pub fn reset(&self, stream: StreamNumber, code: u16) {
        self.local().end_writing(stream);
        self.push(Command::Reset(stream, code));
    }

    /// Asks the peer to stop sending; nothing more is delivered.
    pub fn stop(&self, stream: StreamNumber, code: u16) {
        self.push(Command::Stop(stream, code));
    }

    /// Tells that the application has read `bytes` of what [`Event::Data`] brought, stream by
    /// stream. Until then they hold back credit.
    pub fn consumed(&self, streams: impl Iterator<Item = (StreamNumber, u64)>) {
        let due = self.shared.commands.leave_consumed(streams);
        // Or somebody waits for what this gives back.
        if due || self.memory.is_starved() {
            self.shared.see_to_commands();
        }
    }

    /// Forgets a stream: nothing more is delivered of it.
    pub fn release(&self, stream: StreamNumber) {
        self.local().writers.remove(&stream);
        self.push(Command::Release(stream));
    }

    /// Sends a message: DATAGRAM, or a custom frame type. After [`Sent::Full`] an
    /// [`Event::MessagesWritable`] comes once there is room again.
    pub fn send_message(
        &self,
        session: SessionNumber,
        frame_type: FrameType,
        bytes: &[u8],
    ) -> Sent {
        let local = self.local();
        let Some(credit) = local.sessions.get(&session) else { return Sent::Dead };
        let (sent, announce) = credit.outbox.push(frame_type, bytes);
        if announce {
            self.push(Command::Messages(session));
        }
        if sent == Sent::TooLarge && credit.outbox.wants_mtu() {
            // The path may carry it for all that is known.
            self.push(Command::WantMtu(session));
        }
        sent
    }

    /// How many bytes of a stream, from its first on, the peer's transport has acknowledged without a gap;
    /// what a stream with a deadline gave up counts as well. `None` for a stream that cannot be written,
    /// or whose end was taken by an earlier poll.
    pub fn acknowledged(&self, stream: StreamNumber) -> Option<u64> {
        self.local().acknowledged(stream)
    }

    /// The longest message that a session takes now, in bytes; 0 where the peer takes none. Who asks is
    /// taken to have messages: the first call makes the session look for the largest datagrams that its path carries, which
    /// it otherwise does when it has something to send that fills them.
    pub fn max_message_size(&self, session: SessionNumber) -> usize {
        let local = self.local();
        let Some(credit) = local.sessions.get(&session) else { return 0 };
        if credit.outbox.wants_mtu() {
            self.push(Command::WantMtu(session));
        }
        credit.outbox.max_size()
    }

    /// Says whether the application takes custom frames of this type on this session, as
    /// [`Event::Message`]; those of other types are dropped and counted with 0x0404.
    pub fn handle_frames(&self, session: SessionNumber, frame_type: FrameType, held: bool) {
        self.push(Command::HandleFrames(session, frame_type, held));
    }

    /// Asks the peer for a sign of life, answered by [`Event::Pong`] with the same token. Nothing answers one that is
    /// asked for while 4096 of the session are not answered yet, nor any once the session has ended.
    pub fn ping(&self, session: SessionNumber, token: u64) {
        self.push(Command::Ping(session, token));
    }

    /// Gives a ping up: no [`Event::Pong`] follows, unless it is on its way to the application already.
    pub fn cancel_ping(&self, session: SessionNumber, token: u64) {
        self.push(Command::CancelPing(session, token));
    }

    /// Tells the peer that this side closes the session before long, and how long it leaves for what is under way;
    /// [`Event::PeerDraining`] there. The first call counts, and nothing ends by it.
    pub fn announce_end(&self, session: SessionNumber, within: Duration) {
        self.push(Command::AnnounceEnd(session, within));
    }

    /// Moves a session to another path, once the peer has answered on it: make before break. Answered
    /// by [`Event::Moved`] or [`Event::MoveFailed`] with the token, unless a later call for the same
    /// session takes its place, it is given up, or the session ends.
    pub fn move_session(&self, session: SessionNumber, token: u64, to: MoveTarget) {
        self.push(Command::Move { session, token, to });
    }

    /// Gives up the move of that token, if it is still under way.
    pub fn cancel_move(&self, session: SessionNumber, token: u64) {
        self.push(Command::CancelMove(session, token));
    }

    /// Says whether another carrier of a session is being looked for: until that has ended, ICMP refusals
    /// do not end the session.
    pub fn seek_path(&self, session: SessionNumber, seeking: bool) {
        self.push(Command::Seek(session, seeking));
    }

    /// Binds another socket and goes on with it, every session included; the one before is closed.
    /// Answered by [`Event::Rebound`] or [`Event::RebindFailed`] with the token.
    ///
    /// # Errors
    /// The system's own, as for [`UdpSocket::bind`]: nothing has changed then.
    pub fn rebind(&self, address: SocketAddr, token: u64) -> io::Result<()> {
        let socket = UdpSocket::bind(address, self.options)?;
        self.push(Command::Rebind(token, Box::new(socket)));
        Ok(())
    }

    /// What all sessions hold, now.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Ends a peer's sessions with `auth_failure` and refuses it from now on.
    pub fn revoke(&self, peer: NodeId) {
        self.push(Command::Revoke(peer));
    }

    /// Counters of a session as of the engine's last turn; `None` when it is not established, or
    /// when [`Event::SessionClosed`] was taken.
    pub fn session_stats(&self, session: SessionNumber) -> Option<SessionStats> {
        let local = self.local();
        let credit = local.sessions.get(&session)?;
        let mut stats = credit.stats.read()?;
        stats.messages.dropped_sending += credit.outbox.dropped();
        Some(stats)
    }

    /// Counters of the engine as of its last turn; `None` when it has ended.
    pub fn stats(&self) -> Option<EngineStats> {
        let mut stats = self.shared.stats()?;
        // Refused writes take no turn: whoever was told of one finds it counted.
        stats.endpoint.memory_used = self.memory.used();
        stats.endpoint.memory_refused = self.memory.refused();
        Some(stats)
    }

    /// Stops accepting, closes every session gracefully, giving written data up to `drain`, and
    /// ends the engine. [`Event::Closed`] follows.
    pub fn close(&self, drain: Duration) {
        self.push(Command::Close(drain));
    }

    /// Ends the engine at once: peers are told if a datagram can still be sent, nothing is waited
    /// for but the end of the thread's current turn. Calling it again does nothing.
    ///
    /// Events that the engine had not yet handed over can still be polled.
    pub fn destroy(&self) {
        self.shared.commands.stop();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // The thread catches its own panics, so there is nothing to learn from the result.
            let _ = thread.join();
        }
    }

    /// Offers the waiting events, in order, to `take` until it declines one or none is left.
    /// Returns whether there are more; if not, the doorbell rings for the next.
    pub fn poll(&self, take: impl FnMut(&mut Event) -> Taken) -> bool {
        self.shared.count_poll();
        self.local().poll(&self.shared.commands, &self.shared.ring, take)
    }

    /// Whether the application's event loop may watch the socket: while traffic is thin, it saves the
    /// way over the engine's thread. It has to ask on the thread that it runs on, as for all of this.
    pub fn may_watch(&self) -> bool {
        self.shared.is_thin()
    }

    /// The socket, to be watched for readability; `None` if it cannot be had now.
    #[cfg(unix)]
    pub fn watched_socket(&self) -> Option<WatchedSocket> {
        let (descriptor, number) = self.shared.with_driver(Driver::watched_socket)?;
        Some(WatchedSocket { descriptor: descriptor.ok()?, number })
    }

    /// To be called when the loop finds the socket readable; `socket` is its number. Afterwards, once the
    /// application has polled and acted, it calls [`end_turn_of_loop`](Self::end_turn_of_loop).
    ///
    /// The loop must not stop watching by itself without calling [`stop_watching`](Self::stop_watching).
    pub fn turn_of_loop(&self, socket: u32) -> Watched {
        let turn = self.shared.loop_turn(socket);
        Watched { stay: turn.stay, events: turn.events }
    }

    /// Sends what came of such a turn.
    pub fn end_turn_of_loop(&self) {
        self.shared.end_loop_turn();
    }

    /// The loop watches no more, for a reason of its own.
    pub fn stop_watching(&self) {
        self.shared.stop_watching();
    }

    /// Rings the doorbell: for an application that cannot poll where it was to.
    pub fn ring(&self) {
        self.shared.ring.ring();
    }

    pub(crate) fn push(&self, command: Command) {
        self.shared.commands.push(command);
    }

    /// Leaves a command for whoever looks next.
    #[cfg(all(test, not(feature = "shuttle")))]
    pub(crate) fn leave(&self, command: Command) {
        self.shared.commands.leave(std::iter::once(command));
    }

    /// Whether what connections bring is left to the engine's thread.
    #[cfg(all(test, not(feature = "shuttle")))]
    pub(crate) fn pretend_not_to_carry(&self, pretend: bool) {
        self.shared.set_carries(!pretend);
    }

    /// Whether the thread sleeps, or is about to.
    #[cfg(all(test, not(feature = "shuttle")))]
    pub(crate) fn is_sleeping(&self) -> bool {
        self.shared.commands.is_sleeping()
    }

    fn local(&self) -> MutexGuard<'_, Local> {
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A ring that takes a quarter of what may be held at most.
fn ring_within(memory: &Memory, doorbell: Doorbell) -> Ring {
    let bytes = usize::try_from(memory.limit() / 4).unwrap_or(usize::MAX);
    Ring::with_bounds(doorbell, MAX_EVENTS, MAX_BYTES.min(bytes))
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.destroy();
    }
}

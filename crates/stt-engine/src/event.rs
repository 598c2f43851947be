//! What the engine tells the application.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use stt_proto::{
    CloseReason, Direction, EarlyData, Fault, FrameType, NodeId, PathStrain, ResumptionTicket,
    StreamId,
};

use crate::credit::{SendCredit, SessionCredit};
use crate::{SessionNumber, StreamNumber};

/// One thing that happened, in order. Taken by [`Engine::poll`](crate::Engine::poll).
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A peer proved the shared seed and waits to be accepted or refused.
    Incoming {
        /// The session to be.
        session: SessionNumber,
        /// Who asks.
        peer: NodeId,
        /// From where.
        remote: SocketAddr,
        /// The number of the connection that it came by, if it was one.
        connection: Option<u32>,
    },
    /// A session is usable.
    Connected {
        /// The session.
        session: SessionNumber,
        /// Who the peer is.
        peer: NodeId,
        /// The id that both sides know the session by.
        session_id: [u8; 8],
        /// Where the peer is.
        remote: SocketAddr,
        /// The number of the connection that leads there, if it is one.
        connection: Option<u32>,
        /// Whether this side connected.
        initiator: bool,
        /// Whether a ticket brought it about.
        resumed: bool,
        /// What became of early data.
        early_data: EarlyData,
        /// What the session's streams may have outstanding together.
        credit: SharedCredit,
    },
    /// The peer gave out a ticket to return by: a secret.
    Ticket(SessionNumber, Box<ResumptionTicket>),
    /// A connect came to nothing; its number is dead.
    ConnectFailed {
        /// The connect.
        session: SessionNumber,
        /// Why.
        fault: Fault,
    },
    /// The peer opened a stream.
    StreamOpened {
        /// The session.
        session: SessionNumber,
        /// The stream.
        stream: StreamNumber,
        /// Its id on the wire.
        id: StreamId,
        /// Whether it goes both ways.
        direction: Direction,
        /// The opener's label.
        purpose: String,
        /// The id that the application chose itself.
        name: Option<u32>,
        /// 0 (urgent) to 7 (background).
        priority: u8,
        /// Bytes older than this may be given up, both ways.
        deadline: Option<Duration>,
        /// What the stream may have outstanding; `None` when it cannot be written.
        credit: Option<Arc<SendCredit>>,
    },
    /// An open of this side went out.
    Opened {
        /// The stream.
        stream: StreamNumber,
        /// Its id on the wire.
        id: StreamId,
    },
    /// An open of this side was refused; the number is dead.
    OpenFailed {
        /// The stream.
        stream: StreamNumber,
        /// Why.
        fault: Fault,
    },
    /// Bytes of a stream, in order.
    Data {
        /// The stream.
        stream: StreamNumber,
        /// The bytes; may be empty when `fin` is set.
        bytes: Bytes,
        /// Nothing follows: the peer ended its side.
        fin: bool,
    },
    /// The peer gave up bytes of a deadline stream: what follows lies behind them.
    Gap {
        /// The stream.
        stream: StreamNumber,
        /// Offset of the first of them.
        offset: u64,
        /// How many they are.
        len: u64,
    },
    /// A message of the peer: a DATAGRAM, or a custom frame of a type that the application handles.
    Message {
        /// The session.
        session: SessionNumber,
        /// Which of them.
        frame_type: FrameType,
        /// What it says, whole.
        bytes: Bytes,
    },
    /// After a message that found no room there is room again.
    MessagesWritable(SessionNumber),
    /// After a write that was cut short there is room again.
    Writable(StreamNumber),
    /// The peer's transport acknowledged every byte and the FIN.
    Finished(StreamNumber),
    /// The peer aborted sending, with its code.
    Reset(StreamNumber, u64),
    /// The peer asked this side to stop sending, with its code.
    Stopped(StreamNumber, u64),
    /// STT itself, here or at the peer, has ended both halves of the stream.
    StreamFailed {
        /// The stream.
        stream: StreamNumber,
        /// Why: its name is in use (0x0303), or there are too many (0x0302).
        fault: Fault,
    },
    /// Both halves are done; the number is dead.
    StreamClosed {
        /// The stream.
        stream: StreamNumber,
        /// How far the peer's transport has acknowledged what was written; see
        /// [`Engine::acknowledged`](crate::Engine::acknowledged).
        acked: u64,
    },
    /// The session of this stream is about to be over: how far the peer's transport has acknowledged
    /// what was written.
    Acknowledged {
        /// The stream.
        stream: StreamNumber,
        /// As in [`Event::StreamClosed`].
        acked: u64,
    },
    /// After a refused open there is room for streams of this kind.
    StreamsAvailable(SessionNumber, Direction),
    /// The answer to a ping.
    Pong {
        /// The session.
        session: SessionNumber,
        /// What the ping carried.
        token: u64,
        /// From sending to the answer.
        rtt: Duration,
    },
    /// A session's packets now go another way.
    PathChange {
        /// The session.
        session: SessionNumber,
        /// Where the peer is now.
        remote: SocketAddr,
        /// The number of the connection that leads there, if it is one.
        connection: Option<u32>,
    },
    /// The connection that a session's packets took is no more: they wait for another path, from this
    /// side by [`Engine::move_session`](crate::Engine::move_session) or from the peer's.
    PathLost(SessionNumber),
    /// The datagram path of a session starves what goes by it: told again and again while it does.
    PathStrained(SessionNumber, PathStrain),
    /// A session's datagrams draw no answer any more, for about three probe timeouts, if true; else the
    /// peer was heard again.
    PathSilence(SessionNumber, bool),
    /// A message for a connection to carry. What it was
    /// [told](crate::Engine::connection_writable) to have passed on bounds how much of this there is.
    Carry {
        /// The connection.
        connection: u32,
        /// Packets, one behind the other.
        bytes: Bytes,
        /// Bytes of each of them but the last, which may be shorter: the message may be cut there. The length
        /// of all where nothing is known of them.
        stride: usize,
    },
    /// A connection carries a session: whoever opened it has proved itself.
    ConnectionUsed(u32),
    /// A connection whose messages were [too many](crate::Engine::receive) may be read again.
    ConnectionReadable(u32),
    /// The move of that token has succeeded; if the path changed by it, a `PathChange` came before.
    Moved {
        /// The session.
        session: SessionNumber,
        /// What the move was begun with.
        token: u64,
    },
    /// The move of that token came to nothing: the session is where it was.
    MoveFailed {
        /// The session.
        session: SessionNumber,
        /// What the move was begun with.
        token: u64,
        /// Why.
        fault: Fault,
    },
    /// The engine has another socket, as it was asked, or because the address of the one before went
    /// away.
    Rebound {
        /// What the rebind was asked for with; `None` when the engine did it by itself.
        token: Option<u64>,
        /// Where the socket is bound.
        address: SocketAddr,
    },
    /// The engine could not take the socket that it was given, for this error number of the system; it
    /// goes on with the one before.
    RebindFailed {
        /// What the rebind was asked for with.
        token: u64,
        /// The number; 0 when there is none.
        errno: i32,
    },
    /// A session is closing: what was written is still delivered.
    Draining(SessionNumber),
    /// The peer is about to end a session, and leaves so long for what is under way.
    PeerDraining(SessionNumber, Duration),
    /// A session is over; the numbers of its streams are dead. What had arrived stands before this
    /// event.
    SessionClosed {
        /// The session.
        session: SessionNumber,
        /// Which of the four reasons.
        reason: CloseReason,
        /// Whether the peer ended it.
        remote: bool,
        /// The root cause, unless graceful.
        fault: Option<Fault>,
        /// Words of whoever closed it.
        message: String,
        /// Bytes written that the peer's transport never acknowledged.
        undelivered: u64,
    },
    /// A handshake that never became a session went wrong at this, the responding, side.
    HandshakeError {
        /// The source.
        remote: SocketAddr,
        /// What was wrong.
        fault: Fault,
    },
    /// The system refused to send datagrams; who they belong to goes on and tries again.
    SendError {
        /// Whose they were, the number of a connect in progress included; `None` for answers outside
        /// any session.
        session: Option<SessionNumber>,
        /// Where they were to go.
        remote: SocketAddr,
        /// 0x0501, with the system's number.
        fault: Fault,
        /// How many since the last such event.
        count: u64,
    },
    /// More than one in twenty of the newest packets were damaged on the way.
    PathWarning {
        /// The session.
        session: SessionNumber,
        /// Damaged packets among the newest.
        damaged: u32,
        /// How many those are in all.
        packets: u32,
    },
    /// Frames were dropped and counted.
    FrameError {
        /// The session they were for, when known.
        session: Option<SessionNumber>,
        /// Which error (0x0401 to 0x0404).
        code: u16,
        /// How many since the last such event.
        count: u64,
        /// For 0x0404: the type of the newest.
        frame_type: Option<u8>,
    },
    /// Something is short: the system gives less than was asked for, or took longer.
    ResourceWarning {
        /// What is short.
        resource: Resource,
        /// What was asked for.
        wanted: u64,
        /// What there is.
        granted: u64,
    },
    /// The engine has ended; always the last event, and always comes.
    Closed(EngineEnd),
}

/// What a [`Event::ResourceWarning`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resource {
    /// `SO_SNDBUF`, in bytes.
    SendBuffer,
    /// `SO_RCVBUF`, in bytes.
    RecvBuffer,
    /// `SO_BUSY_POLL`, in microseconds.
    BusyPoll,
    /// What may be held for all sessions, in bytes: seven eighths of it are in use.
    Memory,
    /// The processor, in milliseconds by which the engine's thread ran late.
    EngineLag,
}

/// Why an engine ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineEnd {
    /// It was closed.
    Closed,
    /// The engine thread panicked, with these words. A bug, which ends this endpoint only.
    Panicked(String),
    /// The system's poller failed, with this error number.
    Poller(i32),
}

/// A session's share of the send memory, opaque to the application.
#[derive(Debug, Clone)]
pub struct SharedCredit(pub(crate) Arc<SessionCredit>);

//! What the core tells the driver.

use core::time::Duration;

use bytes::Bytes;
use stt_crypto::NodeId;
use stt_wire::{CloseReason, ErrorCode, FrameType};

use crate::fault::Fault;
use crate::path::PathAddress;
use crate::session::{MoveFailure, PathStrain};
use crate::streams::{Direction, StreamId};
use crate::ticket::ResumptionTicket;

/// Names a session or a connect in progress. A handle of one that is gone never names another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SessionHandle {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl SessionHandle {
    /// A number that is unique among the handles an endpoint ever gave out, short of 2^32 reuses of
    /// one slot.
    pub const fn as_u64(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }
}

/// Which side did something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// This endpoint.
    Local,
    /// The peer.
    Remote,
}

/// What became of the early data of a resumption (PROTOCOL.md section 2.7).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum EarlyData {
    /// There was none.
    #[default]
    None,
    /// Initiator: the peer has it.
    Accepted,
    /// Initiator: the peer did not take it and never will; it counts as not sent.
    Rejected,
    /// Initiator: nobody answered the RESUME, so the peer may have it or not.
    Unknown,
    /// Responder: this is it. Confidential, and from the peer that is named, but without forward
    /// secrecy towards this endpoint's own memory.
    Received(Bytes),
}

/// What happened, in order. See [`crate::Endpoint::poll_event`].
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A peer proved the shared seed and waits for [`crate::Endpoint::accept`] or
    /// [`crate::Endpoint::refuse`]; only while listening with `authorize`.
    Incoming {
        /// The session to be.
        session: SessionHandle,
        /// Who asks.
        peer: NodeId,
        /// From where.
        remote: PathAddress,
    },
    /// The session is usable.
    Connected {
        /// The session.
        session: SessionHandle,
        /// Who the peer is.
        peer: NodeId,
        /// First eight bytes of the handshake hash, equal on both sides.
        session_id: [u8; 8],
        /// Where the peer is.
        remote: PathAddress,
        /// Whether this side connected.
        initiator: bool,
        /// Whether a ticket brought it about.
        resumed: bool,
        /// What became of early data.
        early_data: EarlyData,
    },
    /// Initiator: the peer gave out a ticket to return by, which serves once.
    Ticket {
        /// The session.
        session: SessionHandle,
        /// The ticket: a secret.
        ticket: Box<ResumptionTicket>,
    },
    /// A connect failed; the handle is dead.
    ConnectFailed {
        /// The connect.
        session: SessionHandle,
        /// Why.
        error: Fault,
    },
    /// The peer opened a stream.
    StreamOpened {
        /// The session.
        session: SessionHandle,
        /// The stream.
        stream: StreamId,
        /// Whether it goes both ways.
        direction: Direction,
        /// The opener's label.
        purpose: String,
        /// The id the application chose itself.
        name: Option<u32>,
        /// 0 (urgent) to 7 (background).
        priority: u8,
        /// Bytes older than this may be given up, both ways; see [`crate::ReadOutcome::Skipped`].
        deadline: Option<Duration>,
    },
    /// After a read that found none, there are messages; see [`crate::Endpoint::read_message`].
    MessagesReadable {
        /// The session.
        session: SessionHandle,
    },
    /// The longest message that may be sent has changed since `Connected`, or the last such event.
    MessageSize {
        /// The session.
        session: SessionHandle,
        /// Bytes; 0 says that the peer takes no messages.
        max: usize,
    },
    /// After a read that found nothing, there is something: bytes, the end, or a reset.
    StreamReadable {
        /// The session.
        session: SessionHandle,
        /// The stream.
        stream: StreamId,
    },
    /// The peer's transport acknowledged more bytes; their send memory is free.
    StreamReleased {
        /// The session.
        session: SessionHandle,
        /// The stream.
        stream: StreamId,
        /// Bytes acknowledged without a gap since the stream's start.
        acked: u64,
    },
    /// The peer's transport acknowledged every byte and the FIN.
    StreamFinished {
        /// The session.
        session: SessionHandle,
        /// The stream.
        stream: StreamId,
    },
    /// The peer aborted sending; what was not read is gone.
    StreamReset {
        /// The session.
        session: SessionHandle,
        /// The stream.
        stream: StreamId,
        /// The peer's code.
        code: u64,
    },
    /// The peer asked this side to stop sending.
    StreamStopped {
        /// The session.
        session: SessionHandle,
        /// The stream.
        stream: StreamId,
        /// The peer's code.
        code: u64,
    },
    /// STT itself, here or at the peer, has ended both halves of the stream: its name is in use
    /// (0x0303), or there are too many (0x0302).
    StreamFailed {
        /// The session.
        session: SessionHandle,
        /// The stream.
        stream: StreamId,
        /// Why.
        error: Fault,
    },
    /// Both halves are done; the id means nothing from now on.
    StreamClosed {
        /// The session.
        session: SessionHandle,
        /// The stream.
        stream: StreamId,
    },
    /// After a refused open, there is room for streams of this kind.
    StreamsAvailable {
        /// The session.
        session: SessionHandle,
        /// The kind.
        direction: Direction,
    },
    /// The answer to [`crate::Endpoint::ping`].
    Pong {
        /// The session.
        session: SessionHandle,
        /// What `ping` returned.
        token: u64,
        /// Time from sending to the answer.
        rtt: Duration,
    },
    /// A session's packets now go another way.
    PathChange {
        /// The session.
        session: SessionHandle,
        /// The new path.
        remote: PathAddress,
    },
    /// The connection that a session's packets took is no more, and there is no path to go back to.
    /// What it carried waits for the next path: [`crate::Endpoint::move_session`], or the peer's move.
    /// Without one the session ends with 0x0502 once nothing was heard for its timeout.
    PathLost {
        /// The session.
        session: SessionHandle,
        /// The path that was.
        path: PathAddress,
    },
    /// A connection carries a session: whoever opened it has proved itself.
    ConnectionUsed {
        /// The number of the connection.
        id: u64,
    },
    /// The datagram path that a session uses starves what goes by it (PROTOCOL.md section 5.6): told once for
    /// each span of time in which it did, and when a path that had begun to falls silent.
    PathStrained {
        /// The session.
        session: SessionHandle,
        /// What the path did.
        strain: PathStrain,
    },
    /// A session's datagrams have drawn no answer for two probe timeouts in a row, about three probe
    /// timeouts in all, or the peer's host refuses them; or, after that, one was acknowledged. Where this
    /// side only receives, a pause of one probe timeout in what the peer sends counts as the first. A
    /// move ends it without a word.
    PathSilence {
        /// The session.
        session: SessionHandle,
        /// Whether the path is silent.
        silent: bool,
    },
    /// A move that [`crate::Endpoint::move_session`] began has succeeded: the peer answered on the path,
    /// which is in use now.
    Moved {
        /// The session.
        session: SessionHandle,
        /// What `move_session` returned.
        token: u64,
        /// The path in use.
        path: PathAddress,
    },
    /// A move that [`crate::Endpoint::move_session`] began came to nothing. The session stays where it
    /// is.
    MoveFailed {
        /// The session.
        session: SessionHandle,
        /// What `move_session` returned.
        token: u64,
        /// The path that was tried.
        path: PathAddress,
        /// Why.
        reason: MoveFailure,
    },
    /// `close` was called with a drain: written data is still on its way.
    Draining {
        /// The session.
        session: SessionHandle,
    },
    /// The peer is about to end the session: what is under way may be finished. Told once.
    PeerDraining {
        /// The session.
        session: SessionHandle,
        /// How long the peer leaves for that, from when it said so.
        within: Duration,
    },
    /// The session is over. What had arrived can still be read until [`crate::Endpoint::release`].
    SessionClosed {
        /// The session.
        session: SessionHandle,
        /// Which of the four reasons.
        reason: CloseReason,
        /// Who ended it.
        initiator: Side,
        /// The root cause, unless graceful.
        error: Option<Fault>,
        /// The peer's words, or ours.
        message: String,
        /// Bytes written by this side that the peer's transport never acknowledged.
        undelivered: u64,
    },
    /// A handshake that never became a session went wrong at the responder. Rate-limited.
    HandshakeError {
        /// The source.
        remote: PathAddress,
        /// What was wrong.
        error: Fault,
    },
    /// The system refused to send datagrams. The session, or the connect, goes on and tries again;
    /// that nothing leaves for too long is what ends it. The first is told at once, those that follow
    /// once a second: one event stands for `count` datagrams.
    SendError {
        /// Whose datagrams they were; `None` for answers outside any session.
        session: Option<SessionHandle>,
        /// Where they were to go.
        remote: PathAddress,
        /// 0x0501, with the system's error number for the last of them.
        error: Fault,
        /// How many since the last such event.
        count: u64,
    },
    /// More than one in twenty of the packets that came of late were damaged on the way. Told once,
    /// and again after they were fewer than one in forty.
    PathWarning {
        /// The session.
        session: SessionHandle,
        /// Damaged packets among the newest.
        damaged: u32,
        /// How many those are in all.
        packets: u32,
    },
    /// Frames were dropped and counted (0x0401 to 0x0404). Rate-limited: one event stands for
    /// `count` frames.
    FrameError {
        /// The session they were for, when known.
        session: Option<SessionHandle>,
        /// Which error.
        code: ErrorCode,
        /// How many since the last such event.
        count: u64,
        /// For 0x0404: the type of the newest.
        frame_type: Option<FrameType>,
    },
}

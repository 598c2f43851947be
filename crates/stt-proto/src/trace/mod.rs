//! What a driver may watch: the core's packets and decisions as typed events, and, for a key log,
//! its secrets.
//!
//! Off by default, and then the price is one test of an empty `Option` where something happens:
//! nothing is formatted, copied or allocated. A driver that wants to see gives
//! [`Endpoint::set_tracer`](crate::Endpoint::set_tracer) a [`Tracer`]. What becomes of the events
//! is the driver's affair; [`qlog`] writes them as draft-ietf-quic-qlog-main-schema does.
//!
//! A tracer sees and does not steer: with and without one, the same inputs give the same outputs.

mod frames;
pub mod qlog;
#[cfg(test)]
mod tests;

use core::fmt;
use core::time::Duration;

use stt_crypto::NodeId;
use stt_wire::{CloseReason, Flags, Frame, FrameError, FrameType, PathId, frame};

use crate::event::Side;
use crate::path::{Ecn, PathAddress};
use crate::time::{Instant, Now};

/// Decides which sessions are watched.
pub trait Tracer: Send {
    /// A session has keys. What is returned gets its events until it is forgotten; `None` leaves it
    /// unwatched.
    fn session(&mut self, now: Now, start: &SessionTraceStart) -> Option<Box<dyn SessionTrace>>;

    /// Whether [`Tracer::secret`] is to be called.
    fn wants_secrets(&self) -> bool {
        false
    }

    /// A secret came into being; only after [`Tracer::wants_secrets`] said yes. Whoever has it can
    /// read the session: it is for a key log that its user asked for, and nothing else.
    fn secret(&mut self, _secret: &TracedSecret<'_>) {}
}

/// Gets the events of one session, in their order. Dropped when the session is forgotten.
pub trait SessionTrace: Send {
    /// Something happened at `at`.
    fn event(&mut self, at: Instant, event: &TraceEvent<'_>);
}

/// Which session a trace is of.
#[derive(Clone, Debug)]
pub struct SessionTraceStart {
    /// Whether this side connected.
    pub initiator: bool,
    /// First eight bytes of the handshake hash, equal on both sides.
    pub session_id: [u8; 8],
    /// Who the peer is.
    pub peer: NodeId,
    /// Where the peer is.
    pub remote: PathAddress,
    /// What the peer puts in its headers.
    pub local_id: PathId,
    /// What this side puts in its headers.
    pub peer_id: PathId,
}

/// What happened in a session.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TraceEvent<'a> {
    /// A packet was sealed and handed to the driver.
    PacketSent(TracedPacket<'a>),
    /// A packet opened, was new and well-formed.
    PacketReceived(TracedPacket<'a>),
    /// A packet of this session was thrown away.
    PacketDropped {
        /// Its number, as far as one could be made of its header.
        number: u64,
        /// Bytes of the packet, header and checksum included.
        bytes: usize,
        /// Why.
        reason: DropReason,
    },
    /// A packet sent was declared lost (RFC 9002 section 6.1).
    PacketLost {
        /// Its number.
        number: u64,
        /// Its bytes.
        bytes: u64,
        /// By which rule.
        trigger: LossTrigger,
    },
    /// The state of loss recovery is another than at the last such event.
    MetricsUpdated(Metrics),
    /// Larger or smaller datagrams from now on.
    MtuUpdated {
        /// UDP payload in bytes until now.
        old: u64,
        /// And from now on.
        new: u64,
    },
    /// The session's packets now go elsewhere.
    PathChanged {
        /// Where to.
        remote: PathAddress,
    },
    /// A direction's key was updated (PROTOCOL.md section 4.4).
    KeyUpdated {
        /// Whose sending key.
        side: Side,
        /// Updates in that direction so far, this one included.
        generation: u64,
    },
    /// The session ended for the application.
    SessionClosed {
        /// Who ended it.
        initiator: Side,
        /// Which of the four reasons.
        reason: CloseReason,
        /// An error code of PROTOCOL.md section 7, or 0.
        code: u16,
        /// Words of whoever ended it.
        message: &'a str,
    },
}

/// A sealed packet in plain.
#[derive(Clone, Copy)]
pub struct TracedPacket<'a> {
    /// Its full number.
    pub number: u64,
    /// Its KEY_PHASE flag.
    pub key_phase: bool,
    /// Bytes on the wire, header, tag and checksum included.
    pub bytes: usize,
    /// The ECN codepoint it was sent or received with.
    pub ecn: Option<Ecn>,
    /// Whether it tries a larger datagram.
    pub mtu_probe: bool,
    pub(crate) frame_type: FrameType,
    pub(crate) flags: Flags,
    pub(crate) stream: u32,
    pub(crate) plaintext: &'a [u8],
}

impl<'a> TracedPacket<'a> {
    /// The stream of the header, 0 where it has none.
    pub fn stream(&self) -> u32 {
        self.stream
    }

    /// What it says. Parsed at every call.
    ///
    /// # Errors
    /// Never for packets of this library: both directions were checked before.
    pub fn frame(&self) -> Result<Frame<'a>, FrameError> {
        frame::parse(self.frame_type, self.flags, self.stream, self.plaintext)
    }
}

/// Without the application's bytes.
impl fmt::Debug for TracedPacket<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracedPacket")
            .field("number", &self.number)
            .field("bytes", &self.bytes)
            .field("frame_type", &self.frame_type)
            .finish_non_exhaustive()
    }
}

/// Why a packet was thrown away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DropReason {
    /// Its number was seen before, or is older than the replay window.
    Duplicate,
    /// It does not open.
    Undecryptable,
    /// It opened, and what it says is malformed.
    Malformed,
    /// The session is over.
    SessionOver,
}

/// Which rule declared a packet lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LossTrigger {
    /// Enough later packets were acknowledged (RFC 9002 section 6.1.1).
    ReorderingThreshold,
    /// A later one was, and enough time went by (RFC 9002 section 6.1.2).
    TimeThreshold,
    /// Its path was given up, or it was too large for it.
    PathAbandoned,
}

/// The state of loss recovery and congestion control.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Metrics {
    /// Smallest round-trip time seen; `None` before a sample.
    pub min_rtt: Option<Duration>,
    /// Smoothed round-trip time (RFC 9002 section 5.3).
    pub smoothed_rtt: Duration,
    /// Its mean deviation.
    pub rtt_variance: Duration,
    /// Probe timeouts in a row without an answer.
    pub pto_count: u32,
    /// Congestion window in bytes.
    pub congestion_window: u64,
    /// Bytes of ack-eliciting packets neither acknowledged nor lost.
    pub bytes_in_flight: u64,
}

/// A secret, and what on the wire it belongs to.
///
/// Its `Display` is a line of a key log; there is no `Debug`.
pub enum TracedSecret<'a> {
    /// The private ephemeral key of an initiator, with which the handshake can be read by whoever
    /// has the seeds, too.
    Ephemeral {
        /// The public key, the first 32 bytes of HELLO's or RESUME's Noise message.
        public: &'a [u8; 32],
        /// The private key.
        private: &'a [u8; 32],
    },
    /// `secret_0` of one direction (PROTOCOL.md section 4.1), with which everything in that
    /// direction can be read, key updates included.
    Traffic {
        /// The path id in the headers of that direction, as the handshake chose it.
        path_id: PathId,
        /// The AEAD's number, 1 or 2.
        aead: u16,
        /// The secret.
        secret: &'a [u8; 32],
    },
}

impl fmt::Display for TracedSecret<'_> {
    /// `STT_EPHEMERAL <public> <private>` or `STT_TRAFFIC_SECRET_0 <path id> <aead> <secret>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ephemeral { public, private } => {
                write!(f, "STT_EPHEMERAL {} {}", Hex(&public[..]), Hex(&private[..]))
            }
            Self::Traffic { path_id, aead, secret } => {
                write!(f, "STT_TRAFFIC_SECRET_0 {} {aead} {}", Hex(&path_id.0), Hex(&secret[..]))
            }
        }
    }
}

/// Bytes as lower-case hex digits.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

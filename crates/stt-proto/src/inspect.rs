//! A look inside, for a simulator that asks after every step whether all that must hold does (feature
//! `inspect`, off by default; `docs/adr/0058`).
//!
//! Everything here is a plain value, read off without changing anything. [`Inspection`] takes
//! constant time; [`Recount`] walks through what a session holds and counts it anew, so that a number
//! that the core keeps can be held against what it stands for. What of it is wrong, the reader judges.

use core::time::Duration;

use crate::streams::StreamId;
use crate::time::Instant;

/// What a session waits for and may do, read off in constant time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inspection {
    /// First eight bytes of the handshake hash, equal on both sides.
    pub session_id: [u8; 8],
    /// Whether this side connected.
    pub initiator: bool,
    /// The deadline that the endpoint holds for this session: when
    /// [`Endpoint::handle_timeout`](crate::Endpoint::handle_timeout) will get to it.
    pub timer: Option<Instant>,
    /// The session stands among those whose
    /// [`Endpoint::poll_transmit`](crate::Endpoint::poll_transmit) has something to send, perhaps.
    pub is_queued: bool,
    /// What the session waits for.
    pub deadlines: Deadlines,
    /// Something that demands an ACK waits to be sent, and the peer's credit allows it.
    pub wants_to_send: bool,
    /// The address of the peer is not proven and has not paid for another packet
    /// (PROTOCOL.md sections 2.6 and 6.3), or the system has just refused a datagram (section 6.1), or
    /// the connection takes nothing now.
    pub is_held_by_address: bool,
    /// Events of streams that the endpoint has not taken over yet.
    pub queued_events: usize,
    /// The application uses the session, and so hears its events.
    pub is_usable: bool,
    /// The path in use.
    pub path: PathState,
    /// The key that this side seals with.
    pub sealing: Sealing,
}

/// Moments at which a session must act, each read from what brings it about, and not from the timer
/// that was set for it. `None`: nothing to wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Deadlines {
    /// Loss or probe timeout of the path in use (RFC 9002 section 6.2).
    pub loss: Option<Instant>,
    /// The pacer lets the next packet go (RFC 9002 section 7.7).
    pub pacing: Option<Instant>,
    /// An ACK may be held back until then (RFC 9000 section 13.2.1).
    pub ack: Option<Instant>,
    /// AUTH_PROOF goes out again (PROTOCOL.md section 2).
    pub proof: Option<Instant>,
    /// AUTH_PROOF has gone unanswered for so long that the responder has forgotten the handshake.
    pub stale: Option<Instant>,
    /// The handshake, or the application's word on it, has taken too long.
    pub verdict: Option<Instant>,
    /// The key before the present one is forgotten (PROTOCOL.md section 4.4).
    pub keys: Option<Instant>,
    /// A keep-alive is due, or the peer counts as gone (PROTOCOL.md section 6).
    pub liveness: Option<Instant>,
    /// The next step of an ending.
    pub ending: Option<Instant>,
    /// The oldest bytes of a deadline stream are too old.
    pub expiry: Option<Instant>,
    /// Frame errors that were held back are told.
    pub frame_errors: Option<Instant>,
    /// The search for a larger datagram goes on (RFC 8899). Passed: a probe waits for its turn.
    pub mtu: Option<Instant>,
    /// A move fails, or what was remembered for it is forgotten (PROTOCOL.md section 6.3).
    pub moving: Option<Instant>,
    /// A challenge is repeated. Passed: it waits until the address has paid for it.
    pub challenge: Option<Instant>,
}

/// What a connect waits for whose HELLO or RESUME nobody has answered (PROTOCOL.md section 2.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectInspection {
    /// It repeats nothing: it goes by a connection, or waits behind another of its race.
    pub reliable: bool,
    /// The deadline that the endpoint holds for it.
    pub timer: Option<Instant>,
    /// The next HELLO or RESUME. `None`: there is none, and never will be.
    pub next_send: Option<Instant>,
    /// What a message that proves nothing claims is believed then.
    pub hint: Option<Instant>,
    /// A RESUME is given up for HELLO then.
    pub fall_back: Option<Instant>,
    /// All of it is given up.
    pub deadline: Instant,
    /// How often the packet that was repeated most has gone out since it was made or a RETRY came, and
    /// how long ago it was made.
    pub copies: (u32, Duration),
}

/// The half-open handshakes of a listener (PROTOCOL.md section 3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HalfOpenInspection {
    /// How many there are, and how many may be.
    pub count: (usize, usize),
    /// The deadline that the endpoint holds for them.
    pub timer: Option<Instant>,
    /// When the first of them is forgotten, counted over all.
    pub until: Option<Instant>,
    /// Bytes kept for sessions to come, as kept, and as counted.
    pub held: [usize; 2],
}

/// The path in use in numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PathState {
    /// Bytes in flight, as congestion control counts them.
    pub in_flight: u64,
    /// Packets that make them up.
    pub eliciting_in_flight: u64,
    /// The congestion window in bytes.
    pub window: u64,
    /// Bytes below which nothing that demands an ACK leaves.
    pub quantum: u64,
    /// One probe timeout without backoff, in nanoseconds (RFC 9002 section 6.2.1).
    pub pto_nanos: u64,
    /// It is a connection, which repeats and paces by itself (PROTOCOL.md section 5.5).
    pub reliable: bool,
}

/// The key that a side seals with (PROTOCOL.md section 4.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sealing {
    /// First packet number under this key.
    pub first: u64,
    /// The next packet number.
    pub next: u64,
    /// Largest packet number of this side that the peer has acknowledged.
    pub largest_acked: Option<u64>,
}

/// What a session holds, counted anew.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recount {
    /// The path in use.
    pub path: PathCount,
    /// The path before it, while its last ACKs are awaited.
    pub former: Option<PathCount>,
    /// Ranges of packet numbers for ACKs.
    pub ack_ranges: usize,
    /// Answers owed: KEEP_ALIVE_ACKs on the path in use.
    pub echoes: usize,
    /// Messages that wait to be sent, and to be read, in bytes with what each costs beside them; and
    /// what each may come to.
    pub messages: [(u64, u64); 2],
    /// The streams.
    pub streams: StreamsCount,
}

/// The packets of a path whose fate is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PathCount {
    /// Bytes in flight as kept, and as counted.
    pub in_flight: [u64; 2],
    /// Packets in flight as kept, and as counted.
    pub eliciting: [u64; 2],
    /// Packets followed, those included that were acknowledged and wait for older ones.
    pub records: usize,
    /// Of them, those that are not acknowledged.
    pub outstanding: usize,
    /// Of these, those that demand no ACK.
    pub silent: usize,
    /// What packets carried, as kept, and as counted over the records.
    pub contents: [usize; 2],
    /// Lost packets that are remembered for a late ACK.
    pub lost: usize,
    /// The records are not in the order of their numbers and times.
    pub is_unordered: bool,
}

/// The streams of a session and their credit (PROTOCOL.md section 5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamsCount {
    /// The session is over: what is left can only be read.
    pub has_ended: bool,
    /// What the peer lets this side send over all streams, and what of it is used.
    pub send: SendCount,
    /// What this side lets the peer send over all streams.
    pub recv: RecvCount,
    /// Bytes that were read from streams that are done, and that the application has not given back.
    pub orphaned: u64,
    /// Runs of bytes out of order over all streams, as kept.
    pub runs: u64,
    /// Streams that fill a large block: as kept, as counted, and as many as may beside those whose one
    /// frame was larger than a small block.
    pub large_tails: [u64; 3],
    /// Streams that each side may have open, by direction, and those that are: this side's, then the
    /// peer's.
    pub live: [[(usize, usize); 2]; 2],
    /// Ranges that remember which of the peer's streams are over.
    pub closed_ranges: usize,
    /// Every stream.
    pub streams: Vec<StreamCount>,
}

/// One stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamCount {
    /// Which.
    pub id: StreamId,
    /// The half that this side sends on, while it has one.
    pub send: Option<SendCount>,
    /// The half that it receives on, while it has one and wants its bytes.
    pub recv: Option<RecvCount>,
}

/// Credit to send with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SendCount {
    /// Bytes that the peer allows since the beginning.
    pub limit: u64,
    /// Bytes of it that are used.
    pub used: u64,
    /// The same as counted: on a stream, the highest offset that was sent; over all streams, the sum
    /// of those that are still open.
    pub counted: u64,
}

/// Credit given, and what came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecvCount {
    /// Bytes that the peer was allowed since the beginning.
    pub limit: u64,
    /// Bytes of it that the peer has used.
    pub received: u64,
    /// Bytes that need no memory any more.
    pub consumed: u64,
    /// Bytes that lie in buffers.
    pub held: u64,
    /// Runs of bytes out of order.
    pub runs: u64,
    /// The largest window that this side ever keeps open.
    pub max_window: u64,
}

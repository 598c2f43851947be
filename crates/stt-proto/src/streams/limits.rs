//! How many streams each side may open (PROTOCOL.md section 1, MAX_STREAMS).

use stt_wire::VarInt;

use super::id::StreamId;
use super::ranges::RangeSet;

/// Credit with which a stream begins unless its bound is lower; reading fast raises it.
const INITIAL_STREAM_WINDOW: u64 = 256 * 1024;
/// The same for the session.
pub(crate) const INITIAL_SESSION_WINDOW: u64 = 1024 * 1024;

/// What this side allows the peer, and itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalLimits {
    /// Bidirectional streams that each side may have open at once.
    pub(crate) max_bidi: u32,
    /// Unidirectional streams that each side may have open at once.
    pub(crate) max_uni: u32,
    /// Bytes of credit that each stream begins with: what the transport parameters must tell.
    pub(crate) stream_window: u64,
    /// Bytes of credit that the session begins with: what the transport parameters must tell.
    pub(crate) session_window: u64,
    /// Bound of a stream's window.
    pub(crate) max_stream_window: u64,
    /// Bound of the session's window.
    pub(crate) max_session_window: u64,
}

impl LocalLimits {
    /// Limits for `max_streams` of each kind and windows up to these bounds; the windows begin
    /// smaller and grow with the speed of the reader.
    pub(crate) fn new(max_streams: u32, max_stream_window: u64, max_session_window: u64) -> Self {
        let highest = VarInt::MAX.get() / 2;
        let (max_stream_window, max_session_window) =
            (max_stream_window.min(highest), max_session_window.min(highest));
        Self {
            max_bidi: max_streams.min(StreamId::MAX_ORDINAL),
            max_uni: max_streams.min(StreamId::MAX_ORDINAL),
            stream_window: max_stream_window.min(INITIAL_STREAM_WINDOW),
            session_window: max_session_window.min(INITIAL_SESSION_WINDOW),
            max_stream_window,
            max_session_window,
        }
    }

    /// The same, with windows that begin no larger than that.
    pub(crate) fn beginning_with(mut self, window: u64) -> Self {
        self.session_window = self.session_window.min(window);
        self.stream_window = self.stream_window.min(window);
        self
    }
}

/// What the peer's transport parameters allow this side.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PeerLimits {
    /// Bidirectional streams that this side may open before a MAX_STREAMS.
    pub(crate) max_bidi: u32,
    /// Unidirectional streams that this side may open before a MAX_STREAMS.
    pub(crate) max_uni: u32,
    /// Bytes that this side may send on each stream it opens before a WINDOW.
    pub(crate) stream_window: u64,
    /// Bytes that this side may send over all streams before a WINDOW.
    pub(crate) session_window: u64,
}

/// The streams of one kind that this side opens.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OwnStreams {
    opened: u32,
    live: u32,
    max_live: u32,
    peer_limit: u32,
    /// An open was refused and nobody was told yet that there is room again.
    refused: bool,
}

/// Why this side must not open another stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct LimitReached {
    pub(super) limit: u64,
    pub(super) local: bool,
}

impl OwnStreams {
    pub(super) fn new(max_live: u32) -> Self {
        Self { max_live, ..Self::default() }
    }

    fn check(&self) -> Result<(), LimitReached> {
        if self.live >= self.max_live {
            return Err(LimitReached { limit: u64::from(self.max_live), local: true });
        }
        if self.opened >= self.peer_limit {
            return Err(LimitReached { limit: u64::from(self.peer_limit), local: false });
        }
        Ok(())
    }

    /// Whether another stream may be opened; a refusal is remembered.
    pub(super) fn reserve(&mut self) -> Result<(), LimitReached> {
        let checked = self.check();
        self.refused |= checked.is_err();
        checked
    }

    /// Opens the next stream, after [`Self::reserve`] said yes. Returns its ordinal.
    pub(super) fn open(&mut self) -> u32 {
        self.opened += 1;
        self.live += 1;
        self.opened
    }

    /// Whether a stream with this ordinal was ever opened.
    pub(super) fn was_opened(&self, ordinal: u32) -> bool {
        ordinal <= self.opened
    }

    /// One has ended. Returns whether an open that was refused would succeed now.
    pub(super) fn close(&mut self) -> bool {
        self.live = self.live.saturating_sub(1);
        self.take_room()
    }

    /// The peer allows `limit` in all. Returns whether an open that was refused would succeed now.
    pub(super) fn raise(&mut self, limit: u64) -> bool {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX).min(StreamId::MAX_ORDINAL);
        self.peer_limit = self.peer_limit.max(limit);
        self.take_room()
    }

    fn take_room(&mut self) -> bool {
        let room = self.refused && self.check().is_ok();
        self.refused &= !room;
        room
    }
}

/// The streams of one kind that the peer opens.
#[derive(Clone, Debug)]
pub(super) struct PeerStreams {
    max_live: u32,
    /// What the peer was told.
    advertised: u32,
    /// The highest ordinal that the peer has used.
    highest: u32,
    /// Ordinals that are over. Live and unused ones make its gaps, and there are at most `max_live`
    /// of those, so the set stays small however many streams come and go.
    closed: RangeSet,
    closed_count: u32,
}

/// What an ordinal of the peer's stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PeerStream {
    /// It lives, or begins with this frame.
    Open,
    /// It is over: the frame is a late one.
    Closed,
}

impl PeerStreams {
    pub(super) fn new(max_live: u32) -> Self {
        let max_live = max_live.min(StreamId::MAX_ORDINAL);
        Self {
            max_live,
            advertised: max_live,
            highest: 0,
            closed: RangeSet::default(),
            closed_count: 0,
        }
    }

    /// Judges a frame's ordinal. `Err` with the limit when the peer was not allowed to use it.
    pub(super) fn admit(&mut self, ordinal: u32) -> Result<PeerStream, u64> {
        if ordinal > self.advertised {
            return Err(u64::from(self.advertised));
        }
        self.highest = self.highest.max(ordinal);
        let closed = self.closed.contains(u64::from(ordinal));
        Ok(if closed { PeerStream::Closed } else { PeerStream::Open })
    }

    /// One has ended.
    pub(super) fn close(&mut self, ordinal: u32) {
        let ordinal = u64::from(ordinal);
        self.closed.insert(ordinal..ordinal + 1);
        self.closed_count += 1;
    }

    fn next_limit(&self) -> u32 {
        self.closed_count.saturating_add(self.max_live).min(StreamId::MAX_ORDINAL)
    }

    /// Whether the peer should be told more now: when an eighth of the limit has come together, or
    /// when the peer is close to what it knows and might be waiting.
    pub(super) fn is_due(&self) -> bool {
        let step = self.max_live / 8;
        let more = self.next_limit() - self.advertised;
        more > 0 && (more >= step || self.advertised - self.highest <= step)
    }

    /// The limit to tell the peer now.
    pub(super) fn advertise(&mut self) -> u64 {
        self.advertised = self.next_limit();
        u64::from(self.advertised)
    }

    /// Ranges that it takes to remember the streams that are over.
    #[cfg(any(test, feature = "inspect"))]
    pub(super) fn remembered(&self) -> usize {
        self.closed.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_begin_small_and_within_their_bounds() {
        let large = LocalLimits::new(u32::MAX, u64::MAX, u64::MAX);
        assert_eq!((large.stream_window, large.session_window), (262_144, 1_048_576));
        let highest = (1 << 61) - 1;
        assert_eq!((large.max_stream_window, large.max_session_window), (highest, highest));
        assert_eq!((large.max_bidi, large.max_uni), (StreamId::MAX_ORDINAL, StreamId::MAX_ORDINAL));
        let small = LocalLimits::new(3, 1_000, 2_000);
        assert_eq!((small.stream_window, small.session_window), (1_000, 2_000));
        assert_eq!((small.max_stream_window, small.max_session_window), (1_000, 2_000));
    }

    #[test]
    fn own_and_peer_limit_are_told_apart() {
        let mut own = OwnStreams::new(2);
        assert_eq!(own.reserve(), Err(LimitReached { limit: 0, local: false }));
        assert!(own.raise(1));
        assert!(!own.raise(1), "told once");
        assert_eq!((own.reserve(), own.open()), (Ok(()), 1));
        assert_eq!(own.reserve(), Err(LimitReached { limit: 1, local: false }));
        assert!(own.raise(9));
        assert_eq!((own.reserve(), own.open()), (Ok(()), 2));
        assert_eq!(own.reserve(), Err(LimitReached { limit: 2, local: true }));
        assert!(!own.raise(10));
        assert!(own.close());
        assert!(own.was_opened(2) && !own.was_opened(3));
    }

    #[test]
    fn a_peer_at_its_limit_hears_of_the_first_that_ends() {
        let mut peer = PeerStreams::new(256);
        for ordinal in 1..=256 {
            assert_eq!(peer.admit(ordinal), Ok(PeerStream::Open));
        }
        assert_eq!(peer.admit(257), Err(256));
        assert!(!peer.is_due());
        peer.close(100);
        assert!(peer.is_due());
        assert_eq!(peer.advertise(), 257);
        assert_eq!(peer.admit(100), Ok(PeerStream::Closed));
        assert_eq!(peer.admit(257), Ok(PeerStream::Open));
    }

    #[test]
    fn a_peer_far_from_its_limit_is_told_in_steps() {
        let mut peer = PeerStreams::new(256);
        for ordinal in 1..=32 {
            peer.admit(ordinal).unwrap();
            assert!(!peer.is_due());
            peer.close(ordinal);
        }
        assert!(peer.is_due());
        assert_eq!(peer.advertise(), 288);
    }

    #[test]
    fn millions_of_streams_leave_nothing_behind() {
        let mut peer = PeerStreams::new(8);
        // One stays open for ever, the others come and go, in pairs that end in the wrong order.
        peer.admit(1).unwrap();
        for ordinal in (2..200_000).step_by(2) {
            for ordinal in [ordinal + 1, ordinal] {
                assert_eq!(peer.admit(ordinal), Ok(PeerStream::Open));
                peer.close(ordinal);
            }
            assert!(peer.remembered() <= 8);
            if peer.is_due() {
                peer.advertise();
            }
        }
        assert_eq!(peer.remembered(), 1);
        assert_eq!(peer.admit(1), Ok(PeerStream::Open));
    }

    #[test]
    fn ordinals_end_where_the_id_space_does() {
        let mut peer = PeerStreams::new(u32::MAX);
        assert_eq!(peer.advertise(), u64::from(StreamId::MAX_ORDINAL));
        let mut own = OwnStreams::new(u32::MAX);
        own.raise(u64::MAX);
        own.opened = StreamId::MAX_ORDINAL;
        let limit = u64::from(StreamId::MAX_ORDINAL);
        assert_eq!(own.reserve(), Err(LimitReached { limit, local: false }));
    }
}

//! Stream ids: who opened a stream, which ways it goes, and its place in the order of its kind.

use core::fmt;

use stt_wire::frame::StreamKind;

/// Whether both sides send on a stream, or only the one that opened it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Direction {
    /// Both sides send.
    #[default]
    Bidirectional,
    /// Only the opener sends.
    Unidirectional,
}

impl Direction {
    pub(super) const BOTH: [Self; 2] = [Self::Bidirectional, Self::Unidirectional];
}

impl From<StreamKind> for Direction {
    fn from(kind: StreamKind) -> Self {
        match kind {
            StreamKind::Bidirectional => Self::Bidirectional,
            StreamKind::Unidirectional => Self::Unidirectional,
        }
    }
}

impl From<Direction> for StreamKind {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Bidirectional => Self::Bidirectional,
            Direction::Unidirectional => Self::Unidirectional,
        }
    }
}

/// Names a stream of one session; never reused (PROTOCOL.md section 1).
///
/// Bit 0 tells who opened it (0 the initiator of the session, 1 its responder), bit 1 whether it is
/// unidirectional, the rest counts from 1 within its kind. So the first four ids are 4 to 7, and no
/// stream has the id 0, which stands for the session itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u32);

impl StreamId {
    /// The largest ordinal: how many streams of one kind a side can open in the life of a session.
    pub(crate) const MAX_ORDINAL: u32 = u32::MAX >> 2;

    /// The `ordinal`th stream of its kind, counted from 1.
    pub(crate) const fn new(by_initiator: bool, direction: Direction, ordinal: u32) -> Self {
        Self(ordinal << 2 | (direction as u32) << 1 | !by_initiator as u32)
    }

    /// The id as it travels, or `None` for the numbers below 4, which name no stream.
    pub const fn from_u32(id: u32) -> Option<Self> {
        if id < 4 { None } else { Some(Self(id)) }
    }

    /// The id as it travels.
    pub const fn as_u32(self) -> u32 {
        self.0
    }

    /// Whether the initiator of the session opened it.
    pub const fn is_by_initiator(self) -> bool {
        self.0 & 1 == 0
    }

    /// Which ways it goes.
    pub const fn direction(self) -> Direction {
        if self.0 & 2 == 0 { Direction::Bidirectional } else { Direction::Unidirectional }
    }

    /// Its place among the streams of its kind, from 1.
    pub(crate) const fn ordinal(self) -> u32 {
        self.0 >> 2
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream {}", self.0)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_each_kind() {
        let firsts = [
            (true, Direction::Bidirectional),
            (false, Direction::Bidirectional),
            (true, Direction::Unidirectional),
            (false, Direction::Unidirectional),
        ];
        for (raw, (by_initiator, direction)) in (4..8).zip(firsts) {
            let id = StreamId::new(by_initiator, direction, 1);
            assert_eq!(id.as_u32(), raw);
            assert_eq!(StreamId::from_u32(raw), Some(id));
            assert_eq!((id.is_by_initiator(), id.direction()), (by_initiator, direction));
            assert_eq!(id.ordinal(), 1);
        }
        assert_eq!((0..4).find_map(StreamId::from_u32), None);
    }

    #[test]
    fn the_last_of_a_kind_is_the_last_number() {
        let last = StreamId::new(false, Direction::Unidirectional, StreamId::MAX_ORDINAL);
        assert_eq!(last.as_u32(), u32::MAX);
    }
}

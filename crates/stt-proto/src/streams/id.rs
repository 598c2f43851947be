//! Stream ids (PROTOCOL.md section 1): bit 0 says who opened, bit 1 whether it goes one way.

use core::fmt;

/// Whether both sides send, or only the opener.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Direction {
    /// Both sides send.
    #[default]
    Bidirectional,
    /// Only the opener sends.
    Unidirectional,
}

/// Names a stream of one session; never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(crate) u32);

impl StreamId {
    /// The first four numbers are kept for the session itself, so that 0 names no stream.
    const STEP: u32 = 4;
    /// Streams of one kind and side that the id space holds.
    pub(crate) const MAX_PER_KIND: u64 = (u32::MAX / Self::STEP) as u64 - 1;

    /// The stream number `index` of its kind.
    pub(crate) const fn new(index: u64, by_initiator: bool, direction: Direction) -> Self {
        let kind = if by_initiator { 0 } else { 1 }
            | match direction {
                Direction::Bidirectional => 0,
                Direction::Unidirectional => 2,
            };
        Self((index as u32 + 1) * Self::STEP + kind)
    }

    /// The id as it travels.
    pub const fn as_u32(self) -> u32 {
        self.0
    }

    /// The id that travelled as `raw`; `None` for the numbers that name no stream.
    pub(crate) const fn from_wire(raw: u32) -> Option<Self> {
        if raw < Self::STEP { None } else { Some(Self(raw)) }
    }

    /// Whether the initiator of the session opened it.
    pub const fn is_of_initiator(self) -> bool {
        self.0 & 1 == 0
    }

    /// Which ways it goes.
    pub const fn direction(self) -> Direction {
        if self.0 & 2 == 0 { Direction::Bidirectional } else { Direction::Unidirectional }
    }

    /// How many of its kind were opened before it.
    pub(crate) const fn index(self) -> u64 {
        (self.0 / Self::STEP) as u64 - 1
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream {}", self.0)
    }
}

//! What a packet carried, remembered until its fate is known.
//!
//! Retransmission is by offset, never by packet (`PROTOCOL.md` 5): a packet that is acknowledged or
//! lost hands its contents back, and their owners decide what that means. The contents of all
//! packets of a path lie one after the other in one ring, so that a packet costs no allocation.

use std::collections::VecDeque;
use std::collections::vec_deque::Iter;

/// One thing that a packet carried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Content {
    /// Bytes `start..start + len` of a stream's sending half, with FIN behind them if `fin`.
    Data {
        /// Stream id.
        stream: u32,
        /// Offset of the first byte.
        start: u64,
        /// Number of bytes; zero for a FIN alone.
        len: u32,
        /// The last of these bytes is the stream's last.
        fin: bool,
    },
    /// STREAM_OPEN.
    StreamOpen {
        /// Stream id.
        stream: u32,
    },
    /// STREAM_CLOSE.
    StreamClose {
        /// Stream id.
        stream: u32,
    },
    /// STREAM_STOP.
    StreamStop {
        /// Stream id.
        stream: u32,
    },
    /// STREAM_SKIP. A loss repeats it unless a later one has said more.
    StreamSkip {
        /// Stream id.
        stream: u32,
        /// The new start.
        offset: u64,
    },
    /// WINDOW of a stream. A loss sends the credit of that later moment, not the lost number.
    StreamWindow {
        /// Stream id.
        stream: u32,
    },
    /// WINDOW of the session.
    SessionWindow,
    /// MAX_STREAMS of one kind.
    MaxStreams {
        /// Unidirectional streams, else bidirectional ones.
        uni: bool,
    },
    /// ACK. Once acknowledged, ranges up to `largest` need not be reported any more.
    Ack {
        /// The largest packet number that the ACK reported.
        largest: u64,
    },
    /// FINAL.
    Final,
    /// SESSION_CLOSE.
    Close,
    /// DRAIN.
    Drain,
    /// KEEP_ALIVE with the bytes that its answer must echo.
    KeepAlive {
        /// The 8 random bytes as a little-endian number.
        token: u64,
    },
    /// NEW_ID.
    NewId {
        /// Sequence number of the path id.
        sequence: u64,
    },
    /// RETIRE_ID.
    RetireId {
        /// Sequence number of the path id.
        sequence: u64,
    },
    /// KEEP_ALIVE_ACK: never repeated, the other side asks again.
    KeepAliveAck,
    /// A DATAGRAM or a custom frame: never repeated.
    Message,
}

/// Where the contents of one packet lie in a [`ContentLog`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Run {
    first: u64,
    count: u16,
}

/// A ring of contents, appended to at one end and released in the same order at the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct ContentLog {
    entries: VecDeque<Content>,
    /// Number of entries ever released: the absolute index of `entries[0]`.
    released: u64,
}

impl ContentLog {
    /// Appends what one packet carried. No packet of 65 507 bytes has room for 65 536 frames.
    pub(crate) fn push(&mut self, contents: impl Iterator<Item = Content>) -> Run {
        let first = self.released + self.entries.len() as u64;
        // One by one: most packets carry one or two, for which bulk operations cost more.
        contents.take(usize::from(u16::MAX)).for_each(|c| self.entries.push_back(c));
        let count = self.released + self.entries.len() as u64 - first;
        Run { first, count: u16::try_from(count).unwrap_or(u16::MAX) }
    }

    /// The contents of `run`, which must not be released yet.
    pub(crate) fn get(&self, run: Run) -> Iter<'_, Content> {
        let len = self.entries.len();
        let start = usize::try_from(run.first.saturating_sub(self.released)).unwrap_or(len);
        let start = start.min(len);
        let end = (start + usize::from(run.count)).min(len);
        self.entries.range(start..end)
    }

    /// Forgets the oldest run, which must be `run`.
    pub(crate) fn release(&mut self, run: Run) {
        debug_assert_eq!(run.first, self.released, "runs are released in order");
        for _ in 0..run.count {
            self.entries.pop_front();
        }
        self.released += u64::from(run.count);
    }

    /// Number of contents held.
    #[cfg(any(test, feature = "inspect"))]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Contents that fit without an allocation.
    pub(crate) fn capacity(&self) -> usize {
        self.entries.capacity()
    }

    /// Gives memory back, down to room for `entries`.
    pub(crate) fn shrink_to(&mut self, entries: usize) {
        self.entries.shrink_to(entries);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_stays_small() {
        assert!(size_of::<Content>() <= 24);
    }

    #[test]
    fn runs_come_back_as_they_went_in() {
        let mut log = ContentLog::default();
        let a = log.push([Content::Final, Content::SessionWindow].into_iter());
        let b = log.push([].into_iter());
        let c = log.push([Content::KeepAliveAck].into_iter());
        log.release(a);
        log.release(b);
        assert_eq!(log.get(c).copied().collect::<Vec<_>>(), [Content::KeepAliveAck]);
        assert_eq!(log.len(), 1);
        log.release(c);
        assert_eq!(log.len(), 0);
    }
}

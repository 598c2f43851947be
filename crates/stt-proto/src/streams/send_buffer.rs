//! Bytes written and not yet acknowledged.

use core::ops::Range;
use std::collections::VecDeque;

use bytes::{Buf, Bytes};

use super::ranges::RangeSet;

/// A piece as the application wrote it, without a copy.
#[derive(Debug)]
struct Segment {
    start: u64,
    bytes: Bytes,
}

impl Segment {
    fn range(&self) -> Range<u64> {
        self.start..self.start + self.bytes.len() as u64
    }
}

/// The bytes of a stream from the first one that is not acknowledged to the last one written.
///
/// Sending, acknowledging and releasing in order take constant time; what arrives out of order costs
/// the logarithm of how much of it there is.
#[derive(Debug, Default)]
pub(super) struct SendBuffer {
    segments: VecDeque<Segment>,
    /// The segment that was read last: sending is nearly always sequential.
    cursor: usize,
    /// All before this is acknowledged and released.
    base: u64,
    /// Offset of the first byte never sent.
    unsent: u64,
    end: u64,
    /// Acknowledged above `base`.
    acked: RangeSet,
    /// Declared lost, and not sent again yet.
    lost: RangeSet,
}

impl SendBuffer {
    pub(super) fn write(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            let start = self.end;
            self.end += bytes.len() as u64;
            self.segments.push_back(Segment { start, bytes });
        }
    }

    /// Offset past the last byte written.
    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    /// Offset past the last byte that was ever sent.
    pub(super) const fn unsent(&self) -> u64 {
        self.unsent
    }

    /// Bytes acknowledged without a gap.
    pub(super) const fn base(&self) -> u64 {
        self.base
    }

    /// The lowest stretch to send again.
    pub(super) fn lost(&self) -> Option<Range<u64>> {
        self.lost.first()
    }

    /// Whether every byte written is acknowledged.
    pub(super) const fn is_acked(&self) -> bool {
        self.base == self.end
    }

    /// Bytes written that are not acknowledged.
    pub(super) fn unacked(&self) -> u64 {
        self.end - self.base - self.acked.count()
    }

    /// Copies `out.len()` bytes from `offset` on; they must be written and not acknowledged.
    pub(super) fn copy(&mut self, offset: u64, out: &mut [u8]) {
        let mut index = self.find(offset);
        let mut skip = offset;
        let mut rest = out;
        while let Some(segment) = self.segments.get(index).filter(|_| !rest.is_empty()) {
            self.cursor = index;
            let from = (skip - segment.start) as usize;
            let len = rest.len().min(segment.bytes.len() - from);
            let (part, after) = rest.split_at_mut(len);
            part.copy_from_slice(&segment.bytes[from..from + len]);
            rest = after;
            skip += len as u64;
            index += 1;
        }
        debug_assert!(rest.is_empty(), "only what is written and not released is sent");
    }

    fn find(&self, offset: u64) -> usize {
        let near = self.cursor..(self.cursor + 2).min(self.segments.len());
        near.into_iter()
            .find(|index| self.segments[*index].range().contains(&offset))
            .unwrap_or_else(|| {
                self.segments.partition_point(|segment| segment.range().end <= offset)
            })
    }

    /// Bytes are on their way, for the first time or again.
    pub(super) fn on_sent(&mut self, range: &Range<u64>) {
        if !self.lost.is_empty() {
            self.lost.remove(range);
        }
        self.unsent = self.unsent.max(range.end);
    }

    /// The peer has these bytes. Returns whether more of them are acknowledged without a gap.
    pub(super) fn on_acked(&mut self, range: Range<u64>) -> bool {
        if !self.lost.is_empty() {
            self.lost.remove(&range);
        }
        let before = self.base;
        if range.start > before {
            self.acked.insert(range);
            return false;
        }
        let mut base = range.end.max(before);
        // Ranges in the set do not touch, so at most one of them continues where this one ends.
        while let Some(next) = self.acked.first().filter(|next| next.start <= base) {
            base = next.end.max(base);
            self.acked.remove(&next);
        }
        self.release(base);
        base > before
    }

    /// Gives up everything before `offset`, whether it was sent or not. Bytes never sent are not
    /// counted as such until [`SendBuffer::pass`].
    pub(super) fn skip_to(&mut self, offset: u64) {
        self.lost.remove(&(0..offset));
        self.on_acked(self.base..offset);
    }

    /// Counts given-up bytes up to `offset` as sent: the peer is told of them.
    pub(super) fn pass(&mut self, offset: u64) {
        self.unsent = self.unsent.max(offset);
    }

    fn release(&mut self, base: u64) {
        self.base = base;
        while let Some(front) = self.segments.front_mut().filter(|front| front.start < base) {
            let range = front.range();
            if range.end > base {
                front.bytes.advance((base - range.start) as usize);
                front.start = base;
                return;
            }
            self.segments.pop_front();
            self.cursor = self.cursor.saturating_sub(1);
        }
    }

    /// These bytes were declared lost.
    pub(super) fn on_lost(&mut self, range: Range<u64>) {
        let range = range.start.max(self.base)..range.end;
        for gap in self.acked.gaps_in(range) {
            self.lost.insert(gap);
        }
    }

    /// Forgets the bytes; how much was sent stays known.
    pub(super) fn discard(&mut self) {
        self.segments = VecDeque::new();
        self.cursor = 0;
        self.acked.clear();
        self.lost.clear();
        self.end = self.unsent;
        self.base = self.unsent;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(pieces: &[usize]) -> (SendBuffer, Vec<u8>) {
        let mut buffer = SendBuffer::default();
        let mut all = Vec::new();
        for len in pieces {
            let piece: Vec<u8> = (0..*len).map(|at| (all.len() + at) as u8).collect();
            all.extend_from_slice(&piece);
            buffer.write(piece.into());
        }
        (buffer, all)
    }

    #[track_caller]
    fn assert_copies(buffer: &mut SendBuffer, all: &[u8], range: Range<usize>) {
        let mut out = vec![0; range.len()];
        buffer.copy(range.start as u64, &mut out);
        assert_eq!(out, all[range]);
    }

    #[test]
    fn copies_across_pieces_from_anywhere() {
        let pieces = [5, 1, 30, 2, 0, 9];
        for start in 0..47 {
            for end in start..=47 {
                let (mut buffer, all) = buffer(&pieces);
                assert_copies(&mut buffer, &all, start..end);
                assert_copies(&mut buffer, &all, 0..47);
                assert_copies(&mut buffer, &all, start..47);
            }
        }
    }

    #[test]
    fn releases_in_order_whatever_the_order_of_acknowledgements() {
        let (mut buffer, all) = buffer(&[10, 10, 10]);
        buffer.on_sent(&(0..30));
        assert!(!buffer.on_acked(20..30));
        assert!(!buffer.on_acked(5..8));
        assert_eq!((buffer.base(), buffer.unacked()), (0, 17));
        assert!(buffer.on_acked(0..5));
        assert_eq!(buffer.base(), 8);
        assert_copies(&mut buffer, &all, 8..20);
        assert!(buffer.on_acked(8..20));
        assert!(buffer.is_acked());
        assert!(buffer.segments.is_empty());
        assert!(!buffer.on_acked(0..30), "old news");
    }

    #[test]
    fn only_what_nobody_has_is_lost() {
        let (mut buffer, _) = buffer(&[100]);
        buffer.on_sent(&(0..100));
        buffer.on_acked(0..10);
        buffer.on_acked(40..50);
        buffer.on_lost(0..60);
        assert_eq!(buffer.lost(), Some(10..40));
        buffer.on_sent(&(10..40));
        assert_eq!(buffer.lost(), Some(50..60));
        buffer.on_acked(45..55);
        assert_eq!(buffer.lost(), Some(55..60));
        buffer.on_acked(50..60);
        assert_eq!(buffer.lost(), None);
    }

    #[test]
    fn thousands_of_small_pieces_are_found_without_a_search() {
        let (mut buffer, all) = buffer(&[1; 5_000]);
        for start in (0..5_000).step_by(50) {
            assert_copies(&mut buffer, &all, start..start + 50);
            buffer.on_sent(&(start as u64..start as u64 + 50));
            // The cursor follows both the copies and the releases.
            assert_eq!(buffer.segments[buffer.cursor].start, start as u64 + 49);
            if start >= 500 {
                buffer.on_acked(start as u64 - 500..start as u64 - 450);
            }
        }
    }
}

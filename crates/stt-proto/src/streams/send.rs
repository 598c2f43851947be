//! The sending half of a stream.

use core::ops::Range;
use std::collections::VecDeque;

use bytes::{Buf, Bytes};

use super::ranges::RangeSet;

/// How far an orderly end has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fin {
    /// More may be written.
    Open,
    /// To be sent (again).
    Pending,
    /// On its way.
    Sent,
    /// The peer has it.
    Acked,
}

/// How far an abort has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Abort {
    None,
    /// STREAM_CLOSE is to be sent (again).
    Pending(u64),
    Sent(u64),
    Acked,
}

/// A stretch to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) range: Range<u64>,
    pub(super) fin: bool,
    /// Bytes never sent before: they use credit.
    pub(super) fresh: u64,
}

/// What was written and is not acknowledged, and what of it was sent.
#[derive(Debug)]
pub(super) struct SendHalf {
    chunks: VecDeque<Bytes>,
    /// Offset of the first byte of `chunks`: all before it is acknowledged.
    base: u64,
    /// Offset past the last byte written.
    end: u64,
    /// Offset of the first byte never sent.
    next: u64,
    /// Acknowledged above `base`.
    acked: RangeSet,
    /// Sent, declared lost, not sent again yet.
    lost: RangeSet,
    fin: Fin,
    abort: Abort,
    /// Bytes that the peer allows on this stream.
    limit: u64,
    /// Where the last copy ended: chunk and its first offset. Sending is nearly always sequential.
    cursor: (usize, u64),
}

impl SendHalf {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            chunks: VecDeque::new(),
            base: 0,
            end: 0,
            next: 0,
            acked: RangeSet::default(),
            lost: RangeSet::default(),
            fin: Fin::Open,
            abort: Abort::None,
            limit,
            cursor: (0, 0),
        }
    }

    /// Whether bytes may still be written.
    pub(super) fn is_open(&self) -> bool {
        self.fin == Fin::Open && self.abort == Abort::None
    }

    pub(super) fn is_aborted(&self) -> bool {
        self.abort != Abort::None
    }

    pub(super) fn write(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.end += bytes.len() as u64;
            self.chunks.push_back(bytes);
        }
    }

    pub(super) fn finish(&mut self) {
        self.fin = Fin::Pending;
    }

    /// Gives the rest up. Returns whether that changed anything.
    pub(super) fn abort(&mut self, code: u64) -> bool {
        if self.abort != Abort::None || self.fin == Fin::Acked {
            return false;
        }
        self.abort = Abort::Pending(code);
        self.chunks = VecDeque::new();
        self.lost.clear();
        self.acked.clear();
        true
    }

    /// The STREAM_CLOSE to send: code and final offset.
    pub(super) fn close_to_send(&self) -> Option<(u64, u64)> {
        match self.abort {
            Abort::Pending(code) => Some((code, self.next)),
            _ => None,
        }
    }

    pub(super) fn on_close_sent(&mut self) {
        if let Abort::Pending(code) = self.abort {
            self.abort = Abort::Sent(code);
        }
    }

    pub(super) fn on_close_acked(&mut self) {
        if self.abort != Abort::None {
            self.abort = Abort::Acked;
        }
    }

    pub(super) fn on_close_lost(&mut self) {
        if let Abort::Sent(code) = self.abort {
            self.abort = Abort::Pending(code);
        }
    }

    /// New credit. Returns whether it is more than before.
    pub(super) fn on_window(&mut self, limit: u64) -> bool {
        let grew = limit > self.limit;
        self.limit = self.limit.max(limit);
        grew
    }

    /// Whether something must be sent that needs no credit: lost bytes, or FIN.
    pub(super) fn wants_repeat(&self) -> bool {
        self.abort == Abort::None
            && (!self.lost.is_empty() || (self.fin == Fin::Pending && self.next == self.end))
    }

    /// Whether bytes wait that were never sent and that the stream's credit covers.
    pub(super) fn wants_fresh(&self) -> bool {
        self.abort == Abort::None && self.next < self.end.min(self.limit)
    }

    /// Chooses what to send next, at most `room` bytes of it, and of fresh bytes at most
    /// `session_credit`.
    pub(super) fn choose(&self, room: u64, session_credit: u64) -> Option<Stretch> {
        if self.abort != Abort::None {
            return None;
        }
        if let Some(lost) = self.lost.first() {
            let range = lost.start..lost.end.min(lost.start.saturating_add(room));
            let fin =
                range.end == self.end && matches!(self.fin, Fin::Pending) && self.next == self.end;
            return (!range.is_empty()).then_some(Stretch { range, fin, fresh: 0 });
        }
        let end = self
            .end
            .min(self.limit)
            .min(self.next.saturating_add(room.min(session_credit)))
            .max(self.next);
        let fin = end == self.end && self.fin == Fin::Pending;
        let fresh = end - self.next;
        (fresh > 0 || fin).then_some(Stretch { range: self.next..end, fin, fresh })
    }

    /// Marks a stretch as sent.
    pub(super) fn on_sent(&mut self, stretch: &Stretch) {
        self.lost.remove(&stretch.range);
        self.next = self.next.max(stretch.range.end);
        if stretch.fin {
            self.fin = Fin::Sent;
        }
    }

    /// Copies `out.len()` bytes from `offset`, which must be written and not acknowledged.
    pub(super) fn copy(&mut self, offset: u64, out: &mut [u8]) {
        let (mut index, mut start) = self.cursor;
        if start > offset || index >= self.chunks.len() {
            (index, start) = (0, self.base);
        }
        let mut filled = 0;
        while filled < out.len() {
            let Some(chunk) = self.chunks.get(index) else { return };
            let at = offset + filled as u64;
            let skip = at.saturating_sub(start);
            if skip >= chunk.len() as u64 {
                start += chunk.len() as u64;
                index += 1;
                continue;
            }
            let part = &chunk[skip as usize..];
            let len = part.len().min(out.len() - filled);
            out[filled..filled + len].copy_from_slice(&part[..len]);
            filled += len;
            self.cursor = (index, start);
        }
    }

    /// The peer has these bytes. Returns whether the acknowledged prefix grew.
    pub(super) fn on_acked(&mut self, range: Range<u64>, fin: bool) -> bool {
        if fin {
            self.fin = Fin::Acked;
        }
        if self.abort != Abort::None {
            return false;
        }
        self.lost.remove(&range);
        let before = self.base;
        if range.start <= self.base {
            self.release(range.end.max(self.base));
        } else {
            self.acked.insert(range);
        }
        while let Some(first) = self.acked.first().filter(|first| first.start <= self.base) {
            let end = self.acked.advance(self.base).max(first.end);
            self.release(end.max(self.base));
        }
        self.base > before
    }

    fn release(&mut self, to: u64) {
        let mut count = to - self.base;
        self.base = to;
        while count > 0 {
            let Some(front) = self.chunks.front_mut() else { break };
            if (front.len() as u64) > count {
                front.advance(count as usize);
                break;
            }
            count -= front.len() as u64;
            self.chunks.pop_front();
        }
        // Chunk indices have shifted; the cursor finds its place again from the front.
        self.cursor = (0, self.base);
        if self.chunks.is_empty() && self.chunks.capacity() > 16 {
            self.chunks.shrink_to(4);
        }
    }

    /// These bytes were declared lost.
    pub(super) fn on_lost(&mut self, range: Range<u64>, fin: bool) {
        if self.abort != Abort::None {
            return;
        }
        if fin && self.fin == Fin::Sent {
            self.fin = Fin::Pending;
        }
        let mut missing = RangeSet::default();
        missing.insert(range.start.max(self.base)..range.end.max(self.base));
        let overlapping: Vec<_> = self.acked.overlapping(&range).collect();
        for acked in overlapping {
            missing.remove(&acked);
        }
        for range in missing.into_iter() {
            self.lost.insert(range);
        }
    }

    /// Bytes acknowledged without a gap.
    pub(super) fn acked_prefix(&self) -> u64 {
        self.base
    }

    /// Whether every byte and FIN are acknowledged.
    pub(super) fn is_finished(&self) -> bool {
        self.fin == Fin::Acked && self.base == self.end
    }

    /// Whether nothing of this half matters any more.
    pub(super) fn is_done(&self) -> bool {
        self.is_finished() || self.abort == Abort::Acked
    }

    /// Bytes written that the peer has not acknowledged; none after an abort.
    pub(super) fn unacknowledged(&self) -> u64 {
        if self.is_aborted() { 0 } else { self.end - self.base }
    }

    /// Whether written bytes or a FIN are still on their way.
    pub(super) fn is_drained(&self) -> bool {
        self.is_done()
            || self.is_aborted()
            || (self.base == self.end && matches!(self.fin, Fin::Open | Fin::Acked))
    }
}

//! The sending half of a stream: what to send next, how it ends.

use core::ops::Range;
use core::time::Duration;

use bytes::Bytes;

use super::deadline::Deadline;
use super::flow::SendCredit;
use super::scheduler::Lane;
use super::send_buffer::SendBuffer;
use crate::time::Instant;

/// How far something that must arrive once has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Delivery {
    /// To be sent, or sent again.
    Due,
    Sent,
    Acked,
}

/// How the half ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// More may be written.
    Open,
    /// FIN after the last byte.
    Fin(Delivery),
    /// STREAM_CLOSE instead of the rest.
    Reset { code: u64, delivery: Delivery },
}

/// What a STREAM_STOP of the peer leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stopped {
    /// The rest is given up.
    Reset,
    /// The peer had every byte, and this side is only waiting for the acknowledgement of FIN.
    Delivered,
    /// Sending had been given up before.
    Already,
}

/// A stretch that was written into a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Stretch {
    pub(super) range: Range<u64>,
    pub(super) fin: bool,
    /// How many of its bytes were never sent before: those that use credit.
    pub(super) fresh: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct SendHalf {
    buffer: SendBuffer,
    credit: SendCredit,
    end: End,
    /// The ages of what is held, on a deadline stream.
    deadline: Option<Box<Deadline>>,
    /// Everything before this was given up for its age; 0 = nothing.
    floor: u64,
    /// The offset of the last STREAM_SKIP, and how far it has come.
    skip: Option<(u64, Delivery)>,
}

impl SendHalf {
    pub(super) fn new(credit: u64) -> Self {
        Self {
            buffer: SendBuffer::default(),
            credit: SendCredit::new(credit),
            end: End::Open,
            deadline: None,
            floor: 0,
            skip: None,
        }
    }

    /// Whether more may be written.
    pub(super) fn is_open(&self) -> bool {
        self.end == End::Open
    }

    fn is_reset(&self) -> bool {
        matches!(self.end, End::Reset { .. })
    }

    pub(super) fn write(&mut self, now: Instant, bytes: Bytes) {
        self.buffer.write(bytes);
        if let Some(deadline) = &mut self.deadline {
            deadline.on_written(now, self.buffer.end());
        }
    }

    /// Bytes written from now on are given up at this age.
    pub(super) fn set_deadline(&mut self, age: Duration) {
        self.deadline = Some(Box::new(Deadline::new(age)));
    }

    /// When the oldest bytes that the peer may lack are too old.
    pub(super) fn next_expiry(&mut self) -> Option<Instant> {
        if self.is_reset() {
            return None;
        }
        self.deadline.as_mut()?.next(self.buffer.base())
    }

    /// Gives up what is too old. Returns how many bytes that are of which no acknowledgement has come.
    pub(super) fn expire(&mut self, now: Instant) -> u64 {
        if self.is_reset() {
            return 0;
        }
        let expired = self.deadline.as_mut().and_then(|deadline| deadline.expire(now));
        let Some(floor) = expired.filter(|floor| *floor > self.buffer.base()) else { return 0 };
        let before = self.buffer.unacked();
        self.buffer.skip_to(floor);
        self.floor = floor;
        before - self.buffer.unacked()
    }

    /// Given-up bytes were never sent, and the peer does not know of them yet.
    fn has_hole(&self) -> bool {
        self.buffer.unsent() < self.floor
    }

    /// The offset that a STREAM_SKIP should tell now, and how many of the bytes before it were never
    /// sent: these use credit. `None` where the peer knows, or credit forbids.
    pub(super) fn next_skip(&self, session_credit: u64) -> Option<(u64, u64)> {
        if self.is_reset() {
            return None;
        }
        let hole = self.floor.saturating_sub(self.buffer.unsent());
        let fresh = hole.min(self.credit.available()).min(session_credit);
        let offset = self.floor.min(self.buffer.unsent() + fresh);
        let is_news = match self.skip {
            Some((told, Delivery::Due)) => offset >= told,
            Some((told, _)) => offset > told,
            None => offset > 0,
        };
        is_news.then_some((offset, fresh))
    }

    /// The STREAM_SKIP of [`SendHalf::next_skip`] is on its way.
    pub(super) fn on_skip_sent(&mut self, offset: u64, fresh: u64) {
        self.buffer.pass(offset);
        self.credit.take(fresh);
        self.skip = Some((offset, Delivery::Sent));
    }

    /// The peer knows of everything given up before `offset`.
    pub(super) fn on_skip_acked(&mut self, offset: u64) {
        if let Some((told, delivery)) = &mut self.skip
            && offset >= *told
        {
            *delivery = Delivery::Acked;
        }
    }

    /// A STREAM_SKIP was lost. Returns whether it says something that no later one does.
    pub(super) fn on_skip_lost(&mut self, offset: u64) -> bool {
        let is_last = self.skip == Some((offset, Delivery::Sent));
        if is_last {
            self.skip = Some((offset, Delivery::Due));
        }
        is_last && !self.is_reset()
    }

    /// Whether a part of what was given up waits for credit to be told.
    pub(super) fn is_skip_blocked(&self) -> bool {
        !self.is_reset() && self.has_hole()
    }

    /// Whether the peer knows of all that was given up.
    fn is_skip_settled(&self) -> bool {
        self.floor == 0 || self.skip == Some((self.floor, Delivery::Acked))
    }

    /// Ends the half after the last byte written.
    pub(super) fn finish(&mut self) {
        if self.is_open() {
            self.end = End::Fin(Delivery::Due);
        }
    }

    /// Gives up what the peer does not have. Returns false when that was done before.
    pub(super) fn reset(&mut self, code: u64) -> bool {
        if self.is_reset() {
            return false;
        }
        self.buffer.discard();
        self.end = End::Reset { code, delivery: Delivery::Due };
        true
    }

    /// The peer does not want the rest.
    pub(super) fn on_stop(&mut self, code: u64) -> Stopped {
        if matches!(self.end, End::Fin(_)) && self.buffer.is_acked() && self.is_skip_settled() {
            return Stopped::Delivered;
        }
        if self.reset(code) { Stopped::Reset } else { Stopped::Already }
    }

    /// The peer gives credit. Returns whether it is more than before.
    pub(super) fn on_window(&mut self, limit: u64) -> bool {
        self.credit.raise(limit)
    }

    /// Whether the peer has given no credit beyond what was sent.
    pub(super) fn is_dry(&self) -> bool {
        self.credit.available() == 0
    }

    /// Whether there are bytes that were never sent, or given up.
    pub(super) fn has_more(&self) -> bool {
        !self.is_reset() && self.buffer.end() > self.buffer.unsent()
    }

    /// Whether there is something to send in `lane`, as far as this stream's own credit goes.
    pub(super) fn wants(&self, lane: Lane) -> bool {
        if self.is_reset() {
            return false;
        }
        let fresh = self.buffer.end() > self.buffer.unsent();
        match lane {
            Lane::Fresh => fresh && !self.has_hole() && self.credit.available() > 0,
            Lane::Repeat => {
                self.buffer.lost().is_some() || (self.end == End::Fin(Delivery::Due) && !fresh)
            }
        }
    }

    /// Offset of the next stretch to send.
    pub(super) fn next_offset(&self) -> u64 {
        self.buffer.lost().map_or(self.buffer.unsent(), |lost| lost.start)
    }

    /// Fills `out` with what is to be sent next, lost bytes first, and marks it as sent.
    /// `session_credit` bounds the bytes that were never sent before.
    pub(super) fn fill(&mut self, out: &mut [u8], session_credit: u64) -> Option<Stretch> {
        if self.is_reset() || self.has_hole() {
            return None;
        }
        let room = out.len() as u64;
        let unsent = self.buffer.unsent();
        let start = self.next_offset();
        let repeated = match self.buffer.lost() {
            Some(lost) => lost.end.min(start + room),
            None => start,
        };
        let credit = self.credit.available().min(session_credit);
        // Lost bytes that reach up to the fresh ones share a frame with them.
        let fresh = if repeated == unsent {
            (room - (repeated - start)).min(credit).min(self.buffer.end() - unsent)
        } else {
            0
        };
        let range = start..repeated + fresh;
        let fin = range.end == self.buffer.end()
            && matches!(self.end, End::Fin(Delivery::Due | Delivery::Sent));
        if range.is_empty() && !(fin && self.end == End::Fin(Delivery::Due)) {
            return None;
        }
        self.buffer.copy(start, &mut out[..(range.end - start) as usize]);
        self.buffer.on_sent(&range);
        self.credit.take(fresh);
        if fin {
            self.end = End::Fin(Delivery::Sent);
        }
        Some(Stretch { range, fin, fresh })
    }

    /// The peer has these bytes, and FIN if `fin`. Returns whether the acknowledged prefix grew.
    pub(super) fn on_acked(&mut self, range: Range<u64>, fin: bool) -> bool {
        if self.is_reset() {
            return false;
        }
        if fin {
            self.end = End::Fin(Delivery::Acked);
        }
        self.buffer.on_acked(range)
    }

    /// These bytes were declared lost, and FIN with them if `fin`.
    pub(super) fn on_lost(&mut self, range: Range<u64>, fin: bool) {
        if self.is_reset() {
            return;
        }
        if fin && self.end == End::Fin(Delivery::Sent) {
            self.end = End::Fin(Delivery::Due);
        }
        self.buffer.on_lost(range);
    }

    /// Code and final offset of the STREAM_CLOSE, if there is one.
    pub(super) fn close(&self) -> Option<(u64, u64)> {
        match self.end {
            End::Reset { code, .. } => Some((code, self.buffer.unsent())),
            _ => None,
        }
    }

    /// The peer has the STREAM_CLOSE.
    pub(super) fn on_close_acked(&mut self) {
        if let End::Reset { delivery, .. } = &mut self.end {
            *delivery = Delivery::Acked;
        }
    }

    /// Bytes acknowledged without a gap.
    pub(super) fn released(&self) -> u64 {
        self.buffer.base()
    }

    /// Whether every byte and FIN are acknowledged.
    pub(super) fn is_finished(&self) -> bool {
        self.end == End::Fin(Delivery::Acked) && self.buffer.is_acked() && self.is_skip_settled()
    }

    /// Whether nothing of this half matters any more.
    pub(super) fn is_done(&self) -> bool {
        self.is_finished() || matches!(self.end, End::Reset { delivery: Delivery::Acked, .. })
    }

    /// Whether the peer has all that it was to be given so far.
    pub(super) fn is_drained(&self) -> bool {
        self.is_done() || (self.is_open() && self.buffer.is_acked() && self.is_skip_settled())
    }

    /// The credit, and how much of it is used by the highest offset sent.
    #[cfg(feature = "inspect")]
    pub(super) fn counted(&self) -> crate::inspect::SendCount {
        crate::inspect::SendCount { counted: self.buffer.unsent(), ..self.credit.counted() }
    }

    /// Bytes written that the peer has not acknowledged; none after a reset.
    pub(super) fn undelivered(&self) -> u64 {
        self.buffer.unacked()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half(credit: u64, bytes: usize) -> SendHalf {
        let mut half = SendHalf::new(credit);
        half.write(Instant::default(), vec![7; bytes].into());
        half
    }

    fn fill(half: &mut SendHalf, room: usize, credit: u64) -> Option<Stretch> {
        half.fill(&mut vec![0; room], credit)
    }

    fn stretch(range: Range<u64>, fin: bool, fresh: u64) -> Option<Stretch> {
        Some(Stretch { range, fin, fresh })
    }

    #[test]
    fn stops_at_the_credit_of_the_stream_and_of_the_session() {
        let mut half = half(50, 100);
        assert_eq!(fill(&mut half, 30, 1_000), stretch(0..30, false, 30));
        assert_eq!(fill(&mut half, 30, 10), stretch(30..40, false, 10));
        assert_eq!(fill(&mut half, 30, 0), None);
        assert_eq!(fill(&mut half, 30, 1_000), stretch(40..50, false, 10));
        assert!(!half.wants(Lane::Fresh) && !half.wants(Lane::Repeat));
        assert!(half.on_window(60) && !half.on_window(60));
        assert!(half.wants(Lane::Fresh));
    }

    #[test]
    fn a_fin_alone_needs_no_credit() {
        let mut half = half(100, 100);
        fill(&mut half, 100, 100);
        half.finish();
        assert!(half.wants(Lane::Repeat));
        assert_eq!(fill(&mut half, 0, 0), stretch(100..100, true, 0));
        assert!(!half.wants(Lane::Repeat));
        half.on_lost(100..100, true);
        assert!(half.wants(Lane::Repeat));
        half.on_acked(0..100, false);
        half.on_acked(100..100, true);
        assert!(half.is_finished() && !half.wants(Lane::Repeat));
    }

    #[test]
    fn lost_bytes_go_first_and_join_the_fresh_ones() {
        let mut half = half(1_000, 100);
        fill(&mut half, 20, 1_000);
        fill(&mut half, 20, 1_000);
        fill(&mut half, 20, 1_000);
        half.on_lost(0..20, false);
        half.on_lost(40..60, false);
        assert_eq!(fill(&mut half, 50, 1_000), stretch(0..20, false, 0));
        half.finish();
        assert_eq!(fill(&mut half, 100, 1_000), stretch(40..100, true, 40));
        half.on_acked(0..100, true);
        assert!(half.is_finished());
    }

    #[test]
    fn a_reset_tells_how_much_was_ever_sent() {
        let mut half = half(1_000, 100);
        fill(&mut half, 60, 1_000);
        assert!(half.reset(9) && !half.reset(10));
        assert_eq!(half.close(), Some((9, 60)));
        assert_eq!(half.undelivered(), 0);
        half.on_lost(0..60, false);
        assert_eq!(fill(&mut half, 60, 1_000), None);
        half.on_acked(0..60, true);
        assert!(!half.is_done(), "only the acknowledgement of STREAM_CLOSE ends it");
        half.on_close_acked();
        assert!(half.is_done() && !half.is_finished());
    }

    #[test]
    fn a_stop_after_the_last_byte_arrived_takes_nothing_back() {
        let mut half = half(1_000, 10);
        half.finish();
        fill(&mut half, 100, 1_000);
        half.on_acked(0..10, false);
        assert_eq!(half.on_stop(1), Stopped::Delivered);
        assert_eq!(half.close(), None);
        let mut early = self::half(1_000, 10);
        assert_eq!((early.on_stop(1), early.on_stop(1)), (Stopped::Reset, Stopped::Already));
    }
}

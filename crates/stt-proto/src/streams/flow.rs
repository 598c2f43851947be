//! Credit: how many bytes one side lets the other send (PROTOCOL.md section 5).
//!
//! Credit is absolute: a limit is the number of bytes that may have been sent since the beginning, so
//! a WINDOW that comes late or twice does no harm. A stream's credit covers its highest offset, the
//! session's the sum of them.

use core::time::Duration;

use stt_wire::VarInt;

use crate::memory::Memory;
use crate::time::Instant;

/// A full window consumed within this time counts as fast however short the round trip is: the
/// application's own turn is part of the loop that returns credit.
const FAST: Duration = Duration::from_millis(20);

/// What the peer lets this side send.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SendCredit {
    limit: u64,
    used: u64,
}

impl SendCredit {
    pub(super) const fn new(limit: u64) -> Self {
        Self { limit, used: 0 }
    }

    /// Bytes that may still be sent.
    pub(super) const fn available(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }

    /// Bytes used so far.
    #[cfg(test)]
    pub(super) const fn used(&self) -> u64 {
        self.used
    }

    /// Both numbers; what was sent is counted elsewhere.
    #[cfg(feature = "inspect")]
    pub(super) fn counted(&self) -> crate::inspect::SendCount {
        crate::inspect::SendCount { limit: self.limit, used: self.used, counted: 0 }
    }

    /// Bytes were sent for the first time.
    pub(super) const fn take(&mut self, bytes: u64) {
        self.used += bytes;
    }

    /// The peer told a limit; a lower one than before is old news. Returns whether it grew.
    pub(super) const fn raise(&mut self, limit: u64) -> bool {
        let grew = limit > self.limit;
        if grew {
            self.limit = limit;
        }
        grew
    }
}

/// What this side lets the peer send, and how large a window it keeps open.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecvCredit {
    /// What the peer was told.
    limit: u64,
    /// Bytes that the peer has used.
    received: u64,
    /// Bytes that need no memory any more: read by the application, discarded, or skipped.
    consumed: u64,
    window: u64,
    max_window: u64,
    /// Where the current measurement of the reading speed began.
    epoch: Option<(Instant, u64)>,
}

impl RecvCredit {
    /// Credit that starts as one window of `window` bytes and may be tuned up to `max_window`.
    pub(super) fn new(window: u64, max_window: u64) -> Self {
        let limit = window.min(VarInt::MAX.get());
        Self { limit, received: 0, consumed: 0, window, max_window, epoch: None }
    }

    /// The peer has used `bytes` more. `Err` with the limit when that is more than it was given.
    pub(super) const fn receive(&mut self, bytes: u64) -> Result<(), u64> {
        self.received = self.received.saturating_add(bytes);
        if self.received <= self.limit { Ok(()) } else { Err(self.limit) }
    }

    /// Bytes need no memory any more.
    pub(super) fn consume(&mut self, bytes: u64) {
        self.consumed = self.consumed.saturating_add(bytes).min(self.received);
    }

    /// Doubles the window when a whole one was consumed within three round trips: the peer was then
    /// held back by credit, not by the path or by the application. Two, one for the bytes and one for
    /// the credit, would do where nothing is lost; behind a packet that is lost the bytes wait for one
    /// more, and where some packet always is, no window would ever count as fast. `room` is what may be
    /// added to all that peers are allowed to send.
    pub(super) fn tune(&mut self, now: Instant, rtt: Option<Duration>, room: u64) {
        let Some((start, consumed)) = self.epoch else {
            self.epoch = Some((now, self.consumed));
            return;
        };
        let took = now.saturating_duration_since(start);
        let fast = took <= FAST.max(3 * rtt.unwrap_or_default());
        if fast && self.consumed - consumed < self.window {
            return;
        }
        if fast {
            self.widen(room);
        }
        self.epoch = Some((now, self.consumed));
    }

    /// For the credit of a session: doubles the window when nearly all of it lies unread. Streams whose
    /// readers have stopped would keep it from all others, however far it is from its bound. Returns
    /// whether it grew.
    pub(super) fn make_room_for_others(&mut self, room: u64) -> bool {
        let left = self.limit.saturating_sub(self.received);
        let before = self.window;
        if left <= self.window / 8 && self.next_limit(self.window) <= self.limit {
            self.widen(room);
        }
        self.window > before
    }

    /// Doubles the window within its bound and half of what is left at most: others grow, too.
    fn widen(&mut self, room: u64) {
        let grown = self.window.saturating_mul(2).min(self.window.saturating_add(room / 2));
        self.window = grown.min(self.max_window.max(self.window));
    }

    /// Whether a quarter of the window, or more, can be given anew while `room` bytes may be added to
    /// all that peers are allowed to send. Smaller steps cost packets, larger ones let the peer run dry
    /// on long paths.
    pub(super) fn is_due(&self, room: u64) -> bool {
        let window = self.window_within(room);
        let more = self.next_limit(window).saturating_sub(self.limit);
        more > 0 && more >= window / 4
    }

    /// The limit to tell the peer now, which it may use from now on.
    pub(super) fn advertise(&mut self, room: u64) -> u64 {
        self.limit = self.limit.max(self.next_limit(self.window_within(room)));
        self.limit
    }

    /// The window that is kept open where only `room` bytes more may be promised: what the peer has
    /// already stays, and nobody falls below the floor.
    fn window_within(&self, room: u64) -> u64 {
        self.window.min(self.promised().saturating_add(room).max(Memory::SESSION_FLOOR))
    }

    /// Bytes that the peer may have sent, or may still send, and that still need memory.
    pub(super) const fn promised(&self) -> u64 {
        self.limit.saturating_sub(self.consumed)
    }

    fn next_limit(&self, window: u64) -> u64 {
        self.consumed.saturating_add(window).min(VarInt::MAX.get())
    }

    /// The credit in numbers; what lies in buffers is counted elsewhere.
    #[cfg(feature = "inspect")]
    pub(super) fn counted(&self) -> crate::inspect::RecvCount {
        crate::inspect::RecvCount {
            limit: self.limit,
            received: self.received,
            consumed: self.consumed,
            held: 0,
            runs: 0,
            max_window: self.max_window.max(self.window),
        }
    }

    /// What the peer was told.
    pub(super) const fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes used by the peer.
    pub(super) const fn received(&self) -> u64 {
        self.received
    }

    /// Bytes that need no memory any more.
    pub(super) const fn consumed(&self) -> u64 {
        self.consumed
    }

    #[cfg(test)]
    pub(super) const fn window(&self) -> u64 {
        self.window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(100);

    fn read(credit: &mut RecvCredit, now: Instant, bytes: u64) {
        credit.receive(bytes).unwrap();
        credit.consume(bytes);
        credit.tune(now, Some(RTT), u64::MAX);
        if credit.is_due(u64::MAX) {
            credit.advertise(u64::MAX);
        }
    }

    #[test]
    fn overrun_is_seen_to_the_byte() {
        let mut credit = RecvCredit::new(10, 10);
        assert_eq!(credit.receive(10), Ok(()));
        assert_eq!(credit.receive(1), Err(10));
    }

    #[test]
    fn a_window_that_lies_unread_doubles_when_an_eighth_of_it_is_left() {
        let mut credit = RecvCredit::new(800, 2_000);
        credit.receive(699).unwrap();
        assert!(!credit.make_room_for_others(u64::MAX), "101 are left");
        credit.receive(1).unwrap();
        assert!(credit.make_room_for_others(u64::MAX));
        assert_eq!(credit.window(), 1_600);
        assert!(!credit.make_room_for_others(u64::MAX), "the next limit makes room already");
        assert_eq!(credit.advertise(u64::MAX), 1_600);
        // What was read is given anew first, however little is left.
        credit.receive(880).unwrap();
        credit.consume(1);
        assert!(!credit.make_room_for_others(u64::MAX));
        assert_eq!(credit.advertise(u64::MAX), 1_601);
        assert!(credit.make_room_for_others(u64::MAX));
        assert_eq!(credit.window(), 2_000);
        assert_eq!(credit.advertise(u64::MAX), 2_001);
        credit.receive(421).unwrap();
        assert!(!credit.make_room_for_others(u64::MAX), "it has its bound");
    }

    #[test]
    fn credit_returns_in_quarters_of_the_window() {
        let mut credit = RecvCredit::new(100, 100);
        credit.receive(100).unwrap();
        credit.consume(24);
        assert!(!credit.is_due(u64::MAX));
        credit.consume(1);
        assert!(credit.is_due(u64::MAX));
        assert_eq!(credit.advertise(u64::MAX), 125);
        assert!(!credit.is_due(u64::MAX));
    }

    #[test]
    fn more_is_never_consumed_than_came() {
        let mut credit = RecvCredit::new(100, 100);
        credit.receive(5).unwrap();
        credit.consume(u64::MAX);
        assert_eq!(credit.consumed(), 5);
    }

    #[test]
    fn a_fast_reader_gets_a_larger_window_up_to_the_bound() {
        let mut credit = RecvCredit::new(1_000, 3_000);
        let mut now = Instant::default();
        for _ in 0..100 {
            now += RTT / 2;
            read(&mut credit, now, 500);
        }
        assert_eq!(credit.window(), 3_000);
    }

    #[test]
    fn a_reader_that_waits_for_what_was_lost_gets_a_larger_window() {
        let mut credit = RecvCredit::new(1_000, 8_000);
        let mut now = Instant::default();
        for _ in 0..8 {
            // A window, and the round trip in which its hole is filled.
            now += RTT * 5 / 2;
            let window = credit.window();
            read(&mut credit, now, window);
        }
        assert_eq!(credit.window(), 8_000);
    }

    #[test]
    fn a_slow_reader_keeps_its_window() {
        let mut credit = RecvCredit::new(1_000, 8_000);
        let mut now = Instant::default();
        for _ in 0..100 {
            now += RTT;
            read(&mut credit, now, 250);
        }
        assert_eq!(credit.window(), 1_000);
    }

    #[test]
    fn without_room_the_window_narrows_to_the_floor_as_the_peer_uses_it_up() {
        let (window, floor) = (8 * Memory::SESSION_FLOOR, Memory::SESSION_FLOOR);
        let mut credit = RecvCredit::new(window, 4 * window);
        let mut now = Instant::default();
        let mut told = 0;
        for _ in 0..4 * window / 1024 {
            now += RTT / 1000;
            credit.receive(1024).unwrap();
            credit.consume(1024);
            credit.tune(now, Some(RTT), 0);
            let promised = credit.promised();
            if credit.is_due(0) {
                credit.advertise(0);
                assert!(credit.promised() <= promised.max(floor), "no more than before");
                told += 1;
            }
        }
        assert_eq!((credit.window(), told > 0), (window, true), "the window has not grown");
        assert!(credit.promised() <= floor, "{} bytes", credit.promised());
        assert!(credit.promised() >= floor * 3 / 4, "but never less: the peer goes on");
        // With room again the next byte that is read brings it all back.
        credit.receive(1).unwrap();
        credit.consume(1);
        assert!(credit.is_due(u64::MAX));
        credit.advertise(u64::MAX);
        assert_eq!(credit.promised(), window);
    }

    #[test]
    fn a_window_grows_into_half_of_what_is_left() {
        let mut credit = RecvCredit::new(1_000, 8_000);
        let mut now = Instant::default();
        for room in [400, 400, u64::MAX] {
            for _ in 0..8 {
                now += RTT / 4;
                credit.receive(credit.promised() / 4).unwrap();
                credit.consume(u64::MAX);
                credit.advertise(u64::MAX);
            }
            credit.tune(now, Some(100 * RTT), room);
        }
        assert_eq!(credit.window(), (1_000 + 200) * 2, "200, and then double");
    }

    #[test]
    fn a_window_of_nothing_gives_nothing() {
        let mut credit = RecvCredit::new(0, 0);
        credit.consume(10);
        assert!(!credit.is_due(u64::MAX));
        assert_eq!(credit.receive(1), Err(0));
    }

    #[test]
    fn old_limits_of_the_peer_change_nothing() {
        let mut credit = SendCredit::new(10);
        credit.take(4);
        assert!(!credit.raise(9));
        assert_eq!(credit.available(), 6);
        assert!(credit.raise(20));
        assert_eq!(credit.available(), 16);
    }
}

//! Rounds of the path, and whether the congestion window is used to the full (RFC 9002 section 7.8).

/// Follows bytes in flight over the present and the previous round trip.
///
/// A window that was not needed says nothing of the path, so it must not grow. The peak of two
/// rounds is what counts: within a round the flight shrinks whenever ACKs come in bulk.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WindowUsage {
    /// The round ends with the acknowledgement of this place or a later one.
    round_end: u64,
    peak: u64,
    previous_peak: u64,
    blocked: bool,
    previously_blocked: bool,
}

impl WindowUsage {
    /// `in_flight` bytes are in flight after a packet was sent.
    pub(super) fn on_sent(&mut self, in_flight: u64) {
        self.peak = self.peak.max(in_flight);
    }

    /// Window or pacer held a packet back: neither is the application's doing.
    pub(super) fn on_blocked(&mut self) {
        self.blocked = true;
    }

    /// The packet at `place` was newly acknowledged, and the next one sent will have `next_place`.
    /// True if that began a new round.
    pub(super) fn on_acked(&mut self, place: u64, next_place: u64) -> bool {
        let started = place >= self.round_end;
        if started {
            self.round_end = next_place;
        }
        started
    }

    /// Begins to measure the next round, with `in_flight` bytes in flight.
    pub(super) fn start_round(&mut self, in_flight: u64) {
        self.previous_peak = core::mem::replace(&mut self.peak, in_flight);
        self.previously_blocked = core::mem::replace(&mut self.blocked, false);
    }

    /// Whether `window` was needed of late. Slow start doubles it, so half of it is enough there.
    pub(super) fn used(&self, window: u64, slow_start: bool) -> bool {
        let peak = self.peak.max(self.previous_peak);
        let blocked = self.blocked || self.previously_blocked;
        peak > window / 2 && (slow_start || blocked || peak >= window - window / 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_ends_with_what_was_sent_in_it() {
        let mut usage = WindowUsage::default();
        assert!(usage.on_acked(0, 10));
        assert!(!usage.on_acked(9, 20));
        assert!(usage.on_acked(10, 20));
    }

    #[test]
    fn the_peak_of_two_rounds_counts() {
        let mut usage = WindowUsage::default();
        usage.on_sent(9_000);
        assert!(usage.used(10_000, false));
        usage.start_round(0);
        assert!(usage.used(10_000, false));
        usage.start_round(0);
        assert!(!usage.used(10_000, false));
    }

    #[test]
    fn half_a_window_is_enough_in_slow_start_or_when_held_back() {
        let mut usage = WindowUsage::default();
        usage.on_sent(6_000);
        assert!(usage.used(10_000, true));
        assert!(!usage.used(10_000, false));
        usage.on_blocked();
        assert!(usage.used(10_000, false));
        assert!(!usage.used(12_000, true));
    }
}

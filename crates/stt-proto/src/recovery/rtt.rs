//! Round-trip time estimation (RFC 9002 section 5).

use core::time::Duration;

use crate::time::Instant;

/// The finest time that timers are trusted with (RFC 9002 6.1.2, kGranularity).
pub(crate) const GRANULARITY: Duration = Duration::from_millis(1);

/// The round-trip time assumed before the first sample (RFC 9002 6.2.2, kInitialRtt).
pub(crate) const INITIAL_RTT: Duration = Duration::from_millis(333);

/// What is known of a path's round-trip time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RttEstimator {
    latest: Duration,
    smoothed: Duration,
    variance: Duration,
    min: Duration,
    first_sample: Option<Instant>,
}

impl RttEstimator {
    /// An estimator that assumes `initial` until a sample comes (RFC 9002 5.3: half of it as
    /// variance).
    pub(crate) fn new(initial: Duration) -> Self {
        Self {
            latest: initial,
            smoothed: initial,
            variance: initial / 2,
            min: initial,
            first_sample: None,
        }
    }

    /// Takes the sample `rtt`, measured at `now`, of which the peer spent `ack_delay` holding its
    /// ACK back; a delay above `max_ack_delay` is not believed (RFC 9002 5.3). Returns the sample without
    /// that delay.
    pub(crate) fn update(
        &mut self,
        now: Instant,
        rtt: Duration,
        ack_delay: Duration,
        max_ack_delay: Duration,
    ) -> Duration {
        self.latest = rtt;
        if self.first_sample.is_none() {
            self.first_sample = Some(now);
            self.smoothed = rtt;
            self.variance = rtt / 2;
            self.min = rtt;
            return rtt;
        }
        // The minimum ignores the reported delay: a peer cannot talk it down (RFC 9002 5.2).
        self.min = self.min.min(rtt);
        let delay = ack_delay.min(max_ack_delay);
        let adjusted = if rtt >= self.min + delay { rtt - delay } else { rtt };
        let deviation = self.smoothed.abs_diff(adjusted);
        self.variance = (self.variance * 3 + deviation) / 4;
        self.smoothed = (self.smoothed * 7 + adjusted) / 8;
        adjusted
    }

    /// Forgets the minimum in favour of the latest sample: after persistent congestion the path may
    /// be another one (RFC 9002 5.2).
    pub(crate) fn reset_min(&mut self) {
        self.min = self.latest;
    }

    /// The latest sample, or the initial assumption.
    pub(crate) fn latest(&self) -> Duration {
        self.latest
    }

    /// The smoothed round-trip time, or the initial assumption.
    pub(crate) fn smoothed(&self) -> Duration {
        self.smoothed
    }

    /// The mean deviation.
    pub(crate) fn variance(&self) -> Duration {
        self.variance
    }

    /// The smallest sample, or the initial assumption.
    pub(crate) fn min(&self) -> Duration {
        self.min
    }

    /// When the first sample was taken.
    pub(crate) fn first_sample(&self) -> Option<Instant> {
        self.first_sample
    }

    /// The smoothed round-trip time once it was measured.
    pub(crate) fn measured(&self) -> Option<Duration> {
        self.first_sample.map(|_| self.smoothed)
    }

    /// One probe timeout without backoff (RFC 9002 6.2.1).
    pub(crate) fn pto(&self, max_ack_delay: Duration) -> Duration {
        self.smoothed + (self.variance * 4).max(GRANULARITY) + max_ack_delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn the_first_sample_replaces_the_assumption() {
        let mut rtt = RttEstimator::new(INITIAL_RTT);
        assert_eq!(rtt.pto(ms(25)), ms(333 + 666 + 25) - ms(333 * 4 % 2));
        assert_eq!(rtt.measured(), None);
        rtt.update(Instant::from_nanos(5), ms(40), ms(30), ms(25));
        assert_eq!((rtt.smoothed(), rtt.variance(), rtt.min()), (ms(40), ms(20), ms(40)));
        assert_eq!(rtt.first_sample(), Some(Instant::from_nanos(5)));
    }

    #[test]
    fn acknowledgement_delay_is_taken_off_but_never_below_the_minimum() {
        let at = Instant::default();
        let mut rtt = RttEstimator::new(INITIAL_RTT);
        assert_eq!(rtt.update(at, ms(40), ms(0), ms(25)), ms(40));
        assert_eq!(rtt.update(at, ms(64), ms(16), ms(25)), ms(48));
        assert_eq!(rtt.smoothed(), ms(41));
        assert_eq!(rtt.variance(), ms(17));
        assert_eq!(rtt.update(at, ms(41), ms(16), ms(25)), ms(41));
        assert_eq!(rtt.smoothed(), ms(41), "41 - 16 would lie below the minimum of 40");
        assert_eq!(rtt.latest(), ms(41));
    }

    #[test]
    fn a_path_that_may_be_another_one_keeps_only_the_latest_as_its_minimum() {
        let at = Instant::default();
        let mut rtt = RttEstimator::new(INITIAL_RTT);
        rtt.update(at, ms(40), ms(0), ms(25));
        rtt.update(at, ms(80), ms(0), ms(25));
        assert_eq!((rtt.min(), rtt.measured()), (ms(40), Some(ms(45))));
        rtt.reset_min();
        assert_eq!((rtt.min(), rtt.measured()), (ms(80), Some(ms(45))));
    }

    #[test]
    fn an_exaggerated_delay_is_capped() {
        let at = Instant::default();
        let mut rtt = RttEstimator::new(INITIAL_RTT);
        rtt.update(at, ms(40), ms(0), ms(25));
        rtt.update(at, ms(145), ms(100), ms(25));
        assert_eq!(rtt.smoothed(), ms(50));
    }
}

//! When a packet counts as lost (RFC 9002 section 6.1), and when the loss of many means persistent
//! congestion (section 7.6).

use core::time::Duration;

use super::lost::LossCause;
use super::rtt::{GRANULARITY, RttEstimator};
use crate::time::Instant;

/// Later packets acknowledged before a packet counts as lost (RFC 9002 6.1.1, kPacketThreshold).
const PACKET_THRESHOLD: u64 = 3;

/// The packet threshold grows with the reordering seen, but no further: acknowledged packets behind a
/// missing one are kept until it is judged.
const MAX_PACKET_THRESHOLD: u64 = 256;

/// Eighths of a round-trip time before a packet counts as lost: 9/8 (RFC 9002 6.1.2,
/// kTimeThreshold).
const TIME_THRESHOLD: u32 = 9;

/// The time threshold grows up to two round-trip times, as RACK's window does (RFC 8985 6.2 bounds
/// reordering by one smoothed round-trip time on top).
const MAX_TIME_THRESHOLD: u32 = 16;

/// Episodes of true loss after which the thresholds return to their defaults (RFC 8985 6.2 step 4
/// keeps a widened window for 16 recoveries).
const QUIET_EPISODES: u32 = 16;

/// Multiple of the probe timeout that persistent congestion must span (RFC 9002 7.6.1,
/// kPersistentCongestionThreshold).
const PERSISTENT_CONGESTION_THRESHOLD: u32 = 3;

/// The two thresholds, which adapt to the reordering that a path shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thresholds {
    packets: u64,
    eighths: u32,
    widened: Option<Instant>,
    quiet: u32,
}

impl Thresholds {
    /// The thresholds that RFC 9002 recommends.
    pub(crate) fn new() -> Self {
        Self { packets: PACKET_THRESHOLD, eighths: TIME_THRESHOLD, widened: None, quiet: 0 }
    }

    /// How long after a packet was sent it counts as lost, if a later one was acknowledged.
    pub(crate) fn delay(&self, rtt: &RttEstimator) -> Duration {
        (rtt.smoothed().max(rtt.latest()) * self.eighths / 8).max(GRANULARITY)
    }

    /// Judges an outstanding packet, sent at `sent` as number `place` of its path, of which
    /// `largest_acked` is the latest place acknowledged.
    pub(crate) fn judge(
        &self,
        now: Instant,
        delay: Duration,
        sent: Instant,
        place: u64,
        largest_acked: u64,
    ) -> Option<LossCause> {
        if largest_acked <= place {
            None
        } else if largest_acked - place >= self.packets {
            Some(LossCause::Reordering)
        } else if now >= sent + delay {
            Some(LossCause::Time)
        } else {
            None
        }
    }

    /// A packet declared lost arrived after all, `distance` packets behind the latest one
    /// acknowledged: waits longer from here on.
    pub(crate) fn on_spurious_loss(
        &mut self,
        now: Instant,
        cause: LossCause,
        distance: u64,
        rtt: &RttEstimator,
    ) {
        self.quiet = 0;
        match cause {
            LossCause::Reordering => {
                self.packets = self.packets.max(distance + 1).min(MAX_PACKET_THRESHOLD);
            }
            // One step a round trip: a burst that came late tells the same thing many times.
            LossCause::Time => {
                if self.widened.is_none_or(|t| now >= t + rtt.smoothed()) {
                    self.eighths = (self.eighths + 1).min(MAX_TIME_THRESHOLD);
                    self.widened = Some(now);
                }
            }
            LossCause::Abandoned => {}
        }
    }

    /// A new recovery episode began. Enough of them without a spurious loss bring the defaults back.
    pub(crate) fn on_loss_episode(&mut self) {
        self.quiet += 1;
        if self.quiet >= QUIET_EPISODES {
            *self = Self::new();
        }
    }
}

/// Follows the packets as they leave the ring, oldest first, and tells when all that were sent over
/// a long time were lost (RFC 9002 7.6.2).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LossRun {
    start: Option<Instant>,
}

impl LossRun {
    /// A packet that left the ring had been acknowledged: the run ends.
    pub(crate) fn interrupt(&mut self) {
        self.start = None;
    }

    /// A packet sent at `sent` and now lost turned up: the run ends if it covered that time.
    pub(crate) fn on_spurious_loss(&mut self, sent: Instant) {
        if self.start.is_some_and(|start| sent >= start) {
            self.start = None;
        }
    }

    /// An ack-eliciting packet sent at `sent` is lost. True if the run now spans more than the
    /// persistent congestion duration; packets sent before the first RTT sample don't count.
    pub(crate) fn on_lost(
        &mut self,
        sent: Instant,
        rtt: &RttEstimator,
        max_ack_delay: Duration,
    ) -> bool {
        if rtt.first_sample().is_none_or(|first| sent <= first) {
            return false;
        }
        let start = *self.start.get_or_insert(sent);
        let span = rtt.pto(max_ack_delay) * PERSISTENT_CONGESTION_THRESHOLD;
        let established = sent.saturating_duration_since(start) > span;
        if established {
            self.start = None;
        }
        established
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn at(n: u64) -> Instant {
        Instant::from_nanos(n * 1_000_000)
    }

    fn rtt(sample: Duration) -> RttEstimator {
        let mut rtt = RttEstimator::new(ms(333));
        rtt.update(at(0), sample, ms(0), ms(25));
        rtt
    }

    #[test]
    fn three_later_packets_or_nine_eighths_of_a_round_trip() {
        let t = Thresholds::new();
        let delay = t.delay(&rtt(ms(80)));
        assert_eq!(delay, ms(90));
        assert_eq!(t.judge(at(9), delay, at(0), 5, 7), None);
        assert_eq!(t.judge(at(9), delay, at(0), 5, 8), Some(LossCause::Reordering));
        assert_eq!(t.judge(at(90), delay, at(0), 5, 6), Some(LossCause::Time));
        assert_eq!(t.judge(at(90_000), delay, at(0), 5, 5), None, "nothing later was acknowledged");
    }

    #[test]
    fn the_delay_is_never_finer_than_the_clock() {
        assert_eq!(Thresholds::new().delay(&rtt(Duration::from_micros(50))), GRANULARITY);
    }

    #[test]
    fn spurious_losses_widen_and_true_ones_narrow_again() {
        let rtt = rtt(ms(80));
        let mut t = Thresholds::new();
        t.on_spurious_loss(at(1), LossCause::Reordering, 10, &rtt);
        assert_eq!(t.judge(at(1), ms(90), at(0), 0, 10), None);
        assert_eq!(t.judge(at(1), ms(90), at(0), 0, 11), Some(LossCause::Reordering));
        t.on_spurious_loss(at(1), LossCause::Reordering, 1 << 40, &rtt);
        assert_eq!(t.packets, MAX_PACKET_THRESHOLD);
        t.on_spurious_loss(at(1), LossCause::Time, 1, &rtt);
        t.on_spurious_loss(at(2), LossCause::Time, 1, &rtt);
        assert_eq!(t.delay(&rtt), ms(100), "once a round trip");
        (1..QUIET_EPISODES).for_each(|_| t.on_loss_episode());
        assert_eq!((t.packets, t.delay(&rtt)), (MAX_PACKET_THRESHOLD, ms(100)), "not yet");
        t.on_loss_episode();
        assert_eq!((t.packets, t.delay(&rtt)), (PACKET_THRESHOLD, ms(90)));
    }

    #[test]
    fn persistent_congestion_needs_a_long_unbroken_run() {
        let rtt = rtt(ms(100));
        let span = rtt.pto(ms(25)) * 3;
        assert_eq!(span, ms(975));
        let mut run = LossRun::default();
        assert!(!run.on_lost(at(0), &rtt, ms(25)), "sent before the first sample");
        assert!(!run.on_lost(at(1), &rtt, ms(25)));
        assert!(!run.on_lost(at(976), &rtt, ms(25)));
        assert!(run.on_lost(at(977), &rtt, ms(25)));
        assert!(!run.on_lost(at(2000), &rtt, ms(25)));
        run.interrupt();
        assert!(!run.on_lost(at(4000), &rtt, ms(25)));
        run.on_spurious_loss(at(3999));
        assert!(run.on_lost(at(5000), &rtt, ms(25)));
        assert!(!run.on_lost(at(6000), &rtt, ms(25)));
        run.on_spurious_loss(at(6000));
        assert!(!run.on_lost(at(7000), &rtt, ms(25)), "what was sent in the run had arrived");
    }
}

//! HyStart++ (RFC 9406): leaves slow start when the round-trip time rises, before packets are lost.

use core::time::Duration;

use super::Acked;

/// MIN_RTT_THRESH (RFC 9406 4.3).
const MIN_RTT_THRESHOLD: Duration = Duration::from_millis(4);
/// MAX_RTT_THRESH (RFC 9406 4.3).
const MAX_RTT_THRESHOLD: Duration = Duration::from_millis(16);
/// MIN_RTT_DIVISOR (RFC 9406 4.3).
const MIN_RTT_DIVISOR: u32 = 8;
/// N_RTT_SAMPLE (RFC 9406 4.3).
const RTT_SAMPLES: u32 = 8;
/// CSS_GROWTH_DIVISOR (RFC 9406 4.3).
const CSS_GROWTH_DIVISOR: u64 = 4;
/// CSS_ROUNDS (RFC 9406 4.3).
const CSS_ROUNDS: u32 = 5;

/// What slow start is to do with an ACK.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Grow the window by so many bytes. L of RFC 9406 4.2 is infinite, since we always pace.
    Grow(u64),
    /// The rise lasted: congestion avoidance begins at the present window.
    Leave,
}

/// The state of HyStart++ during the initial slow start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HyStart {
    last_round_min: Option<Duration>,
    round_min: Option<Duration>,
    samples: u32,
    /// In conservative slow start: the baseline, and the rounds that began since.
    css: Option<(Duration, u32)>,
}

impl HyStart {
    /// Takes an ACK that arrived in slow start.
    pub(super) fn on_ack(&mut self, acked: &Acked<'_>) -> Step {
        if acked.round_started {
            self.last_round_min = self.round_min.take();
            self.samples = 0;
            if let Some((_, rounds)) = &mut self.css {
                *rounds += 1;
                if *rounds >= CSS_ROUNDS {
                    return Step::Leave;
                }
            }
        }
        if acked.rtt_sample.is_some() {
            let latest = acked.rtt.latest();
            self.round_min = Some(self.round_min.map_or(latest, |min| min.min(latest)));
            self.samples += 1;
            self.judge();
        }
        let divisor = if self.css.is_some() { CSS_GROWTH_DIVISOR } else { 1 };
        Step::Grow(acked.growth_bytes / divisor)
    }

    fn judge(&mut self) {
        let (Some(last), Some(current)) = (self.last_round_min, self.round_min) else { return };
        if self.samples < RTT_SAMPLES {
            return;
        }
        match self.css {
            None => {
                let threshold =
                    (last / MIN_RTT_DIVISOR).clamp(MIN_RTT_THRESHOLD, MAX_RTT_THRESHOLD);
                if current >= last + threshold {
                    self.css = Some((current, 0));
                }
            }
            // The rise was a passing one: back to doubling.
            Some((baseline, _)) if current < baseline => self.css = None,
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::rtt::RttEstimator;
    use super::*;
    use crate::time::Instant;

    fn round(hystart: &mut HyStart, sample: u64) -> Vec<Step> {
        let sample = Duration::from_millis(sample);
        let mut rtt = RttEstimator::new(sample);
        rtt.update(Instant::default(), sample, Duration::ZERO, Duration::ZERO);
        let ack = |round_started| Acked {
            now: Instant::default(),
            bytes: 1_000,
            growth_bytes: 1_000,
            app_limited: false,
            round_started,
            rtt_sample: Some(sample),
            in_flight: 0,
            sample: None,
            rtt: &rtt,
        };
        (0..10).map(|i| hystart.on_ack(&ack(i == 0))).collect()
    }

    #[test]
    fn a_steady_path_keeps_doubling() {
        let mut h = HyStart::default();
        for _ in 0..20 {
            assert!(round(&mut h, 50).iter().all(|s| *s == Step::Grow(1_000)));
        }
    }

    #[test]
    fn a_lasting_rise_ends_slow_start_after_five_cautious_rounds() {
        let mut h = HyStart::default();
        round(&mut h, 50);
        let steps = round(&mut h, 57);
        assert_eq!(steps[6], Step::Grow(1_000), "seven samples are too few");
        assert_eq!(steps[7], Step::Grow(250));
        for _ in 0..4 {
            assert!(round(&mut h, 60).iter().all(|s| *s == Step::Grow(250)));
        }
        assert_eq!(round(&mut h, 60)[0], Step::Leave);
    }

    #[test]
    fn a_passing_rise_returns_to_doubling() {
        let mut h = HyStart::default();
        round(&mut h, 50);
        assert_eq!(round(&mut h, 60)[9], Step::Grow(250));
        assert_eq!(round(&mut h, 50)[9], Step::Grow(1_000));
    }

    #[test]
    fn a_rise_that_stays_as_it_began_has_not_passed() {
        let mut h = HyStart::default();
        round(&mut h, 50);
        assert_eq!(round(&mut h, 60)[9], Step::Grow(250));
        assert_eq!(round(&mut h, 60)[9], Step::Grow(250));
        assert_eq!(round(&mut h, 59)[9], Step::Grow(1_000));
    }
}

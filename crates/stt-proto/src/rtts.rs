//! Round-trip times of all sessions of an endpoint: a histogram whose size does not depend on them.
//!
//! It is the endpoint's and not a session's, which has no room for it and lives too shortly to have
//! a 99th percentile.

use core::time::Duration;

/// Buckets to a factor of two: a value is known to a sixteenth of itself.
const PER_OCTAVE: u64 = 8;

/// From 0 to 2^26 us, above a minute: everything longer counts as that.
const BUCKETS: usize = 192;
const LONGEST: u64 = (1 << 26) - 1;

/// Samples that count at most; then each has half its weight. What was measured long ago fades.
const WINDOW: u32 = 4_096;

/// Samples after which the percentiles are looked for again, at the latest.
const REFRESH: u32 = 32;

/// The distribution of the last some thousand round-trip times.
#[derive(Debug)]
pub(crate) struct RttHistogram {
    buckets: [u16; BUCKETS],
    /// The sum of the buckets.
    weight: u32,
    /// Samples since the percentiles were looked for.
    fresh: u32,
    samples: u64,
    median: Duration,
    p99: Duration,
}

impl Default for RttHistogram {
    fn default() -> Self {
        Self {
            buckets: [0; BUCKETS],
            weight: 0,
            fresh: 0,
            samples: 0,
            median: Duration::ZERO,
            p99: Duration::ZERO,
        }
    }
}

impl RttHistogram {
    /// Takes a sample (RFC 9002 section 5.1), as it was measured.
    pub(crate) fn record(&mut self, rtt: Duration) {
        if self.weight >= WINDOW {
            self.fade();
        }
        self.buckets[bucket(rtt)] += 1;
        self.weight += 1;
        self.samples += 1;
        self.fresh += 1;
        // Looking costs a walk over all buckets, so few samples pay for it once, not each of many.
        if self.fresh >= REFRESH.min(self.weight / 8) {
            self.fresh = 0;
            self.median = self.quantile(self.weight.div_ceil(2));
            self.p99 = self.quantile(self.weight - self.weight / 100);
        }
    }

    /// Samples taken ever.
    pub(crate) fn samples(&self) -> u64 {
        self.samples
    }

    /// The median; zero before the first sample.
    pub(crate) fn median(&self) -> Duration {
        self.median
    }

    /// The 99th percentile; zero before the first sample.
    pub(crate) fn p99(&self) -> Duration {
        self.p99
    }

    /// The value that `rank` samples do not pass.
    fn quantile(&self, rank: u32) -> Duration {
        let mut below = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            below += u32::from(*count);
            if below >= rank {
                return middle(index);
            }
        }
        middle(BUCKETS - 1)
    }

    fn fade(&mut self) {
        self.weight = 0;
        for count in &mut self.buckets {
            *count /= 2;
            self.weight += u32::from(*count);
        }
    }
}

/// The bucket of a round-trip time: exact below 8 us, an eighth of an octave above.
fn bucket(rtt: Duration) -> usize {
    let micros = u64::try_from(rtt.as_micros()).unwrap_or(LONGEST).min(LONGEST);
    if micros < PER_OCTAVE {
        return micros as usize;
    }
    let octave = u64::from(micros.ilog2());
    let within = (micros >> (octave - 3)) % PER_OCTAVE;
    ((octave - 2) * PER_OCTAVE + within) as usize
}

/// The middle of a bucket.
fn middle(index: usize) -> Duration {
    let index = index as u64;
    if index < PER_OCTAVE {
        return Duration::from_micros(index);
    }
    let shift = index / PER_OCTAVE - 1;
    let low = (PER_OCTAVE + index % PER_OCTAVE) << shift;
    Duration::from_micros(low + (1 << shift) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    #[test]
    fn every_time_is_known_to_a_sixteenth() {
        let mut last = 0;
        for micros in (0..100_000).chain((100_000..LONGEST).step_by(9_973)) {
            let index = bucket(us(micros));
            assert!(index >= last && index < BUCKETS, "{micros} us in bucket {index}");
            last = index;
            let error = middle(index).abs_diff(us(micros));
            assert!(
                error * 16 <= us(micros).max(us(1)),
                "{micros} us is told as {:?}",
                middle(index)
            );
        }
        assert_eq!(bucket(us(LONGEST)), BUCKETS - 1);
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_those_of_the_samples() {
        let mut rtts = RttHistogram::default();
        assert_eq!((rtts.samples(), rtts.median(), rtts.p99()), (0, us(0), us(0)));
        rtts.record(us(5));
        assert_eq!((rtts.samples(), rtts.median(), rtts.p99()), (1, us(5), us(5)));
        // One in a hundred is slow, and so is the 99th percentile only beyond that.
        for sample in 0..1_000 {
            rtts.record(if sample % 50 == 0 { us(200_000) } else { us(1_000) });
        }
        assert!(rtts.median().abs_diff(us(1_000)) * 16 <= us(1_000), "{:?}", rtts.median());
        assert!(rtts.p99().abs_diff(us(200_000)) * 16 <= us(200_000), "{:?}", rtts.p99());
        assert_eq!(rtts.samples(), 1_001);
    }

    #[test]
    fn what_was_measured_long_ago_fades() {
        let mut rtts = RttHistogram::default();
        for _ in 0..100_000 {
            rtts.record(us(500_000));
        }
        for _ in 0..20_000 {
            rtts.record(us(100));
        }
        assert!(rtts.p99() < us(200), "{:?}", rtts.p99());
        assert_eq!(rtts.samples(), 120_000);
        assert!(rtts.weight <= WINDOW);
    }
}

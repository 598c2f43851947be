//! Spreads packets over the round trip (RFC 9002 section 7.7).
//!
//! A token bucket. It holds at most what the path carries in half a millisecond, and never less than ten
//! packets, the initial window: what an ACK sets free after a pause must not arrive at a full queue
//! as one clump, of which the tail is dropped. A bucket that was empty may fill up for two
//! milliseconds, since then the pacer itself made the sender wait, and a timer that comes late must not
//! cost rate. On paths faster than the timers, whose whole window leaves in two milliseconds (loopback,
//! the next machine), the bucket is as large as the window and pacing vanishes.

use core::time::Duration;

use crate::time::Instant;

/// What the bucket holds at most, as time at the current rate.
const BURST: Duration = Duration::from_micros(500);

/// The same when the pacer's own timer fills it, however late it comes.
const CATCH_UP: Duration = Duration::from_millis(2);

/// What is worth waking up for, as time at the current rate.
const QUANTUM: Duration = Duration::from_micros(250);

/// The bucket's least size in packets: RFC 9002 7.7 allows bursts of the initial window.
const MIN_BURST_PACKETS: u64 = 10;

/// A rate of sending in bytes per second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rate(u64);

impl Rate {
    /// `bytes` per second.
    pub(crate) fn per_second(bytes: u64) -> Self {
        Self(bytes.max(1))
    }

    /// A window per round trip, a little faster so that the window and not the pacer limits: by
    /// 5/4 (RFC 9002 7.7), or by 2 in slow start, where the window is to double in each round trip.
    pub(crate) fn from_window(window: u64, rtt: Duration, slow_start: bool) -> Self {
        let (num, den) = if slow_start { (2, 1) } else { (5, 4) };
        let nanos = rtt.as_nanos().max(1);
        let rate = u128::from(window) * 1_000_000_000 * num / (den * nanos);
        Self(u64::try_from(rate).unwrap_or(u64::MAX).max(1))
    }

    fn bytes_in(self, span: Duration) -> u64 {
        let bytes = u128::from(self.0) * span.as_nanos() / 1_000_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    fn time_for(self, bytes: u64) -> Duration {
        let nanos = (u128::from(bytes) * 1_000_000_000).div_ceil(u128::from(self.0));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// The token bucket of one path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pacer {
    tokens: u64,
    /// Up to when tokens were granted; `None` before the first call, when the bucket is full.
    granted: Option<Instant>,
}

impl Pacer {
    /// A full bucket.
    pub(crate) fn new() -> Self {
        Self { tokens: u64::MAX, granted: None }
    }

    /// Bytes that may leave at `now`, if that is a packet of `mtu` bytes or more; else when enough
    /// tokens for a worthwhile burst will be there.
    pub(crate) fn available(
        &mut self,
        now: Instant,
        rate: Rate,
        window: u64,
        mtu: u16,
    ) -> Result<u64, Instant> {
        let mtu = u64::from(mtu);
        let least = MIN_BURST_PACKETS * mtu;
        let most = rate.bytes_in(CATCH_UP);
        let capacity =
            if self.tokens < mtu || window <= most { most } else { rate.bytes_in(BURST) };
        let capacity = capacity.clamp(least, window.max(least));
        match self.granted {
            None => {
                self.tokens = capacity;
                self.granted = Some(now);
            }
            Some(granted) => {
                let new = rate.bytes_in(now.saturating_duration_since(granted));
                // Time that has not made a whole byte yet is not lost.
                if new > 0 {
                    self.granted = Some(now);
                }
                self.tokens = self.tokens.saturating_add(new).min(capacity);
            }
        }
        if self.tokens >= mtu {
            return Ok(self.tokens);
        }
        let wanted = rate.bytes_in(QUANTUM).clamp(mtu, capacity);
        let wait = rate.time_for(wanted - self.tokens);
        Err(self.granted.unwrap_or(now) + wait)
    }

    /// `bytes` left. Probes leave whether or not there are tokens; the debt is not carried over.
    pub(crate) fn on_sent(&mut self, bytes: u64) {
        self.tokens = self.tokens.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(n: u64) -> Instant {
        Instant::from_nanos(n * 1_000)
    }

    /// Sends packets of `mtu` for `micros` and counts the bytes.
    fn drain(rate: Rate, window: u64, mtu: u16, micros: u64) -> (u64, u64) {
        let (mut pacer, mut now, mut bytes, mut wakes) = (Pacer::new(), us(0), 0, 0);
        while now < us(micros) {
            match pacer.available(now, rate, window, mtu) {
                Ok(_) => {
                    pacer.on_sent(u64::from(mtu));
                    bytes += u64::from(mtu);
                }
                Err(next) => {
                    assert!(next > now, "a wait must end later");
                    now = next;
                    wakes += 1;
                }
            }
        }
        (bytes, wakes)
    }

    #[test]
    fn keeps_the_rate_over_time() {
        let rate = Rate::per_second(10_000_000);
        let (bytes, wakes) = drain(rate, 1_000_000, 1_200, 1_000_000);
        assert!((9_990_000..10_050_000).contains(&bytes), "{bytes}");
        assert!((4_000..4_300).contains(&wakes), "about four wake-ups a millisecond, not {wakes}");
    }

    #[test]
    fn who_asks_often_loses_no_part_of_a_byte() {
        let rate = Rate::per_second(100_000);
        let mut pacer = Pacer::new();
        let first = pacer.available(us(0), rate, 12_000, 1_200).unwrap();
        pacer.on_sent(first);
        // A tenth of a byte for each question, and 1200 bytes until a packet may leave.
        let ready = (1..20_000).find(|now| pacer.available(us(*now), rate, 12_000, 1_200).is_ok());
        assert_eq!(ready, Some(12_000));
    }

    #[test]
    fn a_slow_path_sends_packet_by_packet_after_the_first_burst() {
        let (bytes, wakes) = drain(Rate::per_second(12_000), 12_000, 1_200, 1_000_000);
        assert_eq!((bytes, wakes), (12_000 + 9 * 1_200, 10));
    }

    #[test]
    fn a_path_faster_than_the_timers_is_not_paced() {
        let rate = Rate::from_window(1_000_000, Duration::from_micros(50), false);
        let mut pacer = Pacer::new();
        assert_eq!(pacer.available(us(0), rate, 1_000_000, 1_452), Ok(1_000_000));
        // A window of 2 MB that a fast receiver acknowledges within two milliseconds.
        let rate = Rate::from_window(2_000_000, Duration::from_millis(2), false);
        let mut pacer = Pacer::new();
        assert_eq!(pacer.available(us(0), rate, 2_000_000, 65_507), Ok(2_000_000));
        pacer.on_sent(1_000_000);
        assert_eq!(pacer.available(us(2_000), rate, 2_000_000, 65_507), Ok(2_000_000));
    }

    #[test]
    fn a_pause_saves_half_a_millisecond_and_a_late_timer_costs_nothing() {
        let rate = Rate::per_second(100_000_000);
        let mut pacer = Pacer::new();
        assert_eq!(pacer.available(us(0), rate, 1_000_000, 1_200), Ok(50_000));
        pacer.on_sent(20_000);
        assert_eq!(pacer.available(us(5_000), rate, 1_000_000, 1_200), Ok(50_000));
        pacer.on_sent(50_000);
        assert_eq!(pacer.available(us(5_000), rate, 1_000_000, 1_200), Err(us(5_250)));
        assert_eq!(pacer.available(us(6_250), rate, 1_000_000, 1_200), Ok(125_000), "1 ms late");
    }

    #[test]
    fn slow_start_is_paced_at_twice_the_window() {
        let rtt = Duration::from_millis(100);
        assert_eq!(Rate::from_window(100_000, rtt, true), Rate::per_second(2_000_000));
        assert_eq!(Rate::from_window(100_000, rtt, false), Rate::per_second(1_250_000));
    }
}

//! A token bucket: how often something may be answered, and how often told.

use core::time::Duration;

use crate::time::Instant;

/// Lets `burst` through at once and one more every `interval`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limiter {
    interval: Duration,
    burst: u32,
    tokens: u32,
    refilled: Option<Instant>,
}

impl Limiter {
    /// A full bucket.
    pub(crate) const fn new(interval: Duration, burst: u32) -> Self {
        Self { interval, burst, tokens: burst, refilled: None }
    }

    /// Takes one token if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.refill(now);
        if self.tokens == 0 {
            return false;
        }
        self.tokens -= 1;
        true
    }

    /// Whether it is as good as new.
    pub(crate) fn is_full(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.tokens == self.burst
    }

    fn refill(&mut self, now: Instant) {
        let refilled = *self.refilled.get_or_insert(now);
        let interval = self.interval.as_nanos().max(1);
        let earned = now.saturating_duration_since(refilled).as_nanos() / interval;
        let missing = u128::from(self.burst - self.tokens);
        if earned >= missing {
            self.tokens = self.burst;
            self.refilled = Some(now);
        } else {
            self.tokens += earned as u32;
            self.refilled = Some(refilled + self.interval * earned as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refills_at_its_interval_and_no_faster() {
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let mut limiter = Limiter::new(Duration::from_millis(10), 2);
        assert!(limiter.take(at(0)));
        assert!(limiter.take(at(0)));
        assert!(!limiter.take(at(9)));
        assert!(limiter.take(at(15)));
        assert!(!limiter.take(at(19)));
        assert!(limiter.take(at(20)));
        assert!(limiter.take(at(1000)));
        assert!(limiter.take(at(1000)));
        assert!(!limiter.take(at(1000)));
    }
}

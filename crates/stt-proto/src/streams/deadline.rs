//! When bytes of a stream are too old to be sent.

use core::time::Duration;
use std::collections::VecDeque;

use crate::time::Instant;

/// Parts of the age by which the moment of giving up may come late: writes are not remembered one by
/// one, but in as many groups at most.
const GROUPS: u64 = 32;
/// An age beyond which bytes may as well be kept for ever.
const MAX_AGE: Duration = Duration::from_secs(365 * 24 * 3600);
/// A peer that asks for less gets this.
const MIN_AGE: Duration = Duration::from_millis(1);

/// The ages of what was written and not acknowledged.
#[derive(Debug)]
pub(super) struct Deadline {
    age: Duration,
    /// Offset past the last byte of a group, and when the group is too old.
    groups: VecDeque<(u64, Instant)>,
}

impl Deadline {
    pub(super) fn new(age: Duration) -> Self {
        Self { age: age.clamp(MIN_AGE, MAX_AGE), groups: VecDeque::new() }
    }

    /// Everything before `end` that is not known yet was written at `now`.
    pub(super) fn on_written(&mut self, now: Instant, end: u64) {
        let grain = (self.age.as_nanos() as u64 / GROUPS).max(1);
        // Rounded up: nothing is given up before its time.
        let due = (now + self.age).as_nanos().saturating_add(grain - 1) / grain * grain;
        let due = Instant::from_nanos(due);
        match self.groups.back_mut() {
            Some((last, at)) if *at >= due => *last = end,
            _ => self.groups.push_back((end, due)),
        }
    }

    /// Offset before which everything is too old at `now`, if there is something.
    pub(super) fn expire(&mut self, now: Instant) -> Option<u64> {
        let mut expired = None;
        while let Some((end, due)) = self.groups.front().copied().filter(|(_, due)| *due <= now) {
            debug_assert!(due <= now);
            expired = Some(end);
            self.groups.pop_front();
        }
        expired
    }

    /// When the next bytes after `base` are too old.
    pub(super) fn next(&mut self, base: u64) -> Option<Instant> {
        while self.groups.front().is_some_and(|(end, _)| *end <= base) {
            self.groups.pop_front();
        }
        self.groups.front().map(|(_, due)| *due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn nothing_is_given_up_before_its_time_nor_much_after() {
        let age = Duration::from_millis(320);
        let mut deadline = Deadline::new(age);
        for at in 0..1_000 {
            deadline.on_written(ms(at), at + 1);
            assert!(deadline.groups.len() as u64 <= GROUPS + 2);
            let expired = deadline.expire(ms(at)).unwrap_or(0);
            // The byte written `age` ago may go; the one written a moment later must not.
            assert!(expired <= (at + 1).saturating_sub(320), "{at}: {expired}");
            if expired > 0 {
                assert!(expired + 320 + 20 > at + 1, "{at}: {expired}");
            }
        }
        assert_eq!(deadline.expire(ms(10_000)), Some(1_000));
        assert_eq!(deadline.expire(ms(10_000)), None);
    }

    #[test]
    fn what_is_acknowledged_needs_no_timer() {
        let mut deadline = Deadline::new(Duration::from_millis(100));
        deadline.on_written(ms(0), 10);
        deadline.on_written(ms(50), 20);
        assert!(deadline.next(5) < deadline.next(10));
        assert_eq!(deadline.next(20), None);
    }

    #[test]
    fn absurd_ages_are_bounded() {
        for age in [Duration::ZERO, Duration::MAX] {
            let mut deadline = Deadline::new(age);
            deadline.on_written(Instant::from_nanos(u64::MAX), 1);
            assert!(deadline.next(0).is_some());
        }
    }
}

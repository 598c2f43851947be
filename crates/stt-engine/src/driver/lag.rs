//! Whether the thread gets the processor when it is due.

use std::time::Duration;

use stt_proto::Instant;

/// Running later than this is told: four times the longest pause that a loaded but healthy machine makes,
/// and a good part of the shortest time by which a peer would notice.
pub(super) const LATE: Duration = Duration::from_millis(200);

/// Pause between two warnings.
const TELL_INTERVAL: Duration = Duration::from_secs(10);

/// What is known of the last turn. Its clock is that of the turns, so it costs nothing, and an idle thread
/// is not woken for it.
#[derive(Default)]
pub(super) struct LagWatch {
    /// When the turn that comes is due at the latest; `None` while nothing is.
    due: Option<Instant>,
    told: Option<Instant>,
}

impl LagWatch {
    /// The thread goes to sleep until then, or until something happens.
    pub(super) fn sleeps_until(&mut self, wakes: Option<Instant>) {
        self.due = wakes;
    }

    /// A turn that began at `now` ends, and another follows at once unless the thread goes to sleep.
    pub(super) fn goes_on(&mut self, now: Instant) {
        self.due = Some(now);
    }

    /// A turn begins. By how much it is late, if that is to be told.
    pub(super) fn on_turn(&mut self, now: Instant) -> Option<Duration> {
        let late = now.saturating_duration_since(self.due.take()?);
        let quiet = self.told.is_some_and(|told| now < told + TELL_INTERVAL);
        if late < LATE || quiet {
            return None;
        }
        self.told = Some(now);
        Some(late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn a_turn_that_begins_late_is_told_of_once_in_ten_seconds() {
        let mut lag = LagWatch::default();
        assert_eq!(lag.on_turn(at(0)), None);
        lag.sleeps_until(Some(at(1000)));
        assert_eq!(lag.on_turn(at(1150)), None, "a little late");
        lag.sleeps_until(Some(at(2000)));
        assert_eq!(lag.on_turn(at(2300)), Some(Duration::from_millis(300)));
        lag.goes_on(at(3000));
        assert_eq!(lag.on_turn(at(4000)), None, "told of a moment ago");
        lag.goes_on(at(13_000));
        assert_eq!(lag.on_turn(at(13_500)), Some(Duration::from_millis(500)));
    }

    #[test]
    fn a_thread_without_anything_to_do_is_never_late() {
        let mut lag = LagWatch::default();
        lag.sleeps_until(None);
        assert_eq!(lag.on_turn(at(1_000_000)), None);
        lag.sleeps_until(Some(at(2_000_000)));
        assert_eq!(lag.on_turn(at(1_500_000)), None, "something came before it was due");
    }
}

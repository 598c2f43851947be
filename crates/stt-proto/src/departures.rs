//! Whether datagrams leave this host: what the socket refused, and what is to be told of it
//! (PROTOCOL.md section 6.1).

use core::time::Duration;

use stt_wire::ErrorCode;

use crate::fault::{Fault, FaultDetail};
use crate::path::SendError;
use crate::time::Instant;

/// First pause after a refused batch; each further one is twice as long...
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// ... up to this. What does not leave the host loads no path, so tries may be frequent.
const LAST_PAUSE: Duration = Duration::from_millis(500);
/// Pause between two reports of refused datagrams.
const TELL_INTERVAL: Duration = Duration::from_secs(1);

/// What became of the datagrams that were handed out for one peer.
///
/// The socket's word on a batch comes before the next batch is asked for, so what is followed by
/// another has left.
#[derive(Default)]
pub(crate) struct Departures {
    /// Something left since [`Departures::restart`].
    left: bool,
    /// The newest batch was not refused up to now.
    pending: bool,
    /// Something was refused since then.
    refused: bool,
    /// What the last refusal of all said.
    error: Option<SendError>,
    /// Since when all that was handed out has been refused.
    failing: Option<Instant>,
    /// Until when nothing more is to be tried, and the pause that was.
    retry: Option<(Instant, Duration)>,
    /// Datagrams refused and not told of.
    untold: u32,
    /// Until when nothing is told.
    tell_at: Option<Instant>,
}

impl Departures {
    /// A batch was handed out.
    pub(crate) fn on_sent(&mut self) {
        if core::mem::replace(&mut self.pending, true) {
            self.left = true;
            (self.failing, self.retry) = (None, None);
        }
    }

    /// The socket refused the newest batch, of so many datagrams. Returned is how many there are to
    /// tell of now.
    pub(crate) fn on_refused(
        &mut self,
        now: Instant,
        error: SendError,
        datagrams: u32,
    ) -> Option<u32> {
        self.pending = false;
        self.refused = true;
        self.failing.get_or_insert(now);
        let pause = self.retry.map_or(FIRST_PAUSE, |(_, pause)| LAST_PAUSE.min(2 * pause));
        self.retry = Some((now + pause, pause));
        self.error = Some(error);
        self.untold = self.untold.saturating_add(datagrams);
        if self.tell_at.is_some_and(|at| at > now) {
            return None;
        }
        self.tell_at = Some(now + TELL_INTERVAL);
        Some(core::mem::take(&mut self.untold))
    }

    /// The newest batch went to a path that has nothing to do with the one in use, and says nothing of it.
    pub(crate) fn retract(&mut self) {
        self.pending = false;
    }

    /// A pause between two reports may be over: what there is to tell now.
    pub(crate) fn due(&mut self, now: Instant) -> Option<u32> {
        if self.tell_at.is_none_or(|at| at > now) {
            return None;
        }
        let untold = core::mem::take(&mut self.untold);
        self.tell_at = (untold > 0).then(|| now + TELL_INTERVAL);
        self.tell_at.map(|_| untold)
    }

    /// What the last refusal said; an unknown error when there was none.
    pub(crate) fn last_error(&self) -> SendError {
        self.error.unwrap_or(SendError::Other(0))
    }

    /// When there is something to do: to tell, or to try again.
    pub(crate) fn next_timeout(&self, now: Instant) -> Option<Instant> {
        self.tell_at.into_iter().chain(self.next_try(now)).min()
    }

    /// The end of a pause after something was refused.
    pub(crate) fn next_try(&self, now: Instant) -> Option<Instant> {
        self.retry.map(|(at, _)| at).filter(|at| *at > now)
    }

    /// When [`Departures::due`] may have something to tell.
    pub(crate) fn next_report(&self) -> Option<Instant> {
        self.tell_at
    }

    /// Whether another try would come too early.
    pub(crate) fn is_held_back(&self, now: Instant) -> bool {
        self.retry.is_some_and(|(at, _)| at > now)
    }

    /// What the system has said to everything that was handed out, and for how long now.
    pub(crate) fn failing(&self, now: Instant) -> Option<(SendError, Duration)> {
        let since = self.failing.filter(|_| !self.pending)?;
        Some((self.error?, now.saturating_duration_since(since)))
    }

    /// The peer was heard: what counts from here on is whether it can be answered.
    pub(crate) fn restart(&mut self) {
        (self.left, self.pending, self.refused) = (false, false, false);
    }

    /// Why nothing has left this host since the restart, if nothing has.
    pub(crate) fn failure(&self) -> Option<SendError> {
        self.error.filter(|_| self.refused && !self.left && !self.pending)
    }
}

/// The error for what the socket said, where nothing left this host for so long (zero: where that does
/// not matter).
pub(crate) fn send_fault(error: SendError, span: Duration) -> Fault {
    let detail = FaultDetail::Os { errno: error.errno(), ms: span.as_millis() as u64 };
    Fault::new(ErrorCode::UdpSendFailed).with_detail(detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ERROR: SendError = SendError::Permission(1);

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn nothing_left_when_every_batch_was_refused_whatever_its_size() {
        let mut departures = Departures::default();
        for ms in 0..10 {
            departures.on_sent();
            assert_eq!(departures.failure(), None, "the newest may have left");
            departures.on_refused(at(ms), ERROR, 64);
            assert_eq!(departures.failure(), Some(ERROR));
        }
        departures.on_sent();
        departures.on_sent();
        departures.on_refused(at(20), ERROR, 1);
        assert_eq!(departures.failure(), None, "one of them has left");
        departures.restart();
        assert_eq!(departures.failure(), None, "the peer was heard, and nothing was sent");
    }

    #[test]
    fn pauses_between_tries_double_up_to_half_a_second_and_begin_anew_when_something_leaves() {
        let mut departures = Departures::default();
        let (mut now, mut pauses) = (0, Vec::new());
        for _ in 0..8 {
            departures.on_sent();
            departures.on_refused(at(now), ERROR, 1);
            let pause = (1..).find(|ms| !departures.is_held_back(at(now + ms))).unwrap();
            pauses.push(pause);
            now += pause;
        }
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 500, 500]);
        let span = Duration::from_millis(now);
        assert_eq!(departures.failing(at(now)), Some((ERROR, span)));
        departures.on_sent();
        departures.on_sent();
        assert_eq!(departures.failing(at(now)), None);
        departures.on_refused(at(now), ERROR, 1);
        assert!(!departures.is_held_back(at(now + 10)));
    }

    #[test]
    fn the_first_refusal_is_told_at_once_and_the_others_once_a_second() {
        let mut departures = Departures::default();
        assert_eq!(departures.on_refused(at(0), ERROR, 3), Some(3));
        assert_eq!(departures.on_refused(at(1), ERROR, 4), None);
        assert_eq!(departures.on_refused(at(999), ERROR, 5), None);
        assert_eq!(departures.next_timeout(at(999)), Some(at(1000)));
        assert_eq!(departures.due(at(999)), None);
        assert_eq!(departures.due(at(1000)), Some(9));
        assert_eq!(departures.next_timeout(at(1500)), Some(at(2000)));
        assert_eq!(departures.due(at(2000)), None, "nothing more came");
        assert_eq!(departures.next_timeout(at(2000)), None, "no timer without a reason");
        assert_eq!(departures.on_refused(at(2001), ERROR, 1), Some(1));
    }
}

//! Pings of the application that are not answered yet.

use rustc_hash::FxHashMap;

use crate::SessionNumber;

/// Tokens of the application and those of the core, by each other.
#[derive(Default)]
pub(super) struct Pings {
    by_core: FxHashMap<(SessionNumber, u64), u64>,
    by_application: FxHashMap<(SessionNumber, u64), u64>,
}

impl Pings {
    /// The application's `token` stands for the core's `sent`.
    pub(super) fn insert(&mut self, session: SessionNumber, token: u64, sent: u64) {
        self.by_core.insert((session, sent), token);
        self.by_application.insert((session, token), sent);
    }

    /// The application's token of a ping that the core has an answer to.
    pub(super) fn answered(&mut self, session: SessionNumber, sent: u64) -> Option<u64> {
        let token = self.by_core.remove(&(session, sent))?;
        self.by_application.remove(&(session, token));
        Some(token)
    }

    /// The core's token of a ping that the application gives up.
    pub(super) fn cancel(&mut self, session: SessionNumber, token: u64) -> Option<u64> {
        let sent = self.by_application.remove(&(session, token))?;
        self.by_core.remove(&(session, sent));
        Some(sent)
    }

    /// The session is no more.
    pub(super) fn end(&mut self, session: SessionNumber) {
        self.by_core.retain(|(of, _), _| *of != session);
        self.by_application.retain(|(of, _), _| *of != session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: SessionNumber = SessionNumber(1);
    const TWO: SessionNumber = SessionNumber(2);

    fn entries(pings: &Pings) -> (usize, usize) {
        (pings.by_core.len(), pings.by_application.len())
    }

    #[test]
    fn what_is_answered_given_up_or_of_a_session_that_ended_is_held_no_more() {
        let mut pings = Pings::default();
        for number in 0..4 {
            pings.insert(ONE, 100 + number, number);
            pings.insert(TWO, 100 + number, number);
        }
        assert_eq!(pings.answered(ONE, 0), Some(100));
        assert_eq!(pings.answered(ONE, 0), None, "once");
        assert_eq!(pings.cancel(ONE, 101), Some(1));
        assert_eq!(pings.cancel(ONE, 101), None, "once");
        assert_eq!(pings.answered(ONE, 1), None, "nobody waits for it");
        assert_eq!(pings.cancel(ONE, 100), None, "it was answered");
        assert_eq!(entries(&pings), (6, 6));
        pings.end(TWO);
        assert_eq!(entries(&pings), (2, 2));
        assert_eq!(pings.answered(TWO, 2), None);
        pings.end(ONE);
        assert_eq!(entries(&pings), (0, 0));
    }
}

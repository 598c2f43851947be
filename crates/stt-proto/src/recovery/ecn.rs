//! Whether a path carries ECN marks, and what its counts say (RFC 9000 section 13.4).

/// Packets received with each mark, as an ACK reports them (RFC 9000 19.3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct EcnCounts {
    /// Packets marked ECT(0).
    pub(crate) ect0: u64,
    /// Packets marked ECT(1).
    pub(crate) ect1: u64,
    /// Packets marked CE: the network is congested.
    pub(crate) ce: u64,
}

/// Packets that are marked before anything is known of the path (RFC 9000 A.4).
const TEST_PACKETS: u64 = 10;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// The first packets are marked, and none was acknowledged yet.
    Testing,
    /// The counts of the peer fit what was sent.
    Capable,
    /// The path strips or rewrites the marks, the peer doesn't report them, or we don't want them.
    Off,
}

/// What ECN feedback told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum EcnVerdict {
    /// Nothing to react to.
    Quiet,
    /// The CE count rose: a congestion event (RFC 9002 7.1).
    Congestion,
}

/// Validation of ECN on one path. Counts are those of the packet number space (RFC 9000 19.3.2), so
/// that they go on when the path changes, with or without this side knowing; what the path before
/// had sent and seen is handed on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EcnValidator {
    state: State,
    /// Packets sent with ECT(0) in the session.
    sent: u64,
    /// Those of them that tested this path.
    tested: u64,
    lost: u64,
    seen: EcnCounts,
    /// Another path is in use: what an ACK counts is not of this one.
    left: bool,
}

impl EcnValidator {
    /// A path whose packets are to be marked, if `enabled` and as long as validation holds.
    pub(crate) fn new(enabled: bool) -> Self {
        let state = if enabled { State::Testing } else { State::Off };
        Self { state, sent: 0, tested: 0, lost: 0, seen: EcnCounts::default(), left: false }
    }

    /// Whether the next packet is to be marked ECT(0).
    pub(crate) fn mark(&self) -> bool {
        match self.state {
            State::Testing => self.tested < TEST_PACKETS,
            State::Capable => true,
            State::Off => false,
        }
    }

    /// Whether the path was found to carry marks.
    #[cfg(test)]
    pub(crate) fn capable(&self) -> bool {
        self.state == State::Capable
    }

    /// A packet marked ECT(0) was sent.
    pub(crate) fn on_sent(&mut self) {
        self.sent += 1;
        self.tested = self.tested.saturating_add(1);
    }

    /// Another path is in use from now on, and goes on from these counts.
    pub(crate) fn hand_over_to(&mut self, other: &mut Self) {
        (other.sent, other.seen, other.left) = (self.sent, self.seen, false);
        self.left = true;
    }

    /// A packet marked ECT(0) was lost. A path that swallows all of them is not asked again (RFC
    /// 9000 13.4.2).
    pub(crate) fn on_lost(&mut self) {
        self.lost += 1;
        if self.state == State::Testing && self.lost >= TEST_PACKETS {
            self.state = State::Off;
        }
    }

    /// An ACK raised the largest number acknowledged on this path, acknowledged `newly` packets that
    /// were marked ECT(0), and brought `counts` (RFC 9000 13.4.2.1).
    pub(crate) fn on_ack(&mut self, newly: u64, counts: Option<EcnCounts>) -> EcnVerdict {
        if self.left || self.state == State::Off || (newly == 0 && counts.is_none()) {
            return EcnVerdict::Quiet;
        }
        let Some(counts) = counts else {
            self.state = State::Off;
            return EcnVerdict::Quiet;
        };
        let rise = |new: u64, old: u64| new.checked_sub(old);
        let (Some(ect0), Some(ect1), Some(ce)) = (
            rise(counts.ect0, self.seen.ect0),
            rise(counts.ect1, self.seen.ect1),
            rise(counts.ce, self.seen.ce),
        ) else {
            self.state = State::Off;
            return EcnVerdict::Quiet;
        };
        let reported = counts.ect0.saturating_add(counts.ce);
        if ect0.saturating_add(ce) < newly || ect1 > 0 || reported > self.sent {
            self.state = State::Off;
            return EcnVerdict::Quiet;
        }
        self.seen = counts;
        if newly > 0 {
            self.state = State::Capable;
        }
        if ce > 0 { EcnVerdict::Congestion } else { EcnVerdict::Quiet }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(ect0: u64, ce: u64) -> Option<EcnCounts> {
        Some(EcnCounts { ect0, ect1: 0, ce })
    }

    fn tested() -> EcnValidator {
        let mut ecn = EcnValidator::new(true);
        (0..10).for_each(|_| ecn.on_sent());
        ecn
    }

    #[test]
    fn ten_packets_try_the_path() {
        let mut ecn = tested();
        assert!(!ecn.mark());
        assert_eq!(ecn.on_ack(4, counts(4, 0)), EcnVerdict::Quiet);
        assert!(ecn.capable() && ecn.mark());
        assert_eq!(ecn.on_ack(2, counts(5, 1)), EcnVerdict::Congestion);
        assert_eq!(ecn.on_ack(0, counts(5, 1)), EcnVerdict::Quiet);
    }

    #[test]
    fn counts_that_cannot_be_true_switch_it_off() {
        for wrong in
            [None, counts(3, 0), counts(11, 0), Some(EcnCounts { ect0: 4, ect1: 1, ce: 0 })]
        {
            let mut ecn = tested();
            assert_eq!(ecn.on_ack(4, wrong), EcnVerdict::Quiet);
            assert!(!ecn.mark() && !ecn.capable(), "{wrong:?}");
        }
        let mut ecn = tested();
        ecn.on_ack(4, counts(4, 0));
        assert_eq!(ecn.on_ack(1, counts(2, 3)), EcnVerdict::Quiet, "a count went down");
        assert!(!ecn.mark());
    }

    #[test]
    fn counts_go_on_where_the_next_path_begins() {
        let mut old = tested();
        old.on_ack(10, counts(10, 0));
        let mut new = EcnValidator::new(true);
        old.hand_over_to(&mut new);
        assert!(new.mark(), "each path is tested for itself");
        (0..10).for_each(|_| new.on_sent());
        assert!(!new.mark());
        // A late ACK of the path before counts packets of both.
        assert_eq!(old.on_ack(1, counts(14, 1)), EcnVerdict::Quiet);
        assert_eq!(new.on_ack(4, counts(14, 0)), EcnVerdict::Quiet);
        assert!(new.capable() && old.capable());
        assert_eq!(new.on_ack(2, counts(15, 1)), EcnVerdict::Congestion);
        // And back again.
        new.hand_over_to(&mut old);
        old.on_sent();
        assert_eq!(old.on_ack(1, counts(16, 1)), EcnVerdict::Quiet);
        assert!(old.mark());
        let mut bleaches = EcnValidator::new(true);
        old.hand_over_to(&mut bleaches);
        bleaches.on_sent();
        assert_eq!(bleaches.on_ack(1, counts(16, 1)), EcnVerdict::Quiet);
        assert!(!bleaches.mark(), "nothing was counted of what arrived");
    }

    #[test]
    fn a_path_that_swallows_marked_packets_gets_no_more() {
        let mut ecn = tested();
        (0..10).for_each(|_| ecn.on_lost());
        assert_eq!(ecn.on_ack(1, counts(1, 0)), EcnVerdict::Quiet);
        assert!(!ecn.mark());
    }

    #[test]
    fn losses_end_only_a_test_and_only_when_they_are_as_many_as_it_sends() {
        let mut ecn = tested();
        (0..9).for_each(|_| ecn.on_lost());
        assert_eq!(ecn.on_ack(1, counts(1, 0)), EcnVerdict::Quiet);
        assert!(ecn.capable(), "one of ten arrived");
        (0..100).for_each(|_| ecn.on_lost());
        assert!(ecn.mark(), "a path that was found to carry marks may lose what it likes");
    }

    #[test]
    fn an_ack_of_unmarked_packets_needs_no_counts_and_may_bring_some() {
        let mut ecn = tested();
        assert_eq!(ecn.on_ack(0, None), EcnVerdict::Quiet);
        assert_eq!(ecn.on_ack(0, counts(0, 0)), EcnVerdict::Quiet);
        assert!(!ecn.capable(), "nothing marked was acknowledged yet");
        ecn.on_ack(4, counts(4, 0));
        assert_eq!(ecn.on_ack(0, None), EcnVerdict::Quiet);
        assert!(ecn.capable());
        assert_eq!(ecn.on_ack(0, counts(4, 1)), EcnVerdict::Congestion, "a mark alone");
        assert_eq!(ecn.on_ack(1, None), EcnVerdict::Quiet);
        assert!(!ecn.mark(), "marked packets acknowledged without counts");
    }
}

//! The states of BBR and the ways between them (draft-ietf-ccwg-bbr, section 5.3).

use core::time::Duration;

use super::super::super::delivery::RateSample;
use super::super::Acked;
use super::{Bbr, PROBE_RTT_DURATION};
use crate::time::Instant;

/// Rounds between probes at most, so that Reno flows beside get their turn (section 5.3.3.5.1).
const MAX_RENO_ROUNDS: u64 = 63;
/// The shortest wall-clock time between probes (section 5.3.3.5.1), to which up to a second is added.
const PROBE_WAIT: Duration = Duration::from_secs(2);

/// BBR.state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    /// Doubles the rate until the bandwidth no longer follows.
    Startup,
    /// Lets the queue that Startup made run empty.
    Drain,
    /// Cruises, and probes for more now and then.
    ProbeBw(Phase),
    /// Keeps little in flight for a moment to see the round-trip time of an empty queue.
    ProbeRtt,
}

/// The phases of ProbeBW (section 5.3.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Sends slower than it delivers, to empty the queue.
    Down,
    /// Sends as fast as it delivers.
    Cruise,
    /// Fills the pipe once before probing, so that losses of the probe are its own.
    Refill,
    /// Sends faster than it delivers, to see whether there is more.
    Up,
}

impl Phase {
    /// In hundredths.
    pub(super) fn pacing_gain(self) -> u64 {
        match self {
            Self::Down => 90,
            Self::Cruise | Self::Refill => 100,
            Self::Up => 125,
        }
    }
}

/// What the ACKs that come now tell of a probe (BBR.ack_phase).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AckPhase {
    Init,
    Refilling,
    ProbeStarting,
    ProbeFeedback,
    ProbeStopping,
}

impl Bbr {
    /// Whether losses are those of a probe, which the long-term bound answers (BBRIsProbingBW).
    pub(super) fn is_probing(&self) -> bool {
        matches!(self.mode, Mode::Startup | Mode::ProbeBw(Phase::Refill | Phase::Up))
    }

    /// BBRCheckStartupDone, and BBRCheckStartupHighLoss: rounds that lost too much end Startup too. Two
    /// in a row, since one may still be chance, and leaving too early costs many probes.
    pub(super) fn check_startup_done(&mut self, sample: &RateSample) {
        if self.mode != Mode::Startup {
            return;
        }
        if self.short.round_started {
            self.lossy_rounds = if self.short.overfull { self.lossy_rounds + 1 } else { 0 };
        }
        if self.lossy_rounds >= 2 && !sample.app_limited {
            self.full.reached = true;
            let least = self.bdp(self.max_bandwidth.get(), 100);
            self.inflight_long = Some(least.max(self.short.latest_inflight));
        }
        if self.full.reached {
            self.mode = Mode::Drain;
        }
    }

    /// BBRCheckDrainDone.
    pub(super) fn check_drain_done(&mut self, acked: &Acked<'_>) {
        if self.mode == Mode::Drain && acked.in_flight <= self.inflight(self.bandwidth(), 100) {
            self.start_down(acked.now);
        }
    }

    /// BBRStartProbeBW_DOWN.
    pub(super) fn start_down(&mut self, now: Instant) {
        self.short.reset_signals();
        self.probe.up_count = u64::MAX;
        // BBRPickProbeWait.
        self.probe.rounds = self.draw(now, 2);
        self.probe.wait = PROBE_WAIT + Duration::from_millis(self.draw(now, 1_000));
        self.probe.cycle_start = now;
        self.probe.ack_phase = AckPhase::ProbeStopping;
        self.rounds.restart(self.delivered);
        self.mode = Mode::ProbeBw(Phase::Down);
    }

    fn start_refill(&mut self) {
        self.short.reset_bounds();
        self.probe.up_rounds = 0;
        self.probe.up_acked = 0;
        self.probe.ack_phase = AckPhase::Refilling;
        self.rounds.restart(self.delivered);
        self.mode = Mode::ProbeBw(Phase::Refill);
    }

    fn start_up(&mut self, now: Instant, sample: &RateSample) {
        self.probe.samples = true;
        self.probe.ack_phase = AckPhase::ProbeStarting;
        self.rounds.restart(self.delivered);
        self.reset_full_bandwidth();
        self.full.bandwidth = sample.rate;
        self.probe.cycle_start = now;
        self.mode = Mode::ProbeBw(Phase::Up);
        self.raise_slope();
    }

    /// BBRUpdateProbeBWCyclePhase (section 5.3.3.6).
    pub(super) fn update_phase(&mut self, acked: &Acked<'_>, sample: &RateSample) {
        self.delivered = sample.total_delivered;
        if !self.full.reached {
            return;
        }
        self.adapt_long_term(acked, sample);
        let Mode::ProbeBw(phase) = self.mode else { return };
        if self.rounds.started {
            self.probe.rounds += 1;
        }
        match phase {
            Phase::Down | Phase::Cruise if self.is_time_to_probe(acked.now) => self.start_refill(),
            Phase::Down if self.is_time_to_cruise(acked) => {
                self.mode = Mode::ProbeBw(Phase::Cruise);
            }
            Phase::Refill if self.rounds.started => self.start_up(acked.now, sample),
            Phase::Up if self.is_time_to_go_down(acked, sample) => self.start_down(acked.now),
            _ => {}
        }
    }

    /// BBRIsTimeToProbeBW: after the wait, or as many rounds as Reno needs to regain a window.
    fn is_time_to_probe(&self, now: Instant) -> bool {
        let packets = self.bdp(self.bandwidth(), 100).min(self.window) / u64::from(self.mtu).max(1);
        now.saturating_duration_since(self.probe.cycle_start) > self.probe.wait
            || self.probe.rounds >= packets.min(MAX_RENO_ROUNDS)
    }

    fn is_time_to_cruise(&self, acked: &Acked<'_>) -> bool {
        self.inflight_with_headroom().is_none_or(|most| acked.in_flight <= most)
            && acked.in_flight <= self.inflight(self.max_bandwidth.get(), 100)
    }

    /// BBRIsTimeToGoDown: the bandwidth does not follow any more; or it did not for two rounds, and a
    /// quarter more than the path carries is in flight (which version 2 takes as enough).
    fn is_time_to_go_down(&mut self, acked: &Acked<'_>, sample: &RateSample) -> bool {
        if self.full.now {
            return true;
        }
        let held_back = !acked.app_limited && self.inflight_long.is_some_and(|l| self.window >= l);
        if held_back {
            // The bound, not the path, limits: its growth has to show first.
            self.reset_full_bandwidth();
            self.full.bandwidth = sample.rate;
        }
        let most = self.inflight(self.max_bandwidth.get(), 125) + self.aggregation.get();
        self.full.rounds >= 2 && acked.in_flight > most
    }

    /// BBRCheckProbeRTT (section 5.3.4).
    pub(super) fn check_probe_rtt(&mut self, acked: &Acked<'_>, sample: &RateSample) {
        if self.mode != Mode::ProbeRtt && self.min_rtt.expired && !self.idle_restart {
            self.prior_window = self.prior_window.max(self.window);
            self.mode = Mode::ProbeRtt;
            self.probe_rtt_done = None;
            self.probe.ack_phase = AckPhase::ProbeStopping;
            self.rounds.restart(sample.total_delivered);
        }
        if self.mode != Mode::ProbeRtt {
            return;
        }
        if self.probe_rtt_done.is_none() {
            if acked.in_flight <= self.probe_rtt_window() {
                self.probe_rtt_done = Some(acked.now + PROBE_RTT_DURATION);
                self.probe_rtt_round_done = false;
                self.rounds.restart(sample.total_delivered);
            }
            return;
        }
        self.probe_rtt_round_done |= self.rounds.started;
        if self.probe_rtt_round_done {
            self.check_probe_rtt_done(acked.now);
        }
    }

    /// BBRCheckProbeRTTDone and BBRExitProbeRTT.
    pub(super) fn check_probe_rtt_done(&mut self, now: Instant) {
        if self.probe_rtt_done.is_none_or(|done| now <= done) {
            return;
        }
        self.min_rtt.refresh(now);
        self.window = self.window.max(core::mem::take(&mut self.prior_window));
        self.short.reset_bounds();
        if self.full.reached {
            self.start_down(now);
            self.mode = Mode::ProbeBw(Phase::Cruise);
        } else {
            self.mode = Mode::Startup;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::numbers::{RTT, acked, at, measured, round_trip, sample};
    use super::*;

    /// A controller whose pipe of 500 000 bytes is known, in a phase of its probing.
    fn probing(phase: Phase) -> Bbr {
        let mut bbr = measured(10_000_000, RTT);
        (bbr.mode, bbr.full.reached, bbr.window) = (Mode::ProbeBw(phase), true, 1_000_000);
        (bbr.probe.wait, bbr.probe.cycle_start) = (PROBE_WAIT, at(0));
        bbr
    }

    /// The phase after an ACK at `now` that leaves `in_flight`.
    fn after(bbr: &mut Bbr, now: Instant, in_flight: u64) -> Mode {
        let rtt = round_trip(RTT);
        let acked = Acked { in_flight, ..acked(&rtt, now, 1_000, sample(1)) };
        bbr.update_phase(&acked, &sample(1));
        bbr.mode
    }

    #[test]
    fn losses_are_a_probes_in_startup_refill_and_up() {
        let mut bbr = measured(1, RTT);
        let mut is_probing = |mode| {
            bbr.mode = mode;
            bbr.is_probing()
        };
        assert!(is_probing(Mode::Startup));
        assert!(is_probing(Mode::ProbeBw(Phase::Refill)) && is_probing(Mode::ProbeBw(Phase::Up)));
        assert!(!is_probing(Mode::Drain) && !is_probing(Mode::ProbeRtt));
        assert!(!is_probing(Mode::ProbeBw(Phase::Down)));
        assert!(!is_probing(Mode::ProbeBw(Phase::Cruise)));
    }

    #[test]
    fn two_lossy_rounds_in_a_row_end_startup() {
        let mut bbr = measured(10_000_000, RTT);
        let mut round = |ended, overfull, app_limited| {
            (bbr.short.round_started, bbr.short.overfull) = (ended, overfull);
            bbr.check_startup_done(&RateSample { app_limited, ..sample(1) });
            (bbr.mode, bbr.inflight_long)
        };
        assert_eq!(round(true, true, false), (Mode::Startup, None));
        assert_eq!(round(true, false, false), (Mode::Startup, None), "one may be chance");
        assert_eq!(round(true, true, false), (Mode::Startup, None));
        assert_eq!(round(false, true, false), (Mode::Startup, None), "the same round");
        assert_eq!(round(true, true, true), (Mode::Startup, None), "the application's pace");
        assert_eq!(round(false, true, false), (Mode::Drain, Some(500_000)), "the pipe at least");
        assert!(bbr.full.reached);

        let mut more = measured(10_000_000, RTT);
        (more.lossy_rounds, more.short.latest_inflight) = (2, 600_000);
        more.check_startup_done(&sample(1));
        assert_eq!(more.inflight_long, Some(600_000), "or what arrived");

        let mut full = measured(10_000_000, RTT);
        full.full.reached = true;
        full.check_startup_done(&sample(1));
        assert_eq!((full.mode, full.inflight_long), (Mode::Drain, None));

        let mut later = probing(Phase::Cruise);
        later.lossy_rounds = 2;
        later.check_startup_done(&sample(1));
        assert_eq!((later.mode, later.inflight_long), (Mode::ProbeBw(Phase::Cruise), None));
    }

    #[test]
    fn the_queue_of_startup_is_drained_once_no_more_than_the_pipe_is_in_flight() {
        let rtt = round_trip(RTT);
        let drained = |mode, in_flight| {
            let mut bbr = measured(10_000_000, RTT);
            bbr.mode = mode;
            bbr.check_drain_done(&Acked { in_flight, ..acked(&rtt, at(9), 1_000, sample(1)) });
            bbr.mode
        };
        assert_eq!(drained(Mode::Drain, 500_001), Mode::Drain);
        assert_eq!(drained(Mode::Drain, 500_000), Mode::ProbeBw(Phase::Down));
        assert_eq!(drained(Mode::Startup, 0), Mode::Startup);
    }

    #[test]
    fn the_way_down_draws_when_to_probe_again() {
        let mut rounds = [false; 2];
        for ms in 0..100 {
            let mut bbr = probing(Phase::Up);
            (bbr.delivered, bbr.probe.up_count, bbr.short.latest_inflight) = (77, 5, 9);
            bbr.start_down(at(ms));
            assert!((Duration::from_secs(2)..Duration::from_secs(3)).contains(&bbr.probe.wait));
            rounds[usize::try_from(bbr.probe.rounds).unwrap()] = true;
            assert_eq!((bbr.probe.cycle_start, bbr.probe.up_count), (at(ms), u64::MAX));
            assert_eq!(bbr.probe.ack_phase, AckPhase::ProbeStopping);
            assert_eq!((bbr.mode, bbr.short.latest_inflight), (Mode::ProbeBw(Phase::Down), 0));
        }
        assert_eq!(rounds, [true; 2], "with a head start of a round, or without");
    }

    #[test]
    fn a_probe_comes_after_its_wait_or_as_many_rounds_as_reno_needs() {
        for phase in [Phase::Down, Phase::Cruise] {
            // Too much in flight for the way from Down to Cruise.
            let probes = |now, rounds, window| {
                let mut bbr = probing(phase);
                (bbr.probe.rounds, bbr.window) = (rounds, window);
                (bbr.short.bandwidth, bbr.probe.up_rounds) = (Some(9_000_000), 7);
                let probes = after(&mut bbr, now, 900_000) == Mode::ProbeBw(Phase::Refill);
                if probes {
                    assert_eq!((bbr.short.bandwidth, bbr.probe.up_rounds), (None, 0));
                    assert_eq!(bbr.probe.ack_phase, AckPhase::Refilling);
                }
                probes
            };
            assert!(!probes(at(2_000), 0, 1_000_000));
            assert!(probes(at(2_001), 0, 1_000_000));
            assert!(!probes(at(1), 62, 1_000_000));
            assert!(probes(at(1), 63, 1_000_000));
            assert!(!probes(at(1), 29, 30_000));
            assert!(probes(at(1), 30, 30_000), "a small window is regained sooner");
        }
        let mut counted = probing(Phase::Cruise);
        (counted.probe.rounds, counted.rounds.started) = (62, true);
        assert_eq!(after(&mut counted, at(1), 0), Mode::ProbeBw(Phase::Refill));
    }

    #[test]
    fn down_becomes_cruise_once_the_queue_is_empty_and_the_headroom_free() {
        let cruises = |in_flight, long| {
            let mut bbr = probing(Phase::Down);
            bbr.inflight_long = long;
            after(&mut bbr, at(1), in_flight) == Mode::ProbeBw(Phase::Cruise)
        };
        assert!(!cruises(500_001, None));
        assert!(cruises(500_000, None));
        assert!(!cruises(340_001, Some(400_000)));
        assert!(cruises(340_000, Some(400_000)));
        assert!(!cruises(500_001, Some(900_000)));
        let mut startup = probing(Phase::Down);
        startup.full.reached = false;
        assert_eq!(after(&mut startup, at(1), 0), Mode::ProbeBw(Phase::Down));
    }

    #[test]
    fn the_pipe_is_filled_for_a_round_and_then_probed() {
        let mut bbr = probing(Phase::Refill);
        assert_eq!(after(&mut bbr, at(7), 0), Mode::ProbeBw(Phase::Refill), "within the round");
        bbr.rounds.started = true;
        (bbr.full.now, bbr.full.rounds) = (true, 3);
        assert_eq!(after(&mut bbr, at(8), 0), Mode::ProbeBw(Phase::Up));
        assert!(bbr.probe.samples && bbr.full.reached && !bbr.full.now);
        assert_eq!((bbr.full.bandwidth, bbr.full.rounds), (1, 0));
        assert_eq!(bbr.probe.ack_phase, AckPhase::ProbeStarting);
        assert_eq!((bbr.probe.cycle_start, bbr.probe.up_count), (at(8), 1_000_000));
    }

    #[test]
    fn a_probe_ends_when_the_bandwidth_does_not_follow() {
        let ended = |now, rounds, in_flight| {
            let mut bbr = probing(Phase::Up);
            (bbr.full.now, bbr.full.rounds) = (now, rounds);
            after(&mut bbr, at(1), in_flight) == Mode::ProbeBw(Phase::Down)
        };
        assert!(ended(true, 0, 0));
        // A quarter more than the pipe, and the two packets of a probe.
        assert!(!ended(false, 2, 627_000));
        assert!(ended(false, 2, 627_001));
        assert!(!ended(false, 1, 900_000));
    }

    #[test]
    fn a_probe_that_its_own_bound_holds_back_begins_anew() {
        let rtt = round_trip(RTT);
        let rounds = |window, long, app_limited| {
            let mut bbr = probing(Phase::Up);
            (bbr.window, bbr.inflight_long) = (window, Some(long));
            (bbr.full.rounds, bbr.full.bandwidth) = (2, 7);
            let acked =
                Acked { app_limited, in_flight: 900_000, ..acked(&rtt, at(1), 1_000, sample(1)) };
            let down = bbr.is_time_to_go_down(&acked, &sample(1));
            (down, bbr.full.rounds, bbr.full.bandwidth)
        };
        assert_eq!(rounds(600_000, 600_000, false), (false, 0, 1));
        assert_eq!(rounds(599_999, 600_000, false), (true, 2, 7));
        assert_eq!(rounds(600_000, 600_000, true), (true, 2, 7));
    }

    #[test]
    fn a_shortest_round_trip_unseen_for_long_is_looked_for_with_little_in_flight() {
        let rtt = round_trip(RTT);
        let mut bbr = probing(Phase::Cruise);
        let check = |bbr: &mut Bbr, now, in_flight, round| {
            bbr.rounds.started = round;
            let sample = sample(1);
            bbr.check_probe_rtt(&Acked { in_flight, ..acked(&rtt, now, 1_000, sample) }, &sample);
            bbr.mode
        };
        assert_eq!(check(&mut bbr, at(1), 0, false), Mode::ProbeBw(Phase::Cruise));
        bbr.min_rtt.expired = true;
        bbr.idle_restart = true;
        assert_eq!(check(&mut bbr, at(1), 0, false), Mode::ProbeBw(Phase::Cruise), "a pause does");
        bbr.idle_restart = false;
        assert_eq!(check(&mut bbr, at(10), 250_001, false), Mode::ProbeRtt);
        assert_eq!((bbr.prior_window, bbr.probe_rtt_done), (1_000_000, None));
        assert_eq!(bbr.probe.ack_phase, AckPhase::ProbeStopping);
        check(&mut bbr, at(20), 250_000, false);
        assert_eq!(bbr.probe_rtt_done, Some(at(220)), "two tenths of a second from here");
        bbr.window = 250_000;
        assert_eq!(check(&mut bbr, at(221), 1, false), Mode::ProbeRtt, "no round has ended");
        assert_eq!(check(&mut bbr, at(220), 1, true), Mode::ProbeRtt, "nor the time");
        (bbr.short.bandwidth, bbr.min_rtt.expired) = (Some(1), false);
        assert_eq!(check(&mut bbr, at(221), 1, false), Mode::ProbeBw(Phase::Cruise));
        assert_eq!((bbr.window, bbr.prior_window, bbr.short.bandwidth), (1_000_000, 0, None));
        assert_eq!(bbr.probe.cycle_start, at(221));
    }
}

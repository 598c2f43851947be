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
            self.lossy_rounds = if self.short.congested { self.lossy_rounds + 1 } else { 0 };
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

//! BBR, after version 3 (draft-ietf-ccwg-bbr; section numbers are of its revision 04): an option for
//! paths that lose packets at random.
//!
//! CUBIC takes every loss for a full queue. BBR measures how fast the path delivers and how long it
//! takes when its queue is empty, paces by the one, bounds the flight by the product of both, and probes
//! for more now and then. Losses bound the flight only when they are more than chance explains
//! ([`loss`]); that is this controller's one departure from the draft, which counts single packets.

mod loss;
mod model;
#[cfg(test)]
mod numbers;
mod phases;
#[cfg(test)]
mod tests;

use core::time::Duration;

use super::super::delivery::RateSample;
use super::{Acked, Congestion, Controller, initial_window, window_for_mtu};
use crate::time::Instant;
use loss::is_excessive;
use model::{Aggregation, MaxBandwidth, MinRtt, Rounds, ShortTerm, bytes_in, cut};
use phases::{AckPhase, Mode, Phase};

/// BBRStartupPacingGain = 4 ln 2 (section 2.4), in hundredths like all gains here.
const STARTUP_PACING_GAIN: u64 = 277;
/// BBRDrainPacingGain (section 2.4).
const DRAIN_PACING_GAIN: u64 = 50;
/// BBRDefaultCwndGain (section 2.4).
const WINDOW_GAIN: u64 = 200;
/// The window gain of ProbeBW_UP (section 5.6.4).
const UP_WINDOW_GAIN: u64 = 225;
/// BBRProbeRTTCwndGain (section 2.7).
const PROBE_RTT_WINDOW_GAIN: u64 = 50;
/// BBRPacingMarginPercent (section 2.4): paced a little below the estimate.
const PACING_MARGIN_PERCENT: u64 = 1;
/// BBRHeadroom (section 2.4): percent of the flight left to others while cruising.
const HEADROOM_PERCENT: u64 = 15;
/// BBRMinPipeCwnd in packets (section 2.4).
const MIN_PIPE_PACKETS: u64 = 4;
/// ProbeRTTDuration (section 2.7).
const PROBE_RTT_DURATION: Duration = Duration::from_millis(200);

/// What the losses of an episode took, to give back should they turn out to be none.
#[derive(Clone, Copy, Debug)]
struct Undo {
    inflight_long: Option<u64>,
    bandwidth_short: Option<u64>,
    inflight_short: Option<u64>,
}

/// The BBR controller.
#[derive(Clone, Debug)]
pub(crate) struct Bbr {
    mtu: u16,
    mode: Mode,
    window: u64,
    /// The window to return to after ProbeRTT.
    prior_window: u64,
    pacing_rate: Option<u64>,
    rounds: Rounds,
    max_bandwidth: MaxBandwidth,
    min_rtt: MinRtt,
    aggregation: Aggregation,
    short: ShortTerm,
    /// BBR.inflight_longterm: the largest flight that the path bore; `None` is infinity.
    inflight_long: Option<u64>,
    /// The latest round trip, without what the peer held its ACK back, took a quarter longer than the
    /// shortest: what is lost now was most likely lost to a full queue.
    queue_stands: bool,
    full: FullBandwidth,
    /// Rounds of Startup in a row that lost too much.
    lossy_rounds: u8,
    probe: Probe,
    /// C.delivered as of the latest ACK.
    delivered: u64,
    probe_rtt_done: Option<Instant>,
    probe_rtt_round_done: bool,
    idle_restart: bool,
    recovery_start: Option<Instant>,
    undo: Option<Undo>,
    /// Decides when to probe; drawn from the times seen, so that a run can be repeated.
    noise: u64,
}

/// Whether the bandwidth still grows (section 5.3.1.2).
#[derive(Clone, Copy, Debug, Default)]
struct FullBandwidth {
    /// BBR.full_bw_reached: Startup is over for good.
    reached: bool,
    /// BBR.full_bw_now.
    now: bool,
    bandwidth: u64,
    rounds: u8,
}

/// The state of bandwidth probing (section 5.3.3).
#[derive(Clone, Copy, Debug)]
struct Probe {
    cycle_start: Instant,
    wait: Duration,
    rounds: u64,
    ack_phase: AckPhase,
    /// BBR.bw_probe_samples: losses seen now are those of a probe.
    samples: bool,
    up_rounds: u32,
    up_acked: u64,
    /// Bytes acknowledged for each packet that the long-term bound rises by.
    up_count: u64,
}

impl Bbr {
    /// A controller for packets of `mtu` bytes.
    pub(crate) fn new(mtu: u16) -> Self {
        Self {
            mtu,
            mode: Mode::Startup,
            window: initial_window(mtu),
            prior_window: 0,
            pacing_rate: None,
            rounds: Rounds::default(),
            max_bandwidth: MaxBandwidth::default(),
            min_rtt: MinRtt::new(),
            aggregation: Aggregation::default(),
            short: ShortTerm::default(),
            inflight_long: None,
            queue_stands: false,
            full: FullBandwidth::default(),
            lossy_rounds: 0,
            probe: Probe {
                cycle_start: Instant::default(),
                wait: Duration::ZERO,
                rounds: 0,
                ack_phase: AckPhase::Init,
                samples: false,
                up_rounds: 0,
                up_acked: 0,
                up_count: u64::MAX,
            },
            delivered: 0,
            probe_rtt_done: None,
            probe_rtt_round_done: false,
            idle_restart: false,
            recovery_start: None,
            undo: None,
            noise: 0,
        }
    }

    /// BBR.bw: the bandwidth to use.
    fn bandwidth(&self) -> u64 {
        let max = self.max_bandwidth.get();
        self.short.bandwidth.map_or(max, |bound| bound.min(max))
    }

    /// BBRBDPMultiple of `bandwidth`: what is in flight when nothing queues, times a gain.
    fn bdp(&self, bandwidth: u64, gain: u64) -> u64 {
        match self.min_rtt.get() {
            Some(rtt) if bandwidth > 0 => bytes_in(bandwidth, rtt).saturating_mul(gain) / 100,
            _ => initial_window(self.mtu),
        }
    }

    /// BBRInflight, with the packets that bulk sending and bulk ACKs hold (section 5.6.4.2).
    fn inflight(&self, bandwidth: u64, gain: u64) -> u64 {
        let mtu = u64::from(self.mtu);
        let up = if self.mode == Mode::ProbeBw(Phase::Up) { 2 * mtu } else { 0 };
        // Three quanta of what the pacer lets go at once, a millisecond each.
        let quanta = 3 * bytes_in(bandwidth, Duration::from_millis(1)).max(2 * mtu);
        self.bdp(bandwidth, gain).max(quanta).max(self.min_pipe()) + up
    }

    fn min_pipe(&self) -> u64 {
        MIN_PIPE_PACKETS * u64::from(self.mtu)
    }

    /// BBRInflightWithHeadroom.
    fn inflight_with_headroom(&self) -> Option<u64> {
        let long = self.inflight_long?;
        let headroom = (long / 100 * HEADROOM_PERCENT).max(u64::from(self.mtu));
        Some(long.saturating_sub(headroom).max(self.min_pipe()))
    }

    fn pacing_gain(&self) -> u64 {
        match self.mode {
            Mode::Startup => STARTUP_PACING_GAIN,
            Mode::Drain => DRAIN_PACING_GAIN,
            Mode::ProbeRtt => 100,
            Mode::ProbeBw(phase) => phase.pacing_gain(),
        }
    }

    fn window_gain(&self) -> u64 {
        match self.mode {
            Mode::ProbeBw(Phase::Up) => UP_WINDOW_GAIN,
            Mode::ProbeRtt => PROBE_RTT_WINDOW_GAIN,
            _ => WINDOW_GAIN,
        }
    }

    /// BBRSetPacingRate (section 5.6.2).
    fn set_pacing_rate(&mut self, gain: u64, rtt: Duration) {
        let bandwidth = match self.bandwidth() {
            // Nothing was measured yet: the initial window in a round trip.
            0 => {
                let nanos = rtt.as_nanos().max(1);
                let rate = u128::from(initial_window(self.mtu)) * 1_000_000_000 / nanos;
                u64::try_from(rate).unwrap_or(u64::MAX)
            }
            bandwidth => bandwidth,
        };
        let rate =
            u128::from(bandwidth) * u128::from(gain * (100 - PACING_MARGIN_PERCENT)) / 10_000;
        let rate = u64::try_from(rate).unwrap_or(u64::MAX).max(1);
        if self.full.reached || self.pacing_rate.is_none_or(|before| rate > before) {
            self.pacing_rate = Some(rate);
        }
    }

    /// BBRSetCwnd (section 5.6.4).
    fn set_window(&mut self, acked: &Acked<'_>, sample: &RateSample) {
        let most = self
            .inflight(self.bandwidth(), self.window_gain())
            .saturating_add(self.aggregation.get());
        if self.full.reached {
            self.window = self.window.saturating_add(acked.bytes).min(most);
        } else if self.window < most || sample.total_delivered < initial_window(self.mtu) {
            self.window = self.window.saturating_add(acked.bytes);
        }
        self.window = self.window.max(self.min_pipe());
        self.bound_window();
    }

    /// BBRBoundCwndForProbeRTT and BBRBoundCwndForModel.
    fn bound_window(&mut self) {
        let long = match self.mode {
            Mode::ProbeBw(Phase::Cruise) | Mode::ProbeRtt => self.inflight_with_headroom(),
            Mode::ProbeBw(_) => self.inflight_long,
            Mode::Startup | Mode::Drain => None,
        };
        let mut bound = long.unwrap_or(u64::MAX).min(self.short.inflight.unwrap_or(u64::MAX));
        if self.mode == Mode::ProbeRtt {
            bound = bound.min(self.probe_rtt_window());
        }
        self.window = self.window.min(bound.max(self.min_pipe()));
    }

    fn probe_rtt_window(&self) -> u64 {
        self.bdp(self.bandwidth(), PROBE_RTT_WINDOW_GAIN).max(self.min_pipe())
    }

    /// The flight that a probe showed to be too much (BBRHandleInflightTooHigh).
    fn on_inflight_too_high(&mut self, now: Instant, sent_in_flight: u64, app_limited: bool) {
        self.probe.samples = false;
        if !app_limited {
            let target = self.bdp(self.bandwidth(), 100).min(self.window);
            self.inflight_long = Some(if self.queue_stands {
                // So much that what cruising leaves of it still fills the pipe.
                cut(sent_in_flight).max(target.saturating_mul(100) / (100 - HEADROOM_PERCENT))
            } else {
                sent_in_flight.max(cut(target))
            });
        }
        if self.mode == Mode::ProbeBw(Phase::Up) {
            self.start_down(now);
        }
    }

    /// BBRAdaptLongTermModel (section 5.3.3.6).
    fn adapt_long_term(&mut self, acked: &Acked<'_>, sample: &RateSample) {
        if self.rounds.started {
            match self.probe.ack_phase {
                AckPhase::ProbeStarting => self.probe.ack_phase = AckPhase::ProbeFeedback,
                AckPhase::ProbeStopping => {
                    self.probe.samples = false;
                    self.probe.ack_phase = AckPhase::Init;
                    if matches!(self.mode, Mode::ProbeBw(_)) && !sample.app_limited {
                        self.max_bandwidth.advance();
                    }
                }
                AckPhase::Init | AckPhase::Refilling | AckPhase::ProbeFeedback => {}
            }
        }
        if self.probe.samples && is_excessive(sample.lost, sample.sent_in_flight, self.mtu) {
            self.on_inflight_too_high(acked.now, sample.sent_in_flight, sample.app_limited);
            return;
        }
        let Some(long) = self.inflight_long else { return };
        self.inflight_long = Some(long.max(sample.sent_in_flight));
        if self.mode == Mode::ProbeBw(Phase::Up) {
            self.probe_upward(acked);
        }
    }

    /// BBRProbeInflightLongtermUpward: by one packet a round, then two, then four.
    fn probe_upward(&mut self, acked: &Acked<'_>) {
        let Some(long) = self.inflight_long else { return };
        if !acked.app_limited && self.window >= long {
            self.probe.up_acked = self.probe.up_acked.saturating_add(acked.bytes);
            let packets = self.probe.up_acked / self.probe.up_count.max(1);
            self.probe.up_acked -= packets * self.probe.up_count.max(1);
            self.inflight_long = Some(long.saturating_add(packets * u64::from(self.mtu)));
        }
        if self.rounds.started {
            self.raise_slope();
        }
    }

    /// BBRRaiseInflightLongtermSlope.
    fn raise_slope(&mut self) {
        let growth = 1_u64 << self.probe.up_rounds;
        self.probe.up_rounds = (self.probe.up_rounds + 1).min(30);
        self.probe.up_count = (self.window / growth).max(u64::from(self.mtu));
    }

    /// BBRCheckFullBWReached (section 5.3.1.2): three rounds without growth by a quarter.
    fn check_full_bandwidth(&mut self, sample: &RateSample) {
        if self.full.now || !self.rounds.started || sample.app_limited {
            return;
        }
        if sample.rate >= self.full.bandwidth + self.full.bandwidth / 4 {
            self.full.bandwidth = sample.rate;
            self.full.rounds = 0;
            return;
        }
        self.full.rounds += 1;
        if self.full.rounds >= 3 {
            self.full.now = true;
            self.full.reached = true;
        }
    }

    fn reset_full_bandwidth(&mut self) {
        self.full = FullBandwidth { reached: self.full.reached, ..FullBandwidth::default() };
    }

    /// A number below `bound`, other at other times.
    fn draw(&mut self, now: Instant, bound: u64) -> u64 {
        // SplitMix64's finish over a running sum.
        self.noise = self.noise.wrapping_add(now.as_nanos()).wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.noise;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound.max(1)
    }
}

impl Controller for Bbr {
    /// BBRHandleRestartFromIdle (section 5.4.3): the pipe is empty, so there is nothing to drain and
    /// no reason to overshoot.
    fn on_idle_end(&mut self, now: Instant, _since: Instant) {
        self.idle_restart = true;
        self.aggregation.restart(now);
        match self.mode {
            Mode::ProbeBw(_) => {
                let rtt = self.min_rtt.get().unwrap_or_default();
                self.set_pacing_rate(100, rtt);
            }
            Mode::ProbeRtt => self.check_probe_rtt_done(now),
            Mode::Startup | Mode::Drain => {}
        }
    }

    fn on_ack(&mut self, acked: &Acked<'_>) {
        let Some(sample) = acked.sample else { return };
        self.rounds.update(&sample);
        self.short.update(&sample, self.mtu);
        self.max_bandwidth.update(&sample);
        if self.short.congested && !self.is_probing() {
            let max = self.max_bandwidth.get();
            let least = self.queue_stands.then(|| self.bdp(self.bandwidth(), 100));
            self.short.lower(max, self.window, least);
        }
        if let Some(sample) = acked.rtt_sample {
            self.queue_stands = self.min_rtt.get().is_some_and(|min| sample > min + min / 4);
        }
        let (max, round) = (self.max_bandwidth.get(), self.rounds.count);
        self.aggregation.update(acked.now, acked.bytes, max, round, self.window);
        self.check_full_bandwidth(&sample);
        self.check_startup_done(&sample);
        self.check_drain_done(acked);
        self.update_phase(acked, &sample);
        self.min_rtt.update(acked.now, acked.rtt_sample.map(|_| acked.rtt.latest()));
        self.check_probe_rtt(acked, &sample);
        self.short.advance(&sample);
        self.idle_restart &= sample.delivered == 0;
        self.set_pacing_rate(self.pacing_gain(), acked.rtt.smoothed());
        self.set_window(acked, &sample);
    }

    fn on_congestion(&mut self, event: &Congestion) -> bool {
        let new = self.recovery_start.is_none_or(|start| event.sent > start);
        if new {
            self.recovery_start = Some(event.now);
            self.undo = (!event.ecn).then_some(Undo {
                inflight_long: self.inflight_long,
                bandwidth_short: self.short.bandwidth,
                inflight_short: self.short.inflight,
            });
        }
        if event.ecn {
            self.short.on_mark();
            if self.probe.samples {
                self.on_inflight_too_high(event.now, self.window, false);
            }
        } else if event.persistent {
            // Nothing arrives: begin with the least, and fill up again as it does (section 5.6.4.4).
            self.undo = None;
            self.prior_window = self.prior_window.max(self.window);
            self.window = self.min_pipe();
        } else {
            self.short.on_lost(event.lost_bytes);
            if self.queue_stands {
                self.short.on_mark();
            }
            let flight = event.flight;
            let excessive =
                self.queue_stands || is_excessive(flight.lost, flight.in_flight, self.mtu);
            if self.probe.samples && excessive {
                self.on_inflight_too_high(event.now, flight.in_flight, false);
            }
        }
        new
    }

    fn on_spurious_congestion(&mut self) {
        let Some(undo) = self.undo.take() else { return };
        let larger = |now: Option<u64>, before: Option<u64>| match (now, before) {
            (Some(now), Some(before)) => Some(now.max(before)),
            _ => None,
        };
        self.inflight_long = larger(self.inflight_long, undo.inflight_long);
        self.short.bandwidth = larger(self.short.bandwidth, undo.bandwidth_short);
        self.short.inflight = larger(self.short.inflight, undo.inflight_short);
    }

    fn on_mtu_update(&mut self, mtu: u16) {
        self.window = window_for_mtu(self.window, self.mtu, mtu);
        self.mtu = mtu;
        self.window = self.window.max(self.min_pipe());
    }

    fn window(&self) -> u64 {
        self.window
    }

    fn slow_start_threshold(&self) -> Option<u64> {
        None
    }

    fn in_slow_start(&self) -> bool {
        self.mode == Mode::Startup
    }

    fn recovery_start(&self) -> Option<Instant> {
        self.recovery_start
    }

    fn pacing_rate(&self) -> Option<u64> {
        self.pacing_rate
    }

    fn wants_rate_samples(&self) -> bool {
        true
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
}

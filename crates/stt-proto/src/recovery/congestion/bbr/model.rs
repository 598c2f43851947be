//! What BBR knows of the path: its bandwidth, its round-trip time, and how much of it to use.

use core::time::Duration;

use super::super::super::delivery::RateSample;
use super::loss::is_excessive;
use crate::time::Instant;

/// MinRTTFilterLen (draft-ietf-ccwg-bbr, section 2.7).
const MIN_RTT_FILTER: Duration = Duration::from_secs(10);
/// ProbeRTTInterval (section 2.7).
const PROBE_RTT_INTERVAL: Duration = Duration::from_secs(5);
/// BBRExtraAckedFilterLen in rounds (section 2.5).
const EXTRA_ACKED_ROUNDS: u64 = 10;
/// BBRBeta = 0.7 (section 2.4), as a fraction.
const BETA: (u64, u64) = (7, 10);

/// Rounds counted in delivered bytes (section 4.3, BBRUpdateRound).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rounds {
    end: u64,
    pub(super) count: u64,
    pub(super) started: bool,
}

impl Rounds {
    /// The round that begins now ends with what is sent from here on.
    pub(super) fn restart(&mut self, delivered: u64) {
        self.end = delivered;
    }

    pub(super) fn update(&mut self, sample: &RateSample) {
        self.started = sample.prior_delivered >= self.end;
        if self.started {
            self.end = sample.total_delivered;
            self.count += 1;
        }
    }
}

/// BBR.MaxBwFilter: the largest rate of this and the previous probing cycle (section 5.5.6).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MaxBandwidth {
    previous: u64,
    current: u64,
}

impl MaxBandwidth {
    pub(super) fn get(self) -> u64 {
        self.previous.max(self.current)
    }

    pub(super) fn update(&mut self, sample: &RateSample) {
        if sample.rate >= self.get() || !sample.app_limited {
            self.current = self.current.max(sample.rate);
        }
    }

    /// A probing cycle ended. One without a sample takes nothing away.
    pub(super) fn advance(&mut self) {
        if self.current > 0 {
            self.previous = core::mem::take(&mut self.current);
        }
    }
}

/// BBR.min_rtt and BBR.probe_rtt_min_delay (section 5.5.7).
#[derive(Clone, Copy, Debug)]
pub(super) struct MinRtt {
    value: Option<Duration>,
    stamp: Instant,
    probe: Option<Duration>,
    probe_stamp: Instant,
    /// It is time to look for the round-trip time of an empty queue.
    pub(super) expired: bool,
}

impl MinRtt {
    pub(super) fn new() -> Self {
        let never = Instant::default();
        Self { value: None, stamp: never, probe: None, probe_stamp: never, expired: false }
    }

    pub(super) fn get(self) -> Option<Duration> {
        self.value
    }

    /// A sample within a sixteenth of the minimum confirms it: ProbeRTT, which costs some two percent
    /// of the bandwidth, is for paths whose queue never runs empty by itself.
    pub(super) fn update(&mut self, now: Instant, sample: Option<Duration>) {
        let confirms = |least: Option<Duration>| {
            sample.zip(least).is_some_and(|(rtt, least)| rtt <= least + least / 16)
        };
        if confirms(self.probe) {
            self.probe_stamp = now;
        }
        if confirms(self.value) {
            self.stamp = now;
        }
        self.expired = self.probe.is_some()
            && now.saturating_duration_since(self.probe_stamp) > PROBE_RTT_INTERVAL;
        let Some(rtt) = sample else { return };
        if self.probe.is_none_or(|probe| rtt < probe || self.expired) {
            self.probe = Some(rtt);
            self.probe_stamp = now;
        }
        let old = now.saturating_duration_since(self.stamp) > MIN_RTT_FILTER;
        let probe = self.probe.unwrap_or(rtt);
        if self.value.is_none_or(|value| probe < value || old) {
            self.value = Some(probe);
            self.stamp = self.probe_stamp;
        }
    }

    /// The queue was just seen empty (BBRCheckProbeRTTDone).
    pub(super) fn refresh(&mut self, now: Instant) {
        self.probe_stamp = now;
    }
}

/// BBR.extra_acked: how far deliveries run ahead of the bandwidth, because ACKs come in bulk (section
/// 5.5.9). The window has to cover it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Aggregation {
    start: Instant,
    acked: u64,
    max: [u64; 2],
    since_round: u64,
}

impl Aggregation {
    pub(super) fn get(&self) -> u64 {
        self.max[0].max(self.max[1])
    }

    pub(super) fn restart(&mut self, now: Instant) {
        self.start = now;
        self.acked = 0;
    }

    pub(super) fn update(
        &mut self,
        now: Instant,
        acked: u64,
        bandwidth: u64,
        round: u64,
        cap: u64,
    ) {
        let elapsed = now.saturating_duration_since(self.start);
        let mut expected = bytes_in(bandwidth, elapsed);
        if self.acked <= expected {
            self.restart(now);
            expected = 0;
        }
        self.acked += acked;
        let extra = self.acked.saturating_sub(expected).min(cap);
        if round.saturating_sub(self.since_round) >= EXTRA_ACKED_ROUNDS {
            self.max = [self.max[1], 0];
            self.since_round = round;
        }
        self.max[1] = self.max[1].max(extra);
    }
}

/// The short-term model and its signals: what the present round says against the long-term one
/// (sections 5.5.10.2 and 5.5.10.3).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ShortTerm {
    /// BBR.bw_shortterm; `None` is infinity.
    pub(super) bandwidth: Option<u64>,
    /// BBR.inflight_shortterm; `None` is infinity.
    pub(super) inflight: Option<u64>,
    round_end: u64,
    round_start_delivered: u64,
    /// A round of loss signals has just ended.
    pub(super) round_started: bool,
    pub(super) latest_bandwidth: u64,
    pub(super) latest_inflight: u64,
    lost: u64,
    marked: bool,
    /// The loss of the round that has just ended was more than chance, or the network marked it.
    pub(super) congested: bool,
}

impl ShortTerm {
    pub(super) fn on_lost(&mut self, bytes: u64) {
        self.lost += bytes;
    }

    pub(super) fn on_mark(&mut self) {
        self.marked = true;
    }

    /// Takes an ACK; judges the round if one ended (BBRUpdateLatestDeliverySignals).
    pub(super) fn update(&mut self, sample: &RateSample, mtu: u16) {
        self.latest_bandwidth = self.latest_bandwidth.max(sample.rate);
        self.latest_inflight = self.latest_inflight.max(sample.delivered);
        self.round_started = sample.prior_delivered >= self.round_end;
        self.congested = false;
        if self.round_started {
            self.round_end = sample.total_delivered;
            let delivered = sample.total_delivered - self.round_start_delivered;
            self.congested = self.marked || is_excessive(self.lost, self.lost + delivered, mtu);
            self.round_start_delivered = sample.total_delivered;
            self.lost = 0;
            self.marked = false;
        }
    }

    /// Lowers the bounds to what was delivered, at most by three tenths (BBRLossLowerBounds). With
    /// `least`, which stands for a full queue, the flight falls by three tenths down to that.
    pub(super) fn lower(&mut self, max_bandwidth: u64, window: u64, least: Option<u64>) {
        let bandwidth = self.bandwidth.unwrap_or(max_bandwidth);
        let inflight = self.inflight.unwrap_or(window);
        self.bandwidth = Some(self.latest_bandwidth.max(cut(bandwidth)));
        self.inflight = Some(least.unwrap_or(self.latest_inflight).max(cut(inflight)));
    }

    /// BBRAdvanceLatestDeliverySignals.
    pub(super) fn advance(&mut self, sample: &RateSample) {
        if self.round_started {
            self.latest_bandwidth = sample.rate;
            self.latest_inflight = sample.delivered;
        }
    }

    /// BBRResetShortTermModel.
    pub(super) fn reset_bounds(&mut self) {
        self.bandwidth = None;
        self.inflight = None;
    }

    /// BBRResetCongestionSignals.
    pub(super) fn reset_signals(&mut self) {
        self.lost = 0;
        self.marked = false;
        self.latest_bandwidth = 0;
        self.latest_inflight = 0;
    }
}

/// BBRBeta of `value`.
pub(super) fn cut(value: u64) -> u64 {
    value / BETA.1 * BETA.0
}

/// Bytes that `rate` bytes per second carry in `span`.
pub(super) fn bytes_in(rate: u64, span: Duration) -> u64 {
    let bytes = u128::from(rate) * span.as_nanos() / 1_000_000_000;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

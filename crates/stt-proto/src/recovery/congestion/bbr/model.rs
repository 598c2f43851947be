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

/// BBRStartupFullLossCnt (section 2.4): packets that a round of Startup has lost at least where its losses say
/// that the pipe is full. With fewer, chance alone ends Startup in one of some hundred transfers at 2 % of loss.
const STARTUP_LOST_PACKETS: u64 = 6;

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
    /// The same, of a round that lost so much that Startup may be at its end.
    pub(super) overfull: bool,
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
        (self.congested, self.overfull) = (false, false);
        if self.round_started {
            self.round_end = sample.total_delivered;
            let delivered = sample.total_delivered - self.round_start_delivered;
            self.congested = self.marked || is_excessive(self.lost, self.lost + delivered, mtu);
            let many = self.lost >= STARTUP_LOST_PACKETS * u64::from(mtu);
            self.overfull = self.congested && (self.marked || many);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn sample(prior_delivered: u64, total_delivered: u64) -> RateSample {
        RateSample {
            rate: 0,
            delivered: total_delivered - prior_delivered,
            prior_delivered,
            total_delivered,
            sent_in_flight: 0,
            lost: 0,
            app_limited: false,
        }
    }

    fn rate(rate: u64, app_limited: bool) -> RateSample {
        RateSample { rate, app_limited, ..sample(0, 1) }
    }

    #[test]
    fn a_round_ends_with_a_packet_sent_since_it_began() {
        let mut rounds = Rounds::default();
        let mut update = |prior, total| {
            rounds.update(&sample(prior, total));
            (rounds.started, rounds.count)
        };
        assert_eq!(update(0, 1_000), (true, 1));
        assert_eq!(update(999, 2_000), (false, 1));
        assert_eq!(update(1_000, 3_000), (true, 2));
        assert_eq!(update(2_999, 4_000), (false, 2));
        rounds.restart(5_000);
        rounds.update(&sample(4_999, 6_000));
        assert!(!rounds.started);
        rounds.update(&sample(5_000, 7_000));
        assert!(rounds.started);
    }

    #[test]
    fn the_bandwidth_is_the_largest_of_two_cycles() {
        let mut max = MaxBandwidth::default();
        max.update(&rate(10, false));
        max.update(&rate(7, false));
        assert_eq!(max.get(), 10);
        max.advance();
        max.update(&rate(9, true));
        assert_eq!(max.get(), 10, "a pace of the application's only proves more");
        max.update(&rate(5, false));
        max.advance();
        assert_eq!(max.get(), 5);
        max.advance();
        assert_eq!(max.get(), 5, "a cycle without a sample");
        max.update(&rate(5, true));
        max.update(&rate(3, false));
        max.advance();
        assert_eq!(max.get(), 5, "as much again at the application's pace");
        max.update(&rate(8, true));
        assert_eq!(max.get(), 8);
    }

    #[test]
    fn the_shortest_round_trip_is_looked_for_after_five_seconds_and_forgotten_after_ten() {
        let mut min = MinRtt::new();
        min.update(at(0), None);
        assert!(!min.expired && min.get().is_none());
        min.update(at(0), Some(ms(50)));
        min.update(at(5_000), Some(ms(60)));
        assert!(!min.expired);
        min.update(at(5_001), None);
        assert!(min.expired);
        min.update(at(5_001), Some(ms(60)));
        assert!(min.expired, "told once, to whoever probes");
        assert_eq!(min.get(), Some(ms(50)));
        min.update(at(10_000), Some(ms(60)));
        assert_eq!((min.get(), min.expired), (Some(ms(50)), false));
        min.update(at(10_001), Some(ms(60)));
        assert_eq!(min.get(), Some(ms(60)));
        min.update(at(10_002), Some(ms(40)));
        assert_eq!(min.get(), Some(ms(40)), "a shorter one at once");
        min.refresh(at(15_002));
        min.update(at(20_002), None);
        assert!(!min.expired);
        min.update(at(20_003), None);
        assert!(min.expired);
    }

    #[test]
    fn a_sixteenth_more_confirms_the_shortest() {
        let confirmed = |micros| {
            let mut min = MinRtt::new();
            min.update(at(0), Some(ms(64)));
            min.update(at(4_000), Some(Duration::from_micros(micros)));
            min.update(at(8_000), None);
            let kept = !min.expired;
            // And the minimum itself, which would be too old by then.
            min.update(at(10_500), Some(ms(90)));
            (kept, min.get())
        };
        assert_eq!(confirmed(68_000), (true, Some(ms(64))));
        assert_eq!(confirmed(68_001), (false, Some(ms(90))));
    }

    #[test]
    fn deliveries_ahead_of_the_bandwidth_are_counted_by_bursts() {
        let mut ahead = Aggregation::default();
        // A megabyte a second: a thousand bytes a millisecond.
        let mut update = |now, acked, round, cap| {
            ahead.update(at(now), acked, 1_000_000, round, cap);
            ahead.get()
        };
        assert_eq!(update(10, 5_000, 0, 99_000), 5_000, "a burst begins");
        assert_eq!(update(11, 3_000, 0, 99_000), 7_000, "8 000 where 1 000 were expected");
        assert_eq!(update(18, 7_500, 0, 99_000), 7_500, "as expected by now: another burst");
        assert_eq!(update(18, 90_000, 0, 60_000), 60_000, "never more than the window");
    }

    #[test]
    fn bursts_are_forgotten_in_two_steps_of_ten_rounds() {
        let mut ahead = Aggregation::default();
        let mut update = |now, acked, round| {
            ahead.update(at(now), acked, 1_000_000, round, 99_000);
            ahead.get()
        };
        assert_eq!(update(10, 9_000, 0), 9_000);
        assert_eq!(update(1_000, 100, 9), 9_000);
        assert_eq!(update(2_000, 100, 10), 9_000);
        assert_eq!(update(3_000, 200, 19), 9_000);
        assert_eq!(update(4_000, 100, 20), 200);
        let mut paused = Aggregation::default();
        paused.update(at(0), 5_000, 1_000_000, 0, 99_000);
        paused.restart(at(100));
        paused.update(at(100), 1_000, 1_000_000, 0, 99_000);
        assert_eq!(paused.get(), 5_000);
    }

    #[test]
    fn a_round_is_judged_by_its_losses_or_a_mark() {
        let mut short = ShortTerm::default();
        let mut judge = |lost, marked, prior, total| {
            short.on_lost(lost);
            if marked {
                short.on_mark();
            }
            short.update(&sample(prior, total), 1_000);
            (short.round_started, short.congested)
        };
        assert_eq!(judge(0, false, 0, 10_000), (true, false));
        // Ten packets of a hundred: far more than two, and it takes the end of the round.
        assert_eq!(judge(10_000, false, 9_999, 50_000), (false, false));
        assert_eq!(judge(0, false, 10_000, 100_000), (true, true));
        assert_eq!(judge(0, false, 100_000, 200_000), (true, false), "the next is another");
        assert_eq!(judge(0, true, 200_000, 300_000), (true, true));
        assert_eq!(judge(0, false, 300_000, 400_000), (true, false));
        // 4 packets of 104 are within what chance explains, of 8 they are not.
        assert_eq!(judge(4_000, false, 400_000, 500_000), (true, false));
        assert_eq!(judge(4_000, false, 500_000, 504_000), (true, true));
        short.on_lost(50_000);
        short.on_mark();
        short.reset_signals();
        short.update(&sample(504_000, 600_000), 1_000);
        assert!(!short.congested);
    }

    #[test]
    fn a_round_of_startup_is_overfull_with_six_packets_lost_or_a_mark() {
        let judge = |lost, marked, delivered| {
            let mut short = ShortTerm::default();
            short.on_lost(lost);
            if marked {
                short.on_mark();
            }
            short.update(&sample(0, delivered), 1_000);
            assert!(short.congested || !short.overfull);
            (short.congested, short.overfull)
        };
        assert_eq!(judge(5_999, false, 50_000), (true, false));
        assert_eq!(judge(6_000, false, 50_000), (true, true));
        assert_eq!(judge(6_000, false, 500_000), (false, false), "chance");
        assert_eq!(judge(0, true, 50_000), (true, true));
    }

    #[test]
    fn a_round_lowers_the_bounds_to_what_arrived_by_three_tenths_at_most() {
        let mut short = ShortTerm::default();
        let of = |rate, delivered| RateSample { rate, delivered, ..sample(0, 1) };
        short.update(&of(900, 50_000), 1_000);
        short.update(&of(500, 60_000), 1_000);
        assert_eq!((short.latest_bandwidth, short.latest_inflight), (900, 60_000));
        short.lower(1_000, 100_000, None);
        assert_eq!((short.bandwidth, short.inflight), (Some(900), Some(70_000)));
        short.lower(9_999, 999_999, None);
        assert_eq!((short.bandwidth, short.inflight), (Some(900), Some(60_000)));
        short.lower(9_999, 999_999, Some(10_000));
        assert_eq!(short.inflight, Some(42_000));
        short.round_started = false;
        short.advance(&of(100, 1_000));
        assert_eq!((short.latest_bandwidth, short.latest_inflight), (900, 60_000));
        short.round_started = true;
        short.advance(&of(100, 1_000));
        assert_eq!((short.latest_bandwidth, short.latest_inflight), (100, 1_000));
        short.lower(9_999, 999_999, None);
        assert_eq!(short.bandwidth, Some(630));
        short.reset_bounds();
        assert_eq!((short.bandwidth, short.inflight), (None, None));
    }

    #[test]
    fn shares_and_spans() {
        assert_eq!(cut(1_000), 700);
        assert_eq!(bytes_in(10_000_000, ms(50)), 500_000);
        assert_eq!(bytes_in(u64::MAX, Duration::from_nanos(u64::MAX)), u64::MAX);
    }
}

//! CUBIC (RFC 9438) with HyStart++ (RFC 9406): the default.
//!
//! The RFC counts segments and seconds. Here windows are in bytes, times in microseconds, and the
//! arithmetic is in integers, so that every machine computes the same windows to the byte.

use core::time::Duration;

use super::hystart::{HyStart, Step};
use super::{
    Acked, Congestion, Controller, after_pause, carry, initial_window, minimum_window,
    window_for_mtu,
};
use crate::time::Instant;

/// beta_cubic = 0.7 (RFC 9438 4.6), as a fraction.
const BETA: (u64, u64) = (7, 10);
/// (1 + beta_cubic) / 2 of fast convergence (RFC 9438 4.7).
const FAST_CONVERGENCE: (u64, u64) = (17, 20);
/// alpha_cubic = 3 (1 - beta) / (1 + beta) (RFC 9438 4.3) = 9/17.
const ALPHA: (u64, u64) = (9, 17);
/// C = 0.4 segments per second cubed (RFC 9438 5), upside down: microseconds cubed a segment.
const INVERSE_C: u128 = 2_500_000_000_000_000_000;
/// Times beyond this many microseconds (19 hours) from the plateau count as this many: the cube times
/// the largest packet still fits 128 bits.
const MAX_DISTANCE: u64 = 1 << 36;

/// One stage of congestion avoidance (RFC 9438 4.2).
#[derive(Clone, Copy, Debug)]
struct Epoch {
    start: Instant,
    /// K: microseconds from the start until the window reaches `w_max` again.
    k: u64,
    /// W_est: the window that Reno would have reached.
    reno: u64,
    reno_credit: u64,
}

#[derive(Clone, Copy, Debug)]
struct State {
    window: u64,
    threshold: Option<u64>,
    /// W_max: the window before the last reduction; zero without one to return to.
    w_max: u64,
    /// cwnd_prior: the window when the last reduction came (RFC 9438 4.3).
    prior: u64,
    epoch: Option<Epoch>,
    credit: u64,
    recovery_start: Option<Instant>,
}

/// The CUBIC controller.
#[derive(Clone, Debug)]
pub(crate) struct Cubic {
    mtu: u16,
    state: State,
    /// Present in the initial slow start only (RFC 9406 4.3).
    hystart: Option<HyStart>,
    /// Since when the window was not used to the full: that time does not count in the epoch (RFC
    /// 9438 5.8).
    limited_since: Option<Instant>,
    /// The state before the current episode.
    undo: Option<Box<State>>,
}

impl Cubic {
    /// A controller for packets of `mtu` bytes.
    pub(crate) fn new(mtu: u16) -> Self {
        Self {
            mtu,
            state: State {
                window: initial_window(mtu),
                threshold: None,
                w_max: 0,
                prior: 0,
                epoch: None,
                credit: 0,
                recovery_start: None,
            },
            hystart: Some(HyStart::default()),
            limited_since: None,
            undo: None,
        }
    }

    fn slow_start(&mut self, acked: &Acked<'_>) {
        let step = match &mut self.hystart {
            Some(hystart) => hystart.on_ack(acked),
            None => Step::Grow(acked.growth_bytes),
        };
        match step {
            Step::Grow(bytes) => self.state.window = self.state.window.saturating_add(bytes),
            Step::Leave => {
                self.hystart = None;
                self.state.threshold = Some(self.state.window);
            }
        }
    }

    fn begin_epoch(&mut self, now: Instant) -> Epoch {
        self.limited_since = None;
        // A stage entered at or above the old maximum has its plateau here (RFC 9438 4.2).
        self.state.w_max = self.state.w_max.max(self.state.window);
        let gap = self.state.w_max - self.state.window;
        Epoch {
            start: now,
            k: plateau_distance(gap, u64::from(self.mtu)),
            reno: self.state.window,
            reno_credit: 0,
        }
    }

    fn avoid_congestion(&mut self, acked: &Acked<'_>) {
        let mut epoch = match self.state.epoch {
            Some(epoch) => epoch,
            None => self.begin_epoch(acked.now),
        };
        if let Some(since) = self.limited_since.take() {
            epoch.start += acked.now.saturating_duration_since(since);
        }
        let mtu = u64::from(self.mtu);
        let State { window, w_max, prior, .. } = self.state;

        // RFC 9438 4.3: once past the window of the last reduction, as fast as Reno.
        let (num, den) = if epoch.reno < prior { ALPHA } else { (1, 1) };
        let earned = acked.growth_bytes.saturating_mul(mtu) / den * num;
        epoch.reno += carry(&mut epoch.reno_credit, earned, window);
        self.state.epoch = Some(epoch);

        let elapsed = acked.now.saturating_duration_since(epoch.start);
        if cubic_window(w_max, epoch.k, elapsed, mtu) < epoch.reno {
            self.state.window = window.max(epoch.reno);
            return;
        }
        // RFC 9438 4.4: aim at where the curve will be one round trip from now, at most half as much
        // again as the present window.
        let target = cubic_window(w_max, epoch.k, elapsed + acked.rtt.smoothed(), mtu)
            .clamp(window, window.saturating_add(window / 2));
        let earned = (target - window).saturating_mul(acked.growth_bytes);
        self.state.window += carry(&mut self.state.credit, earned, window);
    }
}

impl Controller for Cubic {
    fn on_idle_end(&mut self, now: Instant, since: Instant) {
        let known = (self.state.window, self.state.threshold);
        if let Some((window, threshold)) = after_pause(now, since, known, self.mtu) {
            self.state.window = window;
            self.state.threshold = threshold;
            self.state.epoch = None;
        }
        self.limited_since.get_or_insert(since);
    }

    fn on_ack(&mut self, acked: &Acked<'_>) {
        if acked.app_limited {
            self.limited_since.get_or_insert(acked.now);
        } else if self.in_slow_start() {
            self.limited_since = None;
            self.slow_start(acked);
        } else if acked.growth_bytes > 0 {
            self.avoid_congestion(acked);
        }
    }

    fn on_congestion(&mut self, event: &Congestion) -> bool {
        let new = self.state.recovery_start.is_none_or(|start| event.sent > start);
        if new {
            self.undo = (!event.ecn).then(|| Box::new(self.state));
            let State { window, w_max, .. } = self.state;
            let reduced = (window / BETA.1 * BETA.0).max(minimum_window(self.mtu));
            self.state = State {
                window: reduced,
                threshold: Some(reduced),
                // Fast convergence (RFC 9438 4.7): a flow that shrinks makes room for new ones.
                w_max: if window < w_max {
                    window / FAST_CONVERGENCE.1 * FAST_CONVERGENCE.0
                } else {
                    window
                },
                prior: window,
                epoch: None,
                credit: 0,
                recovery_start: Some(event.now),
            };
            self.hystart = None;
            self.limited_since = None;
        }
        if event.persistent {
            // As after a timeout (RFC 9438 4.8, RFC 9002 7.6.2): the next stage of congestion
            // avoidance starts where slow start ends.
            self.undo = None;
            self.state.window = minimum_window(self.mtu);
            self.state.w_max = 0;
            self.state.epoch = None;
            self.state.recovery_start = None;
        }
        new
    }

    fn on_spurious_congestion(&mut self) {
        if let Some(state) = self.undo.take().filter(|s| s.window >= self.state.window) {
            self.state = *state;
        }
    }

    fn on_mtu_update(&mut self, mtu: u16) {
        self.state.window = window_for_mtu(self.state.window, self.mtu, mtu);
        self.mtu = mtu;
        // K was measured in the old segments.
        self.state.epoch = None;
    }

    fn window(&self) -> u64 {
        self.state.window
    }

    fn slow_start_threshold(&self) -> Option<u64> {
        self.state.threshold
    }

    fn recovery_start(&self) -> Option<Instant> {
        self.state.recovery_start
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
}

/// K = cbrt(gap / C) in microseconds (RFC 9438 4.2).
fn plateau_distance(gap: u64, mtu: u64) -> u64 {
    // 2^64 times the constant (below 2^62) fits 128 bits.
    cube_root(u128::from(gap) * INVERSE_C / u128::from(mtu.max(1)))
}

/// W_cubic(t) = C (t - K)^3 + W_max in bytes (RFC 9438 4.2), never below zero.
fn cubic_window(w_max: u64, k: u64, elapsed: Duration, mtu: u64) -> u64 {
    let elapsed = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    let distance = u128::from(elapsed.abs_diff(k).min(MAX_DISTANCE));
    let bytes = distance * distance * distance * u128::from(mtu) / INVERSE_C;
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    if elapsed < k { w_max.saturating_sub(bytes) } else { w_max.saturating_add(bytes) }
}

/// The largest number whose cube is at most `n`, bit by bit from the top.
fn cube_root(n: u128) -> u64 {
    let mut root: u128 = 0;
    for bit in (0..42).rev() {
        let candidate = root | 1 << bit;
        if candidate * candidate * candidate <= n {
            root = candidate;
        }
    }
    u64::try_from(root).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::super::delivery::LostFlight;
    use super::super::super::rtt::RttEstimator;
    use super::*;

    const MTU: u16 = 1_000;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn rtt(ms: u64) -> RttEstimator {
        let sample = Duration::from_millis(ms);
        let mut rtt = RttEstimator::new(sample);
        rtt.update(at(0), sample, Duration::ZERO, Duration::ZERO);
        rtt
    }

    fn acked(now: Instant, bytes: u64, rtt: &RttEstimator) -> Acked<'_> {
        Acked {
            now,
            bytes,
            growth_bytes: bytes,
            app_limited: false,
            round_started: false,
            rtt_sample: None,
            in_flight: 0,
            sample: None,
            rtt,
        }
    }

    fn loss(now: Instant) -> Congestion {
        Congestion {
            now,
            sent: now,
            lost_bytes: 1_000,
            flight: LostFlight::default(),
            persistent: false,
            ecn: false,
        }
    }

    /// A controller that met its first congestion at `window` bytes, at 1 ms.
    fn reduced_from(window: u64) -> Cubic {
        let mut cubic = Cubic::new(MTU);
        cubic.on_ack(&acked(at(0), window - cubic.window(), &rtt(100)));
        assert_eq!(cubic.window(), window);
        assert!(cubic.on_congestion(&loss(at(1))));
        cubic
    }

    /// Acknowledges one window a round trip until `end`; returns the window at the end.
    fn run(cubic: &mut Cubic, round: u64, mut from: u64, end: u64) -> u64 {
        while from < end {
            from += round;
            let window = cubic.window();
            (0..10).for_each(|_| cubic.on_ack(&acked(at(from), window / 10, &rtt(round))));
        }
        cubic.window()
    }

    #[test]
    fn cube_roots() {
        for root in [0_u64, 1, 2, 3, 1_000, 123_456, (1 << 42) - 1] {
            let cube = u128::from(root).pow(3);
            assert_eq!(cube_root(cube), root);
            assert_eq!(cube_root(cube + u128::from(root > 0)), root);
            assert_eq!(cube_root(cube.saturating_sub(1)), root.saturating_sub(1));
        }
    }

    #[test]
    fn k_is_where_the_rfc_puts_it() {
        // cbrt(300 segments / 0.4) = 9.0856 s.
        assert_eq!(plateau_distance(300_000, 1_000), 9_085_602);
        let start = cubic_window(1_000_000, 9_085_602, Duration::ZERO, 1_000);
        assert!((700_000..=700_001).contains(&start), "{start}");
        assert_eq!(
            cubic_window(1_000_000, 9_085_602, Duration::from_micros(9_085_602), 1_000),
            1_000_000
        );
        // One second beyond: 0.4 segments.
        assert_eq!(cubic_window(0, 0, Duration::from_secs(1), 1_000), 400);
        assert!(cubic_window(0, 0, Duration::MAX, u64::from(u16::MAX)) > 1 << 60);
    }

    #[test]
    fn slow_start_doubles_and_loss_takes_three_tenths() {
        let cubic = reduced_from(1_000_000);
        assert_eq!(cubic.window(), 700_000);
        assert_eq!(cubic.slow_start_threshold(), Some(700_000));
    }

    #[test]
    fn losses_of_one_round_trip_are_one_event() {
        let mut cubic = reduced_from(1_000_000);
        assert!(!cubic.on_congestion(&Congestion { now: at(2), ..loss(at(1)) }));
        assert_eq!(cubic.window(), 700_000);
        assert!(cubic.on_congestion(&loss(at(50))));
        assert_eq!(cubic.window(), 490_000);
    }

    #[test]
    fn growth_is_concave_to_the_plateau_then_convex() {
        let mut cubic = reduced_from(1_000_000);
        let mut windows = vec![cubic.window()];
        for second in 0..18 {
            windows.push(run(&mut cubic, 100, second * 1_000 + 1, (second + 1) * 1_000 + 1));
        }
        let steps: Vec<u64> = windows.windows(2).map(|w| w[1] - w[0]).collect();
        assert!(steps[0] > steps[3] && steps[3] > steps[6], "{steps:?}");
        assert!(steps[11] < steps[14] && steps[14] < steps[17], "{steps:?}");
        assert!((990_000..=1_001_000).contains(&windows[9]), "plateau at K: {}", windows[9]);
        // At 18 s the curve stands at W_max + 0.4 * 8.9^3 segments.
        assert!((1_250_000..1_310_000).contains(&windows[18]), "{}", windows[18]);
    }

    #[test]
    fn short_round_trips_grow_no_slower_than_reno() {
        let mut cubic = reduced_from(20_000);
        // Reno with alpha 9/17 gains 0.53 packets a round trip of 10 ms: 53 packets in a second less
        // the stretch above cwnd_prior, where it gains a whole one. CUBIC alone would gain 6.
        let window = run(&mut cubic, 10, 1, 1_001);
        assert!(window > 60_000, "{window}");
    }

    #[test]
    fn a_second_loss_below_the_maximum_releases_more() {
        let mut cubic = reduced_from(1_000_000);
        cubic.on_congestion(&loss(at(50)));
        assert_eq!(cubic.state.w_max, 700_000 / 20 * 17);
    }

    #[test]
    fn time_without_use_does_not_move_the_curve() {
        let mut busy = reduced_from(1_000_000);
        let mut idle = busy.clone();
        let expected = run(&mut busy, 100, 1, 4_001);
        run(&mut idle, 100, 1, 2_001);
        let before = idle.window();
        idle.on_ack(&Acked { app_limited: true, ..acked(at(2_001), 1_000, &rtt(100)) });
        assert_eq!(idle.window(), before);
        let window = run(&mut idle, 100, 60_001, 62_001);
        // The round trip that found the window unused is the one that is missing.
        assert!(window.abs_diff(expected) < 4_000, "{window} {expected}");
    }

    #[test]
    fn persistent_congestion_starts_over_from_two_packets() {
        let mut cubic = reduced_from(1_000_000);
        cubic.on_congestion(&Congestion { persistent: true, ..loss(at(50)) });
        assert_eq!(cubic.window(), 2_000);
        assert!(cubic.in_slow_start());
        assert_eq!(cubic.slow_start_threshold(), Some(490_000));
    }

    #[test]
    fn a_spurious_episode_is_undone() {
        let mut cubic = reduced_from(1_000_000);
        cubic.on_spurious_congestion();
        assert_eq!(cubic.window(), 1_000_000);
        assert!(cubic.in_slow_start());
        cubic.on_spurious_congestion();
        assert_eq!(cubic.window(), 1_000_000);
    }

    #[test]
    fn the_window_never_falls_below_two_packets() {
        let mut cubic = Cubic::new(MTU);
        (1..50).for_each(|i| {
            cubic.on_congestion(&loss(at(i)));
        });
        assert_eq!(cubic.window(), 2_000);
        let window = run(&mut cubic, 100, 50, 10_050);
        assert!(window > 2_000);
    }

    /// A stage of congestion avoidance as if it had begun at 0 with these.
    fn stage(window: u64, w_max: u64, prior: u64, reno: u64) -> Cubic {
        let mut cubic = Cubic::new(MTU);
        cubic.state = State {
            window,
            threshold: Some(window),
            w_max,
            prior,
            epoch: Some(Epoch { start: at(0), k: 0, reno, reno_credit: 0 }),
            ..cubic.state
        };
        cubic
    }

    #[test]
    fn as_fast_as_reno_from_the_window_of_the_last_reduction_on() {
        let mut below = stage(14_000, 0, 20_000, 14_000);
        below.on_ack(&acked(at(0), 14_000, &rtt(1)));
        assert_eq!(below.window(), 14_529, "nine seventeenths of a packet");
        let mut from = stage(20_000, 0, 20_000, 20_000);
        from.on_ack(&acked(at(0), 20_000, &rtt(1)));
        assert_eq!(from.window(), 21_000, "a packet");
    }

    #[test]
    fn the_aim_is_a_round_trip_ahead_and_at_most_half_as_much_again() {
        let mut cubic = stage(1_000_000, 1_000_000, 0, 0);
        cubic.on_ack(&acked(at(5_000), 1_000_000, &rtt(1_000)));
        // 0.4 segments times six cubed.
        assert_eq!(cubic.window(), 1_086_400);
        let mut far = stage(10_000, 10_000, 0, 0);
        far.on_ack(&acked(at(100_000), 10_000, &rtt(100)));
        assert_eq!(far.window(), 15_000);
    }

    #[test]
    fn a_long_pause_halves_the_window_and_begins_a_stage() {
        let mut cubic = stage(1_000_000, 1_000_000, 0, 0);
        cubic.on_idle_end(at(300_000), at(0));
        assert_eq!(cubic.window(), 500_000);
        assert!(cubic.state.epoch.is_none());
    }

    #[test]
    fn an_ack_without_growth_begins_no_stage() {
        let mut cubic = reduced_from(1_000_000);
        cubic.on_ack(&Acked { growth_bytes: 0, ..acked(at(2), 1_000, &rtt(100)) });
        assert!(cubic.state.epoch.is_none());
    }

    #[test]
    fn a_flow_that_regained_its_maximum_does_not_make_room() {
        let mut cubic = stage(1_000_000, 1_000_000, 0, 0);
        cubic.on_congestion(&loss(at(50)));
        assert_eq!(cubic.state.w_max, 1_000_000);
    }
}

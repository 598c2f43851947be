//! NewReno as RFC 9002 section 7 and appendix B describe it: the reference to compare with.

use super::{
    Acked, Congestion, Controller, after_pause, carry, initial_window, minimum_window,
    window_for_mtu,
};
use crate::time::Instant;

/// The NewReno controller.
#[derive(Clone, Debug)]
pub(crate) struct NewReno {
    mtu: u16,
    window: u64,
    threshold: Option<u64>,
    recovery_start: Option<Instant>,
    credit: u64,
    /// Window and threshold before the current episode.
    undo: Option<(u64, Option<u64>)>,
}

impl NewReno {
    /// A controller for packets of `mtu` bytes.
    pub(crate) fn new(mtu: u16) -> Self {
        Self {
            mtu,
            window: initial_window(mtu),
            threshold: None,
            recovery_start: None,
            credit: 0,
            undo: None,
        }
    }
}

impl Controller for NewReno {
    fn on_idle_end(&mut self, now: Instant, since: Instant) {
        let known = (self.window, self.threshold);
        if let Some((window, threshold)) = after_pause(now, since, known, self.mtu) {
            (self.window, self.threshold) = (window, threshold);
        }
    }

    fn on_ack(&mut self, acked: &Acked<'_>) {
        if acked.app_limited {
            return;
        }
        if self.in_slow_start() {
            self.window = self.window.saturating_add(acked.growth_bytes);
        } else {
            // One packet a window (RFC 9002 7.3.3).
            let numerator = acked.growth_bytes.saturating_mul(u64::from(self.mtu));
            self.window += carry(&mut self.credit, numerator, self.window);
        }
    }

    fn on_congestion(&mut self, event: &Congestion) -> bool {
        let new = self.recovery_start.is_none_or(|start| event.sent > start);
        if new {
            self.undo = (!event.ecn).then_some((self.window, self.threshold));
            self.recovery_start = Some(event.now);
            // kLossReductionFactor is one half (RFC 9002 B.1).
            self.window = (self.window / 2).max(minimum_window(self.mtu));
            self.threshold = Some(self.window);
            self.credit = 0;
        }
        if event.persistent {
            self.undo = None;
            self.window = minimum_window(self.mtu);
            self.recovery_start = None;
        }
        new
    }

    fn on_spurious_congestion(&mut self) {
        if let Some((window, threshold)) = self.undo.take() {
            self.window = self.window.max(window);
            self.threshold = threshold;
            self.recovery_start = None;
        }
    }

    fn on_mtu_update(&mut self, mtu: u16) {
        self.window = window_for_mtu(self.window, self.mtu, mtu);
        self.mtu = mtu;
    }

    fn window(&self) -> u64 {
        self.window
    }

    fn slow_start_threshold(&self) -> Option<u64> {
        self.threshold
    }

    fn recovery_start(&self) -> Option<Instant> {
        self.recovery_start
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::super::super::delivery::LostFlight;
    use super::super::super::rtt::RttEstimator;
    use super::*;

    const MTU: u16 = 1_000;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn ack(reno: &mut NewReno, growth_bytes: u64, app_limited: bool) -> u64 {
        let rtt = RttEstimator::new(Duration::from_millis(100));
        reno.on_ack(&Acked {
            now: at(0),
            bytes: growth_bytes,
            growth_bytes,
            app_limited,
            round_started: false,
            rtt_sample: None,
            in_flight: 0,
            sample: None,
            rtt: &rtt,
        });
        reno.window()
    }

    fn loss(now: u64, sent: u64) -> Congestion {
        Congestion {
            now: at(now),
            sent: at(sent),
            lost_bytes: 1_000,
            flight: LostFlight::default(),
            persistent: false,
            ecn: false,
        }
    }

    #[test]
    fn slow_start_doubles_and_avoidance_adds_a_packet_a_window() {
        let mut reno = NewReno::new(MTU);
        assert_eq!(ack(&mut reno, 10_000, false), 20_000);
        assert_eq!(ack(&mut reno, 10_000, true), 20_000, "a window that is not used is not proven");
        assert!(reno.on_congestion(&loss(5, 1)));
        assert_eq!((reno.window(), reno.slow_start_threshold()), (10_000, Some(10_000)));
        assert!(!reno.in_slow_start());
        let windows = [2_500; 4].map(|bytes| ack(&mut reno, bytes, false));
        // A quarter of a packet, and a little less of each window that has grown.
        assert_eq!(windows, [10_250, 10_493, 10_732, 10_965]);
    }

    #[test]
    fn an_episode_halves_once() {
        let mut reno = NewReno::new(MTU);
        ack(&mut reno, 30_000, false);
        assert_eq!(reno.recovery_start(), None);
        assert!(reno.on_congestion(&loss(5, 1)));
        assert_eq!(reno.recovery_start(), Some(at(5)));
        assert!(!reno.on_congestion(&loss(7, 4)));
        assert!(!reno.on_congestion(&loss(7, 5)), "sent as it began");
        assert_eq!(reno.window(), 20_000);
        assert!(reno.on_congestion(&loss(9, 6)));
        assert_eq!((reno.window(), reno.recovery_start()), (10_000, Some(at(9))));
        for ms in 10..30 {
            assert!(reno.on_congestion(&loss(ms, ms)));
        }
        assert_eq!(reno.window(), 2_000, "two packets always");
    }

    #[test]
    fn what_was_no_loss_is_taken_back_and_a_mark_is_not() {
        let mut reno = NewReno::new(MTU);
        ack(&mut reno, 30_000, false);
        reno.on_congestion(&loss(5, 1));
        reno.on_spurious_congestion();
        assert_eq!((reno.window(), reno.slow_start_threshold()), (40_000, None));
        assert_eq!(reno.recovery_start(), None);
        reno.on_congestion(&Congestion { ecn: true, ..loss(9, 8) });
        reno.on_spurious_congestion();
        assert_eq!((reno.window(), reno.slow_start_threshold()), (20_000, Some(20_000)));
    }

    #[test]
    fn persistent_congestion_starts_over_from_two_packets() {
        let mut reno = NewReno::new(MTU);
        ack(&mut reno, 30_000, false);
        reno.on_congestion(&Congestion { persistent: true, ..loss(5, 1) });
        assert_eq!((reno.window(), reno.slow_start_threshold()), (2_000, Some(20_000)));
        assert_eq!(reno.recovery_start(), None);
        reno.on_spurious_congestion();
        assert_eq!(reno.window(), 2_000);
    }

    #[test]
    fn a_long_pause_halves_and_larger_packets_raise_the_initial_window() {
        let mut reno = NewReno::new(MTU);
        reno.on_mtu_update(1_400);
        assert_eq!(reno.window(), 14_000);
        ack(&mut reno, 86_000, false);
        reno.on_idle_end(at(299_999), at(0));
        assert_eq!(reno.window(), 100_000);
        reno.on_idle_end(at(300_000), at(0));
        assert_eq!(reno.window(), 50_000);
    }
}

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

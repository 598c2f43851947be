//! Models of other people's flows: window-based senders that share a link with the sessions under
//! test. They are as aggressive as the standards allow and no more: Reno (RFC 5681) and CUBIC (RFC
//! 9438), with the loss detection of three later acknowledgements and a retransmission timeout (RFC
//! 6298). They carry no bytes, only lengths.
//!
//! They send as real stacks do, in clumps of about a millisecond's worth, two packets at least, as
//! segmentation offload and delayed acknowledgements make them. A model that sent each packet on the
//! very acknowledgement of an earlier one would keep in step with the queue of the bottleneck: it
//! would find a place at a full drop-tail queue whenever it came, and all losses would fall to its
//! neighbour (the phase effects of Floyd and Jacobson, 1991). Two such models gave one another 1.62 and
//! 0.38 of an equal share of 1 Gbit/s.

use core::time::Duration;
use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use stt_proto::Instant;

use crate::link::FULL_PACKET;

/// Which congestion control a model follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CrossKind {
    /// RFC 5681: one packet a round trip, halved at a loss.
    Reno,
    /// RFC 9438: a cubic of the time since the last loss.
    Cubic,
}

/// What a model has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CrossStats {
    /// Bytes that arrived, headers included.
    pub delivered: u64,
    /// Packets lost.
    pub lost: u64,
}

/// RFC 6928.
const INITIAL_WINDOW: f64 = 10.0;
/// Later packets that arrived before one counts as lost (RFC 5681 section 3.2).
const REORDERING: u64 = 3;
/// Packets that leave at once: a millisecond of the window, within these bounds (64 KiB in one
/// offloaded send).
const CLUMP: Duration = Duration::from_millis(1);
const CLUMP_PACKETS: [f64; 2] = [2.0, 44.0];
/// What most systems use for RFC 6298's lower bound.
const MIN_RTO: Duration = Duration::from_millis(200);
/// RFC 9438 section 4.6 and 4.1.
const CUBIC_BETA: f64 = 0.7;
const CUBIC_C: f64 = 0.4;

#[derive(Clone, Copy, Debug)]
struct Outstanding {
    number: u64,
    sent: Instant,
    done: bool,
}

/// The sender of one model flow. Its receiver acknowledges each packet at once.
#[derive(Debug)]
pub(crate) struct CrossFlow {
    kind: CrossKind,
    /// How long an acknowledgement takes.
    back: Duration,
    window: f64,
    threshold: f64,
    next: u64,
    in_flight: u64,
    /// In the middle of a clump.
    sending: bool,
    outstanding: VecDeque<Outstanding>,
    largest_acked: u64,
    /// Losses of packets before this one belong to an episode that was answered.
    recovery_end: u64,
    rtt: Option<(Duration, Duration)>,
    /// From when the retransmission timer runs.
    timer_from: Instant,
    backoff: u32,
    /// CUBIC: the window at the last loss, and when growth began after it.
    max_window: f64,
    epoch: Option<Instant>,
    /// CUBIC: what Reno would have by now (RFC 9438 section 4.3).
    reno: f64,
    stats: CrossStats,
}

impl CrossFlow {
    pub(crate) fn new(kind: CrossKind, back: Duration, now: Instant) -> Self {
        Self {
            kind,
            back,
            window: INITIAL_WINDOW,
            threshold: f64::INFINITY,
            next: 1,
            in_flight: 0,
            sending: false,
            outstanding: VecDeque::new(),
            largest_acked: 0,
            recovery_end: 0,
            rtt: None,
            timer_from: now,
            backoff: 0,
            max_window: 0.0,
            epoch: None,
            reno: 0.0,
            stats: CrossStats::default(),
        }
    }

    pub(crate) const fn stats(&self) -> CrossStats {
        self.stats
    }

    /// The next packet that the window allows: its number and length.
    pub(crate) fn poll_transmit(&mut self, now: Instant) -> Option<(u64, usize)> {
        let room = self.window.floor().max(1.0) - self.in_flight as f64;
        if room < if self.sending { 1.0 } else { self.clump() } {
            self.sending = false;
            return None;
        }
        self.sending = true;
        if self.in_flight == 0 {
            self.timer_from = now;
        }
        let number = self.next;
        self.next += 1;
        self.in_flight += 1;
        self.outstanding.push_back(Outstanding { number, sent: now, done: false });
        Some((number, FULL_PACKET as usize))
    }

    /// Packets that there must be room for before any leaves.
    fn clump(&self) -> f64 {
        let window = self.window.floor().max(1.0);
        let Some((rtt, _)) = self.rtt else { return 1.0 };
        let packets = window * CLUMP.as_secs_f64() / rtt.as_secs_f64();
        let [least, most] = CLUMP_PACKETS;
        // A window of few packets is not held back.
        packets.clamp(least, most).min((window / 2.0).max(1.0))
    }

    /// A packet arrived at the receiver: how long its acknowledgement takes.
    pub(crate) fn on_arrival(&mut self) -> Duration {
        self.stats.delivered += FULL_PACKET;
        self.back
    }

    pub(crate) fn on_ack(&mut self, now: Instant, number: u64) {
        let Some(first) = self.outstanding.front().map(|packet| packet.number) else { return };
        let Some(index) = number.checked_sub(first) else { return };
        let Some(packet) = self.outstanding.get_mut(index as usize) else { return };
        if core::mem::replace(&mut packet.done, true) {
            return;
        }
        let sample = now.saturating_duration_since(packet.sent);
        self.in_flight -= 1;
        self.timer_from = now;
        self.backoff = 0;
        self.largest_acked = self.largest_acked.max(number);
        self.measure(sample);
        self.detect_lost(now);
        if number >= self.recovery_end {
            self.grow(now, sample);
        }
    }

    /// RFC 6298 section 2.
    fn measure(&mut self, sample: Duration) {
        self.rtt = Some(match self.rtt {
            None => (sample, sample / 2),
            Some((mean, deviation)) => {
                ((mean * 7 + sample) / 8, (deviation * 3 + mean.abs_diff(sample)) / 4)
            }
        });
    }

    fn detect_lost(&mut self, now: Instant) {
        let mut congestion = false;
        while let Some(packet) = self.outstanding.front().copied() {
            let lost = packet.number + REORDERING <= self.largest_acked;
            if !packet.done && !lost {
                break;
            }
            if !packet.done {
                self.in_flight -= 1;
                self.stats.lost += 1;
                congestion |= packet.number >= self.recovery_end;
            }
            self.outstanding.pop_front();
        }
        if congestion {
            self.recovery_end = self.next;
            self.shrink(now);
        }
    }

    fn shrink(&mut self, now: Instant) {
        let factor = match self.kind {
            CrossKind::Reno => 0.5,
            CrossKind::Cubic => CUBIC_BETA,
        };
        // RFC 9438 section 4.7: a flow that lost before it regained its place gives room.
        self.max_window = if self.window < self.max_window {
            self.window * (1.0 + CUBIC_BETA) / 2.0
        } else {
            self.window
        };
        self.window = (self.window * factor).max(2.0);
        self.threshold = self.window;
        self.reno = self.window;
        self.epoch = Some(now);
    }

    fn grow(&mut self, now: Instant, rtt: Duration) {
        if self.window < self.threshold {
            self.window += 1.0;
            return;
        }
        match self.kind {
            CrossKind::Reno => self.window += 1.0 / self.window,
            CrossKind::Cubic => {
                let epoch = *self.epoch.get_or_insert(now);
                let since = (now.saturating_duration_since(epoch) + rtt).as_secs_f64();
                let k = ((self.max_window - self.threshold).max(0.0) / CUBIC_C).cbrt();
                let cubic = CUBIC_C * (since - k).powi(3) + self.max_window;
                let alpha = 3.0 * (1.0 - CUBIC_BETA) / (1.0 + CUBIC_BETA);
                self.reno += alpha / self.window;
                let target = cubic.clamp(self.window, 1.5 * self.window);
                self.window = (self.window + (target - self.window) / self.window).max(self.reno);
            }
        }
    }

    fn timeout(&self) -> Duration {
        let (mean, deviation) =
            self.rtt.unwrap_or((Duration::from_millis(500), Duration::from_millis(125)));
        (mean + deviation * 4).max(MIN_RTO) * (1 << self.backoff.min(6))
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        (self.in_flight > 0).then(|| self.timer_from + self.timeout())
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.next_timeout().is_none_or(|at| at > now) {
            return;
        }
        self.stats.lost += self.in_flight;
        self.threshold = (self.window / 2.0).max(2.0);
        self.max_window = self.window;
        self.reno = self.threshold;
        self.epoch = None;
        self.window = 1.0;
        self.in_flight = 0;
        self.outstanding.clear();
        self.recovery_end = self.next;
        self.backoff += 1;
        self.timer_from = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Link, World};
    use stt_proto::EndpointConfig;

    /// Bytes that one or two models bring over 10 Mbit/s in 30 s.
    fn delivered(kinds: &[CrossKind]) -> Vec<u64> {
        let delay = Duration::from_millis(15);
        let link = Link { rate: Some(1_250_000), queue: 25, ..Link::with_delay(delay) };
        let mut world = World::new(1, link);
        let ends = [1, 2].map(|seed: u64| {
            let seed = crate::Random::new(seed, "seed").bytes();
            (world.add_node(EndpointConfig::default(), seed), 0)
        });
        for kind in kinds {
            world.add_cross_flow(ends[0], ends[1], *kind);
        }
        world.run_for(Duration::from_secs(30));
        (0..kinds.len()).map(|flow| world.cross_stats(flow).delivered).collect()
    }

    #[test]
    fn a_model_alone_fills_the_link() {
        for kind in [CrossKind::Reno, CrossKind::Cubic] {
            let share = delivered(&[kind])[0] as f64 / (30.0 * 1_250_000.0);
            assert!((0.9..1.0).contains(&share), "{kind:?}: {share}");
        }
    }

    #[test]
    fn two_models_share_it() {
        let bytes = delivered(&[CrossKind::Reno, CrossKind::Reno]);
        let ratio = bytes[0] as f64 / bytes[1] as f64;
        assert!((0.5..2.0).contains(&ratio), "{ratio}");
    }
}

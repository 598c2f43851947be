//! One direction of a link: what it does to the datagrams that enter it.

use core::time::Duration;
use std::collections::VecDeque;

use stt_proto::{Ecn, Instant};

use crate::random::Random;

/// Bytes of a full Ethernet frame's IP packet: the unit of burst lengths and reorder depths.
pub(crate) const FULL_PACKET: u64 = 1500;

/// Bytes of the headers of IPv4 and UDP.
pub(crate) const IPV4_OVERHEAD: usize = 28;

/// Losses that come in bursts: the channel of Gilbert, whose state changes with time whether or not
/// anybody sends. Everything sent in the bad state is lost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    /// Share of the time that is bad.
    pub share: f64,
    /// Mean length of a bad spell.
    pub mean: Duration,
}

/// What a link does with ECN codepoints.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EcnPolicy {
    /// Every codepoint is erased.
    pub bleach: bool,
    /// Marked CE with this probability, where the datagram is ECN-capable.
    pub mark: f64,
    /// Marked CE where so many datagrams wait.
    pub mark_above: Option<usize>,
}

/// What a link does to the datagrams that enter it. Probabilities are per datagram.
#[derive(Clone, Debug)]
pub struct Link {
    /// Time from end to end.
    pub delay: Duration,
    /// Up to this much is added to each delay.
    pub jitter: Duration,
    /// Jitter makes datagrams wait for those before them, instead of letting them overtake.
    pub ordered: bool,
    /// Bytes a second, headers of IP and UDP included; `None` is no limit.
    pub rate: Option<u64>,
    /// Datagrams that may wait where there is a rate; the next is dropped.
    pub queue: usize,
    /// Lost.
    pub loss: f64,
    /// After so many losses by `loss` in a row the next datagram passes; 0 is no bound.
    pub max_run: u32,
    /// Lost in bursts, beside `loss`.
    pub burst: Option<Burst>,
    /// Delivered twice.
    pub duplicate: f64,
    /// Held back, by `reorder_by` or by `reorder_depth`.
    pub reorder: f64,
    /// How long a reordered datagram is held back.
    pub reorder_by: Duration,
    /// Where there is a rate: held back besides for the time of 1 to so many full packets.
    pub reorder_depth: u64,
    /// One bit flipped.
    pub corrupt: f64,
    /// Larger UDP payloads vanish; over IPv6, whose header is longer, payloads that are 20 bytes
    /// shorter. Default 1472, an Ethernet frame over IPv4.
    pub mtu: usize,
    /// Everything vanishes.
    pub dark: bool,
    /// Codepoints.
    pub ecn: EcnPolicy,
    /// Exactly these datagrams are dropped, counted from 0 in the order of sending.
    pub drop: Vec<u64>,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(10),
            jitter: Duration::ZERO,
            ordered: false,
            rate: None,
            queue: usize::MAX,
            loss: 0.0,
            max_run: 0,
            burst: None,
            duplicate: 0.0,
            reorder: 0.0,
            reorder_by: Duration::ZERO,
            reorder_depth: 0,
            corrupt: 0.0,
            mtu: 1_472,
            dark: false,
            ecn: EcnPolicy::default(),
            drop: Vec::new(),
        }
    }
}

impl Link {
    /// A clean link of this one-way delay.
    #[must_use]
    pub fn with_delay(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }

    /// How long `bytes` keep the sender's interface busy.
    #[must_use]
    pub fn transmission(&self, bytes: u64) -> Duration {
        self.rate.map_or(Duration::ZERO, |rate| {
            Duration::from_nanos(bytes * 1_000_000_000 / rate.max(1))
        })
    }
}

/// What happened on a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Datagrams that entered.
    pub sent: u64,
    /// Bytes that entered, without headers of IP and UDP.
    pub bytes: u64,
    /// Datagrams dropped by chance, queue, size or darkness.
    pub dropped: u64,
    /// Of them, those that were larger than the link's MTU.
    pub too_large: u64,
    /// Of them, those that found the queue full.
    pub overflowed: u64,
    /// Datagrams delivered twice.
    pub duplicated: u64,
    /// Datagrams with a flipped bit.
    pub corrupted: u64,
    /// Datagrams marked CE.
    pub marked: u64,
}

/// A datagram on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    pub(crate) at: Instant,
    pub(crate) ecn: Option<Ecn>,
    /// A draw that says which bit is flipped.
    pub(crate) flip: Option<u64>,
}

/// A link with its queue.
#[derive(Debug)]
pub(crate) struct LinkState {
    pub(crate) link: Link,
    pub(crate) stats: LinkStats,
    /// When the last queued byte leaves the sender.
    free_at: Instant,
    /// When each queued datagram leaves, oldest first.
    leaving: VecDeque<Instant>,
    /// When the last datagram arrives, where the link keeps the order.
    last_arrival: Instant,
    losses_in_a_row: u32,
    bad: bool,
    /// When the channel's state changes next; drawn at the first datagram.
    change_at: Option<Instant>,
    random: Random,
}

impl LinkState {
    pub(crate) fn new(link: Link, random: Random) -> Self {
        let start = Instant::from_nanos(0);
        Self {
            link,
            stats: LinkStats::default(),
            free_at: start,
            leaving: VecDeque::new(),
            last_arrival: start,
            losses_in_a_row: 0,
            bad: false,
            change_at: None,
            random,
        }
    }

    /// Sends a datagram of `len` bytes, which `overhead` bytes of headers precede; nothing, one or
    /// two copies come out.
    pub(crate) fn send(
        &mut self,
        now: Instant,
        len: usize,
        overhead: usize,
        ecn: Option<Ecn>,
    ) -> [Option<Flight>; 2] {
        let index = self.stats.sent;
        self.stats.sent += 1;
        self.stats.bytes += len as u64;
        let lost = self.lose(now) || self.link.drop.contains(&index);
        // What is too large never gets onto the link, and takes none of its time.
        if len + overhead > self.link.mtu + IPV4_OVERHEAD {
            self.stats.too_large += 1;
            return self.drop_one();
        }
        let Some((leaves, waiting)) = self.enqueue(now, len + overhead) else {
            self.stats.overflowed += 1;
            return self.drop_one();
        };
        if lost || self.link.dark {
            return self.drop_one();
        }
        let ecn = self.codepoint(ecn, waiting);
        let first = self.fly(leaves, ecn);
        let second = self.random.chance(self.link.duplicate).then(|| {
            self.stats.duplicated += 1;
            self.fly(leaves, ecn)
        });
        [Some(first), second]
    }

    fn drop_one(&mut self) -> [Option<Flight>; 2] {
        self.stats.dropped += 1;
        [None, None]
    }

    fn lose(&mut self, now: Instant) -> bool {
        let by_chance = self.random.chance(self.link.loss)
            && (self.link.max_run == 0 || self.losses_in_a_row < self.link.max_run);
        self.losses_in_a_row = if by_chance { self.losses_in_a_row + 1 } else { 0 };
        by_chance | self.is_bad(now)
    }

    fn is_bad(&mut self, now: Instant) -> bool {
        let Some(burst) = self.link.burst.filter(|burst| burst.share > 0.0) else { return false };
        let good = burst.mean.mul_f64((1.0 - burst.share) / burst.share);
        let mut change = match self.change_at {
            Some(at) => at,
            None => now + self.random.exponential(good),
        };
        while change <= now {
            self.bad = !self.bad;
            change += self.random.exponential(if self.bad { burst.mean } else { good });
        }
        self.change_at = Some(change);
        self.bad
    }

    /// When the datagram has left the sender's interface, and how many wait before it; `None` where
    /// the queue is full.
    fn enqueue(&mut self, now: Instant, len: usize) -> Option<(Instant, usize)> {
        if self.link.rate.is_none() {
            return Some((now, 0));
        }
        while self.leaving.front().is_some_and(|leaves| *leaves <= now) {
            self.leaving.pop_front();
        }
        let waiting = self.leaving.len();
        if waiting >= self.link.queue {
            return None;
        }
        self.free_at = self.free_at.max(now) + self.link.transmission(len as u64);
        self.leaving.push_back(self.free_at);
        Some((self.free_at, waiting))
    }

    fn codepoint(&mut self, ecn: Option<Ecn>, waiting: usize) -> Option<Ecn> {
        let policy = self.link.ecn;
        if policy.bleach || ecn.is_none() {
            return None;
        }
        let full = policy.mark_above.is_some_and(|above| waiting >= above);
        if full || self.random.chance(policy.mark) {
            self.stats.marked += 1;
            return Some(Ecn::Ce);
        }
        ecn
    }

    fn fly(&mut self, leaves: Instant, ecn: Option<Ecn>) -> Flight {
        let mut at = leaves + self.link.delay + self.random.duration(self.link.jitter);
        if self.link.ordered {
            at = at.max(self.last_arrival);
            self.last_arrival = at;
        }
        if self.random.chance(self.link.reorder) {
            let depth = match self.link.reorder_depth {
                0 => 0,
                depth => 1 + self.random.below(depth),
            };
            at += self.link.reorder_by + self.link.transmission(depth * FULL_PACKET);
        }
        let flip = self.random.chance(self.link.corrupt).then(|| {
            self.stats.corrupted += 1;
            self.random.draw()
        });
        Flight { at, ecn, flip }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share_lost(link: Link, seed: u64) -> f64 {
        let mut state = LinkState::new(link, Random::new(seed, "link"));
        let mut lost = 0;
        for step in 0..200_000_u64 {
            let now = Instant::from_nanos(step * 1_000_000);
            lost += u64::from(state.send(now, 1000, 28, None)[0].is_none());
        }
        lost as f64 / 200_000.0
    }

    #[test]
    fn bursts_lose_the_share_asked_for() {
        let burst = Burst { share: 0.25, mean: Duration::from_millis(40) };
        let lost = share_lost(Link { burst: Some(burst), ..Link::default() }, 1);
        assert!((0.23..0.27).contains(&lost), "{lost}");
    }

    #[test]
    fn a_bound_on_runs_holds() {
        let link = Link { loss: 0.9, max_run: 3, ..Link::default() };
        let mut state = LinkState::new(link, Random::new(2, "link"));
        let mut run = 0;
        for step in 0..10_000 {
            let passed = state.send(Instant::from_nanos(step), 100, 28, None)[0].is_some();
            run = if passed { 0 } else { run + 1 };
            assert!(run <= 3);
        }
    }

    #[test]
    fn a_queue_drops_its_tail_and_marks_before() {
        let ecn = EcnPolicy { mark_above: Some(3), ..EcnPolicy::default() };
        let link = Link { rate: Some(1_028_000), queue: 5, ecn, ..Link::default() };
        let mut state = LinkState::new(link, Random::new(3, "link"));
        let now = Instant::from_nanos(0);
        let sent: Vec<_> = (0..7).map(|_| state.send(now, 1000, 28, Some(Ecn::Ect0))[0]).collect();
        let at = |index: usize| sent[index].map(|flight| (flight.at.as_nanos(), flight.ecn));
        assert_eq!(at(0), Some((11_000_000, Some(Ecn::Ect0))));
        assert_eq!(at(2), Some((13_000_000, Some(Ecn::Ect0))));
        assert_eq!(at(3), Some((14_000_000, Some(Ecn::Ce))));
        assert_eq!((at(5), at(6)), (None, None));
        assert_eq!(state.stats.overflowed, 2);
    }

    #[test]
    fn exact_drops_and_sizes() {
        let link = Link { drop: vec![1, 2], mtu: 1252, ..Link::default() };
        let mut state = LinkState::new(link, Random::new(4, "link"));
        let now = Instant::from_nanos(0);
        let passed: Vec<bool> = [1252, 10, 10, 1253, 10]
            .map(|len| state.send(now, len, 28, None)[0].is_some())
            .to_vec();
        assert_eq!(passed, [true, false, false, false, true]);
    }
}

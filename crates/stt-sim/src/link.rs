//! One direction between two nodes.

use core::time::Duration;

use stt_proto::Instant;

use crate::random::Random;

/// What a link does to the datagrams that enter it. Probabilities are per datagram.
#[derive(Clone, Debug)]
pub struct Link {
    /// Time from end to end.
    pub delay: Duration,
    /// Up to this much is added to each delay; later datagrams may overtake.
    pub jitter: Duration,
    /// Bytes a second; `None` is no limit.
    pub rate: Option<u64>,
    /// Datagrams that may wait where there is a rate; the next is dropped.
    pub queue: usize,
    /// Lost.
    pub loss: f64,
    /// Delivered twice.
    pub duplicate: f64,
    /// Held back by `reorder_by`.
    pub reorder: f64,
    /// How long a reordered datagram is held back.
    pub reorder_by: Duration,
    /// One bit flipped.
    pub corrupt: f64,
    /// Larger UDP payloads vanish. Default 1472, an Ethernet frame over IPv4.
    pub mtu: usize,
    /// Everything vanishes.
    pub dark: bool,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(10),
            jitter: Duration::ZERO,
            rate: None,
            queue: usize::MAX,
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            reorder_by: Duration::ZERO,
            corrupt: 0.0,
            mtu: 1_472,
            dark: false,
        }
    }
}

impl Link {
    /// A clean link of this one-way delay.
    #[must_use]
    pub fn with_delay(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }
}

/// What happened on a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Datagrams that entered.
    pub sent: u64,
    /// Bytes that entered.
    pub bytes: u64,
    /// Datagrams dropped by chance, queue, size or darkness.
    pub dropped: u64,
    /// Datagrams delivered twice.
    pub duplicated: u64,
    /// Datagrams with a flipped bit.
    pub corrupted: u64,
}

/// A link with its queue.
#[derive(Debug)]
pub(crate) struct LinkState {
    pub(crate) link: Link,
    pub(crate) stats: LinkStats,
    /// When the last queued byte leaves the sender.
    free_at: Instant,
    /// When each queued datagram leaves, oldest first.
    leaving: std::collections::VecDeque<Instant>,
    random: Random,
}

/// A datagram on its way.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub(crate) at: Instant,
    pub(crate) bytes: Vec<u8>,
}

impl LinkState {
    pub(crate) fn new(link: Link, random: Random) -> Self {
        Self {
            link,
            stats: LinkStats::default(),
            free_at: Instant::from_nanos(0),
            leaving: std::collections::VecDeque::new(),
            random,
        }
    }

    /// Sends one datagram; nothing, one or two copies come out.
    pub(crate) fn send(&mut self, now: Instant, datagram: &[u8]) -> [Option<Flight>; 2] {
        self.stats.sent += 1;
        self.stats.bytes += datagram.len() as u64;
        let lost = self.random.chance(self.link.loss);
        let Some(leaves) = self.enqueue(now, datagram.len()) else { return self.drop_one() };
        if lost || self.link.dark || datagram.len() > self.link.mtu {
            return self.drop_one();
        }
        let first = self.fly(leaves, datagram);
        let second = self.random.chance(self.link.duplicate).then(|| {
            self.stats.duplicated += 1;
            self.fly(leaves, datagram)
        });
        [Some(first), second]
    }

    fn drop_one(&mut self) -> [Option<Flight>; 2] {
        self.stats.dropped += 1;
        [None, None]
    }

    /// When the datagram has left the sender's interface; `None` where the queue is full.
    fn enqueue(&mut self, now: Instant, len: usize) -> Option<Instant> {
        let Some(rate) = self.link.rate else { return Some(now) };
        while self.leaving.front().is_some_and(|leaves| *leaves <= now) {
            self.leaving.pop_front();
        }
        if self.leaving.len() >= self.link.queue {
            return None;
        }
        let transmission = Duration::from_nanos(len as u64 * 1_000_000_000 / rate.max(1));
        self.free_at = self.free_at.max(now) + transmission;
        self.leaving.push_back(self.free_at);
        Some(self.free_at)
    }

    fn fly(&mut self, leaves: Instant, datagram: &[u8]) -> Flight {
        let mut at = leaves + self.link.delay + self.random.duration(self.link.jitter);
        if self.random.chance(self.link.reorder) {
            at += self.link.reorder_by;
        }
        let mut bytes = datagram.to_vec();
        if !bytes.is_empty() && self.random.chance(self.link.corrupt) {
            self.stats.corrupted += 1;
            let bit = self.random.below(bytes.len() as u64 * 8);
            bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
        }
        Flight { at, bytes }
    }
}

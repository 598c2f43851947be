//! How large a path's datagrams may be (PROTOCOL.md section 5.3): the search of RFC 8899 (DPLPMTUD)
//! from 1200 bytes upwards, and the detection of black holes.
//!
//! Sizes are UDP payloads. Whatever is below [`MtuSearch::current`] is known to come through,
//! [`MtuSearch::ceiling`] and above is believed not to, and the search halves what lies between among
//! the sizes that real links have: every size that fails costs lost probes. A size fails when three probes of it
//! were lost, or at once when the system refuses to send it.
//!
//! A probe costs as much as the datagram that it stands for, and pays only where such datagrams would be
//! filled. So a path begins to be searched when a datagram was, and what is larger than most paths carry is
//! tried once as many bytes have gone out in such datagrams: a session that is idle, that has little to say or
//! only listens probes nothing.
//!
//! A path that stops carrying what it carried shows by large packets that are lost while small ones
//! come through. Loss alone looks the same for a moment, so the suspicion is put to the test: packets
//! shrink to 1200 bytes, which costs little, and probes of the size in use decide.

#[cfg(test)]
mod tests;

use core::time::Duration;

use stt_wire::MIN_MTU;

use crate::time::Instant;

/// Probes of one size that may be lost before the size has failed (RFC 8899 5.1.2, MAX_PROBES).
const MAX_PROBES: u8 = 3;
/// How long a finished search stands (RFC 8899 5.1.1, PMTU_RAISE_TIMER).
const RAISE: Duration = Duration::from_secs(600);
/// Large packets lost in a row, with smaller ones acknowledged behind them, that raise a suspicion.
const SUSPICIOUS_LOSSES: u32 = 3;
/// The size that nearly every path carries, and the first to try: an Ethernet frame over IPv6.
const COMMON: u16 = 1452;
/// Sizes that links have, less the headers of IPv6 or IPv4 and UDP.
const CANDIDATES: [u16; 20] = [
    // 1280, the least of IPv6, which tunnels like.
    1232, 1252, // Tunnels in 1500: 1380, 1400, 1420 (WireGuard), 1440, 1460, 1480.
    1332, 1352, 1372, 1392, 1412, 1432, // Ethernet.
    COMMON, 1464, 1472, // Wireless frames, FDDI, jumbo frames.
    2256, 4304, 4442, 8952, 8972, // Loopback of macOS, half and all of what Linux' carries.
    16_336, 32_720, 65_488, 65_507,
];

/// See the module.
pub(crate) struct MtuSearch {
    /// Largest size known to come through.
    current: u16,
    /// Largest size that both sides allow.
    upper: u16,
    /// Smallest size believed not to come through.
    ceiling: u16,
    /// Bytes that went out in datagrams without room for more, as far as this counts them.
    filled: u16,
    /// Whether `current` is in doubt.
    suspect: bool,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Not begun: the handshake is not over.
    Waiting,
    /// This size is to be tried once there is enough to send for it.
    Wanting { size: u16 },
    /// A probe goes out at this time.
    Due { size: u16, at: Instant, lost: u8 },
    /// A probe is on its way in a KEEP_ALIVE with these bytes; it counts as lost at `until`
    /// (RFC 8899 5.1.1, PROBE_TIMER).
    Sent { size: u16, nonce: u64, lost: u8, until: Instant },
    /// Nothing to find out until then, if ever, nor later before there is something to send.
    Complete { again: Option<Instant> },
}

/// What came of news.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum MtuChange {
    /// Datagrams keep their size.
    None,
    /// Datagrams may be larger, or the size in use was confirmed.
    Proven,
    /// Datagrams are to be smaller, and what is in flight in larger ones will not arrive.
    Shrunk,
}

impl MtuSearch {
    /// The search of a path on which both sides allow datagrams of `upper` bytes.
    pub(crate) fn new(upper: usize) -> Self {
        let upper = u16::try_from(upper).unwrap_or(u16::MAX).clamp(BASE, LARGEST);
        let phase = Phase::Waiting;
        Self { current: BASE, upper, ceiling: upper + 1, filled: 0, suspect: false, phase }
    }

    /// The same for another path of a session, which sends there what it sent here.
    pub(crate) fn after(mut self, before: &Self, now: Instant) -> Self {
        self.filled = before.filled;
        self.go_on(now);
        self
    }

    /// The same for a reliable path, which cuts what it carries as it likes: there is nothing to find
    /// out, and packets of `upper` bytes at most are as large as pays.
    pub(crate) fn settled(upper: usize, initiator: bool) -> Self {
        let upper = u16::try_from(upper).unwrap_or(u16::MAX).clamp(BASE, LARGEST);
        let current = upper.min(if initiator { MASKED } else { UNMASKED });
        let phase = Phase::Complete { again: None };
        Self { current, upper, ceiling: upper + 1, filled: 0, suspect: false, phase }
    }

    /// Bytes of the largest datagram known to come through.
    pub(crate) fn current(&self) -> usize {
        usize::from(self.current)
    }

    /// Bytes of the largest datagram that both sides allow.
    pub(crate) fn upper(&self) -> usize {
        usize::from(self.upper)
    }

    /// Bytes of the largest datagram to send now.
    pub(crate) fn usable(&self) -> usize {
        if self.suspect { MIN_MTU } else { self.current() }
    }

    /// Lets larger datagrams be looked for: the handshake is over.
    pub(crate) fn start(&mut self, now: Instant) {
        if self.phase == Phase::Waiting {
            self.search(now);
        }
    }

    /// So many bytes went out in datagrams that had no room for more.
    pub(crate) fn on_filled(&mut self, now: Instant, bytes: usize) {
        if bytes > 0 {
            self.filled = self.filled.saturating_add(u16::try_from(bytes).unwrap_or(u16::MAX));
            self.go_on(now);
        }
    }

    /// The application wants to know what the path carries, or has messages, which go by the size of
    /// datagrams.
    pub(crate) fn want(&mut self, now: Instant) {
        self.filled = u16::MAX;
        self.go_on(now);
    }

    /// The size of the probe to send now.
    pub(crate) fn probe_due(&self, now: Instant) -> Option<usize> {
        match self.phase {
            Phase::Due { size, at, .. } if at <= now => Some(usize::from(size)),
            _ => None,
        }
    }

    /// When a probe is due, or [`MtuSearch::on_timeout`] has something to do.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Waiting | Phase::Wanting { .. } | Phase::Complete { .. } => None,
            Phase::Due { at, .. } => Some(at),
            Phase::Sent { until, .. } => Some(until),
        }
    }

    /// The time of [`MtuSearch::next_timeout`] may have come.
    pub(crate) fn on_timeout(&mut self, now: Instant, pause: Duration) -> MtuChange {
        match self.phase {
            Phase::Sent { until, .. } if until <= now => self.on_probe_lost(now, pause),
            _ => MtuChange::None,
        }
    }

    /// The probe went out as the KEEP_ALIVE `nonce`; unless it is answered within `patience` it is
    /// lost.
    pub(crate) fn on_probe_sent(&mut self, now: Instant, nonce: u64, patience: Duration) {
        if let Phase::Due { size, lost, .. } = self.phase {
            self.phase = Phase::Sent { size, nonce, lost, until: now + patience };
        }
    }

    /// Whether the KEEP_ALIVE `nonce` is the probe that is on its way.
    pub(crate) fn is_probe(&self, nonce: u64) -> bool {
        matches!(self.phase, Phase::Sent { nonce: probe, .. } if probe == nonce)
    }

    /// The probe came through.
    pub(crate) fn on_probe_acked(&mut self, now: Instant) -> MtuChange {
        let Phase::Sent { size, .. } = self.phase else { return MtuChange::None };
        self.current = self.current.max(size);
        self.suspect = false;
        self.search(now);
        MtuChange::Proven
    }

    /// The probe was lost; another one follows after `pause`, a few times.
    pub(crate) fn on_probe_lost(&mut self, now: Instant, pause: Duration) -> MtuChange {
        let Phase::Sent { size, lost, .. } = self.phase else { return MtuChange::None };
        if lost + 1 < MAX_PROBES {
            self.phase = Phase::Due { size, at: now + pause, lost: lost + 1 };
            return MtuChange::None;
        }
        self.fail(now, size)
    }

    /// So many large packets in a row were lost, while a smaller one behind them was not.
    pub(crate) fn on_large_losses(&mut self, now: Instant, in_a_row: u32) {
        if in_a_row >= SUSPICIOUS_LOSSES && self.current > BASE && !self.suspect {
            self.suspect = true;
            self.phase = Phase::Due { size: self.current, at: now, lost: 0 };
        }
    }

    /// A large packet came through that was sent after every one that was lost.
    pub(crate) fn on_large_arrival(&mut self, now: Instant) {
        if self.suspect {
            self.suspect = false;
            self.search(now);
        }
    }

    /// The system refused to send a datagram of `size` bytes.
    pub(crate) fn on_refused(&mut self, now: Instant, size: usize) -> MtuChange {
        let size = u16::try_from(size).unwrap_or(u16::MAX);
        if size <= BASE || size >= self.ceiling {
            return MtuChange::None;
        }
        self.fail(now, size)
    }

    /// The network says that datagrams of at most `limit` bytes pass (RFC 8899 4.6).
    pub(crate) fn on_packet_too_big(&mut self, now: Instant, limit: usize) -> MtuChange {
        let limit = u16::try_from(limit).unwrap_or(u16::MAX);
        // Below the base there is nothing to go to, and what was not tried is no news.
        let waits = matches!(self.phase, Phase::Waiting | Phase::Wanting { .. });
        let untried = waits && self.current == BASE;
        if limit < BASE || limit + 1 >= self.ceiling || untried {
            return MtuChange::None;
        }
        let shrunk = limit < self.current;
        self.ceiling = limit + 1;
        if shrunk {
            self.current = BASE;
            self.suspect = false;
        }
        if limit > self.current && !self.suspect {
            self.try_next(now, limit);
        } else if !self.suspect {
            self.search(now);
        }
        if shrunk { MtuChange::Shrunk } else { MtuChange::None }
    }

    /// `size` does not come through.
    fn fail(&mut self, now: Instant, size: u16) -> MtuChange {
        self.ceiling = self.ceiling.min(size);
        let shrunk = self.ceiling <= self.current;
        if shrunk {
            self.current = BASE;
            self.suspect = false;
        }
        if !self.suspect {
            self.search(now);
        }
        if shrunk { MtuChange::Shrunk } else { MtuChange::None }
    }

    /// Goes on with the next size, or rests.
    fn search(&mut self, now: Instant) {
        match self.next_size() {
            Some(size) => self.try_next(now, size),
            None => {
                let again = (self.current < self.upper).then(|| now + RAISE);
                self.phase = Phase::Complete { again };
            }
        }
    }

    /// Tries `size`, now or when it pays.
    fn try_next(&mut self, now: Instant, size: u16) {
        let least = if size > COMMON { size } else { 1 };
        self.phase = if self.filled >= least {
            Phase::Due { size, at: now, lost: 0 }
        } else {
            Phase::Wanting { size }
        };
    }

    /// There is more to send than there was.
    fn go_on(&mut self, now: Instant) {
        match self.phase {
            Phase::Wanting { size } => self.try_next(now, size),
            Phase::Complete { again: Some(again) } if again <= now => {
                self.ceiling = self.upper + 1;
                self.search(now);
            }
            _ => {}
        }
    }

    fn next_size(&self) -> Option<u16> {
        let (low, ceiling) = (self.current, self.ceiling);
        let untried = ceiling > self.upper;
        if untried {
            // Nothing has failed yet: what most paths carry, then all that is allowed.
            return [COMMON, self.upper].into_iter().find(|size| *size > low && *size < ceiling);
        }
        let within = |size: &&u16| **size > low && **size < ceiling;
        let count = CANDIDATES.iter().filter(within).count();
        CANDIDATES.iter().filter(within).nth(count / 2).copied()
    }
}

/// Bytes of the packets of a reliable path: sealing gains nothing from larger ones, streams that share
/// the path take turns by them, and a few fill a message. As a frame of a WebSocket (RFC 6455 section 5.2) four such
/// packets fill the 64 KiB by which sockets are usually read, so that few of them are read in two pieces.
const UNMASKED: u16 = 16_384 - 4;
/// The same where the frame has a mask: it was opened by who opened the session.
const MASKED: u16 = 16_384 - 8;
/// Bytes that every path carries.
const BASE: u16 = MIN_MTU as u16;
/// Bytes of the largest UDP payload.
const LARGEST: u16 = stt_wire::MAX_UDP_PAYLOAD as u16;

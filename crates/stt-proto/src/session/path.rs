//! The one path of a session: where it leads, how large its datagrams may be.

use core::time::Duration;

use stt_wire::MIN_MTU;

use crate::path::PathAddress;
use crate::time::Instant;

/// Probes of one size that may be lost before the size counts as too large.
const MAX_PROBES: u8 = 3;

/// A path and its datagram size. Every path carries 1200 bytes; one padded probe tries the
/// configured size.
pub(crate) struct Path {
    /// Where it leads.
    pub(crate) address: PathAddress,
    mtu: usize,
    target: usize,
    probe: MtuProbe,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum MtuProbe {
    /// Nothing to find out.
    Settled,
    /// A probe goes out at this time.
    Due { at: Instant, lost: u8 },
    /// A probe is on its way in a KEEP_ALIVE with these bytes.
    Sent { nonce: u64, lost: u8 },
}

impl Path {
    /// A path whose datagrams may grow to `target` bytes.
    pub(crate) fn new(address: PathAddress, target: usize) -> Self {
        Self { address, mtu: MIN_MTU, target, probe: MtuProbe::Settled }
    }

    /// Bytes of the largest datagram known to come through.
    pub(crate) fn mtu(&self) -> usize {
        self.mtu
    }

    /// Starts looking for larger datagrams: the handshake is over.
    pub(crate) fn start_probing(&mut self, now: Instant) {
        if self.target > self.mtu && self.probe == MtuProbe::Settled {
            self.probe = MtuProbe::Due { at: now, lost: 0 };
        }
    }

    /// The size of the probe to send now.
    pub(crate) fn probe_due(&self, now: Instant) -> Option<usize> {
        matches!(self.probe, MtuProbe::Due { at, .. } if at <= now).then_some(self.target)
    }

    /// When a probe is due.
    pub(crate) fn next_probe(&self) -> Option<Instant> {
        match self.probe {
            MtuProbe::Due { at, .. } => Some(at),
            MtuProbe::Settled | MtuProbe::Sent { .. } => None,
        }
    }

    /// The probe went out as the KEEP_ALIVE `nonce`.
    pub(crate) fn on_probe_sent(&mut self, nonce: u64) {
        if let MtuProbe::Due { lost, .. } = self.probe {
            self.probe = MtuProbe::Sent { nonce, lost };
        }
    }

    /// Whether the KEEP_ALIVE `nonce` is the probe that is on its way.
    pub(crate) fn is_probe(&self, nonce: u64) -> bool {
        matches!(self.probe, MtuProbe::Sent { nonce: probe, .. } if probe == nonce)
    }

    /// The probe came through; true when datagrams may be larger from now on.
    pub(crate) fn on_probe_acked(&mut self) -> bool {
        self.probe = MtuProbe::Settled;
        let grown = self.target > self.mtu;
        self.mtu = self.mtu.max(self.target);
        grown
    }

    /// The probe was lost; another one follows after `pause`, a few times.
    pub(crate) fn on_probe_lost(&mut self, now: Instant, pause: Duration) {
        if let MtuProbe::Sent { lost, .. } = self.probe {
            self.probe = if lost + 1 < MAX_PROBES {
                MtuProbe::Due { at: now + pause, lost: lost + 1 }
            } else {
                MtuProbe::Settled
            };
        }
    }

    /// A datagram was too large for a link on the way: back to what every path carries. True when
    /// that changed anything.
    pub(crate) fn on_too_large(&mut self) -> bool {
        self.probe = MtuProbe::Settled;
        let shrunk = self.mtu > MIN_MTU;
        self.mtu = MIN_MTU;
        self.target = MIN_MTU;
        shrunk
    }
}

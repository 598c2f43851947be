//! The initiator's proof: what asks for FINAL until it is there (PROTOCOL.md section 2.3).

use core::time::Duration;

use crate::path::Transmit;
use crate::time::Instant;

use super::timers::MAX_INTERVAL;
use super::{Session, State};

/// What asks for FINAL until it is there: AUTH_PROOF, repeated byte for byte, each copy with a KEEP_ALIVE.
pub(super) struct Proof {
    /// Empty for a resumed session, whose KEEP_ALIVE asks alone.
    packet: Box<[u8]>,
    /// What goes out next is a copy.
    again: bool,
    pub(super) at: Instant,
    interval: Duration,
    /// Packets of lower numbers went out before the last copy of the proof did. The responder may have kept them
    /// until that came, and answered them then (RFC 9002 section 5.1 would take that wait for the path's).
    pub(super) numbers_before: u64,
    /// The responder has forgotten the handshake by then, unless something of it was heard.
    stale: Instant,
    /// A sealed packet of this session has opened: the responder has the proof.
    pub(super) heard: bool,
}

impl Session {
    /// Initiator: AUTH_PROOF goes out now and then by probe timeout from `interval`. At `stale` a
    /// fresh handshake has better prospects, unless the responder has been heard.
    pub(crate) fn send_proof(
        &mut self,
        now: Instant,
        packet: Box<[u8]>,
        interval: Duration,
        stale: Instant,
    ) {
        self.proof = Some(Box::new(Proof {
            packet,
            again: false,
            at: now,
            interval,
            stale,
            heard: false,
            numbers_before: 0,
        }));
    }

    /// Initiator: another carrier waits for what becomes of this proof, so that an answer is waited for
    /// until `stale` at most. A connection repeats by itself, and says when it is no more.
    pub(crate) fn hurry_proof(&mut self, stale: Instant) {
        if !self.path.address.is_reliable()
            && let Some(proof) = &mut self.proof
        {
            proof.stale = proof.stale.min(stale);
        }
    }

    /// Initiator of a resumed session: the responder knows this side's address only once something
    /// of ours opens there, so something goes out at once, and again until it is acknowledged; and then
    /// from `first` on until FINAL is there. The NAT may choose another port before FINAL has passed it, and
    /// a responder that hears nothing from there sends FINAL to the former one for ever.
    pub(crate) fn confirm_resumption(&mut self, first: Instant, interval: Duration) {
        self.keep_alive_due = true;
        self.proof = Some(Box::new(Proof {
            packet: Box::default(),
            again: true,
            at: first,
            interval,
            numbers_before: 0,
            stale: first,
            heard: true,
        }));
    }

    /// Initiator: when this connect has gone unanswered for too long. It stands until that was acted upon:
    /// a packet that comes at the very moment must not put it off.
    pub(crate) fn stale_at(&self) -> Option<Instant> {
        let proof = self.proof.as_ref().filter(|proof| !proof.heard)?;
        match self.state {
            State::AwaitFinal { early: false, deadline, .. } if proof.stale < deadline => {
                Some(proof.stale)
            }
            _ => None,
        }
    }

    /// Initiator: how this connect goes on when its proof has gone unanswered for too long: when it
    /// began and when it ends. Not for sessions in use.
    pub(crate) fn stale_connect(&self, now: Instant) -> Option<(Instant, Instant)> {
        let stale = self.stale_at().is_some_and(|at| at <= now);
        match self.state {
            State::AwaitFinal { since, deadline, .. } if stale && deadline > now => {
                Some((since, deadline))
            }
            _ => None,
        }
    }

    /// The proof, or its copy, when it is due; a resumed session has no packet for it, and a KEEP_ALIVE asks.
    pub(super) fn transmit_proof(&mut self, now: Instant, buf: &mut [u8]) -> Option<Transmit> {
        let proof = self.proof.as_ref().filter(|proof| proof.at <= now)?;
        let (len, again) = (proof.packet.len(), proof.again);
        buf.get_mut(..len)?.copy_from_slice(&proof.packet);
        // The NAT may have chosen another port meanwhile: a copy is no sealed packet, so that FINAL would still
        // go to the former one.
        if again {
            self.keep_alive_due = true;
            // What fills the window may be what FINAL's way has to be found for.
            self.recovery.free_one();
        }
        self.proof_sent(now);
        if len == 0 {
            return None;
        }
        self.last_datagram = len as u16;
        self.liveness.on_sent();
        self.stats.packets_sent += 1;
        self.stats.bytes_sent += len as u64;
        Some(Transmit { path: self.path.address, len, segment_size: None, ecn: None, opens: false })
    }

    /// AUTH_PROOF waits twice as long after each copy.
    fn proof_sent(&mut self, now: Instant) {
        if let Some(proof) = &mut self.proof {
            proof.again = true;
            if !proof.packet.is_empty() {
                proof.numbers_before = self.next_pn;
            }
            proof.at = now + proof.interval;
            proof.interval = (2 * proof.interval).min(MAX_INTERVAL);
        }
    }
}

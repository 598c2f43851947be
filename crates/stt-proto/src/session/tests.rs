//! What a peer that holds the keys and means harm can be made to say.

use stt_wire::{CRC32_LEN, FrameType, HEADER_LEN, TAG_LEN};

use super::Session;
use super::transmit::Payload;
use crate::time::Instant;

impl Session {
    /// A packet of this session with any plaintext whatever, as its peer would take it.
    pub(crate) fn forge(
        &mut self,
        now: Instant,
        frame_type: FrameType,
        stream: u32,
        plaintext: &[u8],
    ) -> Vec<u8> {
        let mut packet = vec![0; HEADER_LEN + plaintext.len() + TAG_LEN + CRC32_LEN];
        packet[HEADER_LEN..HEADER_LEN + plaintext.len()].copy_from_slice(plaintext);
        let payload =
            Payload { frame_type, stream, fin: false, len: plaintext.len(), eliciting: true };
        self.seal(now, &mut packet, &payload, false, false, &[]);
        packet
    }

    /// How often the sealing key was rotated, modulo two.
    pub(crate) fn phase(&self) -> bool {
        self.keys.phase()
    }

    /// Whether there is something to remember of a move.
    pub(crate) fn is_moving(&self) -> bool {
        self.moving.is_some()
    }

    /// Whether the path in use was found to carry ECN marks, and is given them.
    pub(crate) fn validated_ecn(&self) -> bool {
        self.recovery.ecn_capable() && self.recovery.mark_ecn()
    }

    /// Why nothing has left this host since the peer was heard, if nothing has.
    pub(crate) fn send_failure(&self) -> Option<crate::path::SendError> {
        self.liveness.departures.failure()
    }

    /// Whether nothing of the handshake is kept any more.
    pub(crate) fn has_begun(&self) -> bool {
        self.beginning.is_none()
    }

    /// Whether an ACK waits to be sent.
    pub(crate) fn owes_ack(&self) -> bool {
        self.received.ack_pending()
    }
}

#[test]
fn an_idle_session_is_small() {
    // What lies on the heap beside it is measured by examples/idle.rs.
    assert!(size_of::<Session>() <= 2688, "{}", size_of::<Session>());
}

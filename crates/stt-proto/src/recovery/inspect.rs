//! What a path has in flight, counted anew.

use super::Recovery;
use crate::inspect::PathCount;
use crate::time::Instant;

impl Recovery {
    /// Packets in flight, as kept.
    pub(crate) fn eliciting_in_flight(&self) -> u64 {
        self.eliciting_in_flight
    }

    /// Bytes that window and pacer must have for a packet to leave.
    pub(crate) fn quantum(&self) -> u64 {
        u64::from(self.mtu)
    }

    /// When the oldest packet counts as lost, or a probe goes out (RFC 9002 section 6.2.1).
    pub(crate) fn loss_deadline(&self) -> Option<Instant> {
        self.next_timeout()
    }

    pub(crate) fn recount(&self) -> PathCount {
        let mut count = PathCount {
            in_flight: [self.bytes_in_flight, 0],
            eliciting: [self.eliciting_in_flight, 0],
            records: self.sent.len(),
            contents: [self.sent.contents_held(), 0],
            lost: self.lost.as_ref().map_or(0, |lost| lost.len()),
            ..PathCount::default()
        };
        let mut last = None;
        for packet in self.sent.all() {
            let place = (packet.number, packet.sent);
            count.is_unordered |=
                last.is_some_and(|(number, sent)| number >= place.0 || sent > place.1);
            last = Some(place);
            count.contents[1] += self.sent.contents(packet).len();
        }
        for packet in self.sent.outstanding() {
            count.outstanding += 1;
            count.in_flight[1] += packet.in_flight();
            count.eliciting[1] += u64::from(packet.counts());
            count.silent += usize::from(!packet.ack_eliciting);
        }
        count
    }
}

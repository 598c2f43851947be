//! The path ids of a session (PROTOCOL.md sections 6.3 and 6.4): those that the peer may send to, and
//! those of the peer that this side may move to.

use std::collections::VecDeque;

use stt_wire::PathId;
use stt_wire::frame::NewId;

/// Path ids that each side keeps in the other's hands for moves to come.
pub(crate) const SPARE_IDS: usize = 2;
/// Retirements that may wait to be told; a peer that provokes more gets none of the further ids used.
const MAX_RETIRED: usize = 16;

/// See the module.
pub(crate) struct PathIds {
    /// Issued and not retired, with their sequence numbers.
    local: Vec<(u64, PathId)>,
    next_local: u64,
    /// Sequence numbers to tell by NEW_ID.
    unsent: VecDeque<u64>,
    /// The peer's, unused.
    spares: VecDeque<NewId>,
    /// Sequence numbers of the peer below this were seen, or skipped for good.
    next_peer: u64,
    /// The peer's ids not used any more, to tell by RETIRE_ID.
    retired: VecDeque<u64>,
}

impl PathIds {
    /// The ids of the handshake alone.
    pub(crate) fn new(local: PathId) -> Self {
        // No larger than what every session comes to hold.
        let mut issued = Vec::with_capacity(SPARE_IDS + 1);
        issued.push((0, local));
        Self {
            local: issued,
            next_local: 1,
            unsent: VecDeque::with_capacity(SPARE_IDS),
            spares: VecDeque::with_capacity(SPARE_IDS),
            next_peer: 1,
            retired: VecDeque::new(),
        }
    }

    /// Every id of this side that the peer may send to.
    pub(crate) fn local(&self) -> impl Iterator<Item = PathId> + '_ {
        self.local.iter().map(|(_, id)| *id)
    }

    /// Whether an id of this side was given out after another one: a peer uses them in order.
    pub(crate) fn is_newer(&self, id: PathId, than: PathId) -> bool {
        let place = |id: PathId| self.local.iter().find(|(_, issued)| *issued == id);
        id != than && place(id).map(|(sequence, _)| sequence) > place(than).map(|(s, _)| s)
    }

    /// Whether the peer is to get another spare id.
    pub(crate) fn wants_local(&self) -> bool {
        self.local.len() <= SPARE_IDS
    }

    /// A fresh id of this side for the peer to move to.
    pub(crate) fn issue(&mut self, id: PathId) {
        self.local.push((self.next_local, id));
        self.unsent.push_back(self.next_local);
        self.next_local += 1;
    }

    /// The next id to tell the peer, by sequence number.
    pub(crate) fn next_unsent(&mut self) -> Option<(u64, PathId)> {
        while let Some(sequence) = self.unsent.pop_front() {
            if let Some(id) = self.local.iter().find(|(issued, _)| *issued == sequence) {
                return Some(*id);
            }
        }
        None
    }

    /// NEW_ID did not fit, or was lost.
    pub(crate) fn tell_again(&mut self, sequence: u64) {
        self.unsent.push_front(sequence);
    }

    /// The next id of the peer to retire, by sequence number.
    pub(crate) fn next_retired(&mut self) -> Option<u64> {
        self.retired.pop_front()
    }

    /// RETIRE_ID did not fit, or was lost.
    pub(crate) fn retire_again(&mut self, sequence: u64) {
        self.retired.push_front(sequence);
    }

    /// Whether there is something to tell.
    pub(crate) fn wants_control(&self) -> bool {
        !self.unsent.is_empty() || !self.retired.is_empty()
    }

    /// The peer's NEW_ID. More than are kept are retired unused.
    pub(crate) fn on_new_id(&mut self, new: NewId) {
        // A copy, or one that came late: retired already, or in use.
        if new.sequence < self.next_peer || self.retired.len() >= MAX_RETIRED {
            return;
        }
        // Those between may still come; they are not waited for.
        let skipped = self.next_peer..new.sequence;
        self.next_peer = new.sequence.saturating_add(1);
        self.retired.extend(skipped.take(MAX_RETIRED));
        if self.spares.len() < SPARE_IDS {
            self.spares.push_back(new);
        } else {
            self.retired.push_back(new.sequence);
        }
    }

    /// The peer does not send to this id of ours any more; the id, if it was one that it may retire.
    pub(crate) fn on_retire(&mut self, sequence: u64) -> Option<PathId> {
        let index = self.local.iter().position(|(issued, _)| *issued == sequence)?;
        // Without an id nobody could reach this side.
        (self.local.len() > 1).then(|| self.local.remove(index).1)
    }

    /// Takes an unused id of the peer.
    pub(crate) fn take_spare(&mut self) -> Option<NewId> {
        self.spares.pop_front()
    }

    /// An id of the peer that was taken and never came into use, or is not used any more.
    pub(crate) fn retire(&mut self, sequence: u64) {
        self.retired.push_back(sequence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(sequence: u64) -> NewId {
        NewId { sequence, path_id: PathId([sequence as u8; 8]), reset_token: [0; 16] }
    }

    #[test]
    fn spares_are_taken_once_and_surplus_is_retired() {
        let mut ids = PathIds::new(PathId([9; 8]));
        (1..=3).for_each(|sequence| ids.on_new_id(new(sequence)));
        ids.on_new_id(new(1));
        assert_eq!(ids.take_spare().map(|id| id.sequence), Some(1));
        ids.on_new_id(new(1));
        assert_eq!(ids.take_spare().map(|id| id.sequence), Some(2));
        assert_eq!(ids.take_spare(), None, "a copy is no new id");
        assert_eq!(ids.next_retired(), Some(3));
    }

    #[test]
    fn a_peer_cannot_make_us_remember_more_than_a_few() {
        let mut ids = PathIds::new(PathId([9; 8]));
        (1..10_000).for_each(|sequence| ids.on_new_id(new(sequence)));
        assert!(ids.spares.len() + ids.retired.len() <= SPARE_IDS + 2 * MAX_RETIRED);
        assert_eq!(ids.on_retire(0), None, "the last one stays");
    }

    #[test]
    fn a_retired_id_is_replaced() {
        let mut ids = PathIds::new(PathId([9; 8]));
        while ids.wants_local() {
            ids.issue(PathId([ids.next_local as u8; 8]));
        }
        assert_eq!(ids.local().count(), SPARE_IDS + 1);
        assert_eq!(ids.next_unsent(), Some((1, PathId([1; 8]))));
        assert_eq!(ids.on_retire(2), Some(PathId([2; 8])));
        assert_eq!(ids.next_unsent(), None, "what was retired needs no telling");
        assert!(ids.wants_local());
    }
}

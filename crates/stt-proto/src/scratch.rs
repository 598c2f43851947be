//! Working memory of an endpoint that one call leaves to the next, and that goes back after a busy time.
//!
//! What a call needs depends on what it acts on: a single ACK settles all that was in flight, and all
//! that was thought lost. The room stays for the next call, so that bulk costs no allocation for each
//! packet; but what the largest call of all needed is not held for as long as the endpoint lives.

use core::ops::{Deref, DerefMut};
use core::time::Duration;

/// Room that is always kept, in entries.
pub(crate) const FEW: usize = 64;
/// Of the most that a period needed, so many times as much is kept: growing doubles, and needs vary.
const SLACK: usize = 4;
/// How often what is not needed goes back.
pub(crate) const PERIOD: Duration = Duration::from_secs(1);

/// Entries for which room is kept after a period that needed `most` at once.
pub(crate) fn kept(most: usize) -> usize {
    most.saturating_mul(SLACK).max(FEW)
}

/// A list that each call empties and fills.
#[derive(Debug)]
pub(crate) struct Scratch<T> {
    items: Vec<T>,
    /// The most entries that were cleared at once in this period.
    most: usize,
}

impl<T> Default for Scratch<T> {
    fn default() -> Self {
        Self { items: Vec::new(), most: 0 }
    }
}

impl<T> Scratch<T> {
    /// Empties the list, and notes how much it held.
    pub(crate) fn clear(&mut self) {
        self.most = self.most.max(self.items.len());
        self.items.clear();
    }

    /// Whether there is more room than is always kept.
    pub(crate) fn has_spare(&self) -> bool {
        self.items.capacity() > FEW
    }

    /// A period is over: empties the list, and gives back the room that no call of the period came near.
    pub(crate) fn give_back(&mut self) {
        self.clear();
        let kept = kept(core::mem::take(&mut self.most));
        if self.items.capacity() > kept {
            self.items.shrink_to(kept);
        }
    }
}

impl<T> Deref for Scratch<T> {
    type Target = Vec<T>;

    fn deref(&self) -> &Vec<T> {
        &self.items
    }
}

impl<T> DerefMut for Scratch<T> {
    fn deref_mut(&mut self) -> &mut Vec<T> {
        &mut self.items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_period_did_not_come_near_goes_back() {
        let mut scratch = Scratch::default();
        scratch.extend(0..1_000);
        scratch.clear();
        let room = scratch.capacity();
        scratch.give_back();
        assert_eq!(scratch.capacity(), room, "it was needed in this period");
        // Less than that, but not so much less.
        scratch.extend(0..400);
        scratch.give_back();
        assert_eq!((scratch.len(), scratch.capacity()), (0, room));
        for _ in 0..10 {
            scratch.extend(0..100);
            scratch.clear();
        }
        scratch.give_back();
        assert_eq!((scratch.capacity(), scratch.has_spare()), (100 * SLACK, true));
        scratch.give_back();
        assert_eq!((scratch.capacity(), scratch.has_spare()), (FEW, false));
    }
}

//! How much of what a connection brought waits for the engine's thread.

use crate::sync::{AtomicBool, AtomicUsize, Ordering};

/// From so many bytes on the application is asked to read no more of the connection.
const HIGH: usize = 1 << 20;
/// At so many it may go on.
const LOW: usize = HIGH / 4;

/// What a message costs beside its bytes: its place among the commands, and an allocation. Empty ones cost that, too.
const MESSAGE: usize = 128;

/// What a message of so many bytes counts for while it waits.
pub(crate) fn cost(bytes: usize) -> usize {
    bytes + MESSAGE
}

/// Shared by both threads; only the application's adds, only the engine's takes away.
#[derive(Debug, Default)]
pub(crate) struct Inflow {
    waiting: AtomicUsize,
    paused: AtomicBool,
}

impl Inflow {
    /// The application hands over a message of that [`cost`]; false when it is to pause until it is told that it may go on.
    pub(crate) fn enter(&self, cost: usize) -> bool {
        let waiting = self.waiting.fetch_add(cost, Ordering::SeqCst) + cost;
        if waiting < HIGH {
            return true;
        }
        self.paused.store(true, Ordering::SeqCst);
        // What left before the flag stood told nobody: look again. Should both see it, one wins.
        self.waiting.load(Ordering::SeqCst) <= LOW && self.paused.swap(false, Ordering::SeqCst)
    }

    /// The engine has taken a message of that cost; true when the application waits for that.
    pub(crate) fn leave(&self, cost: usize) -> bool {
        let left = self.waiting.fetch_sub(cost, Ordering::SeqCst) - cost;
        left <= LOW
            && self.paused.load(Ordering::SeqCst)
            && self.paused.swap(false, Ordering::SeqCst)
    }
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests {
    use super::*;

    #[test]
    fn messages_of_nothing_fill_an_inflow_as_well() {
        let inflow = Inflow::default();
        let most = (0..HIGH).find(|_| !inflow.enter(cost(0)));
        assert_eq!(most, Some(HIGH / MESSAGE - 1));
    }

    #[test]
    fn a_full_inflow_pauses_and_tells_once_when_it_has_drained() {
        let inflow = Inflow::default();
        assert!(inflow.enter(HIGH - 1));
        assert!(!inflow.enter(1));
        assert!(!inflow.leave(HIGH / 2), "not yet low");
        assert!(inflow.leave(HIGH / 4));
        assert!(!inflow.leave(HIGH / 4), "told already");
        assert!(inflow.enter(HIGH / 2));
    }
}

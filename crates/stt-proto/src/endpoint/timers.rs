//! One deadline a slot in a binary heap that knows where each slot stands, so that moving a
//! deadline costs O(log n) and leaves nothing stale behind.

use crate::time::Instant;

const ABSENT: u32 = u32::MAX;

/// Deadlines by slot index.
#[derive(Default)]
pub(crate) struct TimerHeap {
    heap: Vec<(Instant, u32)>,
    /// Where each slot stands in `heap`.
    position: Vec<u32>,
}

impl TimerHeap {
    /// Sets, moves or clears the deadline of `slot`.
    pub(crate) fn set(&mut self, slot: u32, deadline: Option<Instant>) {
        let place = self.position.get(slot as usize).copied().unwrap_or(ABSENT);
        match (deadline, place) {
            (None, ABSENT) => {}
            (None, place) => self.remove(place as usize),
            (Some(deadline), ABSENT) => {
                if self.position.len() <= slot as usize {
                    self.position.resize(slot as usize + 1, ABSENT);
                }
                self.heap.push((deadline, slot));
                self.sift_up(self.heap.len() - 1);
            }
            (Some(deadline), place) => {
                let place = place as usize;
                let old = core::mem::replace(&mut self.heap[place].0, deadline);
                if deadline < old {
                    self.sift_up(place);
                } else if deadline > old {
                    self.sift_down(place);
                }
            }
        }
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.first().map(|(deadline, _)| *deadline)
    }

    /// The deadline of `slot`.
    #[cfg(feature = "inspect")]
    pub(crate) fn of(&self, slot: u32) -> Option<Instant> {
        let place = self.position.get(slot as usize).filter(|place| **place != ABSENT)?;
        self.heap.get(*place as usize).map(|(deadline, _)| *deadline)
    }

    /// Takes one slot whose deadline is not after `now`.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<u32> {
        let &(deadline, slot) = self.heap.first()?;
        if deadline > now {
            return None;
        }
        self.remove(0);
        Some(slot)
    }

    fn remove(&mut self, place: usize) {
        let (_, slot) = self.heap.swap_remove(place);
        self.position[slot as usize] = ABSENT;
        if place < self.heap.len() {
            self.position[self.heap[place].1 as usize] = place as u32;
            self.sift_up(place);
            self.sift_down(place);
        }
    }

    fn sift_up(&mut self, mut place: usize) {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.heap[parent] <= self.heap[place] {
                break;
            }
            self.swap(parent, place);
            place = parent;
        }
        self.position[self.heap[place].1 as usize] = place as u32;
    }

    fn sift_down(&mut self, mut place: usize) {
        loop {
            let mut least = place;
            for child in [2 * place + 1, 2 * place + 2] {
                if child < self.heap.len() && self.heap[child] < self.heap[least] {
                    least = child;
                }
            }
            if least == place {
                break;
            }
            self.swap(least, place);
            place = least;
        }
        self.position[self.heap[place].1 as usize] = place as u32;
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.position[self.heap[a].1 as usize] = a as u32;
        self.position[self.heap[b].1 as usize] = b as u32;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_a_sorted_map(
            steps in proptest::collection::vec((0u32..20, proptest::option::of(0u64..50)), 1..200)
        ) {
            let mut heap = TimerHeap::default();
            let mut model = BTreeMap::new();
            for (slot, deadline) in steps {
                let deadline = deadline.map(Instant::from_nanos);
                heap.set(slot, deadline);
                match deadline {
                    Some(at) => model.insert(slot, at),
                    None => model.remove(&slot),
                };
                prop_assert_eq!(heap.next(), model.values().min().copied());
            }
            let mut last = Instant::from_nanos(0);
            while let Some(at) = heap.next() {
                prop_assert!(at >= last);
                last = at;
                let slot = heap.pop_due(at).unwrap();
                prop_assert_eq!(model.remove(&slot), Some(at));
            }
            prop_assert!(model.is_empty());
        }
    }
}

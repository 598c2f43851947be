//! Which stream sends next.

use std::collections::VecDeque;

/// Priorities: 0 is the most urgent, 7 the background.
pub(super) const PRIORITIES: usize = 8;
/// Bytes that a stream sends before its neighbours of the same priority have their turn.
const QUANTUM: u64 = 16 * 1024;
/// Turns of more urgent streams after which the most neglected priority gets one, so that none
/// starves.
const PATIENCE: u32 = 32;

/// Strict priorities with a floor, round-robin inside each.
#[derive(Debug, Default)]
pub(super) struct Scheduler {
    queues: [VecDeque<u32>; PRIORITIES],
    /// Priorities with a stream in their queue, as bits.
    waiting: u8,
    used: u64,
    /// Turns that went by while a lower priority waited.
    overtaken: u32,
}

impl Scheduler {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Adds a stream that is in no queue.
    pub(super) fn push(&mut self, stream: u32, priority: u8) {
        let priority = usize::from(priority).min(PRIORITIES - 1);
        self.queues[priority].push_back(stream);
        self.waiting |= 1 << priority;
    }

    /// The stream whose turn it is.
    pub(super) fn peek(&self) -> Option<u32> {
        self.queues.get(self.turn()?)?.front().copied()
    }

    fn turn(&self) -> Option<usize> {
        if self.waiting == 0 {
            return None;
        }
        let (first, last) = (self.waiting.trailing_zeros(), 7 - self.waiting.leading_zeros());
        Some(if self.overtaken >= PATIENCE { last } else { first } as usize)
    }

    /// Takes out the stream whose turn it is: it has nothing more to send.
    pub(super) fn pop(&mut self) -> Option<u32> {
        let turn = self.turn()?;
        let stream = self.queues[turn].pop_front();
        if self.queues[turn].is_empty() {
            self.waiting &= !(1 << turn);
        }
        self.end_turn(turn);
        stream
    }

    /// The stream whose turn it is has sent; it keeps its turn until its quantum is used.
    pub(super) fn on_sent(&mut self, bytes: u64) {
        self.used += bytes;
        if self.used < QUANTUM {
            return;
        }
        let Some(turn) = self.turn() else { return };
        self.queues[turn].rotate_left(1);
        self.end_turn(turn);
    }

    fn end_turn(&mut self, turn: usize) {
        self.used = 0;
        let lower_waits = self.waiting >> turn > 1;
        self.overtaken = if lower_waits { self.overtaken + 1 } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(scheduler: &mut Scheduler, count: usize) -> Vec<u32> {
        (0..count)
            .map(|_| {
                let stream = scheduler.peek().unwrap();
                scheduler.on_sent(QUANTUM);
                stream
            })
            .collect()
    }

    #[test]
    fn streams_of_one_priority_take_turns() {
        let mut scheduler = Scheduler::default();
        [4, 8, 12].into_iter().for_each(|stream| scheduler.push(stream, 3));
        assert_eq!(turns(&mut scheduler, 6), [4, 8, 12, 4, 8, 12]);
    }

    #[test]
    fn the_urgent_go_first_and_the_background_does_not_starve() {
        let mut scheduler = Scheduler::default();
        scheduler.push(4, 7);
        scheduler.push(8, 0);
        let turns = turns(&mut scheduler, 330);
        let background = turns.iter().filter(|stream| **stream == 4).count();
        assert_eq!(turns[..PATIENCE as usize], [8; PATIENCE as usize]);
        assert_eq!(background, 10);
    }
}

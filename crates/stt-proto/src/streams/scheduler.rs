//! Whose turn it is to send.
//!
//! Eight priorities, the more urgent first; round-robin in turns of [`QUANTUM`] bytes inside one. A
//! priority that waits while [`PATIENCE`] bytes of more urgent ones go out gets one turn in between,
//! so that the background slows down but never stands still.

use std::collections::VecDeque;

/// Priorities: 0 is urgent, 7 the background.
pub(super) const PRIORITIES: usize = 8;
/// Bytes of one turn: about a dozen packets, so that a stream's data still fills whole packets.
pub(super) const QUANTUM: u64 = 16 * 1024;
/// Bytes that may overtake a priority before it gets a turn.
pub(super) const PATIENCE: u64 = 16 * QUANTUM;
/// What a frame counts beside its bytes: tiny frames use up the path as well.
const FRAME_COST: u64 = 32;

/// Why a stream waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lane {
    /// For what needs no credit of the session: lost bytes, and a FIN alone. Goes first.
    Repeat,
    /// For bytes that were never sent.
    Fresh,
}

/// The stream whose turn it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Turn {
    pub(super) stream: u32,
    pub(super) lane: Lane,
    priority: usize,
}

#[derive(Debug, Default)]
struct Queue {
    streams: VecDeque<u32>,
    /// Bytes that the first stream has sent in its turn.
    used: u64,
}

#[derive(Debug, Default)]
struct Level {
    repeat: Queue,
    fresh: Queue,
    /// Bytes of more urgent levels since this one began to wait.
    overtaken: u64,
}

impl Level {
    fn queue(&mut self, lane: Lane) -> &mut Queue {
        match lane {
            Lane::Repeat => &mut self.repeat,
            Lane::Fresh => &mut self.fresh,
        }
    }

    fn lane(&self, credit: bool) -> Option<(Lane, u32)> {
        let repeat = self.repeat.streams.front().map(|stream| (Lane::Repeat, *stream));
        let fresh = || self.fresh.streams.front().map(|stream| (Lane::Fresh, *stream));
        repeat.or_else(|| if credit { fresh() } else { None })
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Scheduler {
    /// Made for the first stream that waits: most sessions, most of the time, have nothing to send.
    levels: Option<Box<[Level; PRIORITIES]>>,
    /// The level that has a turn out of order, and the bytes left of that turn.
    favoured: Option<(usize, u64)>,
}

impl Scheduler {
    /// Adds a stream that does not wait in this lane yet.
    pub(super) fn push(&mut self, stream: u32, priority: u8, lane: Lane) {
        let levels = self.levels.get_or_insert_default();
        let level = &mut levels[usize::from(priority).min(PRIORITIES - 1)];
        if level.lane(true).is_none() {
            level.overtaken = 0;
        }
        level.queue(lane).streams.push_back(stream);
    }

    /// Whose turn it is; `credit` tells whether the session has credit for fresh bytes.
    pub(super) fn turn(&self, credit: bool) -> Option<Turn> {
        let levels = self.levels.as_ref()?;
        let at = |priority: usize| {
            let (lane, stream) = levels[priority].lane(credit)?;
            Some(Turn { stream, lane, priority })
        };
        self.favoured
            .and_then(|(priority, _)| at(priority))
            .or_else(|| (0..PRIORITIES).find_map(at))
    }

    /// Takes a stream out of a lane, wherever it stands there.
    pub(super) fn remove(&mut self, stream: u32, priority: u8, lane: Lane) {
        let Some(levels) = &mut self.levels else { return };
        let level = &mut levels[usize::from(priority).min(PRIORITIES - 1)];
        let queue = level.queue(lane);
        let Some(index) = queue.streams.iter().position(|other| *other == stream) else { return };
        queue.streams.remove(index);
        if index == 0 {
            queue.used = 0;
        }
    }

    /// The stream of `turn` has sent a frame of `bytes`; `more` tells whether it stays in its lane.
    pub(super) fn sent(&mut self, turn: Turn, bytes: u64, credit: bool, more: bool) {
        let cost = bytes + FRAME_COST;
        let Some(levels) = &mut self.levels else { return };
        let queue = levels[turn.priority].queue(turn.lane);
        queue.used += cost;
        if !more {
            queue.streams.pop_front();
            queue.used = 0;
        } else if queue.used >= QUANTUM {
            queue.streams.rotate_left(1);
            queue.used = 0;
        }
        if let Some((priority, left)) = self.favoured.take() {
            if priority == turn.priority && left > cost {
                self.favoured = Some((priority, left - cost));
            }
            return;
        }
        levels[turn.priority].overtaken = 0;
        for priority in turn.priority + 1..PRIORITIES {
            let level = &mut levels[priority];
            if level.lane(credit).is_none() {
                continue;
            }
            level.overtaken += cost;
            if level.overtaken >= PATIENCE && self.favoured.is_none() {
                level.overtaken = 0;
                self.favoured = Some((priority, QUANTUM));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: u64 = 1_200;

    /// Bytes that each of the streams sends while `packets` packets go out, all with more to send.
    fn share<const N: usize>(scheduler: &mut Scheduler, packets: u32, of: [u32; N]) -> [u64; N] {
        let mut bytes = [0; N];
        for _ in 0..packets {
            let turn = scheduler.turn(true).unwrap();
            scheduler.sent(turn, PACKET, true, true);
            bytes[of.iter().position(|stream| *stream == turn.stream).unwrap()] += PACKET;
        }
        bytes
    }

    #[test]
    fn streams_of_one_priority_get_the_same() {
        let mut scheduler = Scheduler::default();
        for stream in [4, 8, 12, 16] {
            scheduler.push(stream, 3, Lane::Fresh);
        }
        let shares = share(&mut scheduler, 4_003, [4, 8, 12, 16]);
        let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
        assert!(most - least <= QUANTUM + PACKET, "{shares:?}");
    }

    #[test]
    fn the_urgent_go_first_and_nobody_starves() {
        let mut scheduler = Scheduler::default();
        for (stream, priority) in [(4, 7), (8, 4), (12, 0)] {
            scheduler.push(stream, priority, Lane::Fresh);
        }
        let [background, middle, urgent] = share(&mut scheduler, 20_000, [4, 8, 12]);
        let all = background + middle + urgent;
        assert!(urgent > all * 8 / 10, "{background} {middle} {urgent}");
        assert!(background > all / 25 && middle > all / 25, "{background} {middle} {urgent}");
    }

    #[test]
    fn an_urgent_newcomer_does_not_wait() {
        let mut scheduler = Scheduler::default();
        scheduler.push(4, 5, Lane::Fresh);
        share(&mut scheduler, 3, [4]);
        scheduler.push(8, 0, Lane::Fresh);
        assert_eq!(scheduler.turn(true).unwrap().stream, 8);
    }

    #[test]
    fn lost_bytes_go_before_fresh_ones_and_need_no_credit() {
        let mut scheduler = Scheduler::default();
        scheduler.push(4, 3, Lane::Fresh);
        scheduler.push(8, 3, Lane::Repeat);
        assert_eq!(scheduler.turn(true).unwrap().stream, 8);
        let turn = scheduler.turn(false).unwrap();
        assert_eq!((turn.stream, turn.lane), (8, Lane::Repeat));
        scheduler.sent(turn, 1, false, false);
        assert_eq!(scheduler.turn(false), None);
        assert_eq!(scheduler.turn(true).unwrap().stream, 4);
    }

    #[test]
    fn a_stream_that_is_taken_out_leaves_the_order_as_it_was() {
        let mut scheduler = Scheduler::default();
        for stream in [4, 8, 12] {
            scheduler.push(stream, 3, Lane::Fresh);
        }
        scheduler.remove(8, 3, Lane::Fresh);
        scheduler.remove(99, 3, Lane::Fresh);
        for expected in [4, 12] {
            let turn = scheduler.turn(true).unwrap();
            assert_eq!(turn.stream, expected);
            scheduler.sent(turn, 1, true, false);
        }
        assert_eq!(scheduler.turn(true), None);
    }
}

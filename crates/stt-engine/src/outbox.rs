//! Messages on their way from the application's thread to the core.
//!
//! The bound holds over this queue and the core's together, so that what an application sends in one
//! go, faster than the engine turns, costs no more memory than what it sends slowly.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use stt_proto::{FrameType, Memory, Message, MessageDrop};

use crate::sync::{AtomicBool, AtomicUsize, Mutex, MutexGuard, Ordering, PoisonError};

/// What became of a message that was to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It was taken.
    Taken,
    /// There is no room, and the newest is what is dropped then.
    Full,
    /// It is longer than [`Engine::max_message_size`](crate::Engine::max_message_size) allows.
    TooLarge,
    /// The session takes nothing more, for ever.
    Dead,
}

#[derive(Debug)]
struct Queue {
    messages: VecDeque<Message>,
    /// What these cost, in bytes.
    cost: u64,
    /// What those cost that wait in the core.
    in_core: u64,
    /// A message found no room: say so once there is some.
    wanted: bool,
    /// A command on its way tells the engine of what is here.
    announced: bool,
    dropped: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    limit: u64,
    policy: MessageDrop,
    max_size: AtomicUsize,
    /// The engine has been asked to find out how large the path's datagrams may be.
    mtu_wanted: AtomicBool,
    /// What all sessions of the endpoint hold, these messages included.
    memory: Arc<Memory>,
}

impl Outbox {
    pub(crate) fn new(limit: u64, policy: MessageDrop, memory: &Arc<Memory>) -> Self {
        let queue = Queue {
            messages: VecDeque::new(),
            cost: 0,
            in_core: 0,
            wanted: false,
            announced: false,
            dropped: 0,
        };
        let memory = Arc::clone(memory);
        let (max_size, mtu_wanted) = (AtomicUsize::new(0), AtomicBool::new(false));
        Self { queue: Mutex::new(queue), limit, policy, max_size, mtu_wanted, memory }
    }

    /// The longest message that is taken.
    pub(crate) fn max_size(&self) -> usize {
        self.max_size.load(Ordering::Relaxed)
    }

    /// Engine's side: the core has another opinion.
    pub(crate) fn set_max_size(&self, max: usize) {
        self.max_size.store(max, Ordering::Relaxed);
    }

    /// Application's side: whether the engine is to be asked how large the path's datagrams may be,
    /// which is once.
    pub(crate) fn wants_mtu(&self) -> bool {
        !self.mtu_wanted.swap(true, Ordering::Relaxed)
    }

    /// Application's side: appends a copy. The second answer: the engine is to be told.
    pub(crate) fn push(&self, frame_type: FrameType, bytes: &[u8]) -> (Sent, bool) {
        let max = self.max_size();
        if max == 0 || bytes.len() > max {
            return (Sent::TooLarge, false);
        }
        let mut queue = self.lock();
        let message = Message { frame_type, bytes: Bytes::copy_from_slice(bytes) };
        let cost = message.cost();
        let others = match self.policy {
            MessageDrop::Newest => queue.cost + queue.in_core,
            MessageDrop::Oldest => 0,
        };
        if others + cost > self.limit {
            queue.wanted = true;
            return (Sent::Full, false);
        }
        if !self.memory.take_whole(cost) {
            queue.wanted = true;
            return (Sent::Full, false);
        }
        queue.cost += cost;
        queue.messages.push_back(message);
        while queue.cost > self.limit
            && let Some(oldest) = queue.messages.pop_front()
        {
            queue.cost -= oldest.cost();
            self.memory.sub(oldest.cost());
            queue.dropped += 1;
        }
        (Sent::Taken, !std::mem::replace(&mut queue.announced, true))
    }

    /// Engine's side: everything that waits, which counts as waiting in the core from now on.
    pub(crate) fn take(&self) -> VecDeque<Message> {
        let mut queue = self.lock();
        queue.announced = false;
        queue.in_core += std::mem::take(&mut queue.cost);
        std::mem::take(&mut queue.messages)
    }

    /// Engine's side: what waits in the core costs so much now. True when an application that found
    /// no room is to be told that there is some: a quarter, or all.
    pub(crate) fn settle(&self, in_core: u64) -> bool {
        let mut queue = self.lock();
        self.memory.adjust(queue.in_core, in_core);
        queue.in_core = in_core;
        let held = queue.cost + in_core;
        let room = held == 0 || self.limit.saturating_sub(held) >= self.limit / 4;
        room && std::mem::take(&mut queue.wanted)
    }

    /// Engine's side: whether a message found no room and its sender is to be told of some, which it is
    /// now.
    pub(crate) fn take_wanted(&self) -> bool {
        std::mem::take(&mut self.lock().wanted)
    }

    /// Messages that were dropped here.
    pub(crate) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let queue = self.queue.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.memory.sub(queue.cost + queue.in_core);
    }
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests {
    use super::*;

    const COST: u64 = 10 + 64;

    fn outbox(policy: MessageDrop) -> Outbox {
        let outbox = Outbox::new(4 * COST, policy, &Arc::new(Memory::new(u64::MAX)));
        outbox.set_max_size(10);
        outbox
    }

    fn push(outbox: &Outbox, fill: u8) -> (Sent, bool) {
        outbox.push(FrameType::DATAGRAM, &[fill; 10])
    }

    fn fills(messages: VecDeque<Message>) -> Vec<u8> {
        messages.iter().map(|message| message.bytes[0]).collect()
    }

    #[test]
    fn the_engine_is_told_once_for_all_that_waits() {
        let outbox = outbox(MessageDrop::Newest);
        assert_eq!(push(&outbox, 0), (Sent::Taken, true));
        assert_eq!(push(&outbox, 1), (Sent::Taken, false));
        assert_eq!(fills(outbox.take()), [0, 1]);
        assert_eq!(push(&outbox, 2), (Sent::Taken, true));
    }

    #[test]
    fn the_newest_is_refused_and_its_sender_told_of_room_once() {
        let outbox = outbox(MessageDrop::Newest);
        for fill in 0..4 {
            assert_eq!(push(&outbox, fill).0, Sent::Taken);
        }
        assert_eq!(push(&outbox, 4).0, Sent::Full);
        assert_eq!(fills(outbox.take()), [0, 1, 2, 3]);
        assert_eq!(push(&outbox, 4).0, Sent::Full, "they wait in the core now");
        assert!(!outbox.settle(4 * COST));
        assert!(outbox.settle(3 * COST));
        assert!(!outbox.settle(0), "told already");
        assert_eq!((push(&outbox, 5).0, outbox.dropped()), (Sent::Taken, 0));
    }

    #[test]
    fn the_oldest_make_room_and_are_counted() {
        let outbox = outbox(MessageDrop::Oldest);
        for fill in 0..100 {
            assert_eq!(push(&outbox, fill).0, Sent::Taken);
        }
        assert_eq!(outbox.dropped(), 96);
        assert_eq!(fills(outbox.take()), [96, 97, 98, 99]);
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let outbox = outbox(MessageDrop::Oldest);
        assert_eq!(outbox.push(FrameType::DATAGRAM, &[0; 11]), (Sent::TooLarge, false));
        outbox.set_max_size(0);
        assert_eq!(outbox.push(FrameType::DATAGRAM, &[]), (Sent::TooLarge, false));
    }
}

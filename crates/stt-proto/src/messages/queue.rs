//! A bounded queue of messages.

use std::collections::VecDeque;

use bytes::Bytes;
use stt_wire::FrameType;

/// What a message costs beside its bytes, so that empty ones are bounded too.
pub(super) const OVERHEAD: u64 = 64;

/// One message, whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// DATAGRAM, or a custom type (0x80 to 0xFE).
    pub frame_type: FrameType,
    /// What it says.
    pub bytes: Bytes,
}

impl Message {
    /// What it costs in a queue, in bytes.
    pub fn cost(&self) -> u64 {
        cost_of(self.bytes.len())
    }
}

/// Which message goes when a queue is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MessageDrop {
    /// The one that comes: what waits is worth more.
    #[default]
    Newest,
    /// Those that have waited longest: what is fresh is worth more.
    Oldest,
}

/// What a push cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Dropped {
    /// The message was not taken.
    pub(super) itself: bool,
    /// So many others were dropped for it.
    pub(super) others: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Queue {
    messages: VecDeque<Message>,
    cost: u64,
    limit: u64,
    policy: MessageDrop,
}

impl Queue {
    pub(super) fn new(limit: u64, policy: MessageDrop) -> Self {
        Self { messages: VecDeque::new(), cost: 0, limit, policy }
    }

    /// Whether a message of `len` bytes would not be taken.
    pub(super) fn would_drop_itself(&self, len: usize) -> bool {
        let held = if self.policy == MessageDrop::Newest { self.cost } else { 0 };
        held + cost_of(len) > self.limit
    }

    /// Appends a message, dropping as the policy says where there is no room.
    pub(super) fn push(&mut self, message: Message) -> Dropped {
        if self.would_drop_itself(message.bytes.len()) {
            return Dropped { itself: true, others: 0 };
        }
        let mut others = 0;
        while self.cost + message.cost() > self.limit && self.pop().is_some() {
            others += 1;
        }
        self.cost += message.cost();
        self.messages.push_back(message);
        Dropped { itself: false, others }
    }

    pub(super) fn front(&self) -> Option<&Message> {
        self.messages.front()
    }

    pub(super) fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.cost -= message.cost();
        Some(message)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// What they may cost together.
    #[cfg(feature = "inspect")]
    pub(super) const fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes of what it holds, each message's own cost included.
    pub(super) const fn cost(&self) -> u64 {
        self.cost
    }

    /// Drops everything: how many that were.
    pub(super) fn clear(&mut self) -> u64 {
        let count = self.messages.len() as u64;
        self.messages = VecDeque::new();
        self.cost = 0;
        count
    }
}

const fn cost_of(len: usize) -> u64 {
    len as u64 + OVERHEAD
}

//! Messages of one session: DATAGRAM and the application's own frame types (PROTOCOL.md section 1.10).
//!
//! A message travels whole in one packet, once: what is lost stays lost. Both ways a bounded queue
//! stands between application and packets; what does not fit is dropped and counted, the newest or
//! the oldest as configured. While stream data waits too, messages and data take turns by bytes, so
//! that neither starves the other.

mod queue;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use stt_wire::{BundleWriter, CRC32_LEN, FrameType, HEADER_LEN, MIN_MTU, TAG_LEN};
use thiserror::Error;

use crate::config::SessionConfig;
use crate::recovery::Content;

use self::queue::Queue;
pub use self::queue::{Message, MessageDrop};

/// Bytes that messages may send before waiting stream data has as many, and the other way round.
const TURN: u64 = 16 * 1024;
/// Bytes of a packet around the one message that fills it: header, tag, checksum, and the header of
/// a BUNDLE's part (type, flags, stream id 0, length).
const AROUND: usize = HEADER_LEN + TAG_LEN + CRC32_LEN + 5;

/// Why a message was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum MessageError {
    /// Longer than one packet of this path, or than the peer takes; 0 says that it takes none.
    #[error("a message may have at most {max} bytes")]
    TooLarge {
        /// The longest that would be taken now.
        max: usize,
    },
    /// The queue is full, and the configuration drops the newest.
    #[error("the queue of messages is full")]
    Full,
    /// No message may have this frame type.
    #[error("this frame type carries no messages")]
    FrameType,
    /// SESSION_CLOSED (0x0201).
    #[error("the session is closed")]
    SessionClosed,
}

/// What became of the messages of a session. All only grow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MessageCounts {
    /// Written into a packet.
    pub sent: u64,
    /// Sent, and declared lost with their packet. One that arrives late after all stays counted.
    pub lost: u64,
    /// Dropped before they were sent: for want of room, or because the path carries less by now.
    pub dropped_sending: u64,
    /// Arrived, and queued for the application.
    pub received: u64,
    /// Of those received, dropped before the application took them.
    pub dropped_receiving: u64,
}

/// A set of custom frame types, 0x80 to 0xFE.
#[derive(Clone, Copy, Default, Debug)]
struct TypeSet(u128);

impl TypeSet {
    fn set(&mut self, frame_type: FrameType, held: bool) {
        let bit = 1 << (frame_type.0 & 0x7f);
        self.0 = if held { self.0 | bit } else { self.0 & !bit };
    }

    fn has(self, frame_type: FrameType) -> bool {
        self.0 >> (frame_type.0 & 0x7f) & 1 == 1
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Messages {
    outgoing: Queue,
    incoming: Queue,
    /// What the peer's transport parameters say that it takes.
    peer_max: usize,
    own_max: usize,
    /// Custom types that the application handles.
    handled: TypeSet,
    /// Bytes sent by messages in their turn that waiting stream data has not made up for.
    ahead: u64,
    /// It is the turn of stream data.
    yields: bool,
    /// The first message had no room beside an ACK: it goes before the next one.
    passed_over: bool,
    /// The application has been told that there is something to read, and has not found nothing since.
    is_readable_told: bool,
    /// The longest message, as the driver was told.
    told_max: usize,
    counts: MessageCounts,
}

/// The longest message that a session with this configuration takes from its peer.
pub(crate) fn own_max(config: &SessionConfig) -> u16 {
    let room = config.datagram_recv_buffer.saturating_sub(queue::OVERHEAD);
    config.max_datagram_size.min(u16::try_from(room).unwrap_or(u16::MAX))
}

impl Messages {
    pub(crate) fn new(config: &SessionConfig, peer_max: u16) -> Self {
        let peer_max = usize::from(peer_max);
        Self {
            outgoing: Queue::new(config.datagram_send_buffer, config.datagram_send_drop),
            incoming: Queue::new(config.datagram_recv_buffer, config.datagram_recv_drop),
            peer_max,
            own_max: usize::from(own_max(config)),
            handled: TypeSet::default(),
            ahead: 0,
            yields: false,
            passed_over: false,
            is_readable_told: false,
            told_max: peer_max.min(MIN_MTU - AROUND),
            counts: MessageCounts::default(),
        }
    }

    /// The longest message that may be sent while packets have `mtu` bytes; 0: the peer takes none.
    pub(crate) fn max_size(&self, mtu: usize) -> usize {
        self.peer_max.min(mtu.saturating_sub(AROUND))
    }

    /// The same, where it differs from what this last answered: at first, what a path carries at least.
    pub(crate) fn poll_max_size(&mut self, mtu: usize) -> Option<usize> {
        let max = self.max_size(mtu);
        (core::mem::replace(&mut self.told_max, max) != max).then_some(max)
    }

    /// Takes a message to send. With [`MessageDrop::Oldest`] others may be dropped for it.
    pub(crate) fn send(&mut self, message: Message, mtu: usize) -> Result<(), MessageError> {
        if !carries_messages(message.frame_type) {
            return Err(MessageError::FrameType);
        }
        let max = self.max_size(mtu);
        let taken = if self.peer_max == 0 || message.bytes.len() > max {
            Err(MessageError::TooLarge { max })
        } else {
            let dropped = self.outgoing.push(message);
            self.counts.dropped_sending += dropped.others;
            if dropped.itself { Err(MessageError::Full) } else { Ok(()) }
        };
        self.counts.dropped_sending += u64::from(taken.is_err());
        taken
    }

    /// What the queue of messages to send holds: bytes, each message's own cost included.
    pub(crate) fn queued(&self) -> u64 {
        self.outgoing.cost()
    }

    /// What the messages hold that came and were not read.
    pub(crate) fn held_incoming(&self) -> u64 {
        self.incoming.cost()
    }

    /// Cost of what waits to be sent and to be read, each with its limit.
    #[cfg(feature = "inspect")]
    pub(crate) fn held(&self) -> [(u64, u64); 2] {
        [&self.outgoing, &self.incoming].map(|queue| (queue.cost(), queue.limit()))
    }

    /// Whether nothing waits to be sent.
    pub(crate) fn is_drained(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// Whether a message should go out now; `data` tells whether stream data could.
    pub(crate) fn has_turn(&self, data: bool) -> bool {
        !(self.outgoing.is_empty() || data && self.yields)
    }

    /// Whether messages go before an ACK this time.
    pub(crate) fn goes_first(&self) -> bool {
        self.passed_over && !self.outgoing.is_empty()
    }

    /// Appends as many messages as fit and have their turn, and what they are to `contents`.
    pub(crate) fn write(
        &mut self,
        mtu: usize,
        data: bool,
        out: &mut BundleWriter<'_>,
        contents: &mut Vec<Content>,
    ) {
        let max = self.max_size(mtu);
        while self.has_turn(data)
            && let Some(message) = self.outgoing.front()
        {
            let len = message.bytes.len();
            if len > max {
                // The path carries less than when it was taken.
                self.outgoing.pop();
                self.counts.dropped_sending += 1;
                continue;
            }
            let written = out.part(message.frame_type, 0, |body| body.bytes(&message.bytes));
            self.passed_over = written.is_err();
            if self.passed_over {
                break;
            }
            contents.push(Content::Message);
            self.outgoing.pop();
            self.counts.sent += 1;
            if data {
                self.ahead += len as u64 + queue::OVERHEAD;
                self.yields = self.ahead >= TURN;
            }
        }
        if self.outgoing.is_empty() {
            (self.ahead, self.yields, self.passed_over) = (0, false, false);
        }
    }

    /// Stream data of so many bytes went out.
    pub(crate) fn on_data_sent(&mut self, bytes: u64) {
        self.ahead = self.ahead.saturating_sub(bytes + queue::OVERHEAD);
        self.yields &= self.ahead > 0;
    }

    /// A packet with a message was lost.
    pub(crate) fn on_lost(&mut self) {
        self.counts.lost += 1;
    }

    /// Whether the application handles this custom type from now on.
    pub(crate) fn set_handled(&mut self, frame_type: FrameType, held: bool) {
        if frame_type.is_custom() {
            self.handled.set(frame_type, held);
        }
    }

    /// Whether the application handles this custom type.
    pub(crate) fn handles(&self, frame_type: FrameType) -> bool {
        self.handled.has(frame_type)
    }

    /// A message of the peer; one for which there is no `room` is dropped. False when it is longer than
    /// this side said that it takes.
    pub(crate) fn receive(&mut self, frame_type: FrameType, bytes: &[u8], room: u64) -> bool {
        if self.own_max == 0 || bytes.len() > self.own_max {
            return false;
        }
        self.counts.received += 1;
        let fits = bytes.len() as u64 + queue::OVERHEAD <= room;
        if fits && !self.incoming.would_drop_itself(bytes.len()) {
            let bytes = Bytes::copy_from_slice(bytes);
            let dropped = self.incoming.push(Message { frame_type, bytes });
            self.counts.dropped_receiving += dropped.others + u64::from(dropped.itself);
        } else {
            self.counts.dropped_receiving += 1;
        }
        true
    }

    /// Whether the application is to be told, once, that there is something to read.
    pub(crate) fn poll_readable(&mut self) -> bool {
        !self.incoming.is_empty() && !core::mem::replace(&mut self.is_readable_told, true)
    }

    /// Takes out the next message that came.
    pub(crate) fn read(&mut self) -> Option<Message> {
        let message = self.incoming.pop();
        self.is_readable_told &= message.is_some();
        message
    }

    /// Whether a read would find something.
    pub(crate) fn has_unread(&self) -> bool {
        !self.incoming.is_empty()
    }

    pub(crate) fn counts(&self) -> MessageCounts {
        self.counts
    }

    /// The session is over: nothing is sent any more; what came stays readable.
    pub(crate) fn on_session_end(&mut self) {
        self.counts.dropped_sending += self.outgoing.clear();
    }
}

fn carries_messages(frame_type: FrameType) -> bool {
    frame_type == FrameType::DATAGRAM || frame_type.is_custom()
}

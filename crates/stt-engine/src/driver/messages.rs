//! Moving messages between the outboxes, the core and the ring.

use stt_proto::{Message, Now};

use super::Driver;
use crate::SessionNumber;
use crate::event::Event;

/// Messages taken from one session before the next has its turn.
const READ_ONCE: usize = 64;

impl Driver {
    /// The application sent messages.
    pub(super) fn move_messages(&mut self, now: Now, number: SessionNumber) {
        let Some(session) = self.sessions.get_mut(number) else { return };
        let handle = session.handle;
        for message in session.credit.outbox.take() {
            // What the core does not take it counts: the path carries less by now, or the session
            // is ending.
            let _ = self.core.send_message(now, handle, message);
        }
        if !self.message_writers.contains(&number) {
            self.message_writers.push(number);
        }
    }

    /// Tells the outboxes what the core has sent, and applications that found no room of it.
    pub(super) fn settle_messages(&mut self) {
        let mut index = 0;
        while let Some(number) = self.message_writers.get(index).copied() {
            let Some(session) = self.sessions.get_mut(number) else {
                self.message_writers.swap_remove(index);
                continue;
            };
            let queued = self.core.queued_messages(session.handle);
            if session.credit.outbox.settle(queued) {
                self.out.push(Event::MessagesWritable(number));
            }
            if queued == 0 {
                self.message_writers.swap_remove(index);
            } else {
                index += 1;
            }
        }
        // Told of now, not after the sleep that may follow.
        self.publish();
    }

    /// Reads messages, session by session, while the ring has room. They come before stream data,
    /// but only so many at a time, so that neither keeps the other out of a ring that is nearly full.
    pub(super) fn read_messages(&mut self) {
        for _ in 0..self.message_readers.len() {
            let Some(number) = self.message_readers.pop_front() else { return };
            let Some(handle) = self.sessions.handle(number) else { continue };
            for left in (0..READ_ONCE).rev() {
                if left == 0 || !self.has_room() {
                    self.message_readers.push_back(number);
                    break;
                }
                let Some(message) = self.core.read_message(handle) else { break };
                self.give(number, message);
            }
        }
    }

    /// The session is over: hands over what is unread, at most its queue's bound.
    pub(super) fn end_messages(&mut self, number: SessionNumber) {
        let Some(handle) = self.sessions.handle(number) else { return };
        while let Some(message) = self.core.read_message(handle) {
            self.give(number, message);
        }
    }

    fn give(&mut self, session: SessionNumber, message: Message) {
        let Message { frame_type, bytes } = message;
        self.out_bytes += bytes.len();
        self.out.push(Event::Message { session, frame_type, bytes });
    }
}

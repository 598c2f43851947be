//! Telling of memory: that it is short, and that there is some again.

use super::Driver;
use crate::event::{Event, Resource};
use crate::{SessionNumber, StreamNumber};

impl Driver {
    /// Warns once when most of what may be held is in use, and tells writers and senders of messages that
    /// found no room when there is some.
    pub(super) fn tell_of_memory(&mut self) {
        let memory = self.core.memory();
        if self.told_short {
            self.told_short = !memory.is_ample();
        } else if memory.is_short() {
            let (wanted, granted) = (memory.used(), memory.limit());
            let resource = Resource::Memory;
            self.told_short = true;
            self.push(Event::ResourceWarning { resource, wanted, granted });
        }
        if self.core.memory().relieve() {
            self.relieve();
        }
    }

    fn relieve(&mut self) {
        let mut streams: Vec<StreamNumber> = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.credit.as_ref().is_some_and(|credit| credit.take_wanted()))
            .map(|(number, _)| *number)
            .collect();
        // The map's order depends on its history.
        streams.sort_unstable();
        self.out.extend(streams.into_iter().map(Event::Writable));
        let sessions: Vec<SessionNumber> = self.sessions.numbers();
        for number in sessions {
            let session = self.sessions.get_mut(number);
            if session.is_some_and(|session| session.credit.outbox.take_wanted()) {
                self.out.push(Event::MessagesWritable(number));
            }
        }
    }
}

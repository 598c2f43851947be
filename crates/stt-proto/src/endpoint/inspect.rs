//! Where a session stands among the endpoint's timers and queues, beside what it says of itself.

use crate::event::SessionHandle;
use crate::inspect::{Inspection, Recount};
use crate::session::Session;
use crate::time::Instant;

use super::{Endpoint, Entry, timer_key};

impl Endpoint {
    /// Looks at a session after the endpoint was drained at `now`; `None` while it is not established
    /// or when it is not known. Constant time.
    pub fn inspect(&self, now: Instant, session: SessionHandle) -> Option<Inspection> {
        let inspection = self.inspected(session)?.inspect(now);
        Some(Inspection {
            timer: self.timers.of(timer_key(session.index)),
            is_queued: self.slots.is_queued(session.index),
            ..inspection
        })
    }

    /// Counts anew what a session holds; `None` as for [`Endpoint::inspect`]. Takes time in
    /// proportion to it.
    pub fn recount(&self, session: SessionHandle) -> Option<Recount> {
        Some(self.inspected(session)?.recount())
    }

    fn inspected(&self, session: SessionHandle) -> Option<&Session> {
        match self.slots.get(self.slot_of(session)?)? {
            Entry::Session(session) => Some(session),
            Entry::Connecting(_) => None,
        }
    }
}

//! Where a session stands among the endpoint's timers and queues, beside what it says of itself.

use crate::event::SessionHandle;
use crate::inspect::{ConnectInspection, HalfOpenInspection, Inspection, Recount};
use crate::session::Session;
use crate::time::Instant;

use super::{Endpoint, Entry, HALF_OPEN_TIMER, timer_key};

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

    /// The sessions and connects of this endpoint from a place in its table on, each with its place.
    pub fn inspected_from(&self, place: u32) -> impl Iterator<Item = (u32, SessionHandle)> + '_ {
        self.slots
            .indices_from(place)
            .filter_map(|index| self.slots.handle(index).map(|handle| (index, handle)))
    }

    /// Looks at a connect after the endpoint was drained at `now`; `None` once it was answered, or when
    /// it is not known. Constant time.
    pub fn inspect_connect(
        &self,
        now: Instant,
        session: SessionHandle,
    ) -> Option<ConnectInspection> {
        match self.slots.get(self.slot_of(session)?)? {
            Entry::Session(_) => None,
            Entry::Connecting(connecting) => {
                let timer = self.timers.of(timer_key(session.index));
                Some(ConnectInspection { timer, ..connecting.inspect(now) })
            }
        }
    }

    /// Counts the half-open handshakes; `None` where nobody listens. Takes time in proportion to them.
    pub fn inspect_half_open(&self) -> Option<HalfOpenInspection> {
        let most = self.listen.as_ref()?.max_half_open;
        let timeout = self.session_defaults.handshake_timeout;
        let (oldest, held) = self.half_open.counted();
        Some(HalfOpenInspection {
            count: (self.half_open.len(), most),
            timer: self.timers.of(HALF_OPEN_TIMER),
            until: oldest.map(|created| created + timeout),
            held,
        })
    }

    fn inspected(&self, session: SessionHandle) -> Option<&Session> {
        match self.slots.get(self.slot_of(session)?)? {
            Entry::Session(session) => Some(session),
            Entry::Connecting(_) => None,
        }
    }
}

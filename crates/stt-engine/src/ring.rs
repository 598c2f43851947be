//! The way out: a bounded queue of events and the doorbell that says that it is no longer empty.
//!
//! The bound works by restraint: the engine looks at [`Ring::room`] before it takes an event or a
//! piece of stream data out of the core, and leaves it there when there is none. Nothing is dropped
//! and nothing grows: what stays in the core holds back flow credit, and so the peer. Two things
//! may exceed the bound, each limited elsewhere: events that come with those already taken (a
//! handful), and the unread data of a session that ended (at most its receive window).

use std::collections::VecDeque;
use std::mem;

use crate::event::Event;
use crate::sync::{AtomicBool, AtomicUsize, Mutex, Ordering, PoisonError};

/// Events that may wait for the application.
pub(crate) const MAX_EVENTS: usize = 4096;

/// Bytes of stream data that may wait for the application, over all streams.
pub(crate) const MAX_BYTES: usize = 16 << 20;

/// Called on the engine's thread when events wait and nobody has been told yet.
pub(crate) type Doorbell = Box<dyn Fn() + Send + Sync>;

pub(crate) struct Ring {
    queue: Mutex<VecDeque<Event>>,
    doorbell: Doorbell,
    /// The bell has been rung and the application has not yet found the queue empty since.
    armed: AtomicBool,
    events: AtomicUsize,
    bytes: AtomicUsize,
    /// The engine holds something back for lack of room.
    starved: AtomicBool,
    rings: AtomicUsize,
    max_events: usize,
    max_bytes: usize,
}

impl Ring {
    #[cfg(all(test, not(feature = "shuttle")))]
    pub(crate) fn new(doorbell: Doorbell) -> Self {
        Self::with_bounds(doorbell, MAX_EVENTS, MAX_BYTES)
    }

    /// A ring for so many events and so many bytes of stream data.
    pub(crate) fn with_bounds(doorbell: Doorbell, max_events: usize, max_bytes: usize) -> Self {
        Self {
            max_events,
            max_bytes,
            queue: Mutex::default(),
            doorbell,
            armed: AtomicBool::new(false),
            events: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            starved: AtomicBool::new(false),
            rings: AtomicUsize::new(0),
        }
    }

    /// Engine's side: whether more may be put in, when `waiting` events with `bytes` of data are
    /// about to be. A false answer is remembered, and [`Ring::taken`] then asks for a wake-up.
    pub(crate) fn room(&self, waiting: usize, bytes: usize) -> bool {
        let fits = || {
            self.events.load(Ordering::SeqCst) + waiting < self.max_events
                && self.bytes.load(Ordering::SeqCst) + bytes < self.max_bytes
        };
        if fits() {
            return true;
        }
        self.starved.store(true, Ordering::SeqCst);
        // What was taken before the flag stood wakes nobody: look again.
        fits()
    }

    /// Engine's side: appends `out`, leaving it empty, and rings if nobody has been told yet.
    pub(crate) fn publish(&self, out: &mut Vec<Event>) {
        if self.append(out) && !self.armed.swap(true, Ordering::SeqCst) {
            self.ring();
        }
    }

    /// The same on the application's thread, which polls next, so that nobody needs to be told; if
    /// it cannot, it [rings](Self::ring). True when there is something to poll for.
    pub(crate) fn publish_here(&self, out: &mut Vec<Event>) -> bool {
        let some = self.append(out);
        if some {
            self.armed.store(true, Ordering::SeqCst);
        }
        some
    }

    /// Rings the bell, whether or not it was rung.
    pub(crate) fn ring(&self) {
        self.rings.fetch_add(1, Ordering::Relaxed);
        (self.doorbell)();
    }

    fn append(&self, out: &mut Vec<Event>) -> bool {
        if out.is_empty() {
            return false;
        }
        let bytes: usize = out.iter().map(data_len).sum();
        self.events.fetch_add(out.len(), Ordering::SeqCst);
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).extend(out.drain(..));
        true
    }

    /// Application's side: swaps what waits for the empty `into`; false, and the bell is ready to
    /// ring again, when nothing does.
    pub(crate) fn take(&self, into: &mut VecDeque<Event>) -> bool {
        if self.swap(into) {
            return true;
        }
        self.armed.store(false, Ordering::SeqCst);
        // What was appended before that rang no bell: look again.
        if self.swap(into) {
            self.armed.store(true, Ordering::SeqCst);
            return true;
        }
        false
    }

    fn swap(&self, into: &mut VecDeque<Event>) -> bool {
        mem::swap(&mut *self.queue.lock().unwrap_or_else(PoisonError::into_inner), into);
        !into.is_empty()
    }

    /// Application's side: events and bytes that have left. True when the engine waits for room.
    pub(crate) fn taken(&self, events: usize, bytes: usize) -> bool {
        self.events.fetch_sub(events, Ordering::SeqCst);
        self.bytes.fetch_sub(bytes, Ordering::SeqCst);
        self.starved.load(Ordering::SeqCst) && self.starved.swap(false, Ordering::SeqCst)
    }

    /// Events and bytes that were published and have not left.
    #[cfg(all(test, feature = "shuttle"))]
    pub(crate) fn held(&self) -> (usize, usize) {
        (self.events.load(Ordering::SeqCst), self.bytes.load(Ordering::SeqCst))
    }

    /// How often the doorbell rang.
    pub(crate) fn rings(&self) -> usize {
        self.rings.load(Ordering::Relaxed)
    }
}

/// Bytes of stream data, of a message, or for a connection, in an event.
pub(crate) fn data_len(event: &Event) -> usize {
    match event {
        Event::Data { bytes, .. } | Event::Message { bytes, .. } | Event::Carry { bytes, .. } => {
            bytes.len()
        }
        _ => 0,
    }
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::StreamNumber;

    fn ring() -> (Ring, Arc<AtomicUsize>) {
        let rung = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&rung);
        let bell = move || {
            count.fetch_add(1, Ordering::SeqCst);
        };
        (Ring::new(Box::new(bell)), rung)
    }

    fn event() -> Vec<Event> {
        vec![Event::Writable(StreamNumber(1))]
    }

    #[test]
    fn the_bell_rings_once_until_the_queue_was_found_empty() {
        let (ring, rung) = ring();
        let mut inbox = VecDeque::new();
        ring.publish(&mut event());
        ring.publish(&mut event());
        assert_eq!(rung.load(Ordering::SeqCst), 1);
        assert!(ring.take(&mut inbox));
        assert_eq!(inbox.len(), 2);
        inbox.clear();
        ring.publish(&mut event());
        assert_eq!(rung.load(Ordering::SeqCst), 1, "not yet found empty");
        assert!(ring.take(&mut inbox));
        inbox.clear();
        assert!(!ring.take(&mut inbox));
        ring.publish(&mut event());
        assert_eq!(rung.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_full_ring_holds_the_engine_back_until_room_is_made() {
        let (ring, _) = ring();
        let mut out: Vec<Event> =
            (0..MAX_EVENTS).map(|_| Event::Writable(StreamNumber(1))).collect();
        assert!(ring.room(0, 0));
        ring.publish(&mut out);
        assert!(!ring.room(0, 0));
        assert!(ring.taken(1, 0), "the engine waits");
        assert!(!ring.taken(1, 0), "told already");
        assert!(ring.room(0, 0));
        assert!(!ring.room(0, MAX_BYTES));
    }
}

//! How much an application may have written without the peer's acknowledgement.
//!
//! Both threads hold these counters: the application's adds what it hands over, the engine's takes
//! off what the peer acknowledged. Neither waits for the other.

use std::sync::Arc;

use stt_proto::{Memory, SessionConfig, SessionStats};

use crate::outbox::Outbox;
use crate::snapshot::Snapshot;
use crate::sync::{AtomicBool, AtomicU64, Ordering};

/// What a stream may always have outstanding, however much the rest of its session holds: enough
/// to fill one batch of datagrams, so that a busy neighbour slows a stream but never stops it.
const FLOOR: u64 = 64 * 1024;

/// How many full send buffers the streams of one session share before each is held to [`FLOOR`].
const SESSION_BUFFERS: u64 = 8;

/// What both threads hold of one session: the bytes that all its streams have outstanding, its
/// messages on their way out, and its numbers.
#[derive(Debug)]
pub(crate) struct SessionCredit {
    /// `None` until it is established.
    pub(crate) stats: Snapshot<Option<SessionStats>>,
    outstanding: AtomicU64,
    limit: u64,
    /// What all sessions of the endpoint hold.
    memory: Arc<Memory>,
    /// Messages on their way from the application to the core.
    pub(crate) outbox: Outbox,
}

impl SessionCredit {
    /// Bytes that the session's streams have outstanding together.
    pub(crate) fn outstanding(&self) -> u64 {
        self.outstanding.load(Ordering::SeqCst)
    }

    pub(crate) fn new(config: &SessionConfig, memory: &Arc<Memory>) -> Arc<Self> {
        Arc::new(Self {
            stats: Snapshot::new(None),
            outstanding: AtomicU64::new(0),
            limit: config.send_buffer.saturating_mul(SESSION_BUFFERS),
            memory: Arc::clone(memory),
            outbox: Outbox::new(config.datagram_send_buffer, config.datagram_send_drop, memory),
        })
    }
}

/// What [`SendCredit::reserve`] took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reserved {
    /// Bytes.
    pub(crate) taken: usize,
    /// None of them, for want of memory alone, and nothing of the stream was under way: no
    /// acknowledgement of its own will make room.
    pub(crate) is_short: bool,
}

/// Bytes that one stream has outstanding, and whether it may have more.
#[derive(Debug)]
pub struct SendCredit {
    session: Arc<SessionCredit>,
    limit: u64,
    outstanding: AtomicU64,
    /// Bytes from the stream's start that the peer has acknowledged without a gap; a dead stream keeps
    /// what it had.
    acked: AtomicU64,
    /// A write was cut short: say so once there is room again.
    wanted: AtomicBool,
    /// Nothing can be written any more, for ever.
    dead: AtomicBool,
}

impl SendCredit {
    pub(crate) fn new(session: &Arc<SessionCredit>, send_buffer: u64) -> Arc<Self> {
        Arc::new(Self {
            session: Arc::clone(session),
            limit: send_buffer.max(1),
            outstanding: AtomicU64::new(0),
            acked: AtomicU64::new(0),
            wanted: AtomicBool::new(false),
            dead: AtomicBool::new(false),
        })
    }

    /// Application's side: takes room for up to `bytes`, or `None` when the stream is dead. When it
    /// is less than asked for, the engine will say when there is room again: in the stream's own share,
    /// or in the memory of all sessions.
    pub(crate) fn reserve(&self, bytes: usize) -> Option<Reserved> {
        let mut taken = 0;
        loop {
            let wanted = bytes - taken;
            // Read once: what it was then says why there was no room. Only this thread adds to it, so
            // that zero stays zero.
            let held = self.outstanding.load(Ordering::SeqCst);
            let room = self.limit().saturating_sub(held);
            let part = self.take(room.min(wanted as u64)) as usize;
            self.session.outstanding.fetch_add(part as u64, Ordering::SeqCst);
            self.outstanding.fetch_add(part as u64, Ordering::SeqCst);
            taken += part;
            // After the additions, so that whoever comes last sees the other's: see `kill`.
            if self.dead.load(Ordering::SeqCst) {
                self.settle();
                return None;
            }
            if taken == bytes {
                return Some(Reserved { taken, is_short: false });
            }
            // Room that came up before the flag stood would never be announced: look again after
            // raising it.
            if part == 0 && self.wanted.swap(true, Ordering::SeqCst) {
                return Some(Reserved { taken, is_short: taken == 0 && held == 0 && room > 0 });
            }
        }
    }

    /// Room in memory: for something small all or nothing, so that it is not cut in two whose second
    /// half nobody could refuse any more while others hold what it needs.
    fn take(&self, bytes: u64) -> u64 {
        let memory = &self.session.memory;
        if bytes > memory.relief() {
            memory.take_up_to(bytes)
        } else if memory.take_whole(bytes) {
            bytes
        } else {
            0
        }
    }

    /// Engine's side: the peer acknowledged `bytes` more. True when a waiting writer is to be told.
    pub(crate) fn release(&self, bytes: u64) -> bool {
        self.acked.fetch_add(bytes, Ordering::SeqCst);
        let bytes = bytes.min(self.outstanding.load(Ordering::SeqCst));
        // First, so that a stream with nothing outstanding has nothing to give back either.
        self.session.memory.sub(bytes);
        self.outstanding.fetch_sub(bytes, Ordering::SeqCst);
        self.session.outstanding.fetch_sub(bytes, Ordering::SeqCst);
        // A quarter, so that a writer is woken for a batch of work and not for every packet.
        self.wanted.load(Ordering::SeqCst)
            && self.room() >= self.limit() / 4
            && self.wanted.swap(false, Ordering::SeqCst)
    }

    /// Either side: nothing more can be written. What is outstanding no longer counts against the
    /// session.
    pub(crate) fn kill(&self) {
        self.dead.store(true, Ordering::SeqCst);
        self.settle();
    }

    /// Bytes from the stream's start that the peer's transport has acknowledged without a gap.
    pub(crate) fn acked(&self) -> u64 {
        self.acked.load(Ordering::SeqCst)
    }

    /// Bytes that the stream has outstanding, and those of all its session's streams.
    #[cfg(all(test, feature = "shuttle"))]
    pub(crate) fn held(&self) -> (u64, u64) {
        let session = self.session.outstanding.load(Ordering::SeqCst);
        (self.outstanding.load(Ordering::SeqCst), session)
    }

    fn settle(&self) {
        let outstanding = self.outstanding.swap(0, Ordering::SeqCst);
        self.session.outstanding.fetch_sub(outstanding, Ordering::SeqCst);
        self.session.memory.sub(outstanding);
    }

    /// Engine's side: whether a write was cut short and is to be told of room, which it is now.
    pub(crate) fn take_wanted(&self) -> bool {
        self.wanted.load(Ordering::SeqCst) && self.wanted.swap(false, Ordering::SeqCst)
    }

    fn limit(&self) -> u64 {
        if self.session.outstanding.load(Ordering::SeqCst) < self.session.limit {
            self.limit
        } else {
            self.limit.min(FLOOR)
        }
    }

    fn room(&self) -> u64 {
        self.limit().saturating_sub(self.outstanding.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests {
    use super::*;

    fn session(send_buffer: u64) -> Arc<SessionCredit> {
        within(send_buffer, &Arc::new(Memory::new(u64::MAX)))
    }

    fn within(send_buffer: u64, memory: &Arc<Memory>) -> Arc<SessionCredit> {
        SessionCredit::new(&SessionConfig { send_buffer, ..SessionConfig::default() }, memory)
    }

    fn take(stream: &SendCredit, bytes: usize) -> Option<usize> {
        stream.reserve(bytes).map(|reserved| reserved.taken)
    }

    #[test]
    fn a_write_is_cut_at_the_ceiling_of_memory_and_its_writer_told_when_another_lets_go() {
        let memory = Arc::new(Memory::new(1 << 20));
        let (one, other) = (within(2 << 20, &memory), within(2 << 20, &memory));
        let hog = SendCredit::new(&one, 2 << 20);
        let late = SendCredit::new(&other, 2 << 20);
        assert_eq!(take(&hog, 2 << 20), Some(1 << 20));
        let (none, cut) = (late.reserve(10).unwrap(), hog.reserve(10).unwrap());
        assert_eq!([none.taken, cut.taken], [0, 0]);
        assert!(none.is_short && !cut.is_short, "acknowledgements will make room for one of them");
        assert!(memory.is_starved() && !memory.relieve());
        assert!(hog.release(100_000), "by what it gave back itself");
        assert!(memory.relieve());
        assert!(late.take_wanted() && !hog.take_wanted());
        assert!(!late.take_wanted(), "told once");
        assert_eq!(take(&late, 10), Some(10));
        hog.kill();
        assert_eq!(memory.used(), 10);
        late.kill();
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn something_small_is_taken_whole_or_not_at_all_where_memory_is_short() {
        let memory = Arc::new(Memory::new(1 << 20));
        let (one, other) = (within(2 << 20, &memory), within(2 << 20, &memory));
        let hog = SendCredit::new(&one, 2 << 20);
        let late = SendCredit::new(&other, 2 << 20);
        assert_eq!(take(&hog, (1 << 20) - 700), Some((1 << 20) - 700));
        assert_eq!(late.reserve(1024), Some(Reserved { taken: 0, is_short: true }));
        assert_eq!(take(&late, 300), Some(300), "what fits is not held back");
        // With bytes under way its own acknowledgements make room, and after them it is short again.
        assert_eq!(late.reserve(1024), Some(Reserved { taken: 0, is_short: false }));
        assert!(late.release(300));
        assert_eq!(late.reserve(1024), Some(Reserved { taken: 0, is_short: true }));
        // More than what others would be told of is cut, and its own acknowledgements carry it on.
        assert_eq!(late.reserve(20_000), Some(Reserved { taken: 700, is_short: false }));
    }

    #[test]
    fn a_write_is_cut_at_the_limit_and_its_writer_told_once() {
        let session = session(1000);
        let stream = SendCredit::new(&session, 1000);
        assert_eq!(take(&stream, 600), Some(600));
        assert_eq!(take(&stream, 600), Some(400));
        assert_eq!(take(&stream, 1), Some(0));
        assert!(!stream.release(249), "less than a quarter");
        assert!(stream.release(1));
        assert!(!stream.release(100), "told already");
        assert_eq!(take(&stream, 1000), Some(350));
    }

    #[test]
    fn a_full_session_leaves_each_stream_its_floor() {
        let session = session(100_000);
        let streams: Vec<_> = (0..9).map(|_| SendCredit::new(&session, 100_000)).collect();
        for stream in &streams[..8] {
            assert_eq!(take(stream, 100_000), Some(100_000));
        }
        assert_eq!(take(&streams[8], 100_000), Some(FLOOR as usize));
        streams[0].kill();
        assert_eq!(take(&streams[8], 100_000), Some(100_000 - FLOOR as usize));
    }

    #[test]
    fn a_dead_stream_takes_nothing_and_weighs_nothing() {
        let session = session(1000);
        let stream = SendCredit::new(&session, 1000);
        assert_eq!(take(&stream, 10), Some(10));
        stream.kill();
        assert_eq!(take(&stream, 10), None);
        assert_eq!(session.outstanding.load(Ordering::SeqCst), 0);
        assert!(!stream.release(10));
    }

    #[test]
    fn what_was_acknowledged_outlives_the_stream() {
        let session = session(1000);
        let stream = SendCredit::new(&session, 1000);
        assert_eq!((take(&stream, 700), stream.acked()), (Some(700), 0));
        stream.release(250);
        assert_eq!(stream.acked(), 250);
        stream.kill();
        assert_eq!(stream.acked(), 250);
        // An ACK that was on its way as the stream died.
        stream.release(50);
        assert_eq!(stream.acked(), 300);
    }

    #[test]
    fn the_counters_of_two_threads_agree_in_the_end() {
        let session = session(4096);
        let stream = SendCredit::new(&session, 4096);
        let total = 2_000_000u64;
        let (sender, receiver) = std::sync::mpsc::channel::<u64>();
        let (wake, woken) = std::sync::mpsc::channel::<()>();
        let (acking, writing) = (Arc::clone(&stream), &stream);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut seen = 0;
                while seen < total {
                    let bytes = receiver.recv().unwrap();
                    seen += bytes;
                    if acking.release(bytes) {
                        let _ = wake.send(());
                    }
                }
            });
            let mut left = total;
            while left > 0 {
                let taken = take(writing, left.min(1500) as usize).unwrap() as u64;
                left -= taken;
                if taken > 0 {
                    sender.send(taken).unwrap();
                } else {
                    woken.recv_timeout(std::time::Duration::from_secs(10)).unwrap();
                }
            }
        });
        assert_eq!(session.outstanding.load(Ordering::SeqCst), 0);
    }
}

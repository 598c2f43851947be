//! What a session costs that nobody uses: every byte on the heap, counted.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use core::time::Duration;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use stt_proto::{
    ConnectOptions, Event, ReadOutcome, SessionConfig, SessionHandle, StreamId, StreamOptions,
};
use stt_sim::{Link, NodeId, World, pair};

/// Counts what is allocated and not freed.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator with the arguments it came with; counting beside it
// touches no memory of theirs.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: `ptr` came from `System` with this layout, since `alloc` passes both on.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Sessions that are counted. With those that warm the tables up they are in the middle between two
/// sizes of tables that double.
const SESSIONS: usize = 376;
/// Sessions that come before them.
const WARM_UP: usize = 8;
/// Two AEAD keys that AWS-LC allocates in C, where they are not counted: EVP_AEAD_CTX has 584 bytes,
/// and OPENSSL_malloc asks for 8 more.
const AWS_LC_KEYS: usize = 2 * 592;
/// What an idle session may cost at each end. Both are in this process; the simulator's own notes on
/// every session, some 470 bytes, are counted with it.
const LIMIT: usize = 6 * 1024;
/// Bytes that a session carries before it falls idle, where it is used at all.
const USED: usize = 64 * 1024;

/// A client, and the server that it connects to over and over.
struct Crowd {
    world: World,
    client: NodeId,
    server: NodeId,
}

impl Crowd {
    fn new() -> Self {
        let link = Link::with_delay(Duration::from_millis(10));
        let (mut world, client, server) = pair(1, link, SessionConfig::default());
        world.watch_no_session();
        Self { world, client, server }
    }

    /// Adds sessions, which carry a stream each way first if `used`, and lets all fall idle.
    fn add(&mut self, sessions: usize, used: bool) {
        for _ in 0..sessions {
            let (now, path) = (self.world.now_at(self.client), self.world.path_to(self.server));
            let options = ConnectOptions::default();
            let ours = self.world.endpoint_mut(self.client).connect(now, path, options).unwrap();
            self.world.run_for(Duration::from_millis(100));
            let connected = |event: Event| match event {
                Event::Connected { session, .. } => Some(session),
                _ => None,
            };
            let mut told = |node| self.world.take_events(node).into_iter().find_map(connected);
            assert_eq!(told(self.client), Some(ours));
            let theirs = told(self.server).unwrap();
            if used {
                self.carry(ours, theirs);
            }
        }
        // Keep-alives go to and fro, probes of the size are over, handshakes are forgotten.
        self.world.run_for(Duration::from_secs(150));
        let ended = |event: &Event| matches!(event, Event::SessionClosed { .. });
        for node in [self.client, self.server] {
            assert!(!self.world.take_events(node).iter().any(ended));
        }
    }

    /// A stream opened by the client, with [`USED`] bytes each way.
    fn carry(&mut self, ours: SessionHandle, theirs: SessionHandle) {
        let now = self.world.now_at(self.client);
        let endpoint = self.world.endpoint_mut(self.client);
        let stream = endpoint.open_stream(now, ours, StreamOptions::default()).unwrap();
        self.send(self.client, ours, stream);
        self.world.run_for(Duration::from_millis(200));
        self.send(self.server, theirs, stream);
        for (node, session) in [(self.server, theirs), (self.client, ours)] {
            let mut read = 0;
            loop {
                let now = self.world.now_at(node);
                let endpoint = self.world.endpoint_mut(node);
                match endpoint.read(session, stream, usize::MAX).unwrap() {
                    ReadOutcome::Chunk(bytes) => {
                        read += bytes.len();
                        endpoint.consumed(now, session, stream, bytes.len() as u64);
                    }
                    ReadOutcome::Finished => break,
                    ReadOutcome::Blocked => self.world.run_for(Duration::from_millis(50)),
                    other => panic!("{other:?}"),
                }
                assert!(self.world.elapsed() < Duration::from_secs(3_600), "the end never comes");
            }
            assert_eq!(read, USED);
        }
        self.world.run_for(Duration::from_millis(200));
        for node in [self.client, self.server] {
            let closed = |event: &Event| matches!(event, Event::StreamClosed { .. });
            assert!(self.world.take_events(node).iter().any(closed));
        }
    }

    fn send(&mut self, node: NodeId, session: SessionHandle, stream: StreamId) {
        let now = self.world.now_at(node);
        let endpoint = self.world.endpoint_mut(node);
        endpoint.write(now, session, stream, Bytes::from(vec![7; USED])).unwrap();
        endpoint.finish(now, session, stream).unwrap();
    }
}

/// Bytes that each end holds for a session that is idle.
fn cost(used: bool) -> usize {
    let mut crowd = Crowd::new();
    crowd.add(WARM_UP, used);
    let before = LIVE.load(Ordering::Relaxed);
    crowd.add(SESSIONS, used);
    (LIVE.load(Ordering::Relaxed) - before) / (2 * SESSIONS) + AWS_LC_KEYS
}

/// One test, because everything in the process is counted.
#[test]
fn an_idle_session_costs_at_most_six_kibibytes() {
    for used in [false, true] {
        let each = cost(used);
        println!("{each} bytes an idle session, used before: {used}");
        assert!(each <= LIMIT, "{each} bytes an idle session, used before: {used}");
    }
}

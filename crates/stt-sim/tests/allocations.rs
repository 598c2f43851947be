//! In the steady state the core allocates nothing, counted over 100 000 packets of every size: the blocks
//! that received bytes are gathered in go round, those that fill one each included.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use stt_crypto::{NodeSeed, SharedSeed};
use stt_proto::{
    ConnectOptions, Endpoint, EndpointConfig, Event, Instant, ListenConfig, NetworkKeys,
    NodeIdentity, Now, PathAddress, ReadOutcome, SessionConfig, SessionHandle, StreamId,
    StreamOptions,
};

/// Counts what this thread asks of the system's allocator.
struct Counting;

thread_local! {
    /// Allocations and reallocations of this thread.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // Gone while the thread ends, when nothing is measured any more.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

// SAFETY: every call goes to the system's allocator with the same arguments, so its guarantees are
// this one's. Counting touches a constant-initialised thread local, which allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise about the layout is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the memory is the system allocator's, as all of this one's is; the rest is the
        // caller's promise.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as for `realloc`.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes written and not yet acknowledged, as a driver would bound them.
const SEND_BUFFER: u64 = 1 << 20;

/// 32 bytes that pass for random.
fn seed(which: u8) -> [u8; 32] {
    std::array::from_fn(|at| (at as u8).wrapping_mul(151).wrapping_add(which).rotate_left(3) ^ 0x5c)
}

/// Two endpoints, one stream, a network that loses nothing.
struct Pair {
    ends: [Endpoint; 2],
    paths: [PathAddress; 2],
    nanos: u64,
    buffer: Vec<u8>,
    chunk: Bytes,
    packets: u64,
    sending: Option<(SessionHandle, StreamId)>,
    receiving: Option<(SessionHandle, StreamId)>,
    written: u64,
    acked: u64,
    read: u64,
}

impl Pair {
    fn new(mtu: usize) -> Self {
        let network = seed(1);
        let end = |which| {
            let keys = NetworkKeys::new(&SharedSeed::new(&network).unwrap());
            let identity = NodeIdentity::from_seed(&NodeSeed::new(&seed(which)).unwrap());
            let session = SessionConfig { mtu, ..SessionConfig::default() };
            let config = EndpointConfig { session, ..EndpointConfig::default() };
            Endpoint::new(config, identity, vec![keys], seed(which + 100))
        };
        let mut pair = Self {
            ends: [end(2), end(3)],
            paths: [1, 2].map(|host| PathAddress::udp(([10, 0, 0, host], 7788).into())),
            nanos: 0,
            buffer: vec![0; 65_536],
            chunk: Bytes::from(vec![0x5A; 64 * 1024]),
            packets: 0,
            sending: None,
            receiving: None,
            written: 0,
            acked: 0,
            read: 0,
        };
        pair.ends[1].set_listening(Some(ListenConfig::default()));
        let now = pair.now();
        let session = pair.ends[0].connect(now, pair.paths[1], ConnectOptions::default()).unwrap();
        while pair.sending.is_none() {
            pair.step(|pair, event| {
                if let Event::Connected { .. } = event {
                    let now = pair.now();
                    let options = StreamOptions::default();
                    let stream = pair.ends[0].open_stream(now, session, options).unwrap();
                    pair.sending = Some((session, stream));
                }
            });
        }
        pair
    }

    fn now(&self) -> Now {
        Now { mono: Instant::from_nanos(self.nanos), unix_ms: 1_800_000_000_000 }
    }

    /// One turn of both drivers, 50 us later.
    fn step(&mut self, mut told: impl FnMut(&mut Self, Event)) {
        self.nanos += 50_000;
        let now = self.now();
        for end in &mut self.ends {
            if end.poll_timeout().is_some_and(|at| at <= now.mono) {
                end.handle_timeout(now);
            }
        }
        while let Some(event) = self.ends[0].poll_event() {
            match event {
                Event::StreamReleased { acked, .. } => self.acked = acked,
                Event::SessionClosed { .. } | Event::ConnectFailed { .. } => panic!("{event:?}"),
                event => told(self, event),
            }
        }
        if let Some((session, stream)) = self.sending {
            while self.written - self.acked < SEND_BUFFER {
                self.ends[0].write(now, session, stream, self.chunk.clone()).unwrap();
                self.written += self.chunk.len() as u64;
            }
        }
        self.carry(now, 0);
        while let Some(event) = self.ends[1].poll_event() {
            if let Event::StreamOpened { session, stream, .. } = event {
                self.receiving = Some((session, stream));
            }
        }
        if let Some((session, stream)) = self.receiving {
            let end = &mut self.ends[1];
            while let Ok(ReadOutcome::Chunk(bytes)) = end.read(session, stream, 256 * 1024) {
                self.read += bytes.len() as u64;
                end.consumed(now, session, stream, bytes.len() as u64);
            }
        }
        self.carry(now, 1);
    }

    /// Moves all that one endpoint has to send to the other.
    fn carry(&mut self, now: Now, from: usize) {
        while let Some(transmit) = self.ends[from].poll_transmit(now, 44, &mut self.buffer) {
            let stride = transmit.segment_size.unwrap_or(transmit.len);
            self.packets += transmit.len.div_ceil(stride) as u64;
            let bytes = &mut self.buffer[..transmit.len];
            self.ends[1 - from].handle_batch(now, self.paths[from], None, bytes, stride);
        }
    }

    fn run(&mut self, packets: u64) {
        let end = self.packets + packets;
        while self.packets < end {
            self.step(|_, _| {});
        }
    }

    /// Nobody writes for some seconds. What lies in credit and buffers is carried and read.
    fn rest(&mut self) {
        self.sending = None;
        for _ in 0..8 {
            self.step(|_, _| {});
            self.nanos += 500_000_000;
        }
    }
}

/// Sends, acknowledges, reads and returns credit for 100 000 packets.
fn steady(mtu: usize) -> (u64, u64) {
    let mut pair = Pair::new(mtu);
    pair.run(30_000);
    let (before, read) = (allocations(), pair.read);
    pair.run(100_000);
    let counted = (allocations() - before, pair.read - read);
    let most = EndpointConfig::default().receive_blocks as u64;
    let held = pair.ends[1].stats().receive_blocks_held;
    assert!((1..=most).contains(&held), "{held} bytes of blocks held in the middle of bulk");
    pair.rest();
    assert_eq!(pair.ends[1].stats().receive_blocks_held, 0, "bytes of blocks held after bulk");
    counted
}

#[test]
fn nothing_is_allocated_per_packet_in_the_steady_state() {
    for mtu in [1_200, 1_452, 8_972, 65_507] {
        let (allocated, read) = steady(mtu);
        println!("{allocated} allocations, {read} bytes read, UDP payload {mtu}");
        assert!(read > 80_000 * (mtu as u64 - 100), "{read} bytes are no bulk");
        assert_eq!(allocated, 0, "allocations with {mtu} bytes of UDP payload");
    }
}

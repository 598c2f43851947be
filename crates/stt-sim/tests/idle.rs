//! What a session costs that nobody uses: every byte on the heap, counted.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use core::time::Duration;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use stt_proto::{ConnectOptions, Event, SessionConfig};
use stt_sim::{Link, NodeId, World, scenario};

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

/// Sessions beside those that warm the tables up: together in the middle between two sizes of tables
/// that double.
const SESSIONS: usize = 376;
/// Two AEAD keys that AWS-LC allocates in C, where they are not counted: EVP_AEAD_CTX has 584 bytes,
/// and OPENSSL_malloc asks for 8 more.
const AWS_LC_KEYS: usize = 2 * 592;
/// Both ends of each are in this process.
const LIMIT: usize = 6 * 1024;

fn connect(world: &mut World, client: NodeId, server: NodeId, sessions: usize) {
    for _ in 0..sessions {
        let (now, path) = (world.now_at(client), world.path_to(server));
        world.endpoint_mut(client).connect(now, path, ConnectOptions::default()).unwrap();
        world.run_for(Duration::from_millis(100));
        let connected = |event: &Event| matches!(event, Event::Connected { .. });
        assert!(world.take_events(client).iter().any(connected));
        assert!(world.take_events(server).iter().any(connected));
    }
    // Keep-alives go to and fro, probes of the size are over, handshakes are forgotten.
    world.run_for(Duration::from_secs(150));
    let ended = |event: &Event| matches!(event, Event::SessionClosed { .. });
    for node in [client, server] {
        assert!(!world.take_events(node).iter().any(ended));
    }
}

#[test]
fn an_idle_session_costs_at_most_six_kibibytes() {
    let link = Link::with_delay(Duration::from_millis(10));
    let (mut world, client, server) = scenario::pair(1, link, SessionConfig::default());
    connect(&mut world, client, server, 8);
    let before = LIVE.load(Ordering::Relaxed);
    connect(&mut world, client, server, SESSIONS);
    let each = (LIVE.load(Ordering::Relaxed) - before) / (2 * SESSIONS);
    let each = each + AWS_LC_KEYS;
    println!("{each} bytes an idle session");
    assert!(each <= LIMIT, "{each} bytes an idle session");
}

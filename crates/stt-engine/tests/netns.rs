//! Engines over the real kernel, in network namespaces of their own: addresses that go away, links
//! that shrink. Needs `unshare -n` and `ip`; without them each test says that it was skipped, unless
//! `STT_REQUIRE_NETNS` is set.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use stt_crypto::{NodeSeed, SharedSeed};
use stt_engine::{
    Engine, EngineConfig, Event, LogConfig, SessionNumber, SocketOptions, Taken, Written,
};
use stt_proto::{
    ConnectOptions, EndpointConfig, ListenConfig, NetworkKeys, NodeIdentity, StreamOptions,
};

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(60);
const INSIDE: &str = "STT_INSIDE_NETNS";

/// True in the namespace. Outside, runs the test of that name in one, if that can be done.
fn in_namespace(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        run("ip link set lo up");
        return true;
    }
    let able = Command::new("unshare").args(["-n", "ip", "link"]).output();
    if !able.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("STT_REQUIRE_NETNS").is_none(), "no network namespaces here");
        println!("skipped: network namespaces need `unshare`, `ip` and CAP_SYS_ADMIN");
        return false;
    }
    let status = Command::new("unshare")
        .arg("-n")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{test} failed in its namespace");
    false
}

fn run(command: &str) {
    let mut words = command.split(' ');
    let status = Command::new(words.next().unwrap()).args(words).status().unwrap();
    assert!(status.success(), "{command}");
}

struct Node {
    engine: Engine,
    bell: Receiver<()>,
    received: u64,
    moved: Option<SocketAddr>,
    session: Option<SessionNumber>,
}

fn random(which: u8) -> [u8; 32] {
    std::array::from_fn(|i| (i as u8).wrapping_mul(151).wrapping_add(which) ^ 0x5c)
}

impl Node {
    fn start(which: u8, ip: &str) -> Self {
        let (ring, bell) = sync_channel(1);
        let config = EngineConfig {
            bind: SocketAddr::new(ip.parse::<IpAddr>().unwrap(), 0),
            socket: SocketOptions { send_buffer: 1 << 20, recv_buffer: 1 << 20, busy_poll: 0 },
            endpoint: EndpointConfig::default(),
            identity: NodeIdentity::from_seed(&NodeSeed::new(&random(which)).unwrap()),
            networks: vec![NetworkKeys::new(&SharedSeed::new(&random(99)).unwrap())],
            rng_seed: random(which + 50),
            logs: LogConfig::default(),
        };
        let doorbell = Box::new(move || {
            // Full means that a ring is pending already.
            let _ = ring.try_send(());
        });
        let engine = Engine::start(config, doorbell).unwrap();
        Self { engine, bell, received: 0, moved: None, session: None }
    }

    /// Takes in what has happened.
    fn turn(&mut self) {
        // A bound on the wait, so that whoever asks sees its own deadline.
        let _ = self.bell.recv_timeout(Duration::from_millis(5));
        let (mut received, mut consumed) = (0, Vec::new());
        let (moved, session) = (&mut self.moved, &mut self.session);
        self.engine.poll(|event| {
            match event {
                Event::Connected { session: number, .. } => *session = Some(*number),
                Event::ConnectFailed { fault, .. } => panic!("{fault}"),
                Event::SessionClosed { fault, .. } => panic!("closed: {fault:?}"),
                Event::PathChange { remote, .. } => *moved = Some(*remote),
                Event::Data { stream, bytes, .. } => {
                    received += bytes.len() as u64;
                    consumed.push((*stream, bytes.len() as u64));
                }
                _ => {}
            }
            Taken::Whole
        });
        self.received += received;
        self.engine.consumed(consumed.into_iter());
    }
}

fn pair(client: &str, server: &str) -> (Node, Node) {
    let (mut client, mut server) = (Node::start(2, client), Node::start(1, server));
    server.engine.listen(Some(ListenConfig::default()));
    client.engine.connect(server.engine.address(), ConnectOptions::default());
    until(&mut client, &mut server, |client, server| {
        client.session.is_some() && server.session.is_some()
    });
    (client, server)
}

fn until(client: &mut Node, server: &mut Node, mut done: impl FnMut(&Node, &Node) -> bool) {
    let end = Instant::now() + LIMIT;
    while !done(client, server) {
        assert!(Instant::now() < end, "not done within {LIMIT:?}: {} {}", mtu(client), mtu(server));
        client.turn();
        server.turn();
    }
}

/// Moves `len` bytes from client to server.
fn transfer(client: &mut Node, server: &mut Node, len: usize) {
    let stream = client.engine.open_stream(client.session.unwrap(), StreamOptions::default());
    let (bytes, mut rest, target) = (vec![7; 64 * 1024], len, server.received + len as u64);
    let end = Instant::now() + LIMIT;
    while rest > 0 || server.received < target {
        assert!(Instant::now() < end, "{} of {target} bytes", server.received);
        if rest > 0 {
            match client.engine.write(stream, &bytes[..rest.min(bytes.len())]) {
                Written::Taken(taken) => rest -= taken,
                Written::Dead => panic!("the stream is dead"),
                Written::Exhausted(shortage) => panic!("{shortage:?}"),
            }
        }
        client.turn();
        server.turn();
    }
}

fn mtu(node: &Node) -> u64 {
    let session = node.session.and_then(|session| node.engine.session_stats(session));
    session.map_or(0, |stats| stats.mtu)
}

#[test]
fn a_socket_whose_address_went_away_is_bound_anew() {
    if !in_namespace("a_socket_whose_address_went_away_is_bound_anew") {
        return;
    }
    run("ip addr add 10.5.0.1/32 dev lo");
    run("ip addr add 10.5.0.9/32 dev lo");
    let (mut client, mut server) = pair("10.5.0.1", "10.5.0.9");
    transfer(&mut client, &mut server, 1 << 20);
    run("ip addr del 10.5.0.1/32 dev lo");
    transfer(&mut client, &mut server, 1 << 20);
    until(&mut client, &mut server, |_, server| server.moved.is_some());
    let moved = server.moved.unwrap();
    assert_ne!(moved.ip(), "10.5.0.1".parse::<IpAddr>().unwrap());
    assert_eq!(moved.port(), client.engine.address().port(), "the port stays");
    assert_eq!(client.engine.stats().unwrap().rebinds, 1);
}

#[test]
fn datagrams_follow_the_size_of_the_interface_up_and_down() {
    if !in_namespace("datagrams_follow_the_size_of_the_interface_up_and_down") {
        return;
    }
    run("ip link set lo mtu 9000");
    let (mut client, mut server) = pair("127.0.0.1", "127.0.0.1");
    for node in [&client, &server] {
        // Nothing is to be sent yet, but somebody wants to know.
        node.engine.max_message_size(node.session.unwrap());
    }
    until(&mut client, &mut server, |client, server| mtu(client) == 8972 && mtu(server) == 8972);
    transfer(&mut client, &mut server, 4 << 20);
    run("ip link set lo mtu 1500");
    transfer(&mut client, &mut server, 4 << 20);
    until(&mut client, &mut server, |client, _| mtu(client) == 1472);
}

#[test]
fn a_session_comes_about_on_a_tunnel_of_1280_bytes() {
    if !in_namespace("a_session_comes_about_on_a_tunnel_of_1280_bytes") {
        return;
    }
    run("ip link set lo mtu 1280");
    let (mut client, mut server) = pair("127.0.0.1", "127.0.0.1");
    transfer(&mut client, &mut server, 1 << 20);
    until(&mut client, &mut server, |client, _| mtu(client) == 1252);
}

#[test]
fn loopback_carries_the_largest_datagram_there_is() {
    if !in_namespace("loopback_carries_the_largest_datagram_there_is") {
        return;
    }
    let (mut client, mut server) = pair("127.0.0.1", "127.0.0.1");
    transfer(&mut client, &mut server, 16 << 20);
    until(&mut client, &mut server, |client, _| mtu(client) == 65_507);
    assert_eq!(
        mtu(&server),
        1200,
        "it has sent nothing that a larger datagram would have been of use for"
    );
}

/// A firewall that answers for what has no contents, and lets the rest through.
#[test]
#[cfg(feature = "no-error-queue")]
fn a_refusal_of_another_socket_is_refuted_by_the_answer() {
    if !in_namespace("a_refusal_of_another_socket_is_refuted_by_the_answer") {
        return;
    }
    run("nft add table inet t");
    run("nft add chain inet t c { type filter hook input priority 0 ; }");
    run("nft add rule inet t c udp length 8 reject with icmpx type port-unreachable");
    let (mut client, mut server) = pair("127.0.0.1", "127.0.0.1");
    assert!(client.engine.stats().unwrap().path_errors > 0, "the firewall has spoken");
    transfer(&mut client, &mut server, 1 << 16);
}

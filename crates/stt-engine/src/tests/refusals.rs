//! Ports where nobody listens. With the feature `no-error-queue` the same is found out as on systems whose
//! sockets are told of them only when they are connected (docs/adr/0072).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use super::*;

/// What issue and README promise on loopback.
const PROMISED: Duration = Duration::from_millis(100);

/// A port where nobody listens, and what keeps it so: a socket that takes from itself alone. (Windows refuses for
/// nobody whose port is in use.)
fn closed(ip: IpAddr) -> (SocketAddr, Option<UdpSocket>) {
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    socket.connect(address).unwrap();
    (address, cfg!(unix).then_some(socket))
}

fn start_at(which: u64, ip: IpAddr) -> Node {
    Node::start_with(EngineConfig { bind: SocketAddr::new(ip, 0), ..config(which) })
}

/// The fault of a connect, and when it came.
fn failure(client: &mut Node, remote: SocketAddr) -> (ErrorCode, Duration) {
    let started = Instant::now();
    client.engine.connect(remote, ConnectOptions::default());
    let fault = client.wait(|event| match event {
        Event::ConnectFailed { fault, .. } => Some(fault),
        _ => None,
    });
    (fault.code, started.elapsed())
}

#[test]
fn a_closed_port_is_told_within_the_time_that_is_promised() {
    let (v4, v6) = (IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST));
    let (any4, any6) = (Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into());
    let cases = [(v4, v4), (v6, v6), (any4, v4), (any6, v6), (any6, v4)];
    for (which, (from, to)) in (10..).zip(cases) {
        let mut client = start_at(which, from);
        // A busy machine may hold any one of them up, but none is ever early: the best of many counts.
        let mut quickest = Duration::MAX;
        for _ in 0..200 {
            let (port, _held) = closed(to);
            let (code, took) = failure(&mut client, port);
            assert_eq!(code, ErrorCode::ConnectionRefused);
            quickest = quickest.min(took);
            if quickest < PROMISED {
                break;
            }
        }
        assert!(quickest < PROMISED, "{from} to {to}: {quickest:?}");
    }
}

#[test]
fn connects_to_many_closed_ports_are_all_told() {
    // More than there are canaries.
    const MANY: u32 = 80;
    let mut client = Node::start(20);
    let ip = IpAddr::from(Ipv4Addr::LOCALHOST);
    let ports: Vec<_> = (0..MANY).map(|_| closed(ip)).collect();
    let mut codes = BTreeMap::new();
    for (port, _) in &ports {
        // Longer than is waited here for what is told.
        let options = ConnectOptions { timeout: 10 * LIMIT, ..ConnectOptions::default() };
        client.engine.connect(*port, options);
    }
    for _ in 0..MANY {
        let code = client.wait(|event| match event {
            Event::ConnectFailed { fault, .. } => Some(fault.code),
            _ => None,
        });
        *codes.entry(code).or_insert(0) += 1;
    }
    assert_eq!(codes, BTreeMap::from([(ErrorCode::ConnectionRefused, MANY)]));
}

#[test]
fn connects_to_one_closed_port_are_all_told() {
    let mut client = Node::start(21);
    let (port, _held) = closed(IpAddr::from(Ipv4Addr::LOCALHOST));
    for _ in 0..20 {
        client.engine.connect(port, ConnectOptions::default());
    }
    for _ in 0..20 {
        let code = client.wait(|event| match event {
            Event::ConnectFailed { fault, .. } => Some(fault.code),
            _ => None,
        });
        assert_eq!(code, ErrorCode::ConnectionRefused);
    }
}

#[test]
fn a_listener_is_not_troubled_by_who_asks_whether_it_is_there() {
    let (mut client, session, mut server, _) = pair();
    let stream = client.engine.open_stream(session, StreamOptions::default());
    client.write_all(stream, b"hello");
    client.engine.finish(stream);
    let theirs = server.wait_opened();
    assert_eq!(server.read_all(theirs), b"hello");
    let stats = server.engine.stats().unwrap().endpoint;
    assert_eq!(stats.frame_errors, Default::default());
    assert_eq!((stats.sessions, stats.half_open, stats.decoys_sent), (1, 0, 0));
}

#[test]
fn a_peer_that_is_gone_does_not_end_a_session_by_the_refusals_of_a_connect() {
    let (mut client, _, mut server, _) = pair();
    let address = server.engine.address();
    // An end of which it tells nobody.
    server.engine.push(Command::Panic);
    assert!(matches!(server.wait_end(), EngineEnd::Panicked(_)));
    let (code, _) = failure(&mut client, address);
    assert_eq!(code, ErrorCode::ConnectionRefused);
    assert_eq!(client.engine.stats().unwrap().endpoint.sessions, 1, "silence decides");
}

//! Engines against each other on loopback. Every wait is bounded and sleeps on the doorbell.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use stt_crypto::{NodeSeed, SharedSeed};
use stt_proto::{
    CloseReason, ConnectOptions, EndpointConfig, ErrorCode, ListenConfig, NetworkKeys,
    NodeIdentity, StreamOptions,
};

use crate::command::{CloseOptions, Command};
use crate::log::LogConfig;
use crate::{
    Engine, EngineConfig, EngineEnd, Event, MoveTarget, READ_AHEAD, Resource, SessionNumber,
    SocketOptions, StartError, StreamNumber, Taken, Written,
};

mod carrying;
mod refusals;
#[cfg(unix)]
mod watching;

const LIMIT: Duration = Duration::from_secs(60);

/// 32 bytes that pass for random, different for each `which`.
fn seed(which: u64) -> [u8; 32] {
    let mut state = which.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x1234_5678_9abc_def1);
    std::array::from_fn(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    })
}

fn config(which: u64) -> EngineConfig {
    EngineConfig {
        bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        socket: SocketOptions { send_buffer: 1 << 20, recv_buffer: 1 << 20, busy_poll: 0 },
        endpoint: EndpointConfig::default(),
        identity: NodeIdentity::from_seed(&NodeSeed::new(&seed(which)).unwrap()),
        networks: vec![NetworkKeys::new(&SharedSeed::new(&seed(1000)).unwrap())],
        rng_seed: seed(which + 2000),
        logs: LogConfig::default(),
    }
}

struct Node {
    engine: Engine,
    bell: Receiver<()>,
    inbox: std::collections::VecDeque<Event>,
}

impl Node {
    fn start(which: u64) -> Self {
        Self::start_with(config(which))
    }

    fn start_with(config: EngineConfig) -> Self {
        let (ring, bell) = sync_channel(1);
        // Full means that a ring is pending already.
        let doorbell = Box::new(move || {
            let _ = ring.try_send(());
        });
        let engine = Engine::start(config, doorbell).unwrap();
        Self { engine, bell, inbox: Default::default() }
    }

    /// The next event, whatever it is.
    fn next(&mut self) -> Event {
        let end = Instant::now() + LIMIT;
        loop {
            if let Some(event) = self.inbox.pop_front() {
                return event;
            }
            let inbox = &mut self.inbox;
            self.engine.poll(|event| {
                let placeholder = Event::Writable(StreamNumber(0));
                inbox.push_back(std::mem::replace(event, placeholder));
                Taken::Whole
            });
            if self.inbox.is_empty() {
                let left = end.checked_duration_since(Instant::now()).expect("nothing came");
                self.bell.recv_timeout(left).expect("the doorbell rings in time");
            }
        }
    }

    /// The next event that `find` takes; others are dropped.
    fn wait<T>(&mut self, mut find: impl FnMut(Event) -> Option<T>) -> T {
        loop {
            let event = self.next();
            if let Some(found) = find(event) {
                return found;
            }
        }
    }

    fn wait_connected(&mut self) -> SessionNumber {
        self.wait(|event| match event {
            Event::Connected { session, .. } => Some(session),
            Event::ConnectFailed { fault, .. } => panic!("{fault}"),
            _ => None,
        })
    }

    fn wait_opened(&mut self) -> StreamNumber {
        self.wait(|event| match event {
            Event::StreamOpened { stream, .. } => Some(stream),
            _ => None,
        })
    }

    fn wait_end(&mut self) -> EngineEnd {
        self.wait(|event| match event {
            Event::Closed(end) => Some(end),
            _ => None,
        })
    }

    /// Writes all of `bytes`, waiting for room.
    fn write_all(&mut self, stream: StreamNumber, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.engine.write(stream, bytes) {
                Written::Taken(taken) => bytes = &bytes[taken..],
                Written::Dead => panic!("the stream is dead"),
                Written::Exhausted(shortage) => panic!("{shortage:?}"),
            }
            if !bytes.is_empty() {
                self.wait(|event| matches!(event, Event::Writable(s) if s == stream).then_some(()));
            }
        }
    }

    /// Everything up to the end of the stream.
    fn read_all(&mut self, stream: StreamNumber) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let (bytes, fin) = self.wait(|event| match event {
                Event::Data { stream: of, bytes, fin } if of == stream => Some((bytes, fin)),
                Event::SessionClosed { message, fault, .. } => panic!("{message} {fault:?}"),
                _ => None,
            });
            all.extend_from_slice(&bytes);
            self.engine.consumed(std::iter::once((stream, bytes.len() as u64)));
            if fin {
                return all;
            }
        }
    }
}

/// A client and a server, connected.
fn pair() -> (Node, SessionNumber, Node, SessionNumber) {
    let mut server = Node::start(1);
    let mut client = Node::start(2);
    server.engine.listen(Some(ListenConfig::default()));
    let peer = Some(server.engine.node_id());
    let options = ConnectOptions { peer, ..ConnectOptions::default() };
    client.engine.connect(server.engine.address(), options);
    let theirs = server.wait_connected();
    let ours = client.wait_connected();
    (client, ours, server, theirs)
}

fn graceful() -> CloseOptions {
    let drain = Duration::from_secs(5);
    CloseOptions { reason: CloseReason::Graceful, code: 0, message: String::new(), drain }
}

#[test]
fn busy_polling_that_the_system_does_not_grant_is_told() {
    let mut config = config(70);
    config.socket.busy_poll = u32::MAX;
    let mut node = Node::start_with(config);
    let (wanted, granted) = node.wait(|event| match event {
        Event::ResourceWarning { resource: Resource::BusyPoll, wanted, granted } => {
            Some((wanted, granted))
        }
        _ => None,
    });
    assert_eq!(wanted, u64::from(u32::MAX));
    assert!(granted < wanted);
}

#[test]
fn an_echo_comes_back_and_both_sides_see_a_graceful_end() {
    let (mut client, session, mut server, _) = pair();
    let stream = client.engine.open_stream(session, StreamOptions::default());
    client.write_all(stream, b"hello");
    client.engine.finish(stream);
    let theirs = server.wait_opened();
    let heard = server.read_all(theirs);
    assert_eq!(heard, b"hello");
    server.write_all(theirs, &heard);
    server.engine.finish(theirs);
    assert_eq!(client.read_all(stream), b"hello");
    client.engine.close_session(session, graceful());
    for (node, by_peer) in [(&mut client, false), (&mut server, true)] {
        let (reason, remote) = node.wait(|event| match event {
            Event::SessionClosed { reason, remote, .. } => Some((reason, remote)),
            _ => None,
        });
        assert_eq!((reason, remote), (CloseReason::Graceful, by_peer));
    }
    client.engine.close(Duration::from_secs(1));
    assert_eq!(client.wait_end(), EngineEnd::Closed);
}

#[test]
fn bulk_arrives_whole_in_both_directions_at_once() {
    let (mut client, session, mut server, _) = pair();
    let bytes: Vec<u8> =
        (0..8u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let stream = client.engine.open_stream(session, StreamOptions::default());
    let there = std::thread::scope(|scope| {
        let (bytes, client) = (&bytes, &mut client);
        let echo = scope.spawn(move || {
            let theirs = server.wait_opened();
            let heard = server.read_all(theirs);
            server.write_all(theirs, &heard);
            server.engine.finish(theirs);
            // Alive until the client has it all.
            (server, heard)
        });
        client.write_all(stream, bytes);
        client.engine.finish(stream);
        let back = client.read_all(stream);
        assert!(back == *bytes, "what came back differs");
        echo.join().unwrap().1
    });
    assert!(there == bytes, "what arrived differs");
}

#[test]
fn a_reader_that_stops_stops_the_writer() {
    let (client, session, mut server, _) = pair();
    let stream = client.engine.open_stream(session, StreamOptions::default());
    let chunk = vec![7; 64 * 1024];
    let mut written = 0;
    loop {
        let Written::Taken(taken) = client.engine.write(stream, &chunk) else { panic!("dead") };
        written += taken;
        if taken == chunk.len() {
            continue;
        }
        // Nothing moves any more once a second passes without room.
        match client.bell.recv_timeout(Duration::from_secs(1)) {
            Ok(()) => {
                client.engine.poll(|_| Taken::Whole);
            }
            Err(_) => break,
        }
    }
    let limits = EndpointConfig::default().session;
    let most = limits.send_buffer + limits.stream_recv_buffer;
    assert!(written as u64 <= most, "{written} bytes were taken, the windows hold {most}");
    let theirs = server.wait_opened();
    let mut given = 0;
    while let Ok(()) = server.bell.recv_timeout(Duration::from_millis(300)) {
        server.engine.poll(|event| {
            if let Event::Data { bytes, .. } = event {
                given += bytes.len() as u64;
            }
            Taken::Whole
        });
    }
    given += server.inbox.iter().map(|event| crate::ring::data_len(event) as u64).sum::<u64>();
    assert!(given <= READ_AHEAD, "{given} bytes were read ahead");
    server.engine.consumed(std::iter::once((theirs, given)));
    let more = server.wait(|event| match event {
        Event::Data { bytes, .. } => Some(bytes.len()),
        _ => None,
    });
    assert!(more > 0);
}

#[test]
fn a_busy_port_is_an_error_of_the_start() {
    let first = Node::start(4);
    let bind = first.engine.address();
    let again = Engine::start(EngineConfig { bind, ..config(5) }, Box::new(|| {}));
    match again {
        Err(StartError::Bind(error)) => assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the port was taken"),
    }
}

#[test]
fn destroying_ends_the_thread_tells_the_peer_and_can_be_repeated() {
    let (mut client, _, mut server, _) = pair();
    client.engine.destroy();
    client.engine.destroy();
    assert_eq!(client.wait_end(), EngineEnd::Closed);
    let end = server.wait(|event| match event {
        Event::SessionClosed { remote, reason, .. } => Some((remote, reason)),
        _ => None,
    });
    assert_eq!(end, (true, CloseReason::Error), "what was under way is lost");
    assert!(client.engine.stats().is_none(), "nobody answers");
}

#[test]
fn a_panic_of_the_driver_ends_the_engine_with_an_error_and_nothing_else() {
    let (mut client, session, mut server, _) = pair();
    client.engine.push(Command::Panic);
    let mut closed = Vec::new();
    let end = client.wait(|event| match event {
        Event::SessionClosed { session, reason, .. } => {
            closed.push((session, reason));
            None
        }
        Event::Closed(end) => Some(end),
        _ => None,
    });
    assert_eq!(end, EngineEnd::Panicked("asked for by a test".to_owned()));
    assert_eq!(closed, [(session, CloseReason::Error)]);
    // The process and its other engines live.
    assert!(server.engine.stats().is_some());
    server.engine.close(Duration::ZERO);
    assert_eq!(server.wait_end(), EngineEnd::Closed);
}

#[test]
fn a_connect_that_is_given_up_says_so() {
    // Bound, and never answering.
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut client = Node::start(6);
    let connect = client.engine.connect(silent.local_addr().unwrap(), ConnectOptions::default());
    client.engine.close_session(connect, graceful());
    let failed = client.wait(|event| match event {
        Event::ConnectFailed { session, .. } => Some(session),
        _ => None,
    });
    assert_eq!(failed, connect);
}

#[test]
fn each_move_is_answered_by_its_token() {
    let (mut client, session, server, theirs) = pair();
    // The same way by its full name: the peer is asked all the same.
    let local = MoveTarget::Local(Ipv4Addr::LOCALHOST.into());
    client.engine.move_session(session, 7, local);
    let moved = client.wait(|event| match event {
        Event::Moved { session, token } => Some((session, token)),
        Event::MoveFailed { fault, .. } => panic!("{fault}"),
        _ => None,
    });
    assert_eq!(moved, (session, 7));
    // Neither the one that another takes the place of, nor the one that is given up, is answered.
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let nowhere = MoveTarget::Remote(silent.local_addr().unwrap());
    for token in [8, 9] {
        client.engine.move_session(session, token, nowhere);
    }
    client.engine.cancel_move(session, 9);
    server.engine.close_session(theirs, graceful());
    client.wait(|event| match event {
        Event::Moved { token, .. } | Event::MoveFailed { token, .. } => panic!("{token}"),
        Event::SessionClosed { .. } => Some(()),
        _ => None,
    });
    client.engine.move_session(session, 10, local);
    let (token, code) = client.wait(|event| match event {
        Event::MoveFailed { token, fault, .. } => Some((token, fault.code)),
        _ => None,
    });
    assert_eq!((token, code), (10, ErrorCode::SessionClosed));
}

#[test]
fn another_socket_takes_the_sessions_along() {
    let (mut client, session, mut server, _) = pair();
    let first = client.engine.address();
    let busy = client.engine.rebind(server.engine.address(), 4).unwrap_err();
    assert_eq!(busy.kind(), std::io::ErrorKind::AddrInUse);
    client.engine.rebind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), 5).unwrap();
    let (token, there) = client.wait(|event| match event {
        Event::Rebound { token, address } => Some((token, address)),
        _ => None,
    });
    assert_eq!(token, Some(5));
    assert_ne!(there, first);
    let seen = server.wait(|event| match event {
        Event::PathChange { remote, .. } => Some(remote),
        _ => None,
    });
    assert_eq!(seen, there);
    assert!(UdpSocket::bind(first).is_ok(), "the first socket is closed");
    let stream = client.engine.open_stream(session, StreamOptions::default());
    client.write_all(stream, &[7; 100_000]);
    client.engine.finish(stream);
    let theirs = server.wait_opened();
    assert_eq!(server.read_all(theirs).len(), 100_000);
}

#[test]
fn opening_past_the_limit_fails_with_its_number() {
    let (mut client, session, _server, _) = pair();
    let limit = EndpointConfig::default().session.max_concurrent_streams;
    for _ in 0..limit {
        client.engine.open_stream(session, StreamOptions::default());
    }
    let extra = client.engine.open_stream(session, StreamOptions::default());
    let (failed, fault) = client.wait(|event| match event {
        Event::OpenFailed { stream, fault } => Some((stream, fault)),
        _ => None,
    });
    assert_eq!((failed, fault.code), (extra, ErrorCode::TooManyStreams));
    assert_eq!(client.engine.write(extra, b"x"), Written::Dead);
}

#[test]
fn counters_are_answered_from_both_sides() {
    let (client, session, server, theirs) = pair();
    let stats = client.engine.session_stats(session).unwrap();
    assert!(stats.packets_sent > 0);
    assert!(server.engine.session_stats(theirs).is_some());
    let engine = server.engine.stats().unwrap();
    assert!(engine.turns > 0 && engine.polls > 0 && engine.endpoint.datagrams_received > 0);
}

#[test]
fn a_little_is_sent_by_the_thread_that_wrote_it() {
    let (mut client, session, mut server, _) = pair();
    let stream = client.engine.open_stream(session, StreamOptions::default());
    let mut echo = None;
    for round in 0..200u8 {
        assert_eq!(client.engine.write(stream, &[round; 64]), Written::Taken(64));
        let theirs = *echo.get_or_insert_with(|| server.wait_opened());
        for (node, number, echoes) in [(&mut server, theirs, true), (&mut client, stream, false)] {
            let mut came = 0;
            while came < 64 {
                came += node.wait(|event| match event {
                    Event::Data { stream, bytes, .. } if stream == number => {
                        assert!(bytes.iter().all(|byte| *byte == round));
                        Some(bytes.len())
                    }
                    _ => None,
                });
            }
            node.engine.consumed(std::iter::once((number, 64)));
            if echoes {
                assert_eq!(node.engine.write(theirs, &[round; 64]), Written::Taken(64));
            }
        }
    }
    // Under load the thread may have been awake each time; found asleep, it is left alone.
    let limit = Instant::now() + LIMIT;
    while client.engine.stats().unwrap().short_turns == 0 {
        assert!(Instant::now() < limit, "the thread was never found asleep");
        if client.engine.is_sleeping() {
            assert_eq!(client.engine.write(stream, b"x"), Written::Taken(1));
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_panic_on_the_writers_thread_ends_the_engine_and_nothing_else() {
    let (mut client, session, server, _) = pair();
    let stream = client.engine.open_stream(session, StreamOptions::default());
    let limit = Instant::now() + LIMIT;
    while !client.engine.is_sleeping() {
        assert!(Instant::now() < limit, "never asleep");
        std::thread::yield_now();
    }
    client.engine.leave(Command::Panic);
    assert_eq!(client.engine.write(stream, b"x"), Written::Taken(1));
    assert_eq!(client.wait_end(), EngineEnd::Panicked("asked for by a test".to_owned()));
    assert!(server.engine.stats().is_some());
}

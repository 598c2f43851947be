//! How connects succeed, and how each way to fail is named.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{DELAY, LIMIT, NODE, OTHER, Pair, SHARED, connected, steal, wait};
use stt_proto::{
    Cap, Close, ConnectError, ConnectOptions, EndpointConfig, ErrorCode, Event, Fault, FaultDetail,
    ListenConfig, Origin, PathAddress, PathError, StreamOptions,
};
use stt_sim::{Link, World};
use stt_wire::packet::seal_checksums;

fn address(pair: &Pair, node: usize) -> std::net::SocketAddr {
    match pair.world.path_to(node) {
        PathAddress::Udp { remote, .. } => remote,
        PathAddress::Connection(_) => unreachable!(),
    }
}

#[test]
fn both_sides_agree_on_the_session_and_know_each_other() {
    let mut pair = Pair::new();
    let (client, server) = (pair.client, pair.server);
    let ids = [client, server].map(|node| pair.world.endpoint_mut(node).node_id());
    pair.connect();
    let pick = |event: &Event| match event {
        Event::Connected { peer, session_id, initiator, .. } => {
            Some((*peer, *session_id, *initiator))
        }
        _ => None,
    };
    let theirs = wait(&mut pair.world, server, pick);
    let ours = wait(&mut pair.world, client, pick);
    assert_eq!(ours.1, theirs.1);
    assert_eq!((ours.0, ours.2), (ids[1], true));
    assert_eq!((theirs.0, theirs.2), (ids[0], false));
    assert_eq!(pair.world.elapsed(), 4 * DELAY, "two round trips");
}

#[test]
fn early_use_saves_a_round_trip() {
    let mut pair = Pair::new();
    pair.connect_with(ConnectOptions { early: true, ..ConnectOptions::default() });
    let client = pair.client;
    wait(&mut pair.world, client, connected);
    assert_eq!(pair.world.elapsed(), 2 * DELAY);
    pair.world.run_for(Duration::from_secs(1));
    assert!(!pair.world.take_events(client).iter().any(|event| connected(event).is_some()));
}

#[test]
fn a_nat_that_changes_before_final_is_there_does_not_keep_it_away() {
    for (early, address) in
        [(true, "10.0.0.1:9000"), (true, "10.0.9.1:9000"), (false, "10.0.0.1:9000")]
    {
        let mut pair = Pair::new();
        let (client, server) = (pair.client, pair.server);
        let ours = pair.connect_with(ConnectOptions { early, ..ConnectOptions::default() });
        // AUTH_PROOF has arrived, and FINAL is on its way to a port that is the client's no more.
        pair.world.run_for(3 * DELAY + DELAY / 2);
        assert_eq!(pair.world.endpoint_mut(server).stats().sessions, 1);
        pair.world.rebind(client, address.parse().unwrap());
        let changed = pair.world.elapsed();
        // FINAL has a ticket in it, whatever the application was told before.
        let session = wait(&mut pair.world, client, |event| match event {
            Event::Ticket { session, .. } => Some(*session),
            _ => None,
        });
        assert_eq!(session, ours);
        let took = pair.world.elapsed() - changed;
        assert!(took < Duration::from_secs(2), "{took:?}");
        assert_eq!(pair.world.endpoint_mut(server).stats().sessions, 1);
    }
}

#[test]
fn a_full_window_does_not_keep_the_question_for_final_back() {
    const BYTES: usize = 50_000;
    // Whenever the network is there again, a copy of AUTH_PROOF asks within 1.5 s; the next probe timeout may be two away.
    for dark in (5_000..7_000).step_by(100) {
        let mut pair = Pair::new();
        let (client, server) = (pair.client, pair.server);
        let ours = pair.connect_with(ConnectOptions { early: true, ..ConnectOptions::default() });
        wait(&mut pair.world, client, connected);
        let now = pair.world.now_at(client);
        let endpoint = pair.world.endpoint_mut(client);
        let stream = endpoint.open_stream(now, ours, StreamOptions::default()).unwrap();
        endpoint.write(now, ours, stream, Bytes::from(vec![7; BYTES])).unwrap();
        let window = endpoint.session_stats(ours).unwrap().congestion_window;
        assert!(window < BYTES as u64, "a window of {window}");
        // All that fits into the window arrives, and what answers it goes to an address that is the client's no more.
        pair.world.run_for(DELAY + DELAY / 2);
        assert_eq!(pair.world.endpoint_mut(server).stats().sessions, 1);
        pair.world.rebind(client, "10.0.9.1:9000".parse().unwrap());
        pair.set_dark(true);
        let end = pair.world.elapsed() + Duration::from_millis(dark);
        let over = |world: &mut World| Ok((world.elapsed() >= end).then_some(()));
        pair.world.run_until(LIMIT, over).unwrap_or_else(|failure| panic!("{failure}"));
        pair.set_dark(false);
        let light = pair.world.elapsed();
        wait(&mut pair.world, client, |event| matches!(event, Event::Ticket { .. }).then_some(()));
        let took = pair.world.elapsed() - light;
        let limit = Duration::from_millis(1_500) + 3 * DELAY;
        assert!(took <= limit, "{dark} ms dark: {took:?} more");
    }
}

#[test]
fn load_is_answered_by_retry_and_the_connect_still_succeeds() {
    let listen = ListenConfig { retry_threshold: 0, ..ListenConfig::default() };
    let mut pair = Pair::with(EndpointConfig::default(), listen, Link::with_delay(DELAY));
    pair.establish();
    let server = pair.server;
    assert_eq!(pair.world.endpoint_mut(server).stats().retries_sent, 1);
}

#[test]
fn a_wrong_seed_is_named_and_not_before_a_good_answer_had_its_time() {
    let config = EndpointConfig::default();
    let link = Link::with_delay(DELAY);
    let mut pair = Pair::with_seeds(config, ListenConfig::default(), link, &[OTHER], &[SHARED]);
    pair.connect();
    let fault = pair.failure();
    assert_eq!(fault.code, ErrorCode::AuthenticationFailed);
    assert_eq!(fault.subcode, 3);
    assert_eq!(fault.cause, Some((ErrorCode::HandshakeFailure, 3)));
    assert_eq!(pair.world.elapsed(), 2 * DELAY + Duration::from_millis(500));
    let server = pair.server;
    let stats = pair.world.endpoint_mut(server).stats();
    assert_eq!((stats.decoys_sent, stats.half_open, stats.sessions), (2, 0, 0));
}

#[test]
fn stealth_answers_no_stranger() {
    let config = EndpointConfig { stealth: true, ..EndpointConfig::default() };
    let link = Link::with_delay(DELAY);
    let mut pair = Pair::with_seeds(config, ListenConfig::default(), link, &[OTHER], &[SHARED]);
    pair.connect();
    assert_eq!(pair.failure().code, ErrorCode::ConnectionTimeout);
    let (client, server) = (pair.client, pair.server);
    assert_eq!(pair.world.link_stats(server, client).sent, 0);
}

#[test]
fn seeds_rotate_whichever_side_is_ahead() {
    for (ours, theirs) in [
        (vec![OTHER, SHARED], vec![SHARED]),
        (vec![SHARED], vec![OTHER, SHARED]),
        (vec![OTHER, SHARED], vec![SHARED, OTHER]),
    ] {
        let (config, link) = (EndpointConfig::default(), Link::with_delay(DELAY));
        let mut pair = Pair::with_seeds(config, ListenConfig::default(), link, &ours, &theirs);
        pair.establish();
    }
}

#[test]
fn another_node_than_the_pinned_one_is_refused_at_once() {
    let mut pair = Pair::new();
    let own = pair.client;
    let pinned = pair.world.endpoint_mut(own).node_id();
    pair.connect_with(ConnectOptions { peer: Some(pinned), ..ConnectOptions::default() });
    let server = pair.server;
    let answered = FaultDetail::Answered { by: pair.world.endpoint_mut(server).node_id() };
    let expected = Fault::new(ErrorCode::AuthenticationFailed).with_detail(answered);
    assert_eq!(pair.failure(), expected.by(Origin::Local));
    assert_eq!(pair.world.elapsed(), 2 * DELAY);
}

#[test]
fn a_revoked_node_is_told_so_and_one_that_is_not_authorized_something_else() {
    let mut pair = Pair::new();
    let (client, server) = (pair.client, pair.server);
    let revoked = pair.world.endpoint_mut(client).node_id();
    let now = pair.world.now_at(server);
    pair.world.endpoint_mut(server).revoke(now, revoked);
    pair.connect();
    let fault = pair.failure();
    assert_eq!((fault.code, fault.subcode), (ErrorCode::AuthenticationFailed, 0));
    assert_eq!((fault.detail, fault.origin), (FaultDetail::Revoked, Origin::Peer));

    let listen = ListenConfig { authorize: true, ..ListenConfig::default() };
    let mut pair = Pair::with(EndpointConfig::default(), listen, Link::with_delay(DELAY));
    pair.connect();
    let server = pair.server;
    let session = wait(&mut pair.world, server, |event| match event {
        Event::Incoming { session, .. } => Some(*session),
        _ => None,
    });
    let now = pair.world.now_at(server);
    pair.world.endpoint_mut(server).refuse(now, session, ErrorCode::AuthenticationFailed);
    let fault = pair.failure();
    assert_eq!((fault.detail, fault.origin), (FaultDetail::None, Origin::Peer));
}

#[test]
fn that_no_seed_of_several_fits_is_told_with_their_number() {
    for (seeds, detail) in
        [(vec![OTHER], FaultDetail::None), (vec![OTHER, NODE], FaultDetail::Seeds { count: 2 })]
    {
        let (config, link) = (EndpointConfig::default(), Link::with_delay(DELAY));
        let listen = ListenConfig::default();
        let mut pair = Pair::with_seeds(config, listen, link, &seeds, &[SHARED]);
        pair.connect();
        let fault = pair.failure();
        assert_eq!((fault.code, fault.subcode), (ErrorCode::AuthenticationFailed, 3));
        assert_eq!((fault.detail, fault.origin), (detail, Origin::Peer));
    }
}

#[test]
fn a_clock_that_is_an_hour_off_is_told_so() {
    for skew in [3_600_000, -3_600_000] {
        let mut pair = Pair::new();
        pair.world.skew_clock(pair.client, skew);
        pair.connect();
        let fault = pair.failure();
        assert_eq!((fault.code, fault.subcode), (ErrorCode::HandshakeFailure, 2));
        let FaultDetail::ClockSkew { ms } = fault.detail else { panic!("{fault:?}") };
        assert!((ms + skew).abs() <= 50, "the peer's clock minus ours: {ms}");
        let server = pair.server;
        let events = pair.world.take_events(server);
        assert!(
            events.iter().any(|event| matches!(
                event,
                Event::HandshakeError { error, .. }
                    if error.code == ErrorCode::HandshakeFailure && error.subcode == 2
            )),
            "{events:?}"
        );
    }
}

#[test]
fn a_replayed_hello_is_reported_and_opens_nothing() {
    let mut pair = Pair::new();
    pair.connect();
    let (client, server) = (pair.client, pair.server);
    let hello = steal(&mut pair.world, client);
    let from = address(&pair, client);
    pair.world.inject(server, from, &mut hello.clone());
    wait(&mut pair.world, client, connected);
    pair.world.run_for(Duration::from_secs(1));
    pair.world.take_events(server);

    let sent = pair.world.link_stats(server, client).sent;
    pair.world.inject(server, from, &mut hello.clone());
    pair.world.settle();
    assert_eq!(pair.world.take_events(server), [], "a late copy of the session's own");
    pair.world.inject(server, "10.9.9.9:99".parse().unwrap(), &mut hello.clone());
    pair.world.settle();
    let events = pair.world.take_events(server);
    assert!(
        matches!(events[..], [Event::HandshakeError { error, .. }]
            if error.code == ErrorCode::HandshakeFailure && error.subcode == 1),
        "{events:?}"
    );
    let stats = pair.world.endpoint_mut(server).stats();
    assert_eq!((stats.half_open, stats.hello_replayed), (0, 1));
    assert_eq!(pair.world.link_stats(server, client).sent, sent, "never answered");
}

#[test]
fn another_version_is_told_ours() {
    let mut pair = Pair::new();
    pair.connect();
    let (client, server) = (pair.client, pair.server);
    let mut hello = steal(&mut pair.world, client);
    pair.world.set_link(client, server, Link { dark: true, ..Link::with_delay(DELAY) });
    hello[0] = 2;
    seal_checksums(&mut hello);
    let from = address(&pair, client);
    pair.world.inject(server, from, &mut hello);
    let fault = pair.failure();
    assert_eq!(fault.code, ErrorCode::ProtocolVersionMismatch);
    assert_eq!(fault.detail, FaultDetail::Versions { list: [1, 0, 0, 0, 0, 0, 0, 0], count: 1 });
}

#[test]
fn a_closed_port_is_known_in_milliseconds() {
    let mut pair = Pair::new();
    pair.connect();
    let (client, server) = (pair.client, pair.server);
    let hello = steal(&mut pair.world, client);
    let (now, remote) = (pair.world.now_at(client), address(&pair, server));
    let endpoint = pair.world.endpoint_mut(client);
    let mut other = hello.clone();
    other[40] ^= 1;
    endpoint.handle_path_error(now, remote, PathError::Refused, Some(&other[..64]));
    assert_eq!(endpoint.poll_event(), None, "another connect's HELLO was quoted");
    endpoint.handle_path_error(now, remote, PathError::Refused, Some(&hello[..64]));
    assert_eq!(pair.failure(), Fault::new(ErrorCode::ConnectionRefused));
    assert_eq!(pair.world.elapsed(), Duration::ZERO);
}

#[test]
fn silence_times_out() {
    let mut pair = Pair::new();
    pair.set_dark(true);
    pair.connect_with(ConnectOptions {
        timeout: Duration::from_secs(3),
        ..ConnectOptions::default()
    });
    let fault = pair.failure();
    assert_eq!(fault.code, ErrorCode::ConnectionTimeout);
    assert_eq!(fault.detail, FaultDetail::Waited { ms: 3000 });
    assert_eq!(pair.world.elapsed(), Duration::from_secs(3));
}

#[test]
fn a_node_that_does_not_listen_refuses_holders_of_the_seed() {
    let mut pair = Pair::new();
    let server = pair.server;
    pair.world.endpoint_mut(server).set_listening(None);
    pair.connect();
    assert_eq!(pair.failure().code, ErrorCode::ConnectionRefused);
    assert_eq!(pair.world.elapsed(), 2 * DELAY);
}

#[test]
fn sessions_are_limited_on_both_sides() {
    let config = EndpointConfig { max_sessions: 2, ..EndpointConfig::default() };
    let listen = ListenConfig { max_sessions: 1, ..ListenConfig::default() };
    let mut pair = Pair::with(config, listen, Link::with_delay(DELAY));
    pair.establish();
    pair.connect();
    let (now, path) = (pair.world.now_at(pair.client), pair.world.path_to(pair.server));
    let client = pair.client;
    assert_eq!(
        pair.world.endpoint_mut(client).connect(now, path, ConnectOptions::default()),
        Err(ConnectError::TooManySessions { limit: 2 })
    );
    let fault = pair.failure();
    assert_eq!(fault.code, ErrorCode::TooManySessions);
    assert!(matches!(fault.detail, FaultDetail::Limit { local: false, .. }));
    pair.world.run_for(Duration::from_secs(30));
    for node in [pair.client, pair.server] {
        assert_eq!(pair.world.endpoint_mut(node).stats().sessions, 1);
    }
}

#[test]
fn a_source_and_a_peer_have_only_their_share() {
    let two = Cap { sessions: 2, ..Cap::NONE };
    let rate = Cap { per_second: 2, ..Cap::NONE };
    let listen = ListenConfig::default;
    for (listen, freed_by_ending) in [
        (ListenConfig { per_source: two, ..listen() }, true),
        (ListenConfig { per_peer: two, ..listen() }, true),
        (ListenConfig { per_source: rate, ..listen() }, false),
        (ListenConfig { per_peer: rate, ..listen() }, false),
    ] {
        let mut pair = Pair::with(EndpointConfig::default(), listen, Link::with_delay(DELAY));
        let (_, first) = pair.establish();
        pair.establish();
        if freed_by_ending {
            pair.connect();
            assert_eq!(pair.failure().code, ErrorCode::TooManySessions);
            let now = pair.world.now_at(pair.server);
            let endpoint = pair.world.endpoint_mut(pair.server);
            endpoint.close(now, first, Close::graceful(Duration::ZERO));
        } else {
            // The tokens of half a second.
            pair.world.run_for(Duration::from_millis(500));
            pair.establish();
            pair.connect();
            assert_eq!(pair.failure().code, ErrorCode::TooManySessions);
            pair.world.run_for(Duration::from_millis(500));
        }
        pair.establish();
    }
}

#[test]
fn authorize_decides() {
    for admit in [true, false] {
        let listen = ListenConfig { authorize: true, ..ListenConfig::default() };
        let mut pair = Pair::with(EndpointConfig::default(), listen, Link::with_delay(DELAY));
        pair.connect();
        let (client, server) = (pair.client, pair.server);
        let session = wait(&mut pair.world, server, |event| match event {
            Event::Incoming { session, .. } => Some(*session),
            _ => None,
        });
        // The application takes its time; AUTH_PROOF is repeated meanwhile and changes nothing.
        pair.world.run_for(Duration::from_secs(2));
        let now = pair.world.now_at(server);
        let endpoint = pair.world.endpoint_mut(server);
        if admit {
            endpoint.accept(now, session);
            wait(&mut pair.world, client, connected);
        } else {
            endpoint.refuse(now, session, ErrorCode::AuthenticationFailed);
            assert_eq!(pair.failure().code, ErrorCode::AuthenticationFailed);
            pair.world.run_for(Duration::from_secs(5));
            assert_eq!(pair.world.endpoint_mut(server).stats().sessions, 0);
        }
    }
}

#[test]
fn simultaneous_connects_are_two_sessions() {
    let mut pair = Pair::new();
    let (client, server) = (pair.client, pair.server);
    pair.world.endpoint_mut(client).set_listening(Some(ListenConfig::default()));
    pair.connect();
    let (now, path) = (pair.world.now_at(server), pair.world.path_to(client));
    pair.world.endpoint_mut(server).connect(now, path, ConnectOptions::default()).unwrap();
    pair.world.run_for(Duration::from_secs(2));
    for node in [client, server] {
        let count = pair.world.take_events(node).iter().filter_map(connected_ref).count();
        assert_eq!(count, 2);
    }
}

fn connected_ref(event: &Event) -> Option<()> {
    connected(event)
}

#[test]
fn half_open_handshakes_end_by_themselves() {
    let mut pair = Pair::new();
    let (client, server) = (pair.client, pair.server);
    pair.world.set_link(server, client, Link { dark: true, ..Link::with_delay(DELAY) });
    pair.connect();
    pair.world.run_for(Duration::from_secs(1));
    assert_eq!(pair.world.endpoint_mut(server).stats().half_open, 1);
    pair.world
        .run_until(LIMIT, |world| {
            Ok((world.endpoint_mut(server).stats().half_open == 0).then_some(()))
        })
        .unwrap();
    assert!(pair.world.elapsed() < Duration::from_secs(21));
}

/// A connect whose HELLO has left, and what the network told another socket of the client's host 7 ms later.
fn told_by_another_socket(took: Duration, error: PathError) -> Pair {
    let mut pair = Pair::new();
    pair.connect();
    pair.world.run_for(Duration::from_millis(7));
    let (now, remote) = (pair.world.now_at(pair.client), address(&pair, pair.server));
    pair.world.endpoint_mut(pair.client).handle_path_hint(now, remote, error, took);
    pair
}

#[test]
fn what_another_socket_was_told_ends_a_connect_that_nobody_answers() {
    let cases = [
        (PathError::Refused, 1, 50, ErrorCode::ConnectionRefused),
        (PathError::Refused, 40, 120, ErrorCode::ConnectionRefused),
        (PathError::Unreachable { errno: 113 }, 1, 50, ErrorCode::NetworkUnreachable),
    ];
    for (error, took, waited, code) in cases {
        let mut pair = told_by_another_socket(Duration::from_millis(took), error);
        pair.set_dark(true);
        assert_eq!(pair.failure().code, code);
        assert_eq!(pair.world.elapsed(), Duration::from_millis(7 + waited));
    }
}

#[test]
fn an_answer_in_time_proves_another_socket_wrong() {
    for took in [1, 40] {
        let mut pair = told_by_another_socket(Duration::from_millis(took), PathError::Refused);
        wait(&mut pair.world, pair.client, connected);
        assert_eq!(pair.world.elapsed(), 4 * DELAY, "two round trips, as ever");
    }
}

#[test]
fn a_wrong_seed_is_named_whatever_another_socket_was_told() {
    let (config, link) = (EndpointConfig::default(), Link::with_delay(Duration::from_millis(20)));
    let mut pair = Pair::with_seeds(config, ListenConfig::default(), link, &[OTHER], &[SHARED]);
    pair.connect();
    pair.world.run_for(Duration::from_millis(7));
    let (now, remote) = (pair.world.now_at(pair.client), address(&pair, pair.server));
    let client = pair.client;
    let endpoint = pair.world.endpoint_mut(client);
    endpoint.handle_path_hint(now, remote, PathError::Refused, Duration::from_millis(1));
    assert_eq!(pair.failure().code, ErrorCode::AuthenticationFailed);
}

#[test]
fn a_cookie_that_is_asked_for_proves_another_socket_wrong() {
    let listen = ListenConfig { retry_threshold: 0, ..ListenConfig::default() };
    let link = Link::with_delay(Duration::from_millis(20));
    let mut pair = Pair::with(EndpointConfig::default(), listen, link);
    pair.connect();
    pair.world.run_for(Duration::from_millis(7));
    let (now, remote) = (pair.world.now_at(pair.client), address(&pair, pair.server));
    let client = pair.client;
    // Believed after 57 ms: RETRY is here by then, and CHALLENGE is not.
    let endpoint = pair.world.endpoint_mut(client);
    endpoint.handle_path_hint(now, remote, PathError::Refused, Duration::from_millis(1));
    wait(&mut pair.world, client, connected);
}

#[test]
fn what_another_socket_was_told_concerns_no_session_and_no_other_connect() {
    let mut pair = Pair::new();
    pair.establish();
    let (client, server) = (pair.client, pair.server);
    let elsewhere = pair.world.add_node(EndpointConfig::default(), SHARED);
    let dark = Link { dark: true, ..Link::with_delay(DELAY) };
    pair.world.set_links(client, elsewhere, &dark);
    let (now, path) = (pair.world.now_at(client), pair.world.path_to(elsewhere));
    let endpoint = pair.world.endpoint_mut(client);
    endpoint.connect(now, path, ConnectOptions::default()).unwrap();
    for _ in 0..20 {
        let (now, remote) = (pair.world.now_at(client), address(&pair, server));
        let endpoint = pair.world.endpoint_mut(client);
        endpoint.handle_path_hint(now, remote, PathError::Refused, Duration::from_millis(1));
        pair.world.run_for(Duration::from_millis(200));
    }
    let ended = |event: &Event| match event {
        Event::ConnectFailed { error, .. } => Some(*error),
        Event::SessionClosed { error, .. } => *error,
        _ => None,
    };
    let ends: Vec<_> = pair.world.take_events(client).iter().filter_map(ended).collect();
    assert_eq!(ends, []);
    assert_eq!(pair.world.endpoint_mut(client).stats().sessions, 2);
}

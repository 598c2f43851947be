//! A host that does not send, a host that refuses, and strangers who say so.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{DELAY, Pair, closed, wait};
use stt_proto::{
    ConnectOptions, EndpointConfig, ErrorCode, Event, Fault, FaultDetail, PathAddress, PathError,
    ReadOutcome, SendError, SessionHandle, StreamId, StreamOptions,
};
use stt_sim::Link;

/// What a firewall of Linux says.
const EPERM: SendError = SendError::Permission(1);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Opens a stream at the client, writes `len` bytes and ends it.
fn send(pair: &mut Pair, session: SessionHandle, len: usize) -> StreamId {
    let now = pair.world.now_at(pair.client);
    let endpoint = pair.world.endpoint_mut(pair.client);
    let stream = endpoint.open_stream(now, session, StreamOptions::default()).unwrap();
    endpoint.write(now, session, stream, Bytes::from(vec![7; len])).unwrap();
    endpoint.finish(now, session, stream).unwrap();
    stream
}

/// The refused sends that a node was told of: datagrams and the error's number, one a report.
fn refusals(events: &[Event]) -> Vec<(u64, i32)> {
    let told = events.iter().filter_map(|event| match event {
        Event::SendError { error, count, .. } => {
            assert_eq!(error.code, ErrorCode::UdpSendFailed);
            let FaultDetail::Os { errno, .. } = error.detail else { panic!("{error:?}") };
            Some((*count, errno))
        }
        _ => None,
    });
    told.collect()
}

/// Reads at the server until the stream ends; how much came.
fn read_all(pair: &mut Pair, session: SessionHandle, stream: StreamId) -> usize {
    let server = pair.server;
    let mut read = 0;
    pair.world
        .run_until(common::LIMIT, |world| {
            let now = world.now_at(server);
            loop {
                match world.endpoint_mut(server).read(session, stream, usize::MAX) {
                    Ok(ReadOutcome::Chunk(chunk)) => {
                        read += chunk.len();
                        let len = chunk.len() as u64;
                        world.endpoint_mut(server).consumed(now, session, stream, len);
                    }
                    Ok(ReadOutcome::Finished) => return Ok(Some(read)),
                    _ => return Ok(None),
                }
            }
        })
        .unwrap()
}

#[test]
fn a_busy_host_that_cannot_send_says_so_at_once_and_dies_of_that_not_of_silence() {
    let mut pair = Pair::new();
    let (ours, _) = pair.establish();
    pair.world.run_for(Duration::from_secs(1));
    let client = pair.client;
    send(&mut pair, ours, 4 << 20);
    pair.world.run_for(ms(300));
    pair.world.take_events(client);
    let heard = pair.world.elapsed();
    pair.world.set_refusing(client, Some(EPERM));
    let first = wait(&mut pair.world, client, |event| {
        refusals(std::slice::from_ref(event)).first().copied()
    });
    assert!(first.0 >= 1 && first.1 == 1, "{first:?}");
    assert!(
        pair.world.elapsed() - heard <= 3 * DELAY,
        "at once: {:?}",
        pair.world.elapsed() - heard
    );

    let mut told = Vec::new();
    let end = pair
        .world
        .run_until(common::LIMIT, |world| {
            let events = world.take_events(client);
            told.extend(refusals(&events));
            Ok(events.iter().find_map(|event| match event {
                Event::SessionClosed { error, .. } => Some(error.unwrap()),
                _ => None,
            }))
        })
        .unwrap();
    assert_eq!(end.code, ErrorCode::UdpSendFailed);
    let FaultDetail::Os { errno: 1, ms: waited } = end.detail else { panic!("{end:?}") };
    // The peer may be the first to give up, and says so: the reason is known here.
    assert!((29_000..31_000).contains(&waited), "{waited}");
    assert!((pair.world.elapsed() - heard).as_secs() <= 31);
    // Once a second, and tries go on to the end.
    assert!((28..=31).contains(&told.len()), "{told:?}");
    assert!(told.iter().all(|(count, errno)| *count > 0 && *errno == 1), "{told:?}");
}

#[test]
fn a_session_goes_on_within_a_second_when_its_host_sends_again() {
    let mut pair = Pair::new();
    let (ours, theirs) = pair.establish();
    pair.world.run_for(Duration::from_secs(1));
    let (client, server) = (pair.client, pair.server);
    pair.world.set_refusing(client, Some(EPERM));
    let stream = send(&mut pair, ours, 1_000_000);
    pair.world.run_for(Duration::from_secs(20));
    pair.world.set_refusing(client, None);
    pair.world.take_events(server);
    let began = pair.world.elapsed();
    wait(&mut pair.world, server, |event| {
        matches!(event, Event::StreamOpened { .. }).then_some(())
    });
    let waited = pair.world.elapsed() - began;
    assert!(waited < Duration::from_secs(1), "tries go on at short pauses: {waited:?}");
    assert_eq!(read_all(&mut pair, theirs, stream), 1_000_000);
    let stats = pair.world.endpoint_mut(client).session_stats(ours).unwrap();
    assert!((40..400).contains(&stats.send_errors), "{}", stats.send_errors);
}

#[test]
fn a_host_that_sent_something_and_then_could_not_is_silent_not_unable() {
    let mut pair = Pair::new();
    let (ours, _) = pair.establish();
    pair.world.run_for(Duration::from_secs(1));
    pair.set_dark(true);
    let client = pair.client;
    send(&mut pair, ours, 1000);
    pair.world.run_for(Duration::from_secs(5));
    pair.world.set_refusing(client, Some(EPERM));
    assert_eq!(wait(&mut pair.world, client, closed).0, Some(ErrorCode::SessionTimeout));
}

#[test]
fn an_idle_host_that_cannot_send_has_no_timer_but_that_of_the_session() {
    let mut pair = Pair::new();
    let (ours, _) = pair.establish();
    pair.world.run_for(Duration::from_secs(60));
    let client = pair.client;
    pair.world.set_refusing(client, Some(SendError::NoBuffers(105)));
    let now = pair.world.now_at(client);
    pair.world.endpoint_mut(client).ping(now, ours).unwrap();
    pair.world.run_for(ms(10));
    assert_eq!(refusals(&pair.world.take_events(client)), [(1, 105)]);
    pair.world.set_refusing(client, None);
    pair.world.run_for(Duration::from_secs(60));
    let events = pair.world.take_events(client);
    assert!(events.iter().any(|event| matches!(event, Event::Pong { .. })));
    assert!(!events.iter().any(|event| matches!(event, Event::SessionClosed { .. })));
}

#[test]
fn what_may_pass_is_tried_until_the_timeout_of_a_connect_and_then_named() {
    for error in [EPERM, SendError::NetworkDown(100), SendError::NoBuffers(105)] {
        let mut pair = Pair::new();
        let client = pair.client;
        pair.world.set_refusing(client, Some(error));
        pair.connect_with(ConnectOptions { timeout: ms(3000), ..ConnectOptions::default() });
        let mut told = Vec::new();
        let fault = pair
            .world
            .run_until(common::LIMIT, |world| {
                let events = world.take_events(client);
                told.extend(refusals(&events));
                Ok(events.iter().find_map(|event| match event {
                    Event::ConnectFailed { error, .. } => Some(*error),
                    _ => None,
                }))
            })
            .unwrap();
        let detail = FaultDetail::Os { errno: error.errno(), ms: 3000 };
        assert_eq!(fault, Fault::new(ErrorCode::UdpSendFailed).with_detail(detail));
        assert_eq!(pair.world.elapsed(), ms(3000));
        assert_eq!(told.first(), Some(&(1, error.errno())), "the first at once");
        assert_eq!(told.iter().map(|(count, _)| count).sum::<u64>(), 4, "{told:?}");
    }
}

#[test]
fn a_connect_that_is_let_through_before_its_timeout_succeeds() {
    let mut pair = Pair::new();
    let client = pair.client;
    pair.world.set_refusing(client, Some(EPERM));
    pair.connect();
    pair.world.run_for(Duration::from_secs(2));
    pair.world.set_refusing(client, None);
    wait(&mut pair.world, client, common::connected);
    assert!(pair.world.elapsed() < Duration::from_secs(4), "{:?}", pair.world.elapsed());
}

#[test]
fn a_connect_that_could_send_once_has_timed_out() {
    let mut pair = Pair::new();
    let client = pair.client;
    pair.set_dark(true);
    pair.connect_with(ConnectOptions { timeout: ms(3000), ..ConnectOptions::default() });
    pair.world.run_for(ms(100));
    pair.world.set_refusing(client, Some(EPERM));
    assert_eq!(pair.failure().code, ErrorCode::ConnectionTimeout);
}

#[test]
fn what_cannot_pass_ends_a_connect_at_once_with_its_number() {
    let os = |errno| FaultDetail::Os { errno, ms: 0 };
    for (error, code) in [
        (SendError::Unreachable(113), ErrorCode::NetworkUnreachable),
        (SendError::Other(22), ErrorCode::UdpSendFailed),
    ] {
        let mut pair = Pair::new();
        let client = pair.client;
        pair.world.set_refusing(client, Some(error));
        pair.connect();
        assert_eq!(pair.failure(), Fault::new(code).with_detail(os(error.errno())));
        assert_eq!(pair.world.elapsed(), Duration::ZERO);
    }
}

#[test]
fn an_unreachable_host_that_the_network_tells_of_is_told_with_its_number() {
    let mut pair = Pair::new();
    pair.connect();
    let hello = common::steal(&mut pair.world, pair.client);
    let PathAddress::Udp { remote, .. } = pair.world.path_to(pair.server) else { unreachable!() };
    let now = pair.world.now_at(pair.client);
    let (endpoint, error) =
        (pair.world.endpoint_mut(pair.client), PathError::Unreachable { errno: 113 });
    endpoint.handle_path_error(now, remote, error, Some(&hello[..64]));
    let detail = FaultDetail::Os { errno: 113, ms: 0 };
    assert_eq!(pair.failure(), Fault::new(ErrorCode::NetworkUnreachable).with_detail(detail));
}

#[test]
fn a_killed_peer_whose_host_refuses_is_noticed_in_two_and_a_half_seconds() {
    for busy in [false, true] {
        let mut pair = Pair::new();
        let (ours, _) = pair.establish();
        pair.world.run_for(Duration::from_secs(100));
        let (client, server) = (pair.client, pair.server);
        pair.world.take_events(client);
        pair.world.kill(server);
        if busy {
            send(&mut pair, ours, 1 << 20);
        } else {
            let now = pair.world.now_at(client);
            pair.world.endpoint_mut(client).ping(now, ours).unwrap();
        }
        let began = pair.world.elapsed();
        let error = wait(&mut pair.world, client, |event| match event {
            Event::SessionClosed { error, .. } => *error,
            _ => None,
        });
        assert_eq!(error.code, ErrorCode::SessionTimeout);
        let FaultDetail::Refused { count, ms: span } = error.detail else { panic!("{error:?}") };
        assert!(count >= 3 && span >= 1500, "{error:?}");
        let took = pair.world.elapsed() - began - 2 * DELAY;
        assert!(took <= ms(2500), "busy: {busy}, {took:?} after the first refusal");
    }
}

/// A session over a path of two seconds, and an answer is under way.
fn slow() -> (Pair, SessionHandle, std::net::SocketAddr) {
    let link = Link::with_delay(Duration::from_secs(1));
    let mut pair = Pair::with(EndpointConfig::default(), Default::default(), link);
    let (ours, _) = pair.establish();
    pair.world.run_for(Duration::from_secs(30));
    let PathAddress::Udp { remote, .. } = pair.world.path_to(pair.server) else { unreachable!() };
    (pair, ours, remote)
}

#[test]
fn refusals_that_strangers_make_up_do_nothing_to_a_session() {
    for quote in ["none", "eight bytes", "a made-up packet", "the path id", "an old packet"] {
        let (mut pair, ours, remote) = slow();
        let client = pair.client;
        let now = pair.world.now_at(client);
        pair.world.endpoint_mut(client).ping(now, ours).unwrap();
        let genuine = common::steal(&mut pair.world, client);
        if quote == "an old packet" {
            // It arrives by another way, and is acknowledged.
            let from = pair.world.path_to(client).remote().unwrap();
            pair.world.inject(pair.server, from, &mut genuine.clone());
            pair.world.run_for(Duration::from_secs(5));
        }
        let quoted: Option<Vec<u8>> = match quote {
            "none" => None,
            "eight bytes" => Some(genuine[..8].to_vec()),
            "a made-up packet" => Some(genuine.iter().map(|byte| byte ^ 0x5a).take(128).collect()),
            "the path id" => {
                // Whoever saw the id once, and none of the packets.
                let mut made_up: Vec<u8> =
                    genuine.iter().map(|byte| byte ^ 0x5a).take(128).collect();
                made_up[..1].copy_from_slice(&genuine[..1]);
                made_up[4..12].copy_from_slice(&genuine[4..12]);
                Some(made_up)
            }
            _ => Some(genuine[..128.min(genuine.len())].to_vec()),
        };
        pair.world.take_events(client);
        let sent = |pair: &mut Pair| pair.world.link_stats(pair.client, pair.server).sent;
        let before = sent(&mut pair);
        for round in 0..4_u8 {
            let now = pair.world.now_at(client);
            let mut quoted = quoted.clone();
            if let Some(bytes) = quoted.as_mut().filter(|_| quote == "the path id") {
                bytes[20] ^= round;
                bytes[30] ^= round;
            }
            let endpoint = pair.world.endpoint_mut(client);
            endpoint.handle_path_error(now, remote, PathError::Refused, quoted.as_deref());
            pair.world.run_for(ms(600));
        }
        let events = pair.world.take_events(client);
        assert!(!events.iter().any(|event| closed(event).is_some()), "{quote}: {events:?}");
        // A refusal that counted would bring a probe every 250 ms.
        let more = sent(&mut pair) - before;
        assert!(more <= 4, "{quote}: {more} datagrams");
        pair.world.run_for(Duration::from_secs(120));
        assert_eq!(pair.world.endpoint_mut(client).stats().sessions, 1, "{quote}");
    }
}

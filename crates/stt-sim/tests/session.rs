//! How sessions live and end.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use common::{DELAY, NODE, Pair, SHARED, closed, wait};
use stt_proto::{
    Close, CloseReason, EndpointConfig, ErrorCode, Event, ReadOutcome, SessionHandle, Side,
    StreamOptions,
};
use stt_sim::Link;

/// Opens a stream at the client, writes `len` bytes and ends it.
fn send(pair: &mut Pair, session: SessionHandle, len: usize) {
    let now = pair.world.now_at(pair.client);
    let endpoint = pair.world.endpoint_mut(pair.client);
    let stream = endpoint.open_stream(now, session, StreamOptions::default()).unwrap();
    endpoint.write(now, session, stream, Bytes::from(vec![7; len])).unwrap();
    endpoint.finish(now, session, stream).unwrap();
}

#[test]
fn a_graceful_close_delivers_everything_first() {
    let mut pair = Pair::new();
    let (ours, theirs) = pair.establish();
    send(&mut pair, ours, 100_000);
    let (client, server) = (pair.client, pair.server);
    let now = pair.world.now_at(client);
    let close = Close::graceful(Duration::from_secs(10));
    pair.world.endpoint_mut(client).close(now, ours, close);
    let end = wait(&mut pair.world, client, |event| match event {
        Event::SessionClosed { reason, initiator, error, undelivered, .. } => {
            Some((*reason, *initiator, *error, *undelivered))
        }
        _ => None,
    });
    assert_eq!(end, (CloseReason::Graceful, Side::Local, None, 0));
    assert!(pair.world.elapsed() < Duration::from_secs(2), "no fixed delay is added");

    // What arrived before the end is there to be read after it.
    let events = pair.world.take_events(server);
    assert!(events.iter().any(|event| closed(event) == Some((None, 0))), "{events:?}");
    let stream = events
        .iter()
        .find_map(|event| match event {
            Event::StreamOpened { stream, .. } => Some(*stream),
            _ => None,
        })
        .unwrap();
    let endpoint = pair.world.endpoint_mut(server);
    let mut read = 0;
    loop {
        match endpoint.read(theirs, stream, usize::MAX).unwrap() {
            ReadOutcome::Chunk(chunk) => read += chunk.len(),
            ReadOutcome::Finished => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(read, 100_000);
    endpoint.release(theirs);
    assert!(endpoint.read(theirs, stream, 1).is_err());
}

#[test]
fn a_drain_that_cannot_finish_says_what_was_not_delivered() {
    let mut pair = Pair::new();
    let (ours, _) = pair.establish();
    pair.world.run_for(Duration::from_secs(1));
    pair.set_dark(true);
    send(&mut pair, ours, 50_000);
    let client = pair.client;
    let now = pair.world.now_at(client);
    let close = Close::graceful(Duration::from_secs(2));
    pair.world.endpoint_mut(client).close(now, ours, close);
    let started = pair.world.elapsed();
    let (error, undelivered) = wait(&mut pair.world, client, closed);
    assert_eq!((error, undelivered), (None, 50_000));
    let took = pair.world.elapsed() - started;
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(4), "{took:?}");
}

#[test]
fn both_sides_may_close_at_once() {
    let mut pair = Pair::new();
    let (ours, theirs) = pair.establish();
    let (client, server) = (pair.client, pair.server);
    for (node, session) in [(client, ours), (server, theirs)] {
        let now = pair.world.now_at(node);
        pair.world.endpoint_mut(node).close(now, session, Close::graceful(DELAY));
    }
    for node in [client, server] {
        assert_eq!(wait(&mut pair.world, node, closed), (None, 0));
    }
    pair.world.run_for(Duration::from_secs(10));
    assert_eq!(pair.world.endpoint_mut(client).poll_timeout(), None, "all is forgotten");
    // The key of the ticket that the client got lives for two hours, and then nothing does.
    pair.world.run_for(Duration::from_secs(2 * 3600));
    for node in [client, server] {
        assert_eq!(pair.world.endpoint_mut(node).poll_timeout(), None, "all is forgotten");
    }
}

#[test]
fn a_lost_session_close_is_repeated() {
    let mut pair = Pair::new();
    let (ours, _) = pair.establish();
    pair.world.run_for(Duration::from_secs(1));
    pair.set_dark(true);
    let (client, server) = (pair.client, pair.server);
    let now = pair.world.now_at(client);
    pair.world.endpoint_mut(client).close(now, ours, Close::graceful(Duration::ZERO));
    pair.world.run_for(Duration::from_millis(60));
    pair.set_dark(false);
    assert_eq!(wait(&mut pair.world, server, closed), (None, 0));
}

/// What a node was told but for how large its messages may be, which the search for the datagram
/// size changes by itself.
fn told(pair: &mut Pair, node: stt_sim::NodeId) -> Vec<Event> {
    let mut events = pair.world.take_events(node);
    events.retain(|event| !matches!(event, Event::MessageSize { .. }));
    events
}

#[test]
fn an_idle_session_lives_on_keep_alives() {
    let mut pair = Pair::new();
    pair.establish();
    let (client, server) = (pair.client, pair.server);
    pair.world.run_for(Duration::from_secs(3600));
    for node in [client, server] {
        assert_eq!(told(&mut pair, node), []);
        assert_eq!(pair.world.endpoint_mut(node).stats().sessions, 1);
    }
    let sent = pair.world.link_stats(client, server).sent;
    assert!((360..3600).contains(&sent), "{sent} datagrams in an hour");
}

#[test]
fn a_silent_peer_is_dead_after_thirty_seconds() {
    let mut pair = Pair::new();
    pair.establish();
    pair.world.run_for(Duration::from_secs(100));
    pair.set_dark(true);
    let started = pair.world.elapsed();
    for node in [pair.client, pair.server] {
        let (error, _) = wait(&mut pair.world, node, closed);
        assert_eq!(error, Some(ErrorCode::SessionTimeout));
    }
    let took = pair.world.elapsed() - started;
    assert!((20..=31).contains(&took.as_secs()), "{took:?}");
}

#[test]
fn a_restarted_peer_says_so_with_its_token() {
    let mut pair = Pair::new();
    let (ours, _) = pair.establish();
    pair.world.run_for(Duration::from_secs(1));
    let (client, server) = (pair.client, pair.server);
    pair.world.restart(server, EndpointConfig::default(), &[SHARED], NODE);
    let started = pair.world.elapsed();
    let now = pair.world.now_at(client);
    pair.world.endpoint_mut(client).ping(now, ours).unwrap();
    let (error, _) = wait(&mut pair.world, client, closed);
    assert_eq!(error, Some(ErrorCode::SessionNotFound));
    assert_eq!(pair.world.elapsed() - started, 2 * DELAY, "one round trip");
}

#[test]
fn a_stranger_cannot_reset_a_session() {
    let mut pair = Pair::new();
    let (ours, _) = pair.establish();
    pair.world.run_for(Duration::from_secs(1));
    let (client, server) = (pair.client, pair.server);
    // The same port, another node: it does not know the session, and its token is another.
    pair.world.restart(server, EndpointConfig::default(), &[SHARED], SHARED);
    let now = pair.world.now_at(client);
    pair.world.endpoint_mut(client).ping(now, ours).unwrap();
    pair.world.run_for(Duration::from_secs(5));
    assert!(pair.world.endpoint_mut(server).stats().resets_sent > 0);
    // Nobody who knows the session answers, and that is all there is to tell.
    assert_eq!(told(&mut pair, client), [Event::PathSilence { session: ours, silent: true }]);
}

#[test]
fn a_ping_measures_the_round_trip_and_survives_loss() {
    let mut pair = Pair::new();
    let (ours, _) = pair.establish();
    let (client, server) = (pair.client, pair.server);
    pair.world.run_for(Duration::from_secs(1));
    pair.world.set_link(client, server, Link { dark: true, ..Link::with_delay(DELAY) });
    let now = pair.world.now_at(client);
    let token = pair.world.endpoint_mut(client).ping(now, ours).unwrap();
    pair.world.run_for(DELAY);
    pair.set_dark(false);
    let (answer, rtt) = wait(&mut pair.world, client, |event| match event {
        Event::Pong { token, rtt, .. } => Some((*token, *rtt)),
        _ => None,
    });
    assert_eq!(answer, token);
    assert_eq!(rtt, 2 * DELAY);
}

/// All pings are answered, each once, however many there are at a time and whatever is lost.
#[test]
fn of_many_pings_at_a_time_each_is_answered() {
    for (count, dark) in [(20_usize, false), (1_000, false), (1_000, true)] {
        let mut pair = Pair::new();
        let (ours, _) = pair.establish();
        let client = pair.client;
        pair.world.run_for(Duration::from_secs(1));
        pair.set_dark(dark);
        let mut tokens = BTreeSet::new();
        for _ in 0..count {
            let now = pair.world.now_at(client);
            assert!(tokens.insert(pair.world.endpoint_mut(client).ping(now, ours).unwrap()));
        }
        pair.world.run_for(DELAY);
        pair.set_dark(false);
        pair.world.run_for(Duration::from_secs(20));
        for event in told(&mut pair, client) {
            if let Event::Pong { token, rtt, .. } = event {
                assert!(tokens.remove(&token), "answered twice: {token}");
                assert!(rtt >= 2 * DELAY, "{rtt:?}");
            }
        }
        assert!(tokens.is_empty(), "{} of {count} are not answered", tokens.len());
    }
}

/// So many pings may be asked for and not answered, and no more; those given up make room, and say nothing more.
#[test]
fn pings_are_bounded_and_those_given_up_make_room() {
    const MOST: usize = 4096;
    let mut pair = Pair::new();
    let (ours, _) = pair.establish();
    let client = pair.client;
    pair.world.run_for(Duration::from_secs(1));
    pair.set_dark(true);
    let ask = |pair: &mut Pair| {
        let now = pair.world.now_at(client);
        pair.world.endpoint_mut(client).ping(now, ours)
    };
    let first: Vec<u64> = (0..MOST).map(|_| ask(&mut pair).unwrap()).collect();
    assert_eq!(ask(&mut pair), None);
    // Some are under way, and have been lost once; that makes none more.
    pair.world.run_for(Duration::from_secs(1));
    assert_eq!(ask(&mut pair), None);
    for token in &first {
        let now = pair.world.now_at(client);
        pair.world.endpoint_mut(client).cancel_ping(now, ours, *token);
    }
    let mut second: BTreeSet<u64> = (0..MOST).map(|_| ask(&mut pair).unwrap()).collect();
    assert_eq!(ask(&mut pair), None);
    pair.set_dark(false);
    pair.world.run_for(Duration::from_secs(20));
    for event in told(&mut pair, client) {
        if let Event::Pong { token, .. } = event {
            assert!(second.remove(&token), "given up, or answered twice: {token}");
        }
    }
    assert!(second.is_empty(), "{} are not answered", second.len());
}

#[test]
fn a_ping_whose_answer_is_lost_is_answered_by_the_acknowledgement() {
    let mut pair = Pair::new();
    let (ours, theirs) = pair.establish();
    let (client, server) = (pair.client, pair.server);
    pair.world.run_for(Duration::from_secs(1));
    pair.world.set_link(server, client, Link { dark: true, ..Link::with_delay(DELAY) });
    let now = pair.world.now_at(client);
    let token = pair.world.endpoint_mut(client).ping(now, ours).unwrap();
    // The ping arrives, and its answer is sent and lost.
    pair.world.run_for(DELAY + Duration::from_millis(1));
    pair.set_dark(false);
    // What the peer sends next carries the ACK, before any timer would send the ping again.
    let now = pair.world.now_at(server);
    pair.world.endpoint_mut(server).ping(now, theirs).unwrap();
    let answer = wait(&mut pair.world, client, |event| match event {
        Event::Pong { token, .. } => Some(*token),
        _ => None,
    });
    assert_eq!(answer, token);
}

#[test]
fn a_revoked_peer_is_put_out_and_kept_out() {
    let mut pair = Pair::new();
    pair.establish();
    let (client, server) = (pair.client, pair.server);
    let peer = pair.world.endpoint_mut(client).node_id();
    let now = pair.world.now_at(server);
    pair.world.endpoint_mut(server).revoke(now, peer);
    let (reason, error) = wait(&mut pair.world, client, |event| match event {
        Event::SessionClosed { reason, error, .. } => Some((*reason, *error)),
        _ => None,
    });
    assert_eq!(reason, CloseReason::AuthFailure);
    assert_eq!(error.unwrap().code, ErrorCode::AuthenticationFailed);
    pair.connect();
    assert_eq!(pair.failure().code, ErrorCode::AuthenticationFailed);
}

#[test]
fn datagrams_grow_when_a_larger_probe_came_through_and_not_otherwise() {
    for (mtu, expected) in [(1500, 1472), (1300, 1252)] {
        let link = Link { mtu, ..Link::with_delay(DELAY) };
        let mut pair = Pair::with(EndpointConfig::default(), Default::default(), link);
        let (ours, _) = pair.establish();
        let client = pair.client;
        // Nothing is to be sent, but somebody wants to know.
        let now = pair.world.now_at(client);
        pair.world.endpoint_mut(client).want_mtu(now, ours);
        pair.world.run_for(Duration::from_secs(20));
        assert_eq!(pair.world.endpoint_mut(client).session_stats(ours).unwrap().mtu, expected);
    }
}

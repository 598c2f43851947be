//! Returning by a ticket: the one round trip, early data, and each way back to a whole handshake.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{DELAY, NODE, OTHER, Pair, SHARED, connected, steal, wait};
use stt_proto::{
    Close, ConnectOptions, EarlyData, EndpointConfig, ErrorCode, Event, ListenConfig, PathAddress,
    ReadOutcome, ResumptionTicket, SessionHandle, StreamOptions,
};
use stt_sim::{Link, NodeId};
use stt_wire::handshake::ErrorPacket;
use stt_wire::packet::seal_checksums;
use stt_wire::{CLEAR_OVERHEAD, FrameType, HEADER_LEN, Header, PathId, Writer};

fn listening(early_data: bool) -> ListenConfig {
    ListenConfig { early_data, ..ListenConfig::default() }
}

fn pair_with(listen: ListenConfig) -> Pair {
    Pair::with(EndpointConfig::default(), listen, Link::with_delay(DELAY))
}

/// A session that gave out a ticket and is over.
fn ticket(pair: &mut Pair) -> ResumptionTicket {
    let session = pair.connect();
    let client = pair.client;
    let ticket = wait(&mut pair.world, client, |event| match event {
        Event::Ticket { ticket, session: of } if *of == session => Some((**ticket).clone()),
        _ => None,
    });
    let now = pair.world.now_at(client);
    pair.world.endpoint_mut(client).close(now, session, Close::graceful(Duration::ZERO));
    pair.world.run_for(Duration::from_secs(20));
    let server = pair.server;
    pair.world.take_events(client);
    pair.world.take_events(server);
    assert_eq!(pair.world.endpoint_mut(server).stats().sessions, 0);
    ticket
}

fn options(ticket: &ResumptionTicket, early: &'static [u8]) -> ConnectOptions {
    ConnectOptions {
        resume: Some(ticket.clone()),
        early_data: Bytes::from_static(early),
        ..ConnectOptions::default()
    }
}

type Beginning = (SessionHandle, bool, EarlyData);

fn beginning(event: &Event) -> Option<Beginning> {
    match event {
        Event::Connected { session, resumed, early_data, .. } => {
            Some((*session, *resumed, early_data.clone()))
        }
        _ => None,
    }
}

/// Waits for a node's side of the next session.
fn begins(pair: &mut Pair, node: NodeId) -> Beginning {
    wait(&mut pair.world, node, beginning)
}

fn received(bytes: &'static [u8]) -> EarlyData {
    EarlyData::Received(Bytes::from_static(bytes))
}

/// Every session that a node was told of since the last look.
fn sessions(pair: &mut Pair, node: NodeId) -> Vec<Beginning> {
    pair.world.take_events(node).iter().filter_map(beginning).collect()
}

/// Bytes go both ways over a session.
fn exchange(pair: &mut Pair, from: (NodeId, SessionHandle), to: (NodeId, SessionHandle)) {
    let now = pair.world.now_at(from.0);
    let endpoint = pair.world.endpoint_mut(from.0);
    let stream = endpoint.open_stream(now, from.1, StreamOptions::default()).unwrap();
    endpoint.write(now, from.1, stream, Bytes::from_static(b"there")).unwrap();
    wait(&mut pair.world, to.0, |event| {
        matches!(event, Event::StreamOpened { session, .. } if *session == to.1).then_some(())
    });
    let now = pair.world.now_at(to.0);
    let endpoint = pair.world.endpoint_mut(to.0);
    assert_eq!(
        endpoint.read(to.1, stream, 99),
        Ok(ReadOutcome::Chunk(Bytes::from_static(b"there")))
    );
    endpoint.write(now, to.1, stream, Bytes::from_static(b"back")).unwrap();
    pair.world.run_for(Duration::from_secs(1));
    let endpoint = pair.world.endpoint_mut(from.0);
    assert_eq!(
        endpoint.read(from.1, stream, 99),
        Ok(ReadOutcome::Chunk(Bytes::from_static(b"back")))
    );
}

#[test]
fn a_ticket_brings_a_peer_back_in_one_round_trip_as_whom_it_was() {
    let mut pair = Pair::new();
    let (client, server) = (pair.client, pair.server);
    let ids = [client, server].map(|node| pair.world.endpoint_mut(node).node_id());
    let mut ticket = ticket(&mut pair);
    for _ in 0..3 {
        assert_eq!(ticket.peer(), ids[1]);
        // As an application keeps it.
        ticket = ResumptionTicket::from_bytes(&ticket.to_bytes()).unwrap();
        let started = pair.world.elapsed();
        let peer = Some(ids[1]);
        let ours = pair.connect_with(ConnectOptions { peer, ..options(&ticket, b"") });
        let pick = |event: &Event| match event {
            Event::Connected { session, peer, session_id, resumed, .. } => {
                Some((*session, *peer, *session_id, *resumed))
            }
            _ => None,
        };
        let at_server = wait(&mut pair.world, server, pick);
        assert_eq!(pair.world.elapsed() - started, DELAY);
        let (mut at_client, mut next) = (None, None);
        pair.world
            .run_until(Duration::from_secs(1), |world| {
                for event in world.take_events(client) {
                    at_client = at_client.or(pick(&event));
                    if let Event::Ticket { ticket, .. } = event {
                        next = Some(*ticket);
                    }
                }
                Ok((at_client.is_some() && next.is_some()).then_some(()))
            })
            .unwrap();
        assert_eq!(pair.world.elapsed() - started, 2 * DELAY, "one round trip");
        let at_client = at_client.unwrap();
        assert_eq!((at_client.1, at_client.3), (ids[1], true));
        assert_eq!((at_server.1, at_server.3), (ids[0], true));
        assert_eq!(at_client.2, at_server.2);
        exchange(&mut pair, (client, ours), (server, at_server.0));
        exchange(&mut pair, (server, at_server.0), (client, ours));
        // Each session has a ticket of its own.
        let next = next.unwrap();
        assert_ne!(next, ticket);
        ticket = next;
    }
    assert_eq!(pair.world.endpoint_mut(server).stats().sessions_resumed, 3);
}

#[test]
fn early_data_arrives_after_half_a_round_trip_and_both_sides_know() {
    let mut pair = pair_with(listening(true));
    let (client, server) = (pair.client, pair.server);
    let ticket = ticket(&mut pair);
    let started = pair.world.elapsed();
    pair.connect_with(options(&ticket, b"what is new?"));
    assert_eq!(begins(&mut pair, server).2, received(b"what is new?"));
    assert_eq!(pair.world.elapsed() - started, DELAY);
    let (_, resumed, early) = begins(&mut pair, client);
    assert_eq!((resumed, early), (true, EarlyData::Accepted));
    assert_eq!(pair.world.elapsed() - started, 2 * DELAY);
}

#[test]
fn early_data_is_taken_only_by_those_who_want_it() {
    let mut pair = pair_with(listening(false));
    let (client, server) = (pair.client, pair.server);
    let ticket = ticket(&mut pair);
    pair.connect_with(options(&ticket, b"now"));
    assert_eq!(begins(&mut pair, server).2, EarlyData::None);
    let (_, resumed, early) = begins(&mut pair, client);
    assert_eq!((resumed, early), (true, EarlyData::Rejected));
}

#[test]
fn a_ticket_holds_as_much_early_data_as_it_says() {
    let mut pair = pair_with(listening(true));
    let server = pair.server;
    let ticket = ticket(&mut pair);
    let most = Bytes::from(vec![0xA7; ticket.early_capacity()]);
    assert_eq!(most.len(), 898);
    let (now, path) = (pair.world.now_at(pair.client), pair.world.path_to(server));
    let client = pair.client;
    let more = [&most[..], b"!"].concat().into();
    let options = |early_data| ConnectOptions { early_data, ..options(&ticket, b"") };
    let refused = pair.world.endpoint_mut(client).connect(now, path, options(more));
    assert_eq!(refused, Err(stt_proto::ConnectError::EarlyDataTooLong { len: 899, limit: 898 }));
    pair.connect_with(options(most.clone()));
    assert_eq!(begins(&mut pair, server).2, EarlyData::Received(most));
}

#[test]
fn a_lost_resume_is_sent_again() {
    let mut pair = pair_with(listening(true));
    let (client, server) = (pair.client, pair.server);
    let ticket = ticket(&mut pair);
    let started = pair.world.elapsed();
    pair.set_dark(true);
    pair.connect_with(options(&ticket, b"x"));
    pair.world.run_for(Duration::from_millis(100));
    pair.set_dark(false);
    assert!(begins(&mut pair, client).1);
    assert_eq!(pair.world.elapsed() - started, Duration::from_millis(333) + 2 * DELAY);
    assert_eq!(sessions(&mut pair, server).len(), 1);
}

#[test]
fn a_lost_reply_is_sent_again_and_early_data_arrives_once() {
    let mut pair = pair_with(listening(true));
    let (client, server) = (pair.client, pair.server);
    let ticket = ticket(&mut pair);
    let back = |dark| Link { dark, ..Link::with_delay(DELAY) };
    pair.world.set_link(server, client, back(true));
    let ours = pair.connect_with(options(&ticket, b"once"));
    // Two copies of the RESUME are answered in vain.
    pair.world.run_for(Duration::from_millis(400));
    pair.world.set_link(server, client, back(false));
    let (_, resumed, early) = begins(&mut pair, client);
    assert_eq!((resumed, early), (true, EarlyData::Accepted));
    let begun = sessions(&mut pair, server);
    assert!(matches!(&begun[..], [(_, true, early)] if *early == received(b"once")), "{begun:?}");
    exchange(&mut pair, (client, ours), (server, begun[0].0));
    pair.world.run_for(Duration::from_secs(60));
    assert_eq!(pair.world.endpoint_mut(server).stats().sessions, 1);
}

/// The second use of a ticket, and its use with a restarted peer, both end in a whole handshake.
#[test]
fn spent_and_unknown_tickets_fall_back_within_the_same_connect() {
    for restart in [false, true] {
        let mut pair = pair_with(listening(true));
        let (client, server) = (pair.client, pair.server);
        let ticket = ticket(&mut pair);
        if restart {
            pair.world.restart(server, EndpointConfig::default(), &[SHARED], NODE);
            pair.world.endpoint_mut(server).set_listening(Some(listening(true)));
        } else {
            pair.connect_with(options(&ticket, b"first"));
            assert_eq!(begins(&mut pair, client).2, EarlyData::Accepted);
            pair.world.run_for(Duration::from_secs(1));
            assert_eq!(sessions(&mut pair, server).len(), 1);
        }
        let started = pair.world.elapsed();
        pair.connect_with(options(&ticket, b"again"));
        let (_, resumed, early) = begins(&mut pair, client);
        assert_eq!((resumed, early), (false, EarlyData::Rejected));
        assert_eq!(pair.world.elapsed() - started, 6 * DELAY, "one round trip more than without");
        let begun = sessions(&mut pair, server);
        assert!(matches!(begun[..], [(_, false, EarlyData::None)]), "{begun:?}");
        assert_eq!(pair.world.endpoint_mut(server).stats().tickets_refused, 1);
    }
}

#[test]
fn an_expired_ticket_falls_back() {
    let listen = ListenConfig { ticket_lifetime: Duration::from_secs(600), ..listening(true) };
    for (age, resumes) in [(570, true), (610, false), (5000, false)] {
        let mut pair = pair_with(listen.clone());
        // Twenty seconds pass in this.
        let ticket = ticket(&mut pair);
        pair.world.run_for(Duration::from_secs(age - 20));
        pair.connect_with(options(&ticket, b""));
        let client = pair.client;
        assert_eq!(begins(&mut pair, client).1, resumes, "after {age} s");
    }
}

#[test]
fn no_tickets_are_given_out_where_they_are_switched_off() {
    let mut pair =
        pair_with(ListenConfig { ticket_lifetime: Duration::ZERO, ..ListenConfig::default() });
    pair.establish();
    let client = pair.client;
    pair.world.run_for(Duration::from_secs(5));
    let events = pair.world.take_events(client);
    assert!(!events.iter().any(|event| matches!(event, Event::Ticket { .. })), "{events:?}");
}

/// An ERROR for the connect that is waiting, as anybody could send it.
fn forged_error(resume: &[u8]) -> Vec<u8> {
    let error = ErrorPacket::Refusal { code: 0x0204, subcode: 0, timestamp_ms: 0, mac: [0x5A; 16] };
    let mut packet = vec![0; CLEAR_OVERHEAD + 28];
    error.write(&mut Writer::new(&mut packet[HEADER_LEN..])).unwrap();
    let at = HEADER_LEN + 12;
    let id = PathId(resume[at..at + 8].try_into().unwrap());
    let head = packet.first_chunk_mut().unwrap();
    Header::clear(FrameType::ERROR, id, 28).write(head);
    seal_checksums(&mut packet);
    packet
}

#[test]
fn forged_refusals_and_replies_change_nothing() {
    let mut pair = pair_with(listening(true));
    let (client, server) = (pair.client, pair.server);
    let ticket = ticket(&mut pair);
    pair.connect_with(options(&ticket, b"early"));
    let resume = steal(&mut pair.world, client);
    let PathAddress::Udp { remote, .. } = pair.world.path_to(server) else { unreachable!() };
    pair.world.inject(client, remote, &mut forged_error(&resume));
    let mut reply = forged_error(&resume);
    reply[1] = FrameType::RESUME_REPLY.0;
    seal_checksums(&mut reply);
    pair.world.inject(client, remote, &mut reply);
    let (_, resumed, early) = begins(&mut pair, client);
    assert_eq!((resumed, early), (true, EarlyData::Accepted));
}

#[test]
fn a_replayed_resume_delivers_nothing_twice() {
    let mut pair = pair_with(listening(true));
    let (client, server) = (pair.client, pair.server);
    let ticket = ticket(&mut pair);
    pair.connect_with(options(&ticket, b"pay"));
    let resume = steal(&mut pair.world, client);
    let PathAddress::Udp { remote, .. } = pair.world.path_to(client) else { unreachable!() };
    let elsewhere = "10.9.9.9:99".parse().unwrap();
    // The attacker is first: its copy makes the session, which the real peer then takes over.
    for _ in 0..5 {
        pair.world.inject(server, elsewhere, &mut resume.clone());
    }
    let (theirs, ..) = begins(&mut pair, server);
    let (ours, resumed, early) = begins(&mut pair, client);
    assert_eq!((resumed, early), (true, EarlyData::Accepted));
    exchange(&mut pair, (server, theirs), (client, ours));
    for minutes in 0..4 {
        for from in [remote, elsewhere] {
            pair.world.inject(server, from, &mut resume.clone());
        }
        pair.world.run_for(Duration::from_secs(60 * minutes));
    }
    let events = pair.world.take_events(server);
    assert_eq!(events.iter().filter_map(connected).count(), 0, "{events:?}");
    let stats = pair.world.endpoint_mut(server).stats();
    assert_eq!((stats.sessions, stats.sessions_resumed), (1, 1));
    assert!(stats.hello_replayed > 0);
}

#[test]
fn an_address_that_proved_nothing_gets_no_more_than_it_sent() {
    let mut pair = pair_with(listening(true));
    let (client, server) = (pair.client, pair.server);
    let ticket = ticket(&mut pair);
    pair.connect_with(options(&ticket, b"give me much"));
    let resume = steal(&mut pair.world, client);
    let before = pair.world.endpoint_mut(server).stats();
    let victim = "10.9.9.9:99".parse().unwrap();
    pair.world.set_link(client, server, Link { dark: true, ..Link::with_delay(DELAY) });
    pair.world.inject(server, victim, &mut resume.clone());
    let (session, ..) = begins(&mut pair, server);
    let now = pair.world.now_at(server);
    let endpoint = pair.world.endpoint_mut(server);
    let stream = endpoint.open_stream(now, session, StreamOptions::default()).unwrap();
    endpoint.write(now, session, stream, Bytes::from(vec![7; 100_000])).unwrap();
    for copies in 1..=3 {
        pair.world.run_for(Duration::from_secs(5));
        let stats = pair.world.endpoint_mut(server).stats();
        let sent = stats.bytes_sent - before.bytes_sent;
        assert!(sent <= 1200 * copies && sent > 1200 * copies - 300, "{sent} for {copies}");
        pair.world.inject(server, victim, &mut resume.clone());
    }
    // Nobody ever answers: the session ends as any that falls silent.
    pair.world.run_for(Duration::from_secs(60));
    assert_eq!(pair.world.endpoint_mut(server).stats().sessions, 0);
}

#[test]
fn nobody_who_answers_a_resume_is_followed_by_a_whole_handshake() {
    let mut pair = pair_with(listening(true));
    let (client, server) = (pair.client, pair.server);
    let ticket = ticket(&mut pair);
    let started = pair.world.elapsed();
    pair.set_dark(true);
    pair.connect_with(options(&ticket, b"perhaps"));
    pair.world.run_for(Duration::from_millis(2900));
    pair.set_dark(false);
    let (_, resumed, early) = begins(&mut pair, client);
    assert_eq!((resumed, early), (false, EarlyData::Unknown));
    assert_eq!(pair.world.elapsed() - started, Duration::from_secs(3) + 4 * DELAY);
    assert_eq!(sessions(&mut pair, server).len(), 1);
}

#[test]
fn a_revoked_node_is_refused_whatever_ticket_it_holds() {
    let mut pair = pair_with(listening(true));
    let (client, server) = (pair.client, pair.server);
    let ticket = ticket(&mut pair);
    let id = pair.world.endpoint_mut(client).node_id();
    let now = pair.world.now_at(server);
    pair.world.endpoint_mut(server).revoke(now, id);
    let started = pair.world.elapsed();
    pair.connect_with(options(&ticket, b"let me in"));
    assert_eq!(pair.failure().code, ErrorCode::AuthenticationFailed);
    assert_eq!(pair.world.elapsed() - started, 2 * DELAY);
    assert_eq!(sessions(&mut pair, server), []);
}

#[test]
fn authorize_decides_again_and_early_data_waits_for_it() {
    for admit in [true, false] {
        let listen = ListenConfig { authorize: true, ..listening(true) };
        let mut pair = pair_with(listening(true));
        let (client, server) = (pair.client, pair.server);
        let ticket = ticket(&mut pair);
        pair.world.endpoint_mut(server).set_listening(Some(listen));
        pair.connect_with(options(&ticket, b"please"));
        let session = wait(&mut pair.world, server, |event| match event {
            Event::Incoming { session, .. } => Some(*session),
            Event::Connected { .. } => panic!("not asked"),
            _ => None,
        });
        pair.world.run_for(Duration::from_secs(2));
        let now = pair.world.now_at(server);
        let endpoint = pair.world.endpoint_mut(server);
        if admit {
            endpoint.accept(now, session);
            assert_eq!(begins(&mut pair, server).2, received(b"please"));
            assert!(begins(&mut pair, client).1);
        } else {
            endpoint.refuse(now, session, ErrorCode::AuthenticationFailed);
            assert_eq!(pair.failure().code, ErrorCode::AuthenticationFailed);
            assert_eq!(sessions(&mut pair, server), []);
        }
    }
}

#[test]
fn limits_on_sessions_hold_for_those_who_return() {
    let listen = ListenConfig { max_sessions: 1, ..listening(true) };
    let mut pair = pair_with(listen);
    let ticket = ticket(&mut pair);
    pair.establish();
    pair.connect_with(options(&ticket, b""));
    assert_eq!(pair.failure().code, ErrorCode::TooManySessions);
    // It was not used up.
    let client = pair.client;
    let server = pair.server;
    pair.world.endpoint_mut(server).set_listening(Some(listening(true)));
    pair.connect_with(options(&ticket, b""));
    assert!(begins(&mut pair, client).1);
}

#[test]
fn under_load_a_resume_needs_a_cookie() {
    let mut pair = pair_with(listening(true));
    let (client, server) = (pair.client, pair.server);
    let ticket = ticket(&mut pair);
    let listen = ListenConfig { retry_threshold: 0, ..listening(true) };
    pair.world.endpoint_mut(server).set_listening(Some(listen));
    let started = pair.world.elapsed();
    pair.connect_with(options(&ticket, b"early"));
    let (_, resumed, early) = begins(&mut pair, client);
    assert_eq!((resumed, early), (true, EarlyData::Accepted));
    assert_eq!(pair.world.elapsed() - started, 4 * DELAY, "a round trip for RETRY");
    assert_eq!(pair.world.endpoint_mut(server).stats().retries_sent, 1);
}

#[test]
fn a_ticket_that_is_of_no_use_here_is_not_sent() {
    let mut pair = pair_with(listening(true));
    let (client, server) = (pair.client, pair.server);
    let ticket = ticket(&mut pair);
    // Another node than the pinned one.
    let own = pair.world.endpoint_mut(client).node_id();
    pair.connect_with(ConnectOptions { peer: Some(own), ..options(&ticket, b"") });
    assert_eq!(pair.failure().code, ErrorCode::AuthenticationFailed);
    assert_eq!(pair.world.endpoint_mut(server).stats().tickets_refused, 0);
    // Issued to another node than this one; then of a seed that is no longer held.
    for (seeds, node) in [([SHARED], OTHER), ([OTHER], SHARED.map(|byte| !byte))] {
        pair.world.restart(client, EndpointConfig::default(), &seeds, node);
        pair.world.restart(server, EndpointConfig::default(), &seeds, NODE);
        pair.world.endpoint_mut(server).set_listening(Some(listening(true)));
        let started = pair.world.elapsed();
        pair.connect_with(options(&ticket, b"x"));
        let (_, resumed, early) = begins(&mut pair, client);
        assert_eq!((resumed, early), (false, EarlyData::Rejected));
        assert_eq!(pair.world.elapsed() - started, 4 * DELAY, "no RESUME was tried");
    }
}

#[test]
fn a_peer_that_forgot_a_resumed_session_says_so_in_both_directions() {
    for forgetful in [true, false] {
        let mut pair = pair_with(listening(true));
        let (client, server) = (pair.client, pair.server);
        let ticket = ticket(&mut pair);
        let ours = pair.connect_with(options(&ticket, b""));
        begins(&mut pair, client);
        let (theirs, ..) = begins(&mut pair, server);
        pair.world.run_for(Duration::from_secs(1));
        let (gone, seed, left, session) = if forgetful {
            (client, SHARED.map(|byte| !byte), server, theirs)
        } else {
            (server, NODE, client, ours)
        };
        pair.world.restart(gone, EndpointConfig::default(), &[SHARED], seed);
        let now = pair.world.now_at(left);
        pair.world.endpoint_mut(left).ping(now, session);
        let error = wait(&mut pair.world, left, common::closed).0;
        assert_eq!(error, Some(ErrorCode::SessionNotFound));
    }
}

#[test]
fn a_nat_that_changes_before_final_is_there_does_not_hide_it() {
    for address in ["10.0.0.1:9000", "10.0.9.1:9000"] {
        let mut pair = Pair::new();
        let ticket = ticket(&mut pair);
        let (client, server) = (pair.client, pair.server);
        // RESUME_REPLY arrives and FINAL does not; when that comes again, the client is behind another port.
        let sent = pair.world.link_stats(server, client).sent;
        pair.world.link_mut((server, 0), (client, 0)).drop = vec![sent + 1];
        let ours = pair.connect_with(options(&ticket, b""));
        pair.world.run_for(2 * DELAY + Duration::from_millis(1));
        assert_eq!(pair.world.link_stats(server, client).dropped, 1, "FINAL");
        // By then this side has acknowledged all that it was sent, and FINAL is on its way again.
        pair.world.run_for(4 * DELAY + DELAY / 4);
        assert_eq!(sessions(&mut pair, client), []);
        pair.world.rebind(client, address.parse().unwrap());
        let started = pair.world.elapsed();
        let (session, resumed, _) = begins(&mut pair, client);
        assert_eq!((session, resumed), (ours, true));
        let took = pair.world.elapsed() - started;
        assert!(took < Duration::from_secs(2), "{took:?}");
        let (theirs, ..) = begins(&mut pair, server);
        exchange(&mut pair, (client, ours), (server, theirs));
    }
}

//! Sessions over connections (PROTOCOL.md section 5.5), in a [`Lab`](lab::Lab).

mod dropped;
mod ending;
mod keys;
mod lab;
mod races;
mod silence;

use std::time::Duration;

use stt_wire::ErrorCode;

use self::lab::{CLIENT, Lab, ROOM, SERVER};
use crate::config::{ConnectOptions, EndpointConfig, SessionConfig};
use crate::event::Event;
use crate::path::PathAddress;
use crate::session::{MoveError, MoveFailure};

#[test]
fn a_session_begins_lives_and_ends_on_a_connection() {
    let mut lab = Lab::new();
    let path = lab.open(7, 100_000);
    lab.connect(path);
    let took = lab.until(1_000, "a handshake", |lab| lab.sessions[SERVER].is_some());
    assert!(took <= 48, "HELLO, CHALLENGE, AUTH_PROOF: {took} ms");
    lab.run(50);
    for from in [CLIENT, SERVER] {
        let took = lab.carry(from, 4 << 20, 1_000);
        assert!(took < 300, "credit grows at once where nothing else holds back: {took} ms");
    }
    assert_eq!(lab.datagrams, [0, 0]);
    let session = lab.sessions[CLIENT].unwrap();
    let stats = lab.ends[CLIENT].session_stats(session).unwrap();
    assert_eq!((stats.packets_lost, stats.probe_timeouts), (0, 0));
    let now = lab.now();
    lab.ends[CLIENT].close(now, session, super::Close::graceful(Duration::from_secs(1)));
    lab.run(200);
    for side in [CLIENT, SERVER] {
        assert!(lab.events[side].iter().any(|event| matches!(event, Event::SessionClosed { .. })));
        assert_eq!(lab.failure(side), None);
    }
}

#[test]
fn a_slow_connection_holds_no_more_than_its_room() {
    let mut lab = Lab::new();
    let path = lab.open(7, 70_000);
    lab.connect(path);
    lab.until(1_000, "a handshake", |lab| lab.sessions[SERVER].is_some());
    lab.run(50);
    let pipe = lab.pipes.get_mut(&7).unwrap();
    pipe.rate = 66_000;
    // One batch at a time: as slow as a batch may be to leave whole.
    let took = lab.carry(CLIENT, 8 << 20, 10_000);
    let most = lab.pipes[&7].most[CLIENT];
    assert!(most <= ROOM + 65_536, "{most} bytes waited");
    assert!(took < 400, "{took} ms at 66 MB/s");
    let session = lab.sessions[CLIENT].unwrap();
    let stats = lab.ends[CLIENT].session_stats(session).unwrap();
    assert_eq!((stats.packets_lost, stats.probe_timeouts), (0, 0));
}

#[test]
fn a_connect_over_a_connection_that_closes_fails_at_once() {
    let mut lab = Lab::new();
    let path = lab.open(7, 100_000);
    lab.connect(path);
    lab.run(5);
    lab.close(7);
    lab.run(1);
    assert_eq!(lab.failure(CLIENT), Some(ErrorCode::WebSocketClosed));
    // And one over a connection that was never there.
    lab.events = [Vec::new(), Vec::new()];
    lab.connect(path);
    lab.run(1);
    assert_eq!(lab.failure(CLIENT), Some(ErrorCode::WebSocketClosed));
}

#[test]
fn udp_goes_dark_in_the_middle_and_the_session_goes_on_by_a_connection() {
    for from in [CLIENT, SERVER] {
        let mut lab = Lab::new();
        lab.connect(PathAddress::udp(lab.homes[SERVER]));
        lab.until(1_000, "a handshake", |lab| lab.sessions[SERVER].is_some());
        lab.run(100);
        let stream = lab.write(from, 6 << 20);
        let mut at = 0;
        let begun = |at: u64| at > 1 << 20;
        lab.until(5_000, "the beginning", |lab| {
            lab.read(1 - from, stream, &mut at);
            begun(at)
        });
        lab.udp_works = false;
        if from == CLIENT {
            lab.until(1_000, "word of the silence", |lab| {
                let silent =
                    Event::PathSilence { session: lab.sessions[CLIENT].unwrap(), silent: true };
                lab.events[CLIENT].contains(&silent)
            });
        }
        let path = lab.open(9, 100_000);
        lab.go(path);
        let all = lab.until(2_000, "the rest", |lab| lab.read(1 - from, stream, &mut at));
        assert!(all < 800, "{all} ms");
        assert_eq!(at, 6 << 20);
        assert_eq!(lab.moved(CLIENT), 1);
        assert_eq!(
            (lab.path(CLIENT), lab.path(SERVER).connection().map(|c| c.id)),
            (path, Some(9))
        );
        assert_eq!(lab.failure(CLIENT), None);
        // UDP is back: the session returns, and nothing of it is lost or doubled.
        lab.udp_works = true;
        lab.go(PathAddress::udp(lab.homes[SERVER]));
        lab.carry(from, 1 << 20, 5_000);
        assert_eq!(lab.moved(CLIENT), 2);
        assert_eq!(lab.path(SERVER), PathAddress::udp(lab.homes[CLIENT]));
    }
}

#[test]
fn a_connection_that_closes_leaves_its_session_to_the_next_path() {
    for from in [CLIENT, SERVER] {
        let mut lab = Lab::new();
        let path = lab.open(1, 66_000);
        lab.connect(path);
        lab.until(1_000, "a handshake", |lab| lab.sessions[SERVER].is_some());
        lab.run(50);
        let stream = lab.write(from, 9 << 20);
        let mut at = 0;
        for id in 2..8 {
            lab.run(20);
            lab.read(1 - from, stream, &mut at);
            lab.close(id - 1);
            lab.run(30 * id);
            let lost = |event: &&Event| matches!(event, Event::PathLost { .. });
            assert_eq!(lab.events[CLIENT].iter().filter(lost).count() as u64, id - 1);
            let path = lab.open(id, 100_000);
            lab.go(path);
            lab.run(70);
            lab.read(1 - from, stream, &mut at);
        }
        lab.until(3_000, "the rest", |lab| lab.read(1 - from, stream, &mut at));
        assert_eq!(at, 9 << 20);
        assert_eq!(lab.moved(CLIENT), 6);
        assert_eq!((lab.failure(CLIENT), lab.failure(SERVER)), (None, None));
    }
}

#[test]
fn without_another_path_a_session_ends_when_its_time_is_up() {
    let mut lab = Lab::new();
    let path = lab.open(1, 100_000);
    lab.connect(path);
    lab.until(1_000, "a handshake", |lab| lab.sessions[SERVER].is_some());
    lab.run(50);
    lab.close(1);
    let took = lab.until(40_000, "the end", |lab| lab.failure(CLIENT).is_some());
    assert!(took > 29_000, "{took} ms");
    lab.run(100);
    assert_eq!(lab.failure(CLIENT), Some(ErrorCode::WebSocketClosed));
    assert_eq!(lab.failure(SERVER), Some(ErrorCode::WebSocketClosed));
    assert_eq!(lab.ends.iter().map(|end| end.stats().sessions).sum::<u64>(), 0);
}

#[test]
fn a_move_to_a_connection_that_closes_or_never_was_leaves_the_session_where_it_is() {
    let mut lab = Lab::new();
    let udp = PathAddress::udp(lab.homes[SERVER]);
    lab.connect(udp);
    lab.until(1_000, "a handshake", |lab| lab.sessions[SERVER].is_some());
    lab.run(100);
    let path = lab.open(3, 100_000);
    lab.go(path);
    lab.run(5);
    lab.close(3);
    lab.run(200);
    let failed = lab.events[CLIENT].iter().find_map(|event| match event {
        Event::MoveFailed { reason, .. } => Some(*reason),
        _ => None,
    });
    assert_eq!(failed, Some(MoveFailure::ConnectionLost));
    let (now, session) = (lab.now(), lab.sessions[CLIENT].unwrap());
    let refused = lab.ends[CLIENT].move_session(now, session, path);
    assert_eq!(refused, Err(MoveError::NoConnection));
    lab.carry(SERVER, 1 << 20, 5_000);
    assert_eq!(lab.path(CLIENT), udp);
}

#[test]
fn a_path_that_is_not_proven_stays_so_when_the_connection_before_it_closes() {
    let mut lab = Lab::new();
    let path = lab.open(1, 100_000);
    lab.connect(path);
    lab.until(1_000, "a handshake", |lab| lab.sessions[SERVER].is_some());
    lab.run(50);
    let heard_before = lab.udp_heard[SERVER];
    lab.go(PathAddress::udp(lab.homes[SERVER]));
    lab.until(1_000, "the peer's move", |lab| lab.path(SERVER).connection().is_none());
    // What goes there reaches nobody: as if the address had been forged.
    lab.udp_reaches[CLIENT] = false;
    lab.run(5);
    let told = |lab: &Lab| {
        let told = |event: &&Event| matches!(event, Event::PathChange { .. });
        lab.events[SERVER].iter().filter(told).count()
    };
    assert_eq!(told(&lab), 0);
    lab.close(1);
    let stream = lab.write(SERVER, 1 << 20);
    for _ in 0..6 {
        lab.run(1_000);
        let heard = lab.udp_heard[SERVER] - heard_before;
        let sent = lab.udp_sent[SERVER];
        assert!(sent <= heard, "{sent} bytes went to a path that {heard} came from");
    }
    assert_eq!(told(&lab), 0);
    lab.udp_reaches[CLIENT] = true;
    let mut at = 0;
    lab.until(15_000, "the rest", |lab| lab.read(CLIENT, stream, &mut at));
    assert_eq!((at, told(&lab)), (1 << 20, 1));
    assert_eq!((lab.failure(CLIENT), lab.failure(SERVER)), (None, None));
}

#[test]
fn a_resumed_session_that_goes_on_by_udp_has_a_window_there() {
    let mut lab = Lab::new();
    let udp = PathAddress::udp(lab.homes[SERVER]);
    lab.connect(udp);
    lab.until(1_000, "a handshake", |lab| lab.sessions[SERVER].is_some());
    lab.run(200);
    let ticket = lab.events[CLIENT].iter().find_map(|event| match event {
        Event::Ticket { ticket, .. } => Some((**ticket).clone()),
        _ => None,
    });
    let path = lab.open(1, 100_000);
    lab.sessions = [None, None];
    let options = ConnectOptions { resume: ticket, ..ConnectOptions::default() };
    let now = lab.now();
    lab.sessions[CLIENT] = Some(lab.ends[CLIENT].connect(now, path, options).unwrap());
    lab.until(1_000, "the answer", |lab| {
        lab.send();
        lab.ends[SERVER].stats().sessions_resumed == 1
            && lab.pipes[&1].ways[CLIENT].front().is_some()
    });
    // The first sealed packet takes another way.
    let ways = lab.pipes.get_mut(&1).unwrap().ways[CLIENT].split_off(0);
    for (_, mut bytes) in ways {
        let now = lab.now();
        let here = PathAddress::udp(lab.homes[CLIENT]);
        lab.ends[SERVER].handle_datagram(now, here, None, &mut bytes);
    }
    lab.until(100, "the proof of UDP", |lab| {
        lab.events[SERVER].iter().any(|event| matches!(event, Event::PathChange { .. }))
    });
    assert_eq!(lab.path(SERVER), PathAddress::udp(lab.homes[CLIENT]));
    let (before, session) = (lab.udp_sent[SERVER], lab.sessions[SERVER].unwrap());
    let window = lab.ends[SERVER].session_stats(session).unwrap().congestion_window;
    let stream = lab.write(SERVER, 1 << 20);
    lab.send();
    let sent = lab.udp_sent[SERVER] - before;
    assert!(sent > 0 && sent as u64 <= 2 * window, "{sent} bytes at once");
    let mut at = 0;
    lab.until(5_000, "the rest", |lab| lab.read(CLIENT, stream, &mut at));
}

#[test]
fn a_connection_is_proven_though_a_copy_of_the_greeting_came_by_udp() {
    let mut lab = Lab::new();
    lab.connect_by_udp();
    let ticket = lab.events[CLIENT].iter().find_map(|event| match event {
        Event::Ticket { ticket, .. } => Some((**ticket).clone()),
        _ => None,
    });
    assert!(ticket.is_some());
    let path = lab.open(1, 100_000);
    lab.sessions = [None, None];
    lab.sessions[CLIENT] =
        Some(lab.begin(path, ConnectOptions { resume: ticket, ..ConnectOptions::default() }));
    lab.send();
    let (_, resume) = lab.pipes[&1].ways[CLIENT].front().unwrap().clone();
    lab.until(1_000, "the answer", |lab| {
        lab.send();
        lab.ends[SERVER].stats().sessions_resumed == 1
            && lab.pipes[&1].ways[CLIENT].front().is_some()
    });
    // Somebody on the way repeats RESUME by UDP, and takes the first sealed packet there. Nobody answers there.
    lab.udp_reaches[CLIENT] = false;
    let before = lab.udp_sent[SERVER];
    let ways = lab.pipes.get_mut(&1).unwrap().ways[CLIENT].split_off(0);
    for mut bytes in core::iter::once(resume).chain(ways.into_iter().map(|(_, bytes)| bytes)) {
        let (now, here) = (lab.now(), PathAddress::udp(lab.homes[CLIENT]));
        lab.ends[SERVER].handle_datagram(now, here, None, &mut bytes);
    }
    lab.send();
    assert!(lab.udp_sent[SERVER] > before, "the copy is answered");
    let connection = |lab: &Lab| lab.path(SERVER).connection().map(|c| c.id);
    assert_eq!(connection(&lab), None, "the peer may have moved");
    // The client says nothing more that would bring the session back.
    lab.pipes.get_mut(&1).unwrap().dropped[CLIENT].extend(0..1000);
    lab.until(12_000, "the way back", |lab| connection(lab) == Some(1));
}

#[test]
fn a_session_that_goes_back_to_a_connection_that_is_gone_knows_it() {
    let mut lab = Lab::new();
    let path = lab.open(1, 100_000);
    lab.connect(path);
    lab.until(1_000, "a handshake", |lab| lab.sessions[SERVER].is_some());
    lab.run(50);
    lab.close(1);
    lab.run(5);
    lab.go(PathAddress::udp(lab.homes[SERVER]));
    lab.until(1_000, "the peer's move", |lab| lab.path(SERVER).connection().is_none());
    // Nobody answers there.
    lab.udp_works = false;
    lab.until(5_000, "the way back", |lab| lab.path(SERVER).connection().is_some());
    lab.until(40_000, "the end", |lab| lab.failure(SERVER).is_some());
    assert_eq!(lab.failure(SERVER), Some(ErrorCode::WebSocketClosed));
}

#[test]
fn what_waits_for_no_room_overdraws_a_connection_so_far_and_no_further() {
    let mut lab = Lab::new();
    let path = lab.open(1, 100_000);
    let server = &mut lab.ends[SERVER];
    let taken = (0..1_000).take_while(|_| server.charge(&path, 1_200)).count() * 1_200;
    assert!((ROOM..=2 * ROOM + 2 * 1_200).contains(&taken), "{taken} bytes");
    let now = lab.now();
    lab.ends[SERVER].connection_writable(now, 1, taken);
    assert!(lab.ends[SERVER].charge(&path, 1_200), "room is back");
}

#[test]
fn a_connection_that_is_slow_to_answer_is_waited_for() {
    let mut lab = Lab::new();
    lab.connect(PathAddress::udp(lab.homes[SERVER]));
    lab.until(1_000, "a handshake", |lab| lab.sessions[SERVER].is_some());
    lab.run(100);
    let path = lab.open(1, 100_000);
    lab.go(path);
    lab.until(1_000, "the peer's move", |lab| lab.path(SERVER).connection().is_some());
    // Nothing of the connection passes, and it is open.
    lab.pipes.get_mut(&1).unwrap().rate = 0;
    lab.udp_works = false;
    for _ in 0..12 {
        lab.run(1_000);
        assert!(lab.path(SERVER).connection().is_some(), "at {} ms", lab.millis);
    }
    lab.pipes.get_mut(&1).unwrap().rate = 100_000;
    let told = |event: &Event| matches!(event, Event::PathChange { .. });
    lab.until(100, "the answer", |lab| lab.events[SERVER].iter().any(told));
    lab.carry(SERVER, 1 << 20, 1_000);
    lab.carry(CLIENT, 1 << 20, 1_000);
}

#[test]
fn no_more_goes_to_an_address_than_came_from_it_while_it_answers_what_moved_it_there() {
    // No search for larger datagrams, whose bytes would count, too.
    let session = SessionConfig { mtu: 1_200, ..SessionConfig::default() };
    let mut lab = Lab::with(EndpointConfig { session, ..EndpointConfig::default() });
    let path = lab.open(1, 100_000);
    lab.connect(path);
    lab.until(1_000, "a handshake", |lab| lab.sessions[SERVER].is_some());
    lab.run(50);
    lab.go(PathAddress::udp(lab.homes[SERVER]));
    lab.until(1_000, "the move", |lab| lab.moved(CLIENT) == 1);
    lab.close(1);
    let told = |event: &Event| matches!(event, Event::PathChange { .. });
    lab.until(1_000, "the proof", |lab| {
        let (sent, heard) = (lab.udp_sent[SERVER], lab.udp_heard[SERVER]);
        let is_proven = lab.events[SERVER].iter().any(told);
        assert!(is_proven || sent <= heard, "{sent} bytes went to where {heard} came from");
        is_proven
    });
}

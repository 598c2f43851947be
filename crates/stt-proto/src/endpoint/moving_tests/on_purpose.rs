//! Moves that this side makes: to another path, once the peer has answered on it, and to another
//! socket, at once.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::{CLIENT, Roads, SERVER, address, leave};
use crate::endpoint::Close;
use crate::event::Event;
use crate::path::{PathAddress, Rebind, SendError};
use crate::session::{MoveError, MoveFailure};

#[test]
fn a_later_move_replaces_the_one_that_is_tried() {
    let mut roads = Roads::new();
    roads.dead.insert(address("10.1.0.1:1000"));
    let first = leave(&mut roads, "10.1.0.1").unwrap();
    roads.run(5);
    let second = leave(&mut roads, "10.1.0.2").unwrap();
    roads.run(200);
    assert_eq!(roads.failures(), [MoveFailure::Replaced]);
    let told: Vec<u64> = roads.events[CLIENT]
        .iter()
        .filter_map(|event| match event {
            Event::Moved { token, .. } | Event::MoveFailed { token, .. } => Some(*token),
            _ => None,
        })
        .collect();
    assert_eq!(told, [first, second]);
    assert_eq!(roads.moves(SERVER), [address("10.1.0.2:1000")]);
}

/// What the peer sent before it heard of the move arrives after it, with the largest numbers so far.
#[test]
fn packets_that_were_on_their_way_do_not_undo_a_move() {
    for local in [None, Some("10.1.0.1".parse().unwrap())] {
        let mut roads = Roads::new();
        let remote = address("10.2.0.2:7788");
        let streams = [roads.write(CLIENT, 600_000), roads.write(SERVER, 600_000)];
        roads.run(100);
        let (now, session) = (roads.now(), roads.sessions[CLIENT]);
        let path = PathAddress::Udp { remote, local };
        roads.ends[CLIENT].move_session(now, session, path).unwrap();
        roads.fetch(CLIENT, streams[SERVER], 500_000);
        roads.fetch(SERVER, streams[CLIENT], 400_000);
        assert_eq!(roads.moves(CLIENT), [remote], "from {local:?}");
        assert_eq!(roads.remote(CLIENT), remote);
        let ours = SocketAddr::new(local.unwrap_or(roads.home[CLIENT].ip()), 1000);
        assert_eq!(roads.moves(SERVER), [ours]);
        assert_eq!(roads.session(SERVER).remote().local(), Some(remote.ip()));
    }
}

#[test]
fn there_and_back_again_at_once() {
    let mut roads = Roads::new();
    for (round, ip) in ["10.1.0.1", "10.1.0.2", "10.1.0.1", "10.0.0.1"].into_iter().enumerate() {
        leave(&mut roads, ip).unwrap();
        roads.run(100);
        let there = SocketAddr::new(ip.parse().unwrap(), 1000);
        assert_eq!(roads.moves(SERVER).get(round), Some(&there));
    }
    assert_eq!(roads.failures(), []);
}

#[test]
fn a_move_that_is_given_up_does_not_happen() {
    let mut roads = Roads::new();
    let token = leave(&mut roads, "10.1.0.1").unwrap();
    roads.run(5);
    let (now, session) = (roads.now(), roads.sessions[CLIENT]);
    roads.ends[CLIENT].cancel_move(now, session, token.wrapping_add(1));
    roads.ends[CLIENT].cancel_move(now, session, token);
    roads.ends[CLIENT].cancel_move(now, session, token);
    roads.run(5_000);
    assert_eq!(roads.failures(), [MoveFailure::Cancelled]);
    assert_eq!((roads.moves(CLIENT), roads.moves(SERVER)), (vec![], vec![]));
    assert!(!roads.session(CLIENT).is_moving());
}

#[test]
fn without_an_unused_id_of_the_peer_a_move_waits_for_one() {
    let mut roads = Roads::new();
    roads.dead.insert(roads.home[SERVER]);
    for last in 1..=3 {
        leave(&mut roads, &format!("10.1.0.{last}")).unwrap();
    }
    roads.seen.clear();
    roads.run(100);
    let there = address("10.1.0.3:1000");
    assert_eq!(roads.bytes(Some(there), None), 0, "under which id would it ask?");
    // What was retired reaches the peer, which gives others.
    roads.dead.clear();
    roads.run(1_000);
    assert_eq!(roads.moves(SERVER), [there]);
    assert_eq!(roads.failures(), [MoveFailure::Replaced; 2]);
    assert_eq!(roads.moves(CLIENT).len(), 1);
}

#[test]
fn a_move_that_gets_no_id_fails_in_its_time() {
    let mut roads = Roads::new();
    roads.dead.insert(roads.home[SERVER]);
    for last in 1..=3 {
        leave(&mut roads, &format!("10.1.0.{last}")).unwrap();
    }
    roads.run(10_000);
    let failures = roads.failures();
    assert!(matches!(failures[2..], [MoveFailure::NoPathId { .. }]), "{failures:?}");
}

#[test]
fn a_move_to_where_the_session_is_has_happened() {
    let mut roads = Roads::new();
    let (now, session) = (roads.now(), roads.sessions[CLIENT]);
    let path = roads.ends[CLIENT].path_of(session).unwrap();
    let ours = roads.ends[CLIENT].move_session(now, session, path).unwrap();
    roads.run(1);
    let moved = |event: &Event| matches!(event, Event::Moved { token, .. } if *token == ours);
    assert!(roads.events[CLIENT].iter().any(moved));
    assert_eq!(roads.moves(CLIENT), [], "nothing changed");
}

#[test]
fn a_session_that_has_closed_does_not_move() {
    let mut roads = Roads::new();
    leave(&mut roads, "10.1.0.1").unwrap();
    let (now, session) = (roads.now(), roads.sessions[CLIENT]);
    roads.ends[CLIENT].close(now, session, Close::graceful(Duration::ZERO));
    assert_eq!(leave(&mut roads, "10.1.0.2"), Err(MoveError::SessionClosed));
    roads.run(10_000);
    assert_eq!(leave(&mut roads, "10.1.0.2"), Err(MoveError::SessionClosed));
    assert_eq!(roads.moves(SERVER), []);
}

#[test]
fn a_session_that_drains_can_still_move() {
    let mut roads = Roads::new();
    let stream = roads.write(CLIENT, 200_000);
    roads.run(50);
    let (now, session) = (roads.now(), roads.sessions[CLIENT]);
    roads.ends[CLIENT].close(now, session, Close::graceful(Duration::from_secs(10)));
    leave(&mut roads, "10.1.0.1").unwrap();
    roads.fetch(SERVER, stream, 200_000);
    assert_eq!(roads.moves(SERVER), [address("10.1.0.1:1000")]);
}

#[test]
fn a_path_by_which_the_system_does_not_send_is_given_up_at_once_and_no_other_is() {
    let mut roads = Roads::new();
    leave(&mut roads, "10.1.0.1").unwrap();
    roads.run(500);
    let used = *roads.session(CLIENT).remote();
    leave(&mut roads, "10.1.0.2").unwrap();
    let (now, mut buffer) = (roads.now(), vec![0; 65_536]);
    while let Some(transmit) = roads.ends[CLIENT].poll_transmit(now, 1, &mut buffer) {
        if transmit.path != used {
            roads.ends[CLIENT].handle_send_error(now, transmit.path, SendError::Other(22));
        }
    }
    roads.run(1);
    assert_eq!(roads.failures(), [MoveFailure::Refused(SendError::Other(22))]);
    assert_eq!(*roads.session(CLIENT).remote(), used);
    assert_eq!(roads.session(CLIENT).send_failure(), None, "the path in use has not failed");
}

#[test]
fn a_socket_with_another_address_is_gone_on_with_at_once_and_under_another_id() {
    let mut roads = Roads::new();
    let streams = [roads.write(CLIENT, 400_000), roads.write(SERVER, 400_000)];
    roads.run(150);
    let old: BTreeSet<[u8; 8]> = roads.seen.iter().map(|seen| seen.2).collect();
    roads.dead.insert(roads.home[CLIENT]);
    roads.home[CLIENT] = address("10.1.0.7:1000");
    roads.outside = roads.home[CLIENT];
    roads.seen.clear();
    let now = roads.now();
    roads.ends[CLIENT].handle_rebind(now, Rebind::Address);
    roads.run(2);
    let there = roads.home[CLIENT];
    assert!(roads.seen.iter().any(|seen| seen.0 == there), "at once");
    assert!(roads.seen.iter().filter(|seen| seen.0 == there).all(|seen| !old.contains(&seen.2)));
    roads.fetch(SERVER, streams[CLIENT], 400_000 - 200_000);
    roads.run(3_000);
    assert_eq!(roads.moves(SERVER), [there]);
    assert_eq!(roads.session(CLIENT).stats().mtu, 1472, "the size was searched for again");
    assert!(!roads.events[CLIENT].iter().any(|e| matches!(e, Event::SessionClosed { .. })));
}

/// Marks that came through are counted on, whoever knows that the path is another one.
#[test]
fn ecn_is_validated_again_behind_another_address() {
    let mut roads = Roads::new();
    let streams = [roads.write(CLIENT, 200_000), roads.write(SERVER, 200_000)];
    roads.run(300);
    for (end, stream) in [(SERVER, streams[CLIENT]), (CLIENT, streams[SERVER])] {
        roads.read(end, stream);
        assert!(roads.session(end).validated_ecn(), "end {end}");
    }
    roads.outside = address("10.9.9.9:2000");
    roads.write(CLIENT, 200_000);
    roads.write(SERVER, 200_000);
    roads.run(1_000);
    assert_eq!(roads.moves(SERVER), [address("10.9.9.9:2000")]);
    for end in [CLIENT, SERVER] {
        assert!(roads.session(end).validated_ecn(), "end {end} after the move");
    }
    roads.marks = false;
    roads.outside = address("10.9.9.10:2000");
    roads.write(CLIENT, 100_000);
    roads.run(1_000);
    assert!(!roads.session(SERVER).validated_ecn(), "the third path bleaches");
}

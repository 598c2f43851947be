//! Connects by UDP and by a connection that are to lead to one session.

use stt_wire::ErrorCode;

use super::lab::{CLIENT, Lab, SERVER};
use crate::config::{ConnectOptions, ListenConfig};
use crate::event::{Event, SessionHandle};
use crate::fault::Origin;
use crate::path::PathAddress;
use crate::time::Now;

fn racing() -> ConnectOptions {
    ConnectOptions { race: Some(1), ..ConnectOptions::default() }
}

/// Sessions that a side was told of.
fn connected(lab: &Lab, side: usize) -> Vec<SessionHandle> {
    let sessions = lab.events[side].iter().filter_map(|event| match event {
        Event::Connected { session, .. } => Some(*session),
        _ => None,
    });
    sessions.collect()
}

fn close(lab: &mut Lab, now: Now, session: SessionHandle) {
    let close = crate::Close::graceful(core::time::Duration::ZERO);
    lab.ends[CLIENT].close(now, session, close);
}

#[test]
fn of_two_carriers_one_makes_a_session_whenever_each_begins() {
    // UDP takes 20 ms there and back, the connection 32.
    for first in [true, false] {
        for pause in 0..45 {
            let mut lab = Lab::new();
            let paths = [lab.open(1, 100_000), PathAddress::udp(lab.homes[SERVER])];
            let one = lab.begin(paths[usize::from(first)], racing());
            lab.run(pause);
            let other = lab.begin(paths[usize::from(!first)], racing());
            lab.until(500, "a session", |lab| !connected(lab, CLIENT).is_empty());
            lab.run(5);
            let won = connected(&lab, CLIENT);
            assert_eq!(won.len(), 1, "after {pause} ms");
            let lost = if won[0] == one { other } else { one };
            // The driver is in no hurry.
            lab.run(200);
            let now = lab.now();
            close(&mut lab, now, lost);
            lab.run(100);
            assert_eq!(connected(&lab, SERVER).len(), 1, "after {pause} ms");
            assert_eq!(lab.ends[SERVER].stats().sessions, 1);
            assert_eq!(lab.ends[CLIENT].stats().sessions, 1);
            lab.sessions[CLIENT] = Some(won[0]);
            lab.carry(CLIENT, 10_000, 1_000);
        }
    }
}

#[test]
fn a_carrier_that_waits_goes_on_where_the_first_meets_silence() {
    let mut lab = Lab::new();
    lab.begin(PathAddress::udp(lab.homes[SERVER]), racing());
    lab.run(5);
    let path = lab.open(1, 100_000);
    let second = lab.begin(path, racing());
    // CHALLENGE has come by UDP, and AUTH_PROOF is lost.
    lab.run(14);
    lab.udp_works = false;
    lab.until(3_000, "a session", |lab| !connected(lab, CLIENT).is_empty());
    assert_eq!(connected(&lab, CLIENT), [second]);
    lab.run(100);
    assert_eq!(connected(&lab, SERVER).len(), 1);
}

#[test]
fn a_carrier_that_waits_goes_on_at_once_where_the_first_is_lost() {
    let mut lab = Lab::new();
    let path = lab.open(1, 100_000);
    lab.begin(path, racing());
    lab.run(20);
    lab.udp_reaches[CLIENT] = false;
    let second = lab.begin(PathAddress::udp(lab.homes[SERVER]), racing());
    // The connection is ahead, and closes before FINAL has come.
    lab.run(20);
    lab.udp_reaches[CLIENT] = true;
    lab.close(1);
    let took = lab.until(3_000, "a session", |lab| !connected(lab, CLIENT).is_empty());
    assert_eq!(connected(&lab, CLIENT), [second]);
    assert!(took <= 60, "{took} ms");
}

#[test]
fn a_refusal_ends_the_race_of_a_pinned_node_alone() {
    for pinned in [true, false] {
        let mut lab = Lab::new();
        let listen = ListenConfig { authorize: true, ..ListenConfig::default() };
        lab.ends[SERVER].set_listening(Some(listen));
        let peer = pinned.then(|| lab.ends[SERVER].node_id());
        let options = || ConnectOptions { peer, ..racing() };
        let first = lab.begin(PathAddress::udp(lab.homes[SERVER]), options());
        lab.run(5);
        let path = lab.open(1, 100_000);
        let second = lab.begin(path, options());
        // The first to ask is turned away, as by another node at another address, and whoever comes next is not.
        for millis in 0..4_000 {
            lab.turn();
            let now = lab.now();
            let asked = lab.events[SERVER].iter().filter_map(|event| match event {
                Event::Incoming { session, .. } => Some(*session),
                _ => None,
            });
            for (number, session) in asked.collect::<Vec<_>>().into_iter().enumerate() {
                match number {
                    0 => lab.ends[SERVER].refuse(now, session, ErrorCode::AuthenticationFailed),
                    _ => lab.ends[SERVER].accept(now, session),
                }
            }
            assert!(millis < 100 || lab.failure(CLIENT).is_some(), "a refusal");
        }
        let refused = lab.events[CLIENT].iter().find_map(|event| match event {
            Event::ConnectFailed { session, error } => Some((*session, error.code, error.origin)),
            _ => None,
        });
        assert_eq!(refused, Some((first, ErrorCode::AuthenticationFailed, Origin::Peer)));
        let won: &[SessionHandle] = if pinned { &[] } else { &[second] };
        assert_eq!(connected(&lab, CLIENT), won, "pinned: {pinned}");
    }
}

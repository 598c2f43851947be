//! Connects by UDP and by a connection that are to lead to one session.

use super::lab::{CLIENT, Lab, SERVER};
use crate::config::ConnectOptions;
use crate::event::{Event, SessionHandle};
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

//! A session that ends while its peer goes to another path.

use core::time::Duration;

use stt_wire::CloseReason;

use super::lab::{CLIENT, Lab, SERVER};
use crate::endpoint::Close;
use crate::event::Event;
use crate::path::PathAddress;

/// A session on a connection that takes nothing any more, which the server has just closed.
fn closed_on_a_stalled_connection() -> Lab {
    let mut lab = Lab::new();
    lab.connect_by_udp();
    let path = lab.open(9, 100_000);
    lab.go(path);
    lab.until(1_000, "the move", |lab| lab.moved(CLIENT) == 1 && lab.path(SERVER) != udp(lab));
    lab.run(100);
    lab.pipes.get_mut(&9).unwrap().rate = 0;
    close(&mut lab);
    lab.run(100);
    lab
}

fn close(lab: &mut Lab) {
    let (now, session) = (lab.now(), lab.sessions[SERVER].unwrap());
    let reason = CloseReason::Graceful;
    let close = Close { reason, code: 0, message: "", drain: Duration::ZERO };
    lab.ends[SERVER].close(now, session, close);
}

fn udp(lab: &Lab) -> PathAddress {
    PathAddress::udp(lab.homes[CLIENT])
}

fn ended(lab: &Lab, side: usize) -> bool {
    lab.events[side]
        .iter()
        .any(|event| matches!(event, Event::SessionClosed { reason: CloseReason::Graceful, .. }))
}

#[test]
fn a_peer_that_lost_its_connection_hears_of_the_end_on_the_path_that_it_tries() {
    let mut lab = closed_on_a_stalled_connection();
    lab.close(9);
    let home = PathAddress::udp(lab.homes[SERVER]);
    lab.go(home);
    let took = lab.until(5_000, "word of the end", |lab| ended(lab, CLIENT) && ended(lab, SERVER));
    assert!(took < 3_000, "{took} ms");
}

#[test]
fn a_peer_whose_connection_stands_still_hears_of_the_end_by_udp() {
    let mut lab = closed_on_a_stalled_connection();
    let home = PathAddress::udp(lab.homes[SERVER]);
    lab.go(home);
    lab.until(5_000, "word of the end", |lab| ended(lab, CLIENT) && ended(lab, SERVER));
}

#[test]
fn an_address_that_is_not_proven_gets_no_more_than_came_from_it() {
    let mut lab = Lab::new();
    lab.connect_by_udp();
    close(&mut lab);
    // The first copy goes where the client was.
    lab.turn();
    // The client has another address, of which the server hears a little; nothing that the server sends arrives.
    lab.homes[CLIENT] = "10.0.0.9:1000".parse().unwrap();
    lab.udp_reaches[CLIENT] = false;
    let (now, session) = (lab.now(), lab.sessions[CLIENT].unwrap());
    let (heard, sent) = (lab.udp_heard[SERVER], lab.udp_sent[SERVER]);
    lab.ends[CLIENT].ping(now, session);
    lab.until(5_000, "a few packets", |lab| lab.udp_heard[SERVER] - heard > 150);
    let heard = lab.udp_heard[SERVER] - heard;
    lab.udp_works = false;
    lab.run(60_000);
    let sent = lab.udp_sent[SERVER] - sent;
    assert!(sent > 0 && sent <= heard, "{sent} bytes for {heard}");
}

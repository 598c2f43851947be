//! Where an initiator is (PROTOCOL.md sections 2.6 and 2.7): it holds the keys, so that all that it sends may bear any
//! address that it likes.

use std::net::SocketAddr;

use super::{CLIENT, DELAY, Flight, Roads, SERVER, address};
use crate::config::ConnectOptions;
use crate::event::Event;
use crate::path::PathAddress;
use crate::streams::StreamId;
use crate::ticket::ResumptionTicket;

const BYTES: usize = 500_000;

/// Connects once, for a ticket, and begins with it again.
fn resuming() -> Roads {
    let mut roads = Roads::new();
    connect(&mut roads, None);
    roads.run(1_000);
    let ticket = roads.events[CLIENT].iter().find_map(|event| match event {
        Event::Ticket { ticket, .. } => Some((**ticket).clone()),
        _ => None,
    });
    assert!(ticket.is_some());
    begin(&mut roads, ticket);
    roads
}

/// The client's first datagram is on its way then.
fn begin(roads: &mut Roads, ticket: Option<ResumptionTicket>) {
    roads.events = [Vec::new(), Vec::new()];
    roads.seen.clear();
    connect(roads, ticket);
    roads.send();
    assert_eq!(roads.flights.len(), 1);
}

fn connect(roads: &mut Roads, resume: Option<ResumptionTicket>) {
    let (now, path) = (roads.now(), PathAddress::udp(roads.home[SERVER]));
    let options = ConnectOptions { resume, ..ConnectOptions::default() };
    roads.sessions[CLIENT] = roads.ends[CLIENT].connect(now, path, options).unwrap();
}

/// Until both sides have the session; the server writes at once.
fn until_connected(roads: &mut Roads) -> StreamId {
    let connected = |event: &Event| match event {
        Event::Connected { session, .. } => Some(*session),
        _ => None,
    };
    for _ in 0..100 {
        roads.turn();
        if let Some(session) = roads.events[SERVER].iter().find_map(connected) {
            roads.sessions[SERVER] = session;
            return roads.write(SERVER, BYTES);
        }
    }
    panic!("no session");
}

/// Delivers a datagram with a source that is not its own.
fn deliver_from(roads: &mut Roads, from: SocketAddr, flight: &Flight) {
    let (now, mut bytes) = (roads.now(), flight.bytes.clone());
    let path = PathAddress::Udp { remote: from, local: Some(roads.home[SERVER].ip()) };
    roads.ends[SERVER].handle_datagram(now, path, None, &mut bytes);
}

/// Lets time pass in which all that the client sends bears another address, where nobody is. Returns its bytes.
fn run_as(roads: &mut Roads, source: SocketAddr, millis: u64) -> u64 {
    let mut came = 0;
    for _ in 0..millis {
        let server = roads.home[SERVER];
        let (forged, others): (Vec<_>, Vec<_>) =
            roads.flights.drain(..).partition(|flight| flight.to == server);
        roads.flights = others.into();
        for flight in &forged {
            came += flight.bytes.len() as u64;
            deliver_from(roads, source, flight);
        }
        roads.turn();
    }
    came
}

/// The client is served where it really is, and whose address it bore has been sent no more than `came` from there.
fn goes_on_as_itself(roads: &mut Roads, stream: StreamId, victim: SocketAddr, came: u64) {
    let [client, server] = roads.home;
    roads.fetch(CLIENT, stream, BYTES);
    assert_eq!(roads.remote(SERVER), client);
    let sent = roads.bytes(Some(server), Some(victim));
    assert!(sent <= came, "{sent} bytes for {came}");
}

#[test]
fn a_packet_that_opens_proves_where_the_reply_went_and_not_its_own_source() {
    let victim = address("10.6.6.6:666");
    let mut roads = resuming();
    let [client, server] = roads.home;
    let stream = until_connected(&mut roads);
    // RESUME_REPLY arrives, and what answers it bears another address.
    roads.run(10);
    roads.seen.clear();
    let mut came = 0;
    let flights: Vec<Flight> = roads.flights.drain(..).collect();
    for flight in flights.iter().filter(|flight| flight.to == server) {
        came += flight.bytes.len() as u64;
        deliver_from(&mut roads, victim, flight);
    }
    assert!(came > 0, "an answer to RESUME_REPLY");
    assert_eq!(roads.remote(SERVER), victim, "the peer may have moved");
    // Nothing more comes from anywhere for a while.
    roads.dead.insert(client);
    roads.run(500);
    let sent = roads.bytes(Some(roads.home[SERVER]), Some(victim));
    assert!(sent > 0 && sent <= came, "{sent} bytes for {came}");
    roads.dead.clear();
    goes_on_as_itself(&mut roads, stream, victim, came);
}

#[test]
fn a_reply_that_went_to_two_addresses_proves_neither() {
    let victim = address("10.6.6.6:666");
    let mut roads = resuming();
    let [client, server] = roads.home;
    // RESUME bears the victim's address, and its copy the client's: the reply goes to both.
    let resume = roads.flights.pop_front().unwrap();
    let mut came = resume.bytes.len() as u64;
    deliver_from(&mut roads, victim, &resume);
    deliver_from(&mut roads, client, &resume);
    let stream = until_connected(&mut roads);
    assert_eq!(roads.remote(SERVER), victim);
    // The client gets the keys, and goes on as the victim.
    came += run_as(&mut roads, victim, 2_000);
    let sent = roads.bytes(Some(server), Some(victim));
    assert!(sent <= came, "{sent} bytes for {came}");
    // As itself it is asked, and served.
    goes_on_as_itself(&mut roads, stream, victim, came);
}

#[test]
fn an_address_that_the_reply_went_to_with_another_is_proven_by_its_answer() {
    let elsewhere = address("10.6.6.6:666");
    let mut roads = resuming();
    let client = roads.home[CLIENT];
    let resume = roads.flights.pop_front().unwrap();
    deliver_from(&mut roads, client, &resume);
    deliver_from(&mut roads, elsewhere, &resume);
    let stream = until_connected(&mut roads);
    roads.fetch(CLIENT, stream, BYTES);
    assert_eq!(roads.remote(SERVER), client);
    assert_eq!(roads.moves(SERVER), [], "it was there all the time");
}

#[test]
fn a_proof_shows_where_the_challenge_went_and_not_its_own_source() {
    for copies in [false, true] {
        let victim = address("10.6.6.6:666");
        let mut roads = Roads::new();
        let [client, server] = roads.home;
        begin(&mut roads, None);
        if copies {
            // HELLO as well, so that CHALLENGE goes to both.
            let hello = roads.flights.pop_front().unwrap();
            deliver_from(&mut roads, victim, &hello);
            deliver_from(&mut roads, client, &hello);
            roads.turn();
            roads.seen.clear();
        } else {
            roads.run(DELAY);
        }
        // CHALLENGE arrives, and its answer and all that follows for a while bears the victim's address.
        let mut came = run_as(&mut roads, victim, DELAY + 1);
        let stream = until_connected(&mut roads);
        assert_eq!(roads.remote(SERVER), victim);
        came += run_as(&mut roads, victim, 2_000);
        let sent = roads.bytes(Some(server), Some(victim));
        assert!(sent > 0 && sent <= came, "{sent} bytes for {came}");
        goes_on_as_itself(&mut roads, stream, victim, came);
    }
}

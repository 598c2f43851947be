//! How soon a session learns that UDP is dead, and that it lives on while it looks for another way.

use stt_wire::ErrorCode;

use super::lab::{CLIENT, Lab, SERVER};
use crate::event::Event;
use crate::path::SendError;

#[test]
fn a_side_that_only_receives_knows_a_dead_path_within_three_probe_timeouts() {
    for begun in [120_000, 300_000, 520_000] {
        let mut lab = Lab::new();
        lab.connect_by_udp();
        let stream = lab.write(SERVER, 4 << 20);
        let mut at = 0;
        lab.until(2_000, "the beginning", |lab| {
            lab.read(CLIENT, stream, &mut at);
            at > begun
        });
        lab.udp_works = false;
        let pto = lab.pto(CLIENT);
        let took = lab.until(5_000, "word of it", |lab| lab.silences(CLIENT) == [1, 0]);
        assert!(took <= 3 * pto + 1, "{took} ms at a probe timeout of {pto}");
        lab.udp_works = true;
        lab.until(5_000, "the rest", |lab| lab.read(CLIENT, stream, &mut at));
        assert_eq!(lab.silences(CLIENT), [1, 1]);
    }
}

#[test]
fn a_peer_that_pauses_is_asked_once_and_an_idle_one_is_not() {
    let mut lab = Lab::new();
    lab.connect_by_udp();
    let (now, server) = (lab.now(), lab.sessions[SERVER].unwrap());
    let options = crate::StreamOptions::default();
    let stream = lab.ends[SERVER].open_stream(now, server, options).unwrap();
    let mut at = 0;
    let mut say = |lab: &mut Lab, len: usize| {
        let now = lab.now();
        let bytes = super::lab::pattern(stream, at, len).into();
        lab.ends[SERVER].write(now, server, stream, bytes).unwrap();
        let end = at + len as u64;
        lab.until(2_000, "the words", |lab| {
            lab.read(CLIENT, stream, &mut at);
            at == end
        });
        // Long enough for delayed ACKs and credit to be acknowledged.
        lab.run(60);
        let before = lab.datagrams[CLIENT];
        lab.run(700);
        lab.datagrams[CLIENT] - before
    };
    assert_eq!(say(&mut lab, 200), 0, "a word is no flow");
    let asked = say(&mut lab, 60_000);
    assert!((1..=2).contains(&asked), "{asked} datagrams: the question, and the ACK of its answer");
    assert_eq!(lab.silences(CLIENT), [0, 0]);
}

/// A client that has sent all that it may, and a server that has everything and has read up to `at`.
fn out_of_credit(lab: &mut Lab, at: &mut u64) -> crate::StreamId {
    lab.connect_by_udp();
    let stream = lab.write(CLIENT, 8 << 20);
    lab.until(2_000, "the beginning", |lab| {
        lab.read(SERVER, stream, at);
        *at > 120_000
    });
    lab.until(2_000, "the end of credit", |lab| {
        let stats = lab.ends[CLIENT].session_stats(lab.sessions[CLIENT].unwrap()).unwrap();
        stats.bytes_in_flight == 0
    });
    stream
}

#[test]
fn a_side_that_waits_for_credit_knows_a_dead_path_within_three_probe_timeouts() {
    let (mut lab, mut at) = (Lab::new(), 0);
    let stream = out_of_credit(&mut lab, &mut at);
    lab.udp_works = false;
    // The credit that this gives is lost on the way.
    lab.read(SERVER, stream, &mut at);
    let pto = lab.pto(CLIENT);
    let took = lab.until(5_000, "word of it", |lab| lab.silences(CLIENT) == [1, 0]);
    assert!(took <= 3 * pto + 1, "{took} ms at a probe timeout of {pto}");
    lab.udp_works = true;
    lab.until(5_000, "the rest", |lab| lab.read(SERVER, stream, &mut at));
    assert_eq!(lab.silences(CLIENT), [1, 1]);
}

#[test]
fn a_reader_that_pauses_is_asked_for_credit_once() {
    let mut config = crate::EndpointConfig::default();
    // No larger packets are tried meanwhile.
    config.session.mtu = stt_wire::MIN_MTU;
    let (mut lab, mut at) = (Lab::with(config), 0);
    let stream = out_of_credit(&mut lab, &mut at);
    // Long enough for the delayed ACK of the last credit that came, and less than a round trip.
    lab.run(30);
    let before = lab.datagrams[CLIENT];
    lab.run(870);
    // The question and the ACK of its answer; and the answer to the server, which waits for data.
    assert_eq!(lab.datagrams[CLIENT] - before, 3);
    assert_eq!(lab.silences(CLIENT), [0, 0]);
    lab.until(5_000, "the rest", |lab| lab.read(SERVER, stream, &mut at));
}

#[test]
fn to_hear_the_peer_is_no_answer() {
    let mut lab = Lab::new();
    lab.connect_by_udp();
    let down = lab.write(SERVER, 2 << 20);
    let up = lab.write(CLIENT, 2 << 20);
    lab.run(60);
    // What the client sends is lost, what the server repeats comes.
    lab.udp_reaches[SERVER] = false;
    lab.until(1_000, "word of it", |lab| lab.silences(CLIENT) == [1, 0]);
    let heard = lab.udp_heard[CLIENT];
    lab.run(1_000);
    assert!(lab.udp_heard[CLIENT] > heard, "the server is heard");
    assert_eq!(lab.silences(CLIENT), [1, 0]);
    lab.udp_reaches[SERVER] = true;
    let (mut here, mut there) = (0, 0);
    lab.until(5_000, "all of it", |lab| {
        lab.read(CLIENT, down, &mut here);
        lab.read(SERVER, up, &mut there);
        (here, there) == (2 << 20, 2 << 20)
    });
    lab.run(50);
    assert_eq!(lab.silences(CLIENT), [1, 1]);
}

#[test]
fn a_socket_that_refuses_holds_no_move_to_a_connection_back() {
    let mut lab = Lab::new();
    lab.connect_by_udp();
    let stream = lab.write(CLIENT, 2 << 20);
    lab.run(20);
    lab.udp_refused[CLIENT] = Some(SendError::Permission(1));
    let told = |lab: &mut Lab| {
        let told = |event: &Event| matches!(event, Event::SendError { .. });
        lab.events[CLIENT].iter().any(told)
    };
    // On the way there are ACKs that draw more data.
    let took = lab.until(200, "word of it", told);
    assert!(took <= 20, "{took} ms");
    // By now half a second passes between two tries.
    lab.run(1_700);
    let path = lab.open(9, 100_000);
    lab.go(path);
    let took = lab.until(1_000, "the move", |lab| lab.moved(CLIENT) == 1);
    assert!(took <= 40, "{took} ms for one round trip of 32 ms");
    let mut at = 0;
    lab.until(1_000, "the rest", |lab| lab.read(SERVER, stream, &mut at));
    assert_eq!(lab.failure(CLIENT), None);
}

#[test]
fn refusals_end_no_session_that_looks_for_another_carrier() {
    let mut lab = Lab::new();
    lab.connect_by_udp();
    let stream = lab.write(CLIENT, 1 << 20);
    lab.closes_at_the_server();
    let took = lab.until(200, "word of it", |lab| lab.silences(CLIENT) == [1, 0]);
    assert!(took <= 30, "the first refusal says it: {took} ms");
    let (now, session) = (lab.now(), lab.sessions[CLIENT].unwrap());
    lab.ends[CLIENT].seek_path(now, session, true);
    lab.run(8_000);
    assert_eq!(lab.failure(CLIENT), None);
    let path = lab.open(9, 100_000);
    lab.go(path);
    let now = lab.now();
    lab.ends[CLIENT].seek_path(now, session, false);
    let mut at = 0;
    lab.until(1_000, "the rest", |lab| lab.read(SERVER, stream, &mut at));
    assert_eq!((lab.moved(CLIENT), lab.failure(CLIENT)), (1, None));
}

#[test]
fn refusals_end_a_session_once_it_has_looked_in_vain() {
    let mut lab = Lab::new();
    lab.connect_by_udp();
    let (now, session) = (lab.now(), lab.sessions[CLIENT].unwrap());
    lab.write(CLIENT, 1 << 20);
    lab.closes_at_the_server();
    lab.ends[CLIENT].seek_path(now, session, true);
    lab.run(5_000);
    assert_eq!(lab.failure(CLIENT), None);
    let now = lab.now();
    lab.ends[CLIENT].seek_path(now, session, false);
    lab.run(1);
    assert_eq!(lab.failure(CLIENT), Some(ErrorCode::SessionTimeout));
    // And for ever is no longer than silence lasts.
    let mut lab = Lab::new();
    lab.connect_by_udp();
    let (now, session) = (lab.now(), lab.sessions[CLIENT].unwrap());
    lab.closes_at_the_server();
    lab.ends[CLIENT].seek_path(now, session, true);
    let took = lab.until(40_000, "the end", |lab| lab.failure(CLIENT).is_some());
    assert!(took > 29_000, "{took} ms");
}

//! Packets that come by a connection and do not count: TCP below brings them, and the receiver drops them.

use super::lab::{CLIENT, Lab, SERVER};

/// A lab with a session on connection 7.
fn on_a_connection() -> Lab {
    let mut lab = Lab::new();
    let path = lab.open(7, 100_000);
    lab.connect(path);
    lab.until(1_000, "a handshake", |lab| lab.sessions[SERVER].is_some());
    lab.run(50);
    lab
}

#[test]
fn what_a_receiver_drops_goes_out_again_when_something_later_arrives() {
    for from in [CLIENT, SERVER] {
        let mut lab = on_a_connection();
        let pipe = lab.pipes.get_mut(&7).unwrap();
        let next = pipe.carried[from];
        pipe.dropped[from] = [next, next + 3, next + 4, next + 20].into();
        let took = lab.carry(from, 4 << 20, 3_000);
        assert!(took < 400, "{took} ms");
        let session = lab.sessions[from].unwrap();
        let stats = lab.ends[from].session_stats(session).unwrap();
        assert!(stats.packets_lost >= 4, "{} packets", stats.packets_lost);
        assert_eq!((stats.probe_timeouts, stats.congestion_events), (0, 0));
    }
}

#[test]
fn what_a_receiver_drops_at_the_end_goes_out_again_after_the_next_keep_alive() {
    for from in [CLIENT, SERVER] {
        let mut lab = on_a_connection();
        let stream = lab.write(from, 300_000);
        let pipe = lab.pipes.get_mut(&7).unwrap();
        // All that leaves now, up to FIN.
        pipe.dropped[from] = (pipe.carried[from]..pipe.carried[from] + 64).collect();
        lab.run(100);
        lab.pipes.get_mut(&7).unwrap().dropped[from].clear();
        let mut at = 0;
        let took = lab.until(3_000, "the rest", |lab| lab.read(1 - from, stream, &mut at));
        assert_eq!(at, 300_000);
        assert!(took < 1_100, "{took} ms");
    }
}

#[test]
fn a_verdict_that_is_dropped_comes_again() {
    let mut lab = Lab::new();
    let path = lab.open(7, 100_000);
    // CHALLENGE, then FINAL.
    lab.pipes.get_mut(&7).unwrap().dropped[SERVER] = [1].into();
    lab.connect(path);
    let connected = |lab: &mut Lab| {
        let connected = |event: &crate::Event| matches!(event, crate::Event::Connected { .. });
        lab.events[CLIENT].iter().any(connected)
    };
    let took = lab.until(5_000, "a session", connected);
    assert!(took < 1_300, "{took} ms");
    lab.carry(CLIENT, 100_000, 1_000);
}

//! Packets that reach a responder before the proof whose keys open them.

use std::time::Duration;

use stt_wire::FrameType;

use super::{CLIENT, DELAY, Roads, SERVER};
use crate::config::ConnectOptions;
use crate::path::PathAddress;

/// AUTH_PROOF is lost twice and the KEEP_ALIVE behind its second copy is not: the responder keeps that until the third
/// copy comes, a second later, and acknowledges it then.
#[test]
fn a_wait_for_the_proof_is_not_taken_for_the_round_trip() {
    let mut roads = Roads::new();
    roads.seen.clear();
    let (now, path) = (roads.now(), PathAddress::udp(roads.home[SERVER]));
    roads.sessions[CLIENT] =
        roads.ends[CLIENT].connect(now, path, ConnectOptions::default()).unwrap();
    let mut proofs = 0;
    for _ in 0..4_000 {
        roads.send();
        let (server, sent) = (roads.home[SERVER], roads.millis + DELAY);
        roads.flights.retain(|flight| {
            let fresh = flight.to == server && flight.at == sent;
            let is_proof = flight.bytes[1] == FrameType::AUTH_PROOF.0;
            proofs += u8::from(fresh && is_proof);
            // What goes with the third copy is lost, so that nothing newer is acknowledged with what was kept.
            !fresh || if is_proof { proofs == 3 } else { proofs < 3 }
        });
        roads.turn();
        if proofs == 3 && roads.session(CLIENT).is_established() {
            break;
        }
    }
    assert_eq!(proofs, 3);
    let smoothed = roads.session(CLIENT).stats().rtt;
    assert!(smoothed <= Duration::from_millis(4 * DELAY), "{smoothed:?}");
}

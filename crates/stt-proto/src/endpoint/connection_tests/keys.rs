//! Keys are updated while a session moves.

use super::lab::{CLIENT, Lab, SERVER};
use crate::config::{EndpointConfig, SessionConfig};
use crate::path::PathAddress;

/// How often each side's sending keys were replaced.
fn updates(lab: &Lab) -> [u64; 2] {
    [CLIENT, SERVER]
        .map(|side| lab.ends[side].session_stats(lab.sessions[side].unwrap()).unwrap().key_updates)
}

#[test]
fn keys_are_updated_in_the_middle_of_moves_and_nothing_is_lost() {
    let session = SessionConfig { key_update_packets: 30, ..SessionConfig::default() };
    for from in [CLIENT, SERVER] {
        let mut lab = Lab::with(EndpointConfig { session: session.clone(), ..Default::default() });
        lab.connect_by_udp();
        let stream = lab.write(from, 48 << 20);
        let (mut at, mut during, mut over) = (0, [0; 2], false);
        let mut id = 0;
        while !over {
            let (before, moved) = (updates(&lab), lab.moved(CLIENT));
            let path = if id % 2 == 0 {
                lab.open(id + 1, 66_000)
            } else {
                PathAddress::udp(lab.homes[SERVER])
            };
            id += 1;
            lab.go(path);
            // Packets of several keys are under way on both paths.
            lab.until(2_000, "a move", |lab| {
                over |= lab.read(1 - from, stream, &mut at);
                lab.moved(CLIENT) > moved
            });
            for (sum, (now, before)) in during.iter_mut().zip(updates(&lab).iter().zip(before)) {
                *sum += now - before;
            }
            // Not always as long after it.
            for _ in 0..20 + 7 * (id % 5) {
                over |= lab.read(1 - from, stream, &mut at);
                lab.turn();
            }
        }
        assert_eq!(at, 48 << 20);
        assert!(id >= 4, "{id} moves");
        assert!(during[from] >= 2, "{during:?} of {:?} updates while it moved", updates(&lab));
        assert_eq!([lab.failure(CLIENT), lab.failure(SERVER)], [None, None]);
        // And the keys still fit.
        for side in [CLIENT, SERVER] {
            lab.carry(side, 1 << 20, 5_000);
        }
    }
}

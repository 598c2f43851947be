//! What an idle session costs: connects many, counts the heap. Prints bytes a session and side.
#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on stops")]

use stt_crypto::{NodeSeed, SharedSeed};
use stt_proto::{
    ConnectOptions, Endpoint, EndpointConfig, Instant, ListenConfig, NetworkKeys, NodeIdentity,
    Now, PathAddress,
};

const SHARED: [u8; 32] = *b"\x8e\x11\x02\xc7\x5a\x93\xf4\x60\xb7\x2d\xe9\x14\x4f\xa8\x33\xdc\x01\x6b\x95\x7e\xf0\xc2\x48\x1a\xd6\x39\x87\xb4\x22\x5f\xeb\x70";
const SESSIONS: usize = 20_000;

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn endpoint(number: u8) -> Endpoint {
    let keys = NetworkKeys::new(&SharedSeed::new(&SHARED).unwrap());
    let seed = SHARED.map(|byte| byte.wrapping_mul(number | 1).wrapping_add(number));
    let identity = NodeIdentity::from_seed(&NodeSeed::new(&seed).unwrap());
    let config = EndpointConfig { max_sessions: SESSIONS, ..EndpointConfig::default() };
    Endpoint::new(config, identity, vec![keys], [number; 32])
}

fn main() {
    let mut ends = [endpoint(3), endpoint(5)];
    let listen = ListenConfig { max_sessions: SESSIONS, ..ListenConfig::default() };
    ends[1].set_listening(Some(listen));
    let addresses = [1, 2].map(|host| PathAddress::udp(([10, 0, 0, host], 7788).into()));
    let mut buffer = vec![0; 65_536];
    let (mut nanos, mut before) = (0, 0);
    for number in 0..SESSIONS {
        if number == SESSIONS / 10 {
            before = resident();
        }
        let now = Now { mono: Instant::from_nanos(nanos), unix_ms: 1_800_000_000_000 };
        ends[0].connect(now, addresses[1], ConnectOptions::default()).unwrap();
        loop {
            nanos += 10_000;
            let now = Now { mono: Instant::from_nanos(nanos), unix_ms: 1_800_000_000_000 };
            let mut quiet = true;
            for from in [0, 1] {
                ends[from].handle_timeout(now);
                while let Some(transmit) = ends[from].poll_transmit(now, 1, &mut buffer) {
                    quiet = false;
                    let datagram = &mut buffer[..transmit.len];
                    ends[1 - from].handle_datagram(now, addresses[from], None, datagram);
                }
                while ends[from].poll_event().is_some() {}
            }
            if quiet {
                break;
            }
        }
    }
    assert_eq!(ends[1].stats().sessions, SESSIONS as u64);
    let bytes = (resident() - before) / (2 * (SESSIONS - SESSIONS / 10));
    println!("{bytes} bytes a session and side");
}

//! How fast the core is without sockets: two endpoints in one thread, one stream, datagrams handed
//! over in memory. `cargo run -p stt-proto --release --example throughput [MIB] [UDP_PAYLOAD]`.
//!
//! Every byte is written, sealed, checked, opened, read and acknowledged in one thread, so a core
//! that only sends or only receives does about twice as well.
#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on stops")]

use std::time::{Duration, Instant as Clock};

use bytes::Bytes;
use stt_crypto::{NodeSeed, SharedSeed};
use stt_proto::{
    ConnectOptions, Endpoint, EndpointConfig, Event, Instant, ListenConfig, NetworkKeys,
    NodeIdentity, Now, PathAddress, ReadOutcome, SessionConfig, StreamOptions,
};

const SEEDS: [[u8; 32]; 3] = [
    *b"\x8e\x11\x02\xc7\x5a\x93\xf4\x60\xb7\x2d\xe9\x14\x4f\xa8\x33\xdc\x01\x6b\x95\x7e\xf0\xc2\x48\x1a\xd6\x39\x87\xb4\x22\x5f\xeb\x70",
    *b"\x39\xd2\x7b\x05\xc8\x64\xa1\xfe\x12\x97\x4d\xb3\x58\xe0\x26\x8f\xca\x71\x0b\xd5\x93\x3e\x6c\xa7\x41\xf9\x80\x1d\xb6\x54\xe2\x2b",
    *b"\x5d\x90\xe3\x2a\x17\xbc\x4f\x86\xf1\x08\xd9\x63\xa4\x7c\x35\xee\x42\x9b\x01\xc6\x58\xfd\x2f\x74\xba\x13\x8a\xe7\x60\xc5\x39\x0e",
];
const SEND_BUFFER: u64 = 4 << 20;

fn endpoint(seed: [u8; 32], mtu: usize) -> Endpoint {
    let keys = NetworkKeys::new(&SharedSeed::new(&SEEDS[0]).unwrap());
    let identity = NodeIdentity::from_seed(&NodeSeed::new(&seed).unwrap());
    let session = SessionConfig { mtu, ..SessionConfig::default() };
    let config = EndpointConfig { session, ..EndpointConfig::default() };
    Endpoint::new(config, identity, vec![keys], seed)
}

/// Moves all that one endpoint has to send to the other; the number of datagrams.
fn carry(
    now: Now,
    from: &mut Endpoint,
    to: &mut Endpoint,
    source: PathAddress,
    buffer: &mut [u8],
) -> u64 {
    let mut datagrams = 0;
    while let Some(transmit) = from.poll_transmit(now, 44, buffer) {
        let stride = transmit.segment_size.unwrap_or(transmit.len);
        datagrams += transmit.len.div_ceil(stride) as u64;
        to.handle_batch(now, source, None, &mut buffer[..transmit.len], stride);
    }
    datagrams
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>().unwrap());
    let total = arguments.next().unwrap_or(1024) << 20;
    let mtu = arguments.next().unwrap_or(1452) as usize;
    let (mut client, mut server) = (endpoint(SEEDS[1], mtu), endpoint(SEEDS[2], mtu));
    server.set_listening(Some(ListenConfig::default()));
    let [a, b] = [1, 2].map(|host| PathAddress::udp(([10, 0, 0, host], 7788).into()));
    let mut buffer = vec![0; 65_536];
    let mut nanos = 0_u64;
    let mut tick = || {
        // A fast network's round trip, so that timers and windows have something to work with.
        nanos += 20_000;
        Now { mono: Instant::from_nanos(nanos), unix_ms: 1_800_000_000_000 }
    };
    let mut now = tick();
    let session = client.connect(now, b, ConnectOptions::default()).unwrap();
    let chunk = Bytes::from(vec![0x5A; 64 * 1024]);
    let (mut stream, mut incoming) = (None, None);
    let (mut written, mut acked, mut read, mut datagrams) = (0_u64, 0_u64, 0_u64, 0_u64);
    let started = Clock::now();
    let mut established = started;
    while read < total {
        now = tick();
        for endpoint in [&mut client, &mut server] {
            if endpoint.poll_timeout().is_some_and(|at| at <= now.mono) {
                endpoint.handle_timeout(now);
            }
        }
        while let Some(event) = client.poll_event() {
            match event {
                Event::Connected { .. } => {
                    let options = StreamOptions::default();
                    stream = Some(client.open_stream(now, session, options).unwrap());
                    established = Clock::now();
                }
                Event::StreamReleased { acked: bytes, .. } => acked = bytes,
                Event::ConnectFailed { .. } | Event::SessionClosed { .. } => panic!("{event:?}"),
                _ => {}
            }
        }
        if let Some(stream) = stream {
            while written < total && written - acked < SEND_BUFFER {
                client.write(now, session, stream, chunk.clone()).unwrap();
                written += chunk.len() as u64;
            }
        }
        datagrams += carry(now, &mut client, &mut server, a, &mut buffer);
        while let Some(event) = server.poll_event() {
            match event {
                Event::StreamOpened { session, stream, .. } => incoming = Some((session, stream)),
                Event::SessionClosed { .. } => panic!("{event:?}"),
                _ => {}
            }
        }
        if let Some((session, stream)) = incoming {
            while let Ok(ReadOutcome::Chunk(bytes)) = server.read(session, stream, 256 * 1024) {
                read += bytes.len() as u64;
                server.consumed(now, session, stream, bytes.len() as u64);
            }
        }
        datagrams += carry(now, &mut server, &mut client, b, &mut buffer);
    }
    let took = established.elapsed().max(Duration::from_nanos(1)).as_secs_f64();
    let stats = client.session_stats(session).unwrap();
    println!(
        "{:.2} GB/s, {:.0} ns a datagram of {} bytes, {datagrams} datagrams, {} lost, window {} KiB",
        read as f64 / took / 1e9,
        took * 1e9 / datagrams as f64,
        stats.mtu,
        stats.packets_lost,
        stats.congestion_window >> 10,
    );
}

//! What each part of the core costs in instructions, for callgrind: `scripts/counts.mjs` runs this with collection
//! switched on inside one of the `counted_*` functions, for two numbers of MiB, and takes the difference, so that
//! what is paid once (a handshake, windows that grow) is not in it. Nothing here depends on time or chance.
//!
//! `counts parse|crypto|transfer MIB`; prints what the counts are to be divided by.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a measurement that cannot go on stops")]

use std::hint::black_box;

use bytes::Bytes;
use stt_crypto::{Aead, NodeSeed, OpenKey, OpenKeys, SealKey, SealKeys, SharedSeed};
use stt_proto::{
    ConnectOptions, Endpoint, EndpointConfig, Event, Instant, ListenConfig, NetworkKeys,
    NodeIdentity, Now, PathAddress, ReadOutcome, SessionConfig, SessionHandle, StreamId,
    StreamOptions,
};
use stt_wire::frame::{self, Frame, ack::write_ack};
use stt_wire::{AAD_LEN, BundleWriter, CRC32_LEN, FrameType, HEADER_LEN, Header, PathId, packet};

/// A UDP payload on an Ethernet path.
const MTU: usize = 1452;
const SEND_BUFFER: u64 = 4 << 20;
const SEED: [u8; 32] =
    *b"\x41\x8d\x36\xf2\x0c\xb7\x59\xe4\x93\x2a\xd0\x67\x1e\xfb\x85\x4c\x38\xa6\x71\xdd\x02\x9f\xc3\x54\x6b\xe8\x17\xb0\x2d\x96\xfa\x43";

fn main() {
    let mut arguments = std::env::args().skip(1);
    let part = arguments.next().unwrap_or_default();
    let bytes = arguments.next().map_or(8, |mib| mib.parse::<u64>().unwrap()) << 20;
    let packets = bytes / MTU as u64;
    match part.as_str() {
        "parse" => parse(packets),
        "crypto" => crypto(packets),
        "transfer" => transfer(bytes),
        other => panic!("no part {other:?}"),
    }
    println!(r#"{{"bytes":{bytes},"packets":{packets}}}"#);
}

/// The checks that need no keys, and the frames.
#[inline(never)]
fn counted_parse(bytes: &[u8]) -> usize {
    let outer = packet::parse_outer(bytes).unwrap();
    let header = Header::read(bytes.first_chunk().unwrap());
    let payload = &bytes[HEADER_LEN..HEADER_LEN + outer.payload_len];
    let frame = frame::parse(header.frame_type, header.flags, header.stream_id, payload).unwrap();
    let Frame::Bundle(bundle) = frame else { panic!("no bundle") };
    bundle
        .parts()
        .map(|part| match part.frame {
            Frame::Ack(ack) => ack.ranges().count(),
            Frame::Data(data) => data.bytes.len(),
            _ => 0,
        })
        .sum()
}

/// A packet of a session under way: acknowledgements of three ranges, credit, and as much data as has room.
fn packet_of_bundle() -> Vec<u8> {
    let mut packet = vec![0x5A; MTU];
    let payload_len = MTU - HEADER_LEN - CRC32_LEN;
    let mut bundle = BundleWriter::new(&mut packet[HEADER_LEN..MTU - CRC32_LEN]);
    let ranges = [9_000..=9_040, 8_990..=8_998, 8_000..=8_900];
    bundle.part(FrameType::ACK, 0, |out| write_ack(out, 25, ranges.into_iter(), None)).unwrap();
    bundle.part(FrameType::WINDOW, 8, |out| out.varint(1 << 30)).unwrap();
    bundle.data_part(4, |room| {
        // The offset comes first, as a variable-length integer of one byte.
        room[0] = 0;
        Some((room.len(), false, ()))
    });
    bundle.pad_to(payload_len);
    let header = Header::clear(FrameType::BUNDLE, PathId([7; 8]), payload_len as u16);
    header.write(packet.first_chunk_mut().unwrap());
    packet::seal_checksums(&mut packet);
    packet
}

fn parse(packets: u64) {
    let packet = packet_of_bundle();
    for _ in 0..packets {
        black_box(counted_parse(black_box(&packet)));
    }
}

#[inline(never)]
fn counted_seal(key: &SealKey, number: u64, aad: &[u8], body: &mut [u8]) {
    key.seal_in_place(number, aad, body);
}

#[inline(never)]
fn counted_open(key: &OpenKey, number: u64, aad: &[u8], body: &mut [u8]) -> usize {
    key.open_in_place(number, aad, body).unwrap()
}

fn crypto(packets: u64) {
    let (seal, open) = (
        SealKeys::from_secret(Aead::Aes256Gcm, &SEED),
        OpenKeys::from_secret(Aead::Aes256Gcm, &SEED),
    );
    let mut body = vec![0x5A; MTU - HEADER_LEN - CRC32_LEN];
    let aad = [7; AAD_LEN];
    for number in 0..packets {
        counted_seal(&seal.key, number, &aad, black_box(&mut body));
        black_box(counted_open(&open.key, number, &aad, &mut body));
    }
}

fn endpoint(first: u8) -> Endpoint {
    let keys = NetworkKeys::new(&SharedSeed::new(&SEED).unwrap());
    let mut seed = SEED;
    seed[0] = first;
    let identity = NodeIdentity::from_seed(&NodeSeed::new(&seed).unwrap());
    let session = SessionConfig { mtu: MTU, ..SessionConfig::default() };
    let config = EndpointConfig { session, ..EndpointConfig::default() };
    Endpoint::new(config, identity, vec![keys], seed)
}

/// Data: built, sealed, noted for recovery.
#[inline(never)]
fn counted_send(sender: &mut Endpoint, now: Now, buffer: &mut [u8]) -> Option<(usize, usize)> {
    let transmit = sender.poll_transmit(now, 44, buffer)?;
    Some((transmit.len, transmit.segment_size.unwrap_or(transmit.len)))
}

/// Data: checked, opened, put into its stream.
#[inline(never)]
fn counted_receive(
    receiver: &mut Endpoint,
    now: Now,
    from: PathAddress,
    batch: &mut [u8],
    stride: usize,
) {
    receiver.handle_batch(now, from, None, batch, stride);
}

/// What comes back: acknowledgements and credit, taken in.
#[inline(never)]
fn counted_ack(
    sender: &mut Endpoint,
    now: Now,
    from: PathAddress,
    batch: &mut [u8],
    stride: usize,
) {
    // Else the linker finds this to be the function above.
    black_box(());
    sender.handle_batch(now, from, None, batch, stride);
    black_box(1);
}

/// What the application takes.
#[inline(never)]
fn counted_read(
    receiver: &mut Endpoint,
    now: Now,
    (session, stream): (SessionHandle, StreamId),
) -> u64 {
    let mut read = 0;
    while let Ok(ReadOutcome::Chunk(bytes)) = receiver.read(session, stream, 256 * 1024) {
        read += bytes.len() as u64;
        receiver.consumed(now, session, stream, bytes.len() as u64);
    }
    read
}

fn transfer(total: u64) {
    let (mut client, mut server) = (endpoint(1), endpoint(2));
    server.set_listening(Some(ListenConfig::default()));
    let [a, b] = [1, 2].map(|host| PathAddress::udp(([10, 0, 0, host], 7788).into()));
    let mut buffer = vec![0; 65_536];
    let mut now = Now { mono: Instant::from_nanos(0), unix_ms: 1_800_000_000_000 };
    let session = client.connect(now, b, ConnectOptions::default()).unwrap();
    let chunk = Bytes::from(vec![0x5A; 64 * 1024]);
    let (mut stream, mut incoming) = (None, None);
    let (mut written, mut acked, mut read, mut nanos) = (0_u64, 0_u64, 0_u64, 0_u64);
    while read < total {
        // A fast network's round trip, so that timers and windows have something to work with.
        nanos += 20_000;
        now.mono = Instant::from_nanos(nanos);
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
        while let Some((len, stride)) = counted_send(&mut client, now, &mut buffer) {
            counted_receive(&mut server, now, a, &mut buffer[..len], stride);
        }
        while let Some(event) = server.poll_event() {
            match event {
                Event::StreamOpened { session, stream, .. } => incoming = Some((session, stream)),
                Event::SessionClosed { .. } => panic!("{event:?}"),
                _ => {}
            }
        }
        if let Some(incoming) = incoming {
            read += counted_read(&mut server, now, incoming);
        }
        while let Some(transmit) = server.poll_transmit(now, 44, &mut buffer) {
            let stride = transmit.segment_size.unwrap_or(transmit.len);
            counted_ack(&mut client, now, b, &mut buffer[..transmit.len], stride);
        }
    }
    assert_eq!(client.session_stats(session).unwrap().packets_lost, 0);
}

//! Two sides of a session joined without packets, keys or time: only what streams say to each other.

mod behaviour;
mod credit;
mod deadlines;
mod hostile;
mod random;
mod states;

use core::time::Duration;

use bytes::Bytes;
use stt_wire::{Bundle, BundleWriter, Frame};

use super::*;
use crate::recovery::content::Content;
use crate::time::Instant;

/// For tests in which time does not matter.
const NOW: Instant = Instant::from_nanos(0);

/// One packet on its way: its bytes, and what its sender remembers of it.
#[derive(Clone, Debug)]
struct Packet {
    bytes: Vec<u8>,
    contents: Vec<Content>,
}

/// Limits with windows that stay as they are.
fn limits(max_streams: u32, stream_window: u64, session_window: u64) -> LocalLimits {
    LocalLimits {
        max_bidi: max_streams,
        max_uni: max_streams,
        stream_window,
        session_window,
        max_stream_window: stream_window,
        max_session_window: session_window,
    }
}

fn joined(a: LocalLimits, b: LocalLimits) -> (Streams, Streams) {
    let told = |limits: LocalLimits| PeerLimits {
        max_bidi: limits.max_bidi,
        max_uni: limits.max_uni,
        stream_window: limits.stream_window,
        session_window: limits.session_window,
    };
    let (mut one, mut other) = (Streams::new(true, a), Streams::new(false, b));
    one.set_peer_limits(told(b));
    other.set_peer_limits(told(a));
    (one, other)
}

/// Two sides with the same limits; the session's window is four times a stream's.
fn pair(max_streams: u32, window: u64) -> (Streams, Streams) {
    let limits = limits(max_streams, window, 4 * window);
    joined(limits, limits)
}

/// The next packet of a side, with a payload of at most `size` bytes.
fn transmit(streams: &mut Streams, size: usize) -> Option<Packet> {
    let mut bytes = vec![0; size];
    let mut contents = Vec::new();
    let mut bundle = BundleWriter::new(&mut bytes);
    streams.write_control(&mut bundle, &mut contents);
    while let Some(stream) = streams.next_data() {
        let written = bundle.data_part(stream, |room| {
            let written = streams.write_data(room)?;
            assert_eq!(written.stream, stream, "the stream announced is the one that sends");
            Some((written.used, written.fin, written))
        });
        let Some(DataWritten { stream, start, len, fin, .. }) = written else { break };
        contents.push(Content::Data { stream, start, len, fin });
    }
    let len = bundle.len();
    assert_eq!(len == 0, contents.is_empty());
    bytes.truncate(len);
    (len > 0).then_some(Packet { bytes, contents })
}

fn deliver(streams: &mut Streams, packet: &Packet) -> Result<(), PeerFault> {
    for part in Bundle::parse(&packet.bytes).unwrap().parts() {
        let raw = part.stream_id;
        match part.frame {
            Frame::Data(data) => streams.handle_data(
                &mut Blocks::default(),
                raw,
                data.offset,
                data.bytes,
                data.fin,
            )?,
            Frame::StreamOpen(open) => streams.handle_open(raw, &open)?,
            Frame::Window { limit } => streams.handle_window(raw, limit)?,
            Frame::MaxStreams(max) => streams.handle_max_streams(&max)?,
            Frame::StreamClose(close) => {
                streams.handle_close(raw, close.code, close.final_offset)?;
            }
            Frame::StreamStop { code } => streams.handle_stop(raw, code)?,
            Frame::StreamSkip { offset } => {
                streams.handle_skip(&mut Blocks::default(), raw, offset)?
            }
            other => panic!("{other:?}"),
        }
    }
    Ok(())
}

fn acked(streams: &mut Streams, packet: &Packet) {
    packet.contents.iter().for_each(|content| streams.on_acked(content));
}

fn lost(streams: &mut Streams, packet: &Packet) {
    packet.contents.iter().for_each(|content| streams.on_lost(content));
}

/// Carries all that waits from one side to the other, and acknowledges it. Returns the packets.
fn carry(from: &mut Streams, to: &mut Streams) -> usize {
    let packets = core::iter::from_fn(|| {
        let packet = transmit(from, 1_200)?;
        deliver(to, &packet).unwrap();
        acked(from, &packet);
        Some(())
    });
    packets.count()
}

/// Carries everything both ways until neither side has anything to say.
fn settle(a: &mut Streams, b: &mut Streams) {
    while carry(a, b) + carry(b, a) > 0 {}
}

fn events(streams: &mut Streams) -> Vec<StreamEvent> {
    core::iter::from_fn(|| streams.poll_event()).collect()
}

fn consumed(streams: &mut Streams, id: StreamId, bytes: usize) {
    streams.consumed(Instant::default(), Some(Duration::from_millis(1)), id, bytes as u64);
}

/// Reads until nothing is left and gives the credit back: the bytes, and what ended them.
fn read_all(streams: &mut Streams, id: StreamId) -> (Vec<u8>, Result<ReadOutcome, ReadError>) {
    let mut bytes = Vec::new();
    loop {
        match streams.read(id, 700) {
            Ok(ReadOutcome::Chunk(chunk)) => {
                consumed(streams, id, chunk.len());
                bytes.extend_from_slice(&chunk);
            }
            end => return (bytes, end),
        }
    }
}

fn bidirectional() -> StreamOptions {
    StreamOptions::default()
}

fn unidirectional() -> StreamOptions {
    StreamOptions { direction: Direction::Unidirectional, ..StreamOptions::default() }
}

fn named(name: u32) -> StreamOptions {
    StreamOptions { name: Some(name), ..StreamOptions::default() }
}

fn text(bytes: &'static str) -> Bytes {
    Bytes::from_static(bytes.as_bytes())
}

/// The `ordinal`th bidirectional stream of the initiator.
fn theirs(ordinal: u32) -> StreamId {
    StreamId::new(true, Direction::Bidirectional, ordinal)
}

//! Two sides joined by a channel that reorders, loses and doubles.

use proptest::prelude::*;
use stt_wire::{BundleWriter, Frame, frame::StreamOpen};

use super::*;
use crate::recovery::Content;

/// One packet on its way: what it says and what it is remembered as.
struct Packet {
    bytes: Vec<u8>,
    contents: Vec<Content>,
}

fn streams(initiator: bool, limits: LocalLimits, peer: LocalLimits) -> Streams {
    let mut streams = Streams::new(initiator, limits);
    streams.set_peer_limits(PeerLimits {
        max_bidi: peer.max_bidi,
        max_uni: peer.max_uni,
        stream_window: peer.stream_window,
        session_window: peer.session_window,
    });
    streams
}

fn limits(max: u32, stream_window: u64) -> LocalLimits {
    LocalLimits { max_bidi: max, max_uni: max, stream_window, session_window: 2 * stream_window }
}

fn pair(max: u32, window: u64) -> (Streams, Streams) {
    let limits = limits(max, window);
    (streams(true, limits, limits), streams(false, limits, limits))
}

/// The next packet of a side, of at most `size` bytes.
fn transmit(streams: &mut Streams, size: usize) -> Option<Packet> {
    let mut bytes = vec![0; size];
    let mut contents = Vec::new();
    let mut bundle = BundleWriter::new(&mut bytes);
    streams.write_control(&mut bundle, &mut contents);
    while bundle.remaining() > 24 {
        let Some(stream) = streams.next_data() else { break };
        let written = bundle.data_part(stream, |room| {
            let written = streams.write_data(room)?;
            Some((written.used, written.fin, written))
        });
        let Some(DataWritten { stream, start, len, fin, .. }) = written else { break };
        contents.push(Content::Data { stream, start, len, fin });
    }
    let len = bundle.len();
    bytes.truncate(len);
    (len > 0).then_some(Packet { bytes, contents })
}

fn deliver(streams: &mut Streams, packet: &Packet) -> Result<(), PeerFault> {
    for part in stt_wire::Bundle::parse(&packet.bytes).unwrap().parts() {
        match part.frame {
            Frame::Data(data) => {
                streams.handle_data(part.stream_id, data.offset, data.bytes, data.fin)?
            }
            Frame::StreamOpen(open) => streams.handle_open(part.stream_id, &open)?,
            Frame::Window { limit } => streams.handle_window(part.stream_id, limit)?,
            Frame::MaxStreams(max) => streams.handle_max_streams(&max)?,
            Frame::StreamClose(close) => {
                streams.handle_close(part.stream_id, close.code, close.final_offset)?
            }
            Frame::StreamStop { code } => streams.handle_stop(part.stream_id, code)?,
            other => panic!("{other:?}"),
        }
    }
    Ok(())
}

/// Carries everything both ways, in order, until neither has anything to say.
fn settle(a: &mut Streams, b: &mut Streams) {
    loop {
        let mut moved = false;
        while let Some(packet) = transmit(a, 1_200) {
            deliver(b, &packet).unwrap();
            packet.contents.iter().for_each(|content| a.on_acked(content));
            moved = true;
        }
        while let Some(packet) = transmit(b, 1_200) {
            deliver(a, &packet).unwrap();
            packet.contents.iter().for_each(|content| b.on_acked(content));
            moved = true;
        }
        if !moved {
            return;
        }
    }
}

fn events(streams: &mut Streams) -> Vec<StreamEvent> {
    core::iter::from_fn(|| streams.poll_event()).collect()
}

/// Reads and gives credit until nothing is left; the bytes, and whether the end was read.
fn read_all(streams: &mut Streams, id: StreamId) -> (Vec<u8>, Option<ReadOutcome>) {
    let mut bytes = Vec::new();
    loop {
        match streams.read(id, 700) {
            Ok(ReadOutcome::Chunk(chunk)) => {
                streams.consumed(id, chunk.len() as u64);
                bytes.extend_from_slice(&chunk);
            }
            Ok(ReadOutcome::Blocked) => return (bytes, None),
            Ok(end) => return (bytes, Some(end)),
            Err(error) => panic!("{error}"),
        }
    }
}

fn named(name: Option<u32>) -> StreamOptions {
    StreamOptions { name, ..StreamOptions::default() }
}

#[test]
fn a_stream_carries_bytes_both_ways_and_is_forgotten() {
    let (mut a, mut b) = pair(4, 10_000);
    let id =
        a.open(StreamOptions { purpose: "greeting".into(), ..StreamOptions::default() }).unwrap();
    a.write(id, Bytes::from_static(b"hello")).unwrap();
    a.finish(id).unwrap();
    settle(&mut a, &mut b);
    assert!(
        matches!(&events(&mut b)[..], [StreamEvent::Opened { purpose, .. }, StreamEvent::Readable { .. }] if purpose == "greeting")
    );
    assert_eq!(read_all(&mut b, id), (b"hello".to_vec(), Some(ReadOutcome::Finished)));
    b.write(id, Bytes::from_static(b"world")).unwrap();
    b.finish(id).unwrap();
    settle(&mut a, &mut b);
    assert_eq!(read_all(&mut a, id), (b"world".to_vec(), Some(ReadOutcome::Finished)));
    assert!(events(&mut a).contains(&StreamEvent::Closed { stream: id }));
    assert!(events(&mut b).contains(&StreamEvent::Closed { stream: id }));
    assert!(a.streams.is_empty() && b.streams.is_empty());
    assert!(a.is_drained() && !a.has_unread());
}

#[test]
fn the_limit_holds_and_one_that_closes_makes_room() {
    let (mut a, mut b) = pair(1, 10_000);
    let id = a.open(StreamOptions::default()).unwrap();
    assert_eq!(
        a.open(StreamOptions::default()),
        Err(OpenError::TooManyStreams { limit: 1, local: false })
    );
    a.finish(id).unwrap();
    settle(&mut a, &mut b);
    assert_eq!(read_all(&mut b, id).1, Some(ReadOutcome::Finished));
    b.finish(id).unwrap();
    settle(&mut a, &mut b);
    assert!(
        events(&mut a).contains(&StreamEvent::Available { direction: Direction::Bidirectional })
    );
    a.open(StreamOptions::default()).unwrap();
}

#[test]
fn a_peer_past_its_limits_ends_the_session() {
    let (_, mut b) = pair(2, 1_000);
    let third = StreamId::new(2, true, Direction::Bidirectional);
    assert_eq!(
        b.handle_data(third.0, 0, b"x", false).unwrap_err().code,
        stt_wire::ErrorCode::TooManyStreams
    );
    let first = StreamId::new(0, true, Direction::Bidirectional);
    assert_eq!(
        b.handle_data(first.0, 1_000, b"x", false).unwrap_err().code,
        stt_wire::ErrorCode::FlowControlViolation
    );
    assert_eq!(b.handle_data(first.0, 0, b"xyz", true), Ok(()));
    assert_eq!(
        b.handle_data(first.0, 3, b"x", false).unwrap_err().code,
        stt_wire::ErrorCode::InvalidFrame
    );
    let ours = StreamId::new(0, false, Direction::Bidirectional);
    assert_eq!(
        b.handle_data(ours.0, 0, b"x", false).unwrap_err().code,
        stt_wire::ErrorCode::InvalidFrame
    );
    assert_eq!(
        b.handle_data(3, 0, b"x", false).unwrap_err().code,
        stt_wire::ErrorCode::InvalidFrame
    );
}

#[test]
fn session_credit_is_shared_by_all_streams() {
    let (mut a, mut b) = pair(8, 1_000);
    let ids: Vec<_> = (0..4).map(|_| a.open(StreamOptions::default()).unwrap()).collect();
    for id in &ids {
        a.write(*id, Bytes::from(vec![7; 900])).unwrap();
    }
    settle(&mut a, &mut b);
    assert_eq!(a.sent, 2_000);
    assert!(!a.wants_data());
    for id in &ids {
        read_all(&mut b, *id);
    }
    settle(&mut a, &mut b);
    assert_eq!(a.sent, 3_600);
}

#[test]
fn a_reset_discards_and_gives_its_credit_back() {
    let (mut a, mut b) = pair(4, 1_000);
    let id = a.open(StreamOptions::default()).unwrap();
    a.write(id, Bytes::from(vec![1; 600])).unwrap();
    settle(&mut a, &mut b);
    a.reset(id, 42).unwrap();
    settle(&mut a, &mut b);
    assert_eq!(read_all(&mut b, id), (vec![], Some(ReadOutcome::Reset(42))));
    assert_eq!(b.consumed, 600);
    assert_eq!(a.write(id, Bytes::from_static(b"x")), Err(WriteError::Closed));
}

#[test]
fn a_stop_is_answered_by_a_reset() {
    let (mut a, mut b) = pair(4, 1_000);
    let id = a.open(StreamOptions::default()).unwrap();
    a.write(id, Bytes::from(vec![1; 5_000])).unwrap();
    settle(&mut a, &mut b);
    b.stop(id, 9).unwrap();
    settle(&mut a, &mut b);
    assert!(events(&mut a).contains(&StreamEvent::Stopped { stream: id, code: 9 }));
    assert_eq!(a.undelivered(), 0);
    assert_eq!(b.consumed, 1_000, "what was never read counts as taken");
    a.stop(id, 0).unwrap();
    b.reset(id, 0).unwrap_or_default();
    settle(&mut a, &mut b);
    assert!(a.streams.is_empty() && b.streams.is_empty());
}

#[test]
fn a_reset_after_fin_and_every_byte_arrived_is_an_end() {
    let (mut a, mut b) = pair(4, 1_000);
    let id = a.open(StreamOptions::default()).unwrap();
    a.write(id, Bytes::from_static(b"all")).unwrap();
    a.finish(id).unwrap();
    while let Some(packet) = transmit(&mut a, 1_200) {
        // It arrives, but its ACK does not.
        deliver(&mut b, &packet).unwrap();
    }
    a.reset(id, 1).unwrap();
    settle(&mut a, &mut b);
    assert_eq!(read_all(&mut b, id), (b"all".to_vec(), Some(ReadOutcome::Finished)));
}

#[test]
fn names_conflict_on_both_sides_and_never_merge() {
    let (mut a, mut b) = pair(4, 1_000);
    let (ours, theirs) = (a.open(named(Some(7))).unwrap(), b.open(named(Some(7))).unwrap());
    assert_eq!(a.open(named(Some(7))), Err(OpenError::NameConflict));
    settle(&mut a, &mut b);
    for (streams, own) in [(&mut a, ours), (&mut b, theirs)] {
        let told = events(streams);
        assert!(told.contains(&StreamEvent::Reset { stream: own, code: 0x0303 }), "{told:?}");
        assert!(!told.iter().any(|event| matches!(event, StreamEvent::Opened { .. })), "{told:?}");
        assert_eq!(
            streams.open(named(Some(7))),
            Err(OpenError::NameConflict),
            "a name is used once"
        );
    }
}

#[test]
fn names_are_bounded() {
    let (mut a, _) = pair(5_000, 1_000);
    for name in 0..MAX_NAMES as u32 {
        a.open(named(Some(name))).unwrap();
    }
    let refused = a.open(named(Some(u32::MAX))).unwrap_err();
    assert_eq!(refused, OpenError::TooManyStreams { limit: MAX_NAMES as u64, local: true });
}

#[test]
fn data_before_its_open_waits_for_it() {
    let (mut a, mut b) = pair(4, 1_000);
    let id = a.open(StreamOptions::default()).unwrap();
    let open = transmit(&mut a, 1_200).unwrap();
    a.write(id, Bytes::from_static(b"early")).unwrap();
    let data = transmit(&mut a, 1_200).unwrap();
    deliver(&mut b, &data).unwrap();
    assert_eq!(events(&mut b), []);
    deliver(&mut b, &open).unwrap();
    assert!(matches!(
        events(&mut b)[..],
        [StreamEvent::Opened { .. }, StreamEvent::Readable { .. }]
    ));
    deliver(&mut b, &open).unwrap();
    assert_eq!(events(&mut b), [], "a copy says nothing new");
}

#[test]
fn what_arrived_before_the_end_of_the_session_stays_readable() {
    let (mut a, mut b) = pair(4, 1_000);
    let id = a.open(StreamOptions::default()).unwrap();
    a.write(id, Bytes::from_static(b"kept")).unwrap();
    settle(&mut a, &mut b);
    b.on_session_end();
    assert!(b.has_unread());
    assert_eq!(read_all(&mut b, id), (b"kept".to_vec(), None));
    assert!(!b.has_unread());
}

#[test]
fn many_small_stretches_out_of_order_are_no_way_to_cost_memory() {
    let (_, mut b) = pair(1, 1 << 20);
    let id = StreamId::new(0, true, Direction::Bidirectional);
    let fault =
        (0..500_000_u64).find_map(|index| b.handle_data(id.0, 2 * index + 1, b"x", false).err());
    assert_eq!(fault.unwrap().code, stt_wire::ErrorCode::InvalidFrame);
}

#[test]
fn an_urgent_stream_overtakes_a_bulk_one() {
    let (mut a, _) = pair(4, 1 << 20);
    let bulk = a.open(StreamOptions { priority: 7, ..StreamOptions::default() }).unwrap();
    a.write(bulk, Bytes::from(vec![0; 100_000])).unwrap();
    transmit(&mut a, 1_200).unwrap();
    let urgent = a.open(StreamOptions { priority: 0, ..StreamOptions::default() }).unwrap();
    a.write(urgent, Bytes::from_static(b"now")).unwrap();
    let packet = transmit(&mut a, 1_200).unwrap();
    let first = packet.contents.iter().find_map(|content| match content {
        Content::Data { stream, .. } => Some(*stream),
        _ => None,
    });
    assert_eq!(first, Some(urgent.0));
}

/// A frame that no stream of ours can be asked for.
#[test]
fn frames_for_halves_that_do_not_exist_are_malformed() {
    let (mut a, mut b) = pair(4, 1_000);
    let id = a
        .open(StreamOptions { direction: Direction::Unidirectional, ..StreamOptions::default() })
        .unwrap();
    settle(&mut a, &mut b);
    let invalid = PeerFault { code: stt_wire::ErrorCode::InvalidFrame, limit: None };
    assert_eq!(a.handle_data(id.0, 0, b"x", false), Err(invalid));
    assert_eq!(b.handle_window(id.0, 5), Err(invalid));
    assert_eq!(b.handle_stop(id.0, 5), Err(invalid));
    let open = StreamOpen {
        purpose: "",
        name: None,
        priority: 0,
        reliability: stt_wire::frame::Reliability::Reliable,
        initial_credit: 0,
    };
    assert_eq!(a.handle_open(id.0, &open), Err(invalid));
}

#[derive(Clone, Debug)]
struct Plan {
    sizes: Vec<usize>,
    window: u64,
    packet: usize,
    chances: Vec<u8>,
}

fn plan() -> impl Strategy<Value = Plan> {
    (
        prop::collection::vec(0_usize..6_000, 1..6),
        prop_oneof![Just(64_u64), Just(700), Just(5_000), Just(100_000)],
        60_usize..1_400,
        prop::collection::vec(any::<u8>(), 64..256),
    )
        .prop_map(|(sizes, window, packet, chances)| Plan { sizes, window, packet, chances })
}

proptest! {
    /// Whatever is lost, doubled and reordered, every byte arrives once, in order, with its end.
    #[test]
    fn every_byte_arrives_once_in_order(plan in plan()) {
        let (mut a, mut b) = pair(3, plan.window);
        let mut chances = plan.chances.iter().copied().cycle();
        let mut waiting: Vec<_> = plan.sizes.iter().rev().copied().collect();
        let mut expected = BTreeMap::new();
        let mut got: BTreeMap<StreamId, (Vec<u8>, bool)> = Default::default();
        let mut flying: Vec<(bool, Packet)> = Vec::new();
        for round in 0..200_000 {
            prop_assert!(round < 199_999, "it never ends");
            while let Some(size) = waiting.last().copied() {
                let Ok(id) = a.open(StreamOptions::default()) else { break };
                waiting.pop();
                let bytes: Vec<u8> = (0..size).map(|at| (at * 31 + id.0 as usize) as u8).collect();
                for chunk in bytes.chunks(977) {
                    a.write(id, Bytes::copy_from_slice(chunk)).unwrap();
                }
                a.finish(id).unwrap();
                expected.insert(id, bytes);
            }
            for (from_a, side) in [(true, &mut a), (false, &mut b)] {
                if let Some(packet) = transmit(side, plan.packet) {
                    flying.push((from_a, packet));
                }
            }
            if !flying.is_empty() {
                let chance = chances.next().unwrap();
                let (from_a, packet) = flying.remove(usize::from(chance) % flying.len());
                let (from, to) = if from_a { (&mut a, &mut b) } else { (&mut b, &mut a) };
                match chance % 5 {
                    0 => packet.contents.iter().for_each(|content| from.on_lost(content)),
                    1 => {
                        // Arrives, but counts as lost first: a spurious retransmission.
                        packet.contents.iter().for_each(|content| from.on_lost(content));
                        deliver(to, &packet).unwrap();
                        packet.contents.iter().for_each(|content| from.on_acked(content));
                    }
                    2 => {
                        deliver(to, &packet).unwrap();
                        deliver(to, &packet).unwrap();
                        packet.contents.iter().for_each(|content| from.on_acked(content));
                    }
                    _ => {
                        deliver(to, &packet).unwrap();
                        packet.contents.iter().for_each(|content| from.on_acked(content));
                    }
                }
            }
            for event in events(&mut b) {
                if let StreamEvent::Opened { stream, .. } = event {
                    got.insert(stream, (Vec::new(), false));
                }
            }
            for (id, (bytes, ended)) in got.iter_mut().filter(|(_, (_, ended))| !ended) {
                let (more, end) = read_all(&mut b, *id);
                bytes.extend(more);
                if let Some(end) = end {
                    prop_assert_eq!(end, ReadOutcome::Finished);
                    *ended = true;
                    b.finish(*id).unwrap();
                }
            }
            events(&mut a).into_iter().filter_map(|event| match event {
                StreamEvent::Readable { stream } => Some(stream),
                _ => None,
            }).for_each(|id| { let _ = read_all(&mut a, id); });
            let done = waiting.is_empty() && got.len() == expected.len() && got.values().all(|(_, ended)| *ended);
            if done && a.is_drained() {
                break;
            }
        }
        for (id, bytes) in expected {
            prop_assert_eq!(&got[&id].0, &bytes);
        }
    }
}

//! A peer that breaks the rules ends the session, and cannot make this side pay.

use stt_wire::ErrorCode;
use stt_wire::frame::{MaxStreams, Reliability, StreamKind, StreamOpen};

use super::*;

const OPEN: StreamOpen<'static> = StreamOpen {
    purpose: "",
    name: None,
    priority: 3,
    reliability: Reliability::Reliable,
    initial_credit: 0,
};

#[track_caller]
fn assert_fault(result: Result<(), PeerFault>, code: ErrorCode) {
    assert_eq!(result.map_err(|fault| fault.code), Err(code));
}

#[test]
fn more_streams_than_allowed() {
    let (_, mut b) = pair(2, 1_000);
    b.handle_open(theirs(2).as_u32(), &OPEN).unwrap();
    let fault = b.handle_open(theirs(3).as_u32(), &OPEN).unwrap_err();
    assert_eq!(fault, PeerFault { code: ErrorCode::TooManyStreams, limit: Some(2) });
    assert_fault(
        b.handle_data(&mut Blocks::default(), theirs(3).as_u32(), 0, b"x", false),
        ErrorCode::TooManyStreams,
    );
    assert_fault(b.handle_stop(!3, 0), ErrorCode::TooManyStreams);
}

#[test]
fn more_bytes_than_the_stream_may_have() {
    let (_, mut b) = pair(2, 1_000);
    let raw = theirs(1).as_u32();
    b.handle_data(&mut Blocks::default(), raw, 999, b"x", false).unwrap();
    let fault = b.handle_data(&mut Blocks::default(), raw, 1_000, b"x", false).unwrap_err();
    assert_eq!(fault, PeerFault { code: ErrorCode::FlowControlViolation, limit: Some(1_000) });
    let (_, mut b) = pair(2, 1_000);
    assert_fault(b.handle_close(raw, 0, 1_001), ErrorCode::FlowControlViolation);
    let (_, mut b) = pair(2, 1_000);
    let far = stt_wire::VarInt::MAX.get();
    assert_fault(
        b.handle_data(&mut Blocks::default(), raw, far - 1, b"x", false),
        ErrorCode::FlowControlViolation,
    );
}

#[test]
fn more_bytes_than_the_session_may_have() {
    let limits = limits(4, 1_000, 1_500);
    let (_, mut b) = joined(limits, limits);
    b.handle_data(&mut Blocks::default(), theirs(1).as_u32(), 999, b"x", false).unwrap();
    b.handle_data(&mut Blocks::default(), theirs(2).as_u32(), 499, b"x", false).unwrap();
    let fault =
        b.handle_data(&mut Blocks::default(), theirs(3).as_u32(), 0, b"x", false).unwrap_err();
    assert_eq!(fault, PeerFault { code: ErrorCode::FlowControlViolation, limit: Some(1_500) });
}

#[test]
fn a_final_size_that_changes() {
    let raw = theirs(1).as_u32();
    let fresh = || {
        let (_, mut b) = pair(2, 1_000);
        b.handle_data(&mut Blocks::default(), raw, 0, b"abc", false).unwrap();
        b.handle_data(&mut Blocks::default(), raw, 9, b"j", true).unwrap();
        b
    };
    assert_fault(
        fresh().handle_data(&mut Blocks::default(), raw, 10, b"k", false),
        ErrorCode::InvalidFrame,
    );
    assert_fault(
        fresh().handle_data(&mut Blocks::default(), raw, 0, b"abc", true),
        ErrorCode::InvalidFrame,
    );
    assert_fault(fresh().handle_close(raw, 0, 9), ErrorCode::InvalidFrame);
    assert_fault(fresh().handle_close(raw, 0, 11), ErrorCode::InvalidFrame);
    fresh().handle_close(raw, 0, 10).unwrap();
}

#[test]
fn frames_for_halves_and_streams_that_do_not_exist() {
    let (mut a, mut b) = pair(4, 1_000);
    let id = a.open(unidirectional()).unwrap().as_u32();
    settle(&mut a, &mut b);
    assert_fault(
        a.handle_data(&mut Blocks::default(), id, 0, b"x", false),
        ErrorCode::InvalidFrame,
    );
    assert_fault(a.handle_close(id, 0, 0), ErrorCode::InvalidFrame);
    assert_fault(a.handle_open(id, &OPEN), ErrorCode::InvalidFrame);
    assert_fault(b.handle_window(id, 5), ErrorCode::InvalidFrame);
    assert_fault(b.handle_stop(id, 5), ErrorCode::InvalidFrame);
    let never = theirs(1).as_u32();
    assert_fault(
        a.handle_data(&mut Blocks::default(), never, 0, b"x", false),
        ErrorCode::InvalidFrame,
    );
    assert_fault(a.handle_window(never, 1), ErrorCode::InvalidFrame);
    assert_fault(a.handle_open(never, &OPEN), ErrorCode::InvalidFrame);
    for raw in 1..4 {
        assert_fault(
            b.handle_data(&mut Blocks::default(), raw, 0, b"x", false),
            ErrorCode::InvalidFrame,
        );
        assert_fault(b.handle_window(raw, 1), ErrorCode::InvalidFrame);
    }
}

#[test]
fn bytes_in_a_thousand_pieces() {
    let limits = limits(8, 1 << 20, 2 << 20);
    let (_, mut b) = joined(limits, limits);
    let fault = (0..500_000).find_map(|index| {
        let raw = theirs(1 + index % 4).as_u32();
        b.handle_data(&mut Blocks::default(), raw, u64::from(2 * (index / 4) + 1), b"x", false)
            .err()
    });
    assert_eq!(fault.map(|fault| fault.code), Some(ErrorCode::InvalidFrame));
    assert!(b.runs <= (2 << 20) / WINDOW_PER_RUN + 1);
}

#[test]
fn names_without_end_are_refused_one_by_one() {
    let (_, mut b) = pair(5_000, 1_000);
    for ordinal in 1..=4_097 {
        let open = StreamOpen { name: Some(ordinal), ..OPEN };
        b.handle_open(theirs(ordinal).as_u32(), &open).unwrap();
    }
    assert_eq!(events(&mut b).len(), 4_096);
    let mut contents = Vec::new();
    let mut bytes = [0; 1_200];
    b.write_control(&mut BundleWriter::new(&mut bytes), &mut contents);
    let stream = theirs(4_097).as_u32();
    assert_eq!(contents, [Content::StreamClose { stream }, Content::StreamStop { stream }]);
}

#[test]
fn a_name_that_the_peer_uses_twice_keeps_its_first_stream() {
    let (_, mut b) = pair(4, 1_000);
    let open = StreamOpen { name: Some(7), ..OPEN };
    b.handle_open(theirs(1).as_u32(), &open).unwrap();
    b.handle_open(theirs(2).as_u32(), &open).unwrap();
    let told = events(&mut b);
    assert!(matches!(told[..], [StreamEvent::Opened { stream, .. }] if stream == theirs(1)));
    b.write(NOW, theirs(1), text("fine")).unwrap();
}

#[test]
fn limits_of_the_peer_beyond_all_numbers() {
    let (mut a, mut b) = pair(4, 1_000);
    let id = a.open(bidirectional()).unwrap();
    settle(&mut a, &mut b);
    let most = stt_wire::VarInt::MAX.get();
    for limit in [most, 0, most] {
        a.handle_window(0, limit).unwrap();
        a.handle_window(id.as_u32(), limit).unwrap();
        for kind in [StreamKind::Bidirectional, StreamKind::Unidirectional] {
            a.handle_max_streams(&MaxStreams { kind, limit }).unwrap();
        }
    }
    a.write(NOW, id, vec![0; 100_000].into()).unwrap();
    while transmit(&mut a, 1_200).is_some() {}
    assert_eq!(a.undelivered(), 100_000);
}

/// What the streams of a side keep in memory for bytes that have come.
fn memory(streams: &Streams) -> usize {
    let halves = streams.table.values().filter_map(|stream| stream.recv.as_ref());
    halves.map(|recv| recv.memory()).sum()
}

/// Writes to each of these streams and carries all of it over, which is read if `is_read`.
fn feed(sides: &mut [Streams; 2], ids: &[StreamId], bytes: usize, is_read: bool) {
    for id in ids {
        let [from, to] = sides;
        from.write(NOW, *id, vec![7; bytes].into()).unwrap();
        settle(from, to);
        events(to);
        if is_read {
            assert_eq!(read_all(to, *id).0.len(), bytes);
            settle(to, from);
        }
    }
}

#[test]
fn a_byte_on_each_of_a_thousand_streams_takes_little_memory() {
    const WINDOW: usize = 2 << 20;
    const STREAMS: usize = 1_000;
    for before in [0, 600, 6_000, 40_000, 100_000] {
        let limits = limits(STREAMS as u32, WINDOW as u64, WINDOW as u64);
        let (from, to) = joined(limits, limits);
        let mut sides = [from, to];
        let ids: Vec<StreamId> =
            (0..STREAMS).map(|_| sides[0].open(unidirectional()).unwrap()).collect();
        feed(&mut sides, &ids, before, true);
        // All was read: a few large blocks stay with those that may need them again.
        let idle = memory(&sides[1]);
        assert!(idle <= WINDOW / 2 + BLOCK + STREAMS * 4_096, "{before}: {idle} bytes at rest");
        feed(&mut sides, &ids, 1, false);
        let held = memory(&sides[1]);
        assert!(held <= WINDOW + STREAMS * (1 + 4_096), "{before}: {held} bytes for {STREAMS}");
        let large = |streams: &Streams| {
            let halves = streams.table.values().filter_map(|stream| stream.recv.as_ref());
            halves.filter(|recv| recv.has_large_tail()).count() as u64
        };
        assert_eq!(sides[1].large_tails, large(&sides[1]));
        // Streams that end give it all back.
        for id in &ids {
            sides[0].finish(*id).unwrap();
        }
        let [from, to] = &mut sides;
        settle(from, to);
        ids.iter().for_each(|id| assert_eq!(read_all(to, *id).0, [7]));
        assert_eq!((to.large_tails, memory(to)), (0, 0));
    }
}

#[test]
fn a_skip_does_not_hold_a_block_for_what_it_leaves() {
    let limits = limits(10, 1 << 20, 1 << 20);
    let (mut from, mut to) = joined(limits, limits);
    let deadline = Some(Duration::from_millis(10));
    let id = from.open(StreamOptions { deadline, ..unidirectional() }).unwrap();
    settle(&mut from, &mut to);
    let mut blocks = Blocks::new(8 * BLOCK);
    let raw = id.as_u32();
    let all = vec![7; BLOCK];
    to.handle_data(&mut blocks, raw, 0, &all, false).unwrap();
    to.handle_data(&mut blocks, raw, BLOCK as u64, &all[..100], false).unwrap();
    // One byte of the first block remains to be read.
    to.handle_skip(&mut blocks, raw, BLOCK as u64 - 1).unwrap();
    let made = blocks.made();
    drop(blocks.take());
    assert_eq!(blocks.made(), made, "the block is free for others");
    let skipped = ReadOutcome::Skipped { offset: 0, len: BLOCK as u64 - 1 };
    assert_eq!(to.read(id, 1_000), Ok(skipped));
    assert_eq!(read_all(&mut to, id).0, vec![7; 101]);
}

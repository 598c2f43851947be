//! Deadline streams: what is too old is given up on both sides, and the reader knows exactly what.

use std::collections::BTreeMap;

use proptest::prelude::*;
use stt_wire::ErrorCode;
use stt_wire::frame::{Reliability, StreamOpen};

use super::*;

const AGE: Duration = Duration::from_millis(100);

fn ms(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

/// A moment at which everything written at `at` is surely too old.
fn late(at: u64) -> Instant {
    ms(at + 104)
}

fn deadline(direction: Direction) -> StreamOptions {
    StreamOptions { direction, deadline: Some(AGE), ..StreamOptions::default() }
}

/// Two sides with a deadline stream that both know.
fn opened(window: u64) -> (Streams, Streams, StreamId) {
    let (mut a, mut b) = pair(4, window);
    let id = a.open(deadline(Direction::Bidirectional)).unwrap();
    settle(&mut a, &mut b);
    let told = events(&mut b);
    let age = told.iter().find_map(|event| match event {
        StreamEvent::Opened { deadline, .. } => *deadline,
        _ => None,
    });
    assert_eq!(age, Some(AGE), "{told:?}");
    (a, b, id)
}

fn write(streams: &mut Streams, at: u64, id: StreamId, len: usize, fill: u8) {
    streams.write(ms(at), id, vec![fill; len].into()).unwrap();
}

fn skipped(offset: u64, len: u64) -> Result<ReadOutcome, ReadError> {
    Ok(ReadOutcome::Skipped { offset, len })
}

fn chunk(len: usize, fill: u8) -> Result<ReadOutcome, ReadError> {
    Ok(ReadOutcome::Chunk(vec![fill; len].into()))
}

#[test]
fn what_arrives_in_time_has_no_gap() {
    let (mut a, mut b, id) = opened(1_000);
    write(&mut a, 0, id, 300, 1);
    settle(&mut a, &mut b);
    assert_eq!(a.next_expiry(), None, "what was acknowledged needs no timer");
    a.expire(late(0));
    write(&mut a, 200, id, 200, 1);
    a.finish(id).unwrap();
    settle(&mut a, &mut b);
    let (bytes, end) = read_all(&mut b, id);
    assert_eq!((bytes, end), (vec![1; 500], Ok(ReadOutcome::Finished)));
    assert_eq!((a.skip_counts().given_up, b.skip_counts().skipped), (0, 0));
}

#[test]
fn lost_and_too_old_is_a_gap_and_the_rest_arrives() {
    let (mut a, mut b, id) = opened(1_000);
    write(&mut a, 0, id, 100, 1);
    settle(&mut a, &mut b);
    assert_eq!(b.read(id, 999), chunk(100, 1));
    write(&mut a, 10, id, 150, 2);
    let gone = transmit(&mut a, 1_200).unwrap();
    write(&mut a, 90, id, 50, 3);
    a.finish(id).unwrap();
    assert!(a.next_expiry().is_some_and(|at| at >= ms(110) && at < late(10)));
    a.expire(ms(109));
    assert_eq!(a.skip_counts().given_up, 0, "not a moment too early");
    a.expire(late(10));
    assert_eq!(a.skip_counts().given_up, 150);
    settle(&mut a, &mut b);
    lost(&mut a, &gone);
    assert_eq!(carry(&mut a, &mut b), 0, "what was given up is not sent again");
    assert_eq!(b.read(id, 999), skipped(100, 150));
    assert_eq!(b.read(id, 999), chunk(50, 3));
    assert_eq!(b.read(id, 999), Ok(ReadOutcome::Finished));
    assert_eq!((b.skip_counts().skipped, a.undelivered()), (150, 0));
    assert!(deliver(&mut b, &gone).is_ok(), "late bytes of a gap change nothing");
}

#[test]
fn what_came_and_was_not_read_is_dropped_too() {
    let (mut a, mut b, id) = opened(1_000);
    write(&mut a, 0, id, 100, 1);
    let first = transmit(&mut a, 1_200).unwrap();
    deliver(&mut b, &first).unwrap();
    write(&mut a, 0, id, 100, 1);
    let _second = transmit(&mut a, 1_200).unwrap();
    a.expire(late(0));
    settle(&mut a, &mut b);
    assert_eq!(b.read(id, 999), skipped(0, 200));
    assert_eq!(b.read(id, 999), Ok(ReadOutcome::Blocked));
}

#[test]
fn gaps_that_nobody_read_between_are_one() {
    let (mut a, mut b, id) = opened(1_000);
    for at in [0, 200, 400] {
        write(&mut a, at, id, 100, 1);
        let _lost = transmit(&mut a, 1_200).unwrap();
        a.expire(late(at));
        settle(&mut a, &mut b);
    }
    assert_eq!(b.read(id, 999), skipped(0, 300));
    assert_eq!(b.read(id, 999), Ok(ReadOutcome::Blocked));
}

#[test]
fn a_lost_skip_is_sent_again_and_the_end_waits_for_it() {
    let (mut a, mut b, id) = opened(1_000);
    write(&mut a, 0, id, 100, 1);
    let _gone = transmit(&mut a, 1_200).unwrap();
    a.expire(late(0));
    a.finish(id).unwrap();
    let control = transmit(&mut a, 1_200).unwrap();
    let fin =
        control.contents.iter().any(|content| matches!(content, Content::Data { fin: true, .. }));
    assert!(fin, "{:?}", control.contents);
    // The packet is lost; then FIN alone is acknowledged.
    lost(&mut a, &control);
    let again = transmit(&mut a, 1_200).unwrap();
    for content in &again.contents {
        if matches!(content, Content::Data { .. }) {
            a.on_acked(content);
        }
    }
    assert!(
        !a.is_drained() && a.table.contains_key(&id.as_u32()),
        "the peer may not know of the gap"
    );
    deliver(&mut b, &again).unwrap();
    acked(&mut a, &again);
    assert!(a.is_drained());
    assert_eq!(b.read(id, 999), skipped(0, 100));
    assert_eq!(b.read(id, 999), Ok(ReadOutcome::Finished));
}

#[test]
fn bytes_never_sent_are_given_up_as_far_as_credit_goes() {
    let (mut a, mut b, id) = opened(1_000);
    // The reader does not read: 1000 bytes are out, 5000 wait.
    write(&mut a, 0, id, 6_000, 1);
    settle(&mut a, &mut b);
    assert_eq!(a.undelivered(), 5_000);
    a.expire(late(0));
    assert_eq!((a.skip_counts().given_up, a.undelivered()), (5_000, 0), "their memory is free");
    write(&mut a, 150, id, 10, 2);
    a.finish(id).unwrap();
    // Each skip is within credit, frees what it skipped, and so brings credit for the next.
    settle(&mut a, &mut b);
    assert_eq!(b.read(id, 9_999), skipped(0, 6_000));
    assert_eq!(b.read(id, 9_999), chunk(10, 2));
    consumed(&mut b, id, 10);
    assert_eq!(b.read(id, 9_999), Ok(ReadOutcome::Finished));
    assert_eq!(b.recv_credit.received(), 6_010);
    assert_eq!(b.recv_credit.consumed(), 6_010);
}

#[test]
fn a_skip_waits_for_credit_of_the_session_that_another_stream_holds() {
    let limits = limits(4, 1_000, 1_000);
    let (mut a, mut b) = joined(limits, limits);
    let hog = a.open(unidirectional()).unwrap();
    a.write(NOW, hog, vec![0; 1_000].into()).unwrap();
    settle(&mut a, &mut b);
    let id = a.open(deadline(Direction::Unidirectional)).unwrap();
    write(&mut a, 0, id, 400, 1);
    settle(&mut a, &mut b);
    a.expire(late(0));
    write(&mut a, 150, id, 5, 2);
    settle(&mut a, &mut b);
    assert_eq!(b.read(id, 999), Ok(ReadOutcome::Blocked), "no credit to say it");
    assert_eq!(read_all(&mut b, hog).0.len(), 1_000);
    settle(&mut a, &mut b);
    assert_eq!(b.read(id, 999), skipped(0, 400));
    assert_eq!(b.read(id, 999), chunk(5, 2));
}

#[test]
fn the_acceptor_gives_up_as_well() {
    let (mut a, mut b, id) = opened(1_000);
    write(&mut b, 0, id, 70, 9);
    let _gone = transmit(&mut b, 1_200).unwrap();
    b.expire(late(0));
    settle(&mut a, &mut b);
    assert_eq!(a.read(id, 99), skipped(0, 70));
}

#[test]
fn resets_and_stops_end_a_stream_that_skips() {
    for stops in [false, true] {
        let (mut a, mut b, id) = opened(1_000);
        write(&mut a, 0, id, 3_000, 1);
        let _gone = transmit(&mut a, 1_200).unwrap();
        a.expire(late(0));
        let _skip_lost = transmit(&mut a, 1_200);
        if stops {
            b.stop(id, 5).unwrap();
        } else {
            a.reset(id, 5).unwrap();
        }
        assert!(stops || a.next_expiry().is_none());
        settle(&mut a, &mut b);
        a.stop(id, 0).unwrap();
        settle(&mut a, &mut b);
        events(&mut a);
        assert!(a.table.is_empty(), "{:?}", a.table);
        assert!(b.table.is_empty(), "{:?}", b.table);
        assert!(a.skips.expiries.is_empty() && a.skips.blocked.is_empty());
        assert_eq!(b.recv_credit.consumed(), b.recv_credit.received());
    }
}

#[test]
fn a_hostile_skip_ends_the_session_or_changes_nothing() {
    let fault = |result: Result<(), PeerFault>| result.map_err(|fault| fault.code);
    let raw = theirs(1).as_u32();
    let open = |reliability| StreamOpen {
        purpose: "",
        name: None,
        priority: 3,
        reliability,
        initial_credit: 0,
    };
    let timed = open(Reliability::Deadline { milliseconds: 1 });
    // On a reliable stream, whichever comes first.
    let (_, mut b) = pair(4, 1_000);
    b.handle_open(raw, &open(Reliability::Reliable)).unwrap();
    assert_eq!(fault(b.handle_skip(&mut Blocks::default(), raw, 1)), Err(ErrorCode::InvalidFrame));
    let (_, mut b) = pair(4, 1_000);
    b.handle_skip(&mut Blocks::default(), raw, 1).unwrap();
    let late = b.handle_open(raw, &open(Reliability::Reliable));
    assert_eq!(fault(late), Err(ErrorCode::InvalidFrame));
    // On a stream of ours that is reliable, and on a half that does not receive.
    let (mut a, mut b) = pair(4, 1_000);
    let own = b.open(bidirectional()).unwrap();
    assert_eq!(
        fault(b.handle_skip(&mut Blocks::default(), own.as_u32(), 1)),
        Err(ErrorCode::InvalidFrame)
    );
    let one_way = a.open(unidirectional()).unwrap();
    assert_eq!(
        fault(a.handle_skip(&mut Blocks::default(), one_way.as_u32(), 1)),
        Err(ErrorCode::InvalidFrame)
    );
    // Beyond credit, and beyond the end.
    let (_, mut b) = pair(4, 1_000);
    b.handle_open(raw, &timed).unwrap();
    b.handle_skip(&mut Blocks::default(), raw, 1_000).unwrap();
    assert_eq!(
        fault(b.handle_skip(&mut Blocks::default(), raw, 2_001)),
        Err(ErrorCode::FlowControlViolation)
    );
    let (_, mut b) = pair(4, 1_000);
    b.handle_open(raw, &timed).unwrap();
    b.handle_data(&mut Blocks::default(), raw, 0, b"abc", true).unwrap();
    assert_eq!(fault(b.handle_skip(&mut Blocks::default(), raw, 4)), Err(ErrorCode::InvalidFrame));
    // Backwards, twice, and after the end.
    let (_, mut b) = pair(4, 1_000);
    b.handle_open(raw, &timed).unwrap();
    for offset in [10, 5, 10, 0] {
        b.handle_skip(&mut Blocks::default(), raw, offset).unwrap();
    }
    let id = theirs(1);
    assert_eq!(b.read(id, 9), skipped(0, 10));
    b.handle_data(&mut Blocks::default(), raw, 10, b"", true).unwrap();
    assert_eq!(b.read(id, 9), Ok(ReadOutcome::Finished));
    b.handle_skip(&mut Blocks::default(), raw, 3).unwrap();
}

/// What a model knows of one direction of a stream.
#[derive(Default, Debug)]
struct Model {
    /// When each byte was written.
    written: Vec<u64>,
    /// Where the reader is.
    read: u64,
    finished: bool,
}

/// The byte at an offset.
fn byte(id: StreamId, side: usize, at: usize) -> u8 {
    (at * 31 + at / 251 + id.as_u32() as usize * 7 + side * 13) as u8
}

struct Run {
    sides: [Streams; 2],
    flying: Vec<(usize, Packet)>,
    known: [Vec<StreamId>; 2],
    /// By stream and sender.
    models: BTreeMap<(StreamId, usize), Model>,
    unconsumed: [Vec<(StreamId, usize)>; 2],
    now: u64,
}

impl Run {
    fn new(window: u64, session: u64) -> Self {
        let limits = limits(3, window, session);
        let (a, b) = joined(limits, limits);
        Self {
            sides: [a, b],
            flying: Vec::new(),
            known: Default::default(),
            models: BTreeMap::new(),
            unconsumed: Default::default(),
            now: 0,
        }
    }

    fn listen(&mut self, side: usize) {
        for event in events(&mut self.sides[side]) {
            if let StreamEvent::Opened { stream, .. } = event {
                self.known[side].push(stream);
            }
        }
    }

    fn model(&mut self, id: StreamId, sender: usize) -> &mut Model {
        self.models.entry((id, sender)).or_default()
    }

    fn write(&mut self, side: usize, id: StreamId, len: usize) {
        let now = self.now;
        let start = self.model(id, side).written.len();
        let bytes: Vec<u8> = (start..start + len).map(|at| byte(id, side, at)).collect();
        if self.sides[side].write(ms(now), id, bytes.into()).is_ok() {
            self.model(id, side).written.extend(core::iter::repeat_n(now, len));
        }
    }

    /// Reads once. False when there was nothing.
    fn read(&mut self, side: usize, id: StreamId) -> bool {
        let Ok(outcome) = self.sides[side].read(id, 300) else { return false };
        let now = self.now;
        let model = self.model(id, 1 - side);
        let at = model.read as usize;
        match outcome {
            ReadOutcome::Chunk(chunk) => {
                model.read += chunk.len() as u64;
                for (index, value) in chunk.iter().enumerate() {
                    assert_eq!(*value, byte(id, 1 - side, at + index), "{id:?} at {}", at + index);
                }
                assert!(model.read <= model.written.len() as u64);
                self.unconsumed[side].push((id, chunk.len()));
            }
            ReadOutcome::Skipped { offset, len } => {
                assert_eq!(offset, model.read, "a gap begins where reading stopped");
                assert!(len > 0);
                model.read += len;
                let old = |written: &u64| now >= written + AGE.as_millis() as u64;
                assert!(model.written[at..model.read as usize].iter().all(old), "too early");
            }
            ReadOutcome::Finished => {
                assert_eq!(
                    model.read,
                    model.written.len() as u64,
                    "every byte came, or is in a gap"
                );
                model.finished = true;
                return false;
            }
            ReadOutcome::Blocked | ReadOutcome::Reset(_) => return false,
        }
        true
    }

    fn consume(&mut self, side: usize) {
        for (id, len) in core::mem::take(&mut self.unconsumed[side]) {
            consumed(&mut self.sides[side], id, len);
        }
    }

    fn fly(&mut self, chance: u8, loses: bool) {
        if self.flying.is_empty() {
            return;
        }
        let (from, packet) = self.flying.remove(usize::from(chance) % self.flying.len());
        let [one, other] = &mut self.sides;
        let (from, to) = if from == 0 { (one, other) } else { (other, one) };
        match chance % 5 {
            0 if loses => lost(from, &packet),
            1 if loses => {
                deliver(to, &packet).unwrap();
                lost(from, &packet);
            }
            2 => {
                lost(from, &packet);
                deliver(to, &packet).unwrap();
                acked(from, &packet);
            }
            _ => {
                deliver(to, &packet).unwrap();
                acked(from, &packet);
            }
        }
    }

    fn step(&mut self, side: usize, what: u8, chance: u8) {
        self.listen(side);
        let pick = usize::from(chance) % self.known[side].len().max(1);
        let id = self.known[side].get(pick).copied();
        match (what, id) {
            (0, _) => {
                let direction = Direction::BOTH[usize::from(chance % 2)];
                let age = (!chance.is_multiple_of(3)).then_some(AGE);
                let options =
                    StreamOptions { direction, deadline: age, ..StreamOptions::default() };
                self.known[side].extend(self.sides[side].open(options).ok());
            }
            (1 | 2, Some(id)) => self.write(side, id, usize::from(chance) * 5 + 1),
            (3, Some(id)) => drop(self.sides[side].finish(id)),
            (4, Some(id)) if chance.is_multiple_of(4) => drop(self.sides[side].reset(id, 1)),
            (5, Some(id)) if chance.is_multiple_of(4) => drop(self.sides[side].stop(id, 2)),
            (6, Some(id)) => while self.read(side, id) {},
            (7, _) => self.consume(side),
            (8, _) => {
                self.now += u64::from(chance) / 2;
                for streams in &mut self.sides {
                    streams.expire(ms(self.now));
                }
            }
            _ => {}
        }
        if let Some(packet) = transmit(&mut self.sides[side], 60 + usize::from(chance) * 3) {
            self.flying.push((side, packet));
        }
        if chance % 2 == 1 {
            self.fly(chance, true);
        }
    }

    /// Both sides end what they have, and everything arrives.
    fn end(&mut self) {
        for round in 0..60_000 {
            if self.sides.iter().all(|side| side.table.is_empty()) && self.flying.is_empty() {
                // What was read of streams that were over before this began.
                for side in [0, 1] {
                    self.consume(side);
                }
                return;
            }
            for side in [0, 1] {
                self.listen(side);
                for id in self.known[side].clone() {
                    let _ = self.sides[side].finish(id);
                    while self.read(side, id) {}
                }
                self.consume(side);
                if let Some(packet) = transmit(&mut self.sides[side], 700) {
                    self.flying.push((side, packet));
                }
                self.fly(round as u8 | 3, false);
            }
        }
        panic!("it never ends: {:?}", self.sides.each_ref().map(|side| &side.table));
    }
}

proptest! {
    /// Deadline streams and reliable ones, both ways, with resets and stops, over a path that loses,
    /// repeats and reorders: what is read is what was written at that offset, a gap holds exactly what
    /// is not read and only what was too old, an end comes only behind the last byte, and both sides
    /// agree on every byte of credit.
    #[test]
    fn gaps_are_exact_and_credit_adds_up(
        steps in prop::collection::vec((any::<bool>(), 0_u8..10, any::<u8>()), 1..300),
        window in 1_u64..3_000,
        share in 1_u64..4,
    ) {
        let mut run = Run::new(window, window * share);
        for (first, what, chance) in steps {
            run.step(usize::from(first), what, chance);
        }
        run.end();
        for side in [0, 1] {
            run.listen(side);
            let (own, peer) = (&run.sides[side], &run.sides[1 - side]);
            prop_assert!(own.is_drained() && !own.has_unread());
            prop_assert!(own.skips.expiries.is_empty() && own.skips.blocked.is_empty());
            prop_assert_eq!((own.runs, own.orphaned), (0, 0));
            prop_assert_eq!(own.recv_credit.consumed(), own.recv_credit.received());
            prop_assert_eq!(own.send_credit.used(), peer.recv_credit.received());
        }
    }
}

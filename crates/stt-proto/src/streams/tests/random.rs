//! Whatever the path does to packets, every byte arrives once, in order, with its end.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// What is drawn for one run.
#[derive(Clone, Debug)]
struct Plan {
    /// Bytes of each stream, by who opens it and which ways it goes.
    streams: Vec<(bool, Direction, usize)>,
    max_streams: u32,
    stream_window: u64,
    session_window: u64,
    /// Payload of a packet.
    packet: usize,
    /// Bytes of one write, and of one read.
    piece: usize,
    chances: Vec<u8>,
}

fn plan() -> impl Strategy<Value = Plan> {
    let direction = prop_oneof![Just(Direction::Bidirectional), Just(Direction::Unidirectional)];
    let window = || prop_oneof![1_u64..100, 500_u64..5_000, Just(100_000)];
    (
        prop::collection::vec((any::<bool>(), direction, 0_usize..5_000), 1..8),
        1_u32..5,
        window(),
        window(),
        40_usize..1_400,
        1_usize..2_000,
        prop::collection::vec(any::<u8>(), 64..512),
    )
        .prop_map(
            |(streams, max_streams, stream_window, session_window, packet, piece, chances)| Plan {
                streams,
                max_streams,
                stream_window,
                session_window,
                packet,
                piece,
                chances,
            },
        )
}

/// The bytes that a side sends on a stream: different for every stream and direction.
fn content(id: StreamId, from: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + at / 251 + id.as_u32() as usize * 7 + from * 13) as u8).collect()
}

/// What one side of a run has seen of a stream.
#[derive(Default)]
struct Seen {
    bytes: Vec<u8>,
    ended: bool,
    closed: bool,
}

struct Run {
    sides: [Streams; 2],
    plan: Plan,
    seen: [BTreeMap<StreamId, Seen>; 2],
    /// Bytes of each stream, by whose they are.
    lens: BTreeMap<StreamId, usize>,
    waiting: [Vec<(Direction, usize)>; 2],
    /// Sender, and packet.
    flying: Vec<(usize, Packet)>,
}

impl Run {
    fn new(plan: Plan) -> Self {
        let limits = limits(plan.max_streams, plan.stream_window, plan.session_window);
        let (a, b) = joined(limits, limits);
        let of = |initiator: bool| {
            let streams = plan.streams.iter().filter(|stream| stream.0 == initiator);
            streams.map(|(_, direction, len)| (*direction, *len)).collect()
        };
        Self {
            sides: [a, b],
            waiting: [of(true), of(false)],
            plan,
            seen: Default::default(),
            lens: BTreeMap::new(),
            flying: Vec::new(),
        }
    }

    fn send(&mut self, side: usize, id: StreamId, len: usize) {
        for piece in content(id, side, len).chunks(self.plan.piece) {
            self.sides[side].write(NOW, id, Bytes::copy_from_slice(piece)).unwrap();
        }
        self.sides[side].finish(id).unwrap();
    }

    /// Opens what the limits allow and writes it whole.
    fn open(&mut self, side: usize) {
        while let Some((direction, len)) = self.waiting[side].last().copied() {
            let options = StreamOptions { direction, ..StreamOptions::default() };
            let Ok(id) = self.sides[side].open(options) else { return };
            self.waiting[side].pop();
            self.lens.insert(id, len);
            self.seen[side].insert(
                id,
                Seen { ended: direction == Direction::Unidirectional, ..Seen::default() },
            );
            self.send(side, id, len);
        }
    }

    fn listen(&mut self, side: usize) {
        for event in events(&mut self.sides[side]) {
            match event {
                StreamEvent::Opened { stream, .. } => {
                    assert!(self.seen[side].insert(stream, Seen::default()).is_none());
                    if stream.direction() == Direction::Bidirectional {
                        self.send(side, stream, self.lens[&stream]);
                    }
                }
                StreamEvent::Closed { stream } => {
                    let seen = self.seen[side].get_mut(&stream).unwrap();
                    assert!(seen.ended && !core::mem::replace(&mut seen.closed, true));
                }
                StreamEvent::Released { stream, acked } => {
                    assert!(acked <= self.lens[&stream] as u64);
                }
                StreamEvent::Readable { .. }
                | StreamEvent::Finished { .. }
                | StreamEvent::Available { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Reads some of what is there, as `chance` has it.
    fn read(&mut self, side: usize, chance: u8) {
        let streams = &mut self.sides[side];
        for (id, seen) in self.seen[side].iter_mut().filter(|(_, seen)| !seen.ended) {
            if (u32::from(chance) + id.as_u32() / 4) % 3 == 0 {
                continue;
            }
            match streams.read(*id, self.plan.piece).unwrap() {
                ReadOutcome::Chunk(chunk) => {
                    assert!(chunk.len() <= self.plan.piece);
                    consumed(streams, *id, chunk.len());
                    seen.bytes.extend_from_slice(&chunk);
                }
                ReadOutcome::Finished => seen.ended = true,
                ReadOutcome::Blocked => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Lets one packet arrive, or not, in any order.
    fn fly(&mut self, chance: u8) {
        if self.flying.is_empty() {
            return;
        }
        let (from, packet) = self.flying.remove(usize::from(chance) % self.flying.len());
        let [one, other] = &mut self.sides;
        let (from, to) = if from == 0 { (one, other) } else { (other, one) };
        match chance % 6 {
            0 => lost(from, &packet),
            1 => {
                // It arrives, but its sender took it for lost and may send it again.
                lost(from, &packet);
                deliver(to, &packet).unwrap();
                acked(from, &packet);
            }
            2 => {
                // It arrives, but no acknowledgement does.
                deliver(to, &packet).unwrap();
                lost(from, &packet);
            }
            3 => {
                deliver(to, &packet).unwrap();
                deliver(to, &packet).unwrap();
                acked(from, &packet);
            }
            _ => {
                deliver(to, &packet).unwrap();
                acked(from, &packet);
            }
        }
    }

    fn is_over(&self) -> bool {
        self.waiting.iter().all(Vec::is_empty)
            && self.flying.is_empty()
            && self.sides.iter().all(|side| side.table.is_empty())
    }
}

/// Runs the steps: who acts, how, and what becomes of a packet. Then both sides end what they have,
/// and nothing may be left.
fn end_every_stream(steps: &[(bool, u8, u8)], window: u64, packet: usize) {
    let limits = limits(3, window, 2 * window);
    let (a, b) = joined(limits, limits);
    let mut sides = [a, b];
    let mut flying: Vec<(usize, Packet)> = Vec::new();
    let mut known: [Vec<StreamId>; 2] = Default::default();
    let mut unconsumed: [Vec<(StreamId, usize)>; 2] = Default::default();
    let rest = core::iter::repeat_n((false, 9, 5), 60_000).enumerate();
    let rest = rest.map(|(index, step)| (index % 2 == 0, step.1, step.2));
    for (is_first, what, chance) in steps.iter().copied().chain(rest) {
        let side = usize::from(is_first);
        if what == 9 && sides.iter().all(|side| side.table.is_empty()) {
            break;
        }
        for event in events(&mut sides[side]) {
            if let StreamEvent::Opened { stream, .. } = event {
                known[side].push(stream);
            }
        }
        let pick = usize::from(chance) % known[side].len().max(1);
        let id = known[side].get(pick).copied();
        let streams = &mut sides[side];
        match (what, id) {
            (0, _) => {
                let direction = Direction::BOTH[usize::from(chance % 2)];
                let opened = streams.open(StreamOptions { direction, ..bidirectional() });
                known[side].extend(opened.ok());
            }
            (1, Some(id)) => drop(streams.write(NOW, id, vec![chance; 900].into())),
            (2, Some(id)) => drop(streams.finish(id)),
            (3, Some(id)) => drop(streams.reset(id, u64::from(chance))),
            (4, Some(id)) => drop(streams.stop(id, u64::from(chance))),
            (5, Some(id)) => {
                if let Ok(ReadOutcome::Chunk(chunk)) = streams.read(id, 500) {
                    unconsumed[side].push((id, chunk.len()));
                }
            }
            // In the end each side ends what it has.
            (9, _) => {
                for id in known[side].clone() {
                    let _ = streams.finish(id);
                    while let Ok(ReadOutcome::Chunk(chunk)) = streams.read(id, 500) {
                        unconsumed[side].push((id, chunk.len()));
                    }
                }
            }
            _ => {}
        }
        if what > 5 {
            unconsumed[side].drain(..).for_each(|(id, len)| consumed(streams, id, len));
        }
        if let Some(packet) = transmit(streams, packet) {
            flying.push((side, packet));
        }
        if chance % 2 == 1 && !flying.is_empty() {
            let (from, packet) = flying.remove(usize::from(chance) % flying.len());
            let [one, other] = &mut sides;
            let (from, to) = if from == 0 { (one, other) } else { (other, one) };
            if what != 9 && chance % 3 == 0 {
                lost(from, &packet);
            } else {
                deliver(to, &packet).unwrap();
                acked(from, &packet);
            }
        }
    }
    for (side, unconsumed) in sides.iter_mut().zip(unconsumed) {
        events(side);
        assert!(side.table.is_empty(), "{:?}", side.table);
        assert!(side.is_drained() && side.control.is_empty());
        // All streams may be over before the application has consumed what it read: exactly that much
        // credit is still out.
        let held: u64 = unconsumed.iter().map(|(_, len)| *len as u64).sum();
        assert_eq!(side.recv_credit.consumed() + held, side.recv_credit.received());
        assert_eq!((side.runs, side.orphaned), (0, held));
        unconsumed.into_iter().for_each(|(id, len)| consumed(side, id, len));
        assert_eq!(side.recv_credit.consumed(), side.recv_credit.received());
        assert_eq!(side.orphaned, 0);
    }
}

#[test]
fn bytes_read_and_not_consumed_hold_credit_beyond_the_end_of_their_stream() {
    // The last stream is stopped and over while its one byte is still the application's.
    let all: [&[(bool, u8, u8)]; 2] = [
        &[
            (true, 0, 0),
            (false, 1, 133),
            (true, 1, 17),
            (false, 2, 0),
            (false, 5, 215),
            (false, 4, 17),
        ],
        &[(false, 0, 109), (false, 1, 83), (true, 5, 0), (true, 4, 11), (false, 1, 65)],
    ];
    for steps in all {
        end_every_stream(steps, 1, 60);
    }
}

proptest! {
    #[test]
    fn every_byte_arrives_once_in_order(plan in plan()) {
        let mut run = Run::new(plan);
        let chances = run.plan.chances.clone();
        for (round, chance) in chances.iter().cycle().enumerate() {
            prop_assert!(round < 400_000, "it never ends");
            for side in [0, 1] {
                run.open(side);
                if run.flying.len() < 64
                    && let Some(packet) = transmit(&mut run.sides[side], run.plan.packet)
                {
                    run.flying.push((side, packet));
                }
                run.listen(side);
                run.read(side, *chance);
            }
            run.fly(*chance);
            if run.is_over() {
                break;
            }
        }
        for side in [0, 1] {
            run.listen(side);
            let streams = &run.sides[side];
            prop_assert!(streams.is_drained() && !streams.has_unread());
            prop_assert_eq!(streams.recv_credit.consumed(), streams.recv_credit.received());
            prop_assert_eq!((streams.runs, streams.orphaned), (0, 0));
            prop_assert_eq!(run.seen[side].len(), run.lens.len());
            for (id, seen) in &run.seen[side] {
                prop_assert!(seen.closed, "{id:?} is closed");
                let sends = id.direction() == Direction::Bidirectional || streams.is_own(*id);
                let receives = id.direction() == Direction::Bidirectional || !streams.is_own(*id);
                prop_assert!(sends || receives);
                let expected = if receives { content(*id, 1 - side, run.lens[id]) } else { vec![] };
                prop_assert_eq!(&seen.bytes, &expected);
            }
        }
    }

    /// Resets, stops, finishes and writes of both sides in any order, over a path that loses and
    /// reorders: nobody is left behind, no credit leaks, and nothing that was not sent is read.
    #[test]
    fn every_stream_ends_however_both_sides_end_it(
        steps in prop::collection::vec((any::<bool>(), 0_u8..8, any::<u8>()), 1..120),
        window in 1_u64..3_000,
        packet in 60_usize..600,
    ) {
        end_every_stream(&steps, window, packet);
    }
}

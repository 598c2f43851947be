//! The stream states of RFC 9000 section 3, call by call: whatever the application, the peer and the
//! path do, in whatever order, everything that can be seen of a stream is what [`model`] says.
//!
//! One side is under test; the peer is made up, frame by frame, so that its frames come in orders no
//! honest sender and no path would bring about. Credit is ample: `credit.rs` and `random.rs` have that.
//!
//! Noticed, each tried by hand: a second reset that is not refused; STREAM_STOP that resets a half whose
//! bytes the peer has; a FIN whose loss is not repeated; STREAM_CLOSE with the bytes written for those
//! sent; a reader who is not told of a gap; STREAM_CLOSE that cuts off a half which is complete; a half
//! that is over before its STREAM_SKIP is acknowledged; a stopped half that is not over with its FIN; a
//! reader who is told twice; a stream forgotten before its STREAM_OPEN has come; a STREAM_SKIP whose offset
//! is taken for the final size; a half of known size that is stopped and stays.

mod frames;
mod model;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use stt_wire::ErrorCode;
use stt_wire::frame::{Reliability, StreamOpen};

use self::model::{Model, Receiving, RecvModel, SendModel, Sending};
use super::*;
use crate::streams::stream::Half;

/// Age of the bytes of deadline streams.
const AGE: Duration = Duration::from_millis(10);
/// Streams of one run.
const STREAMS: u8 = 8;

/// One call, or one frame of the peer. `stream` picks among those of the run.
#[derive(Clone, Debug)]
enum Step {
    Open {
        direction: Direction,
        timely: bool,
    },
    Write {
        stream: u8,
        len: u8,
    },
    Finish {
        stream: u8,
    },
    Reset {
        stream: u8,
        code: u8,
    },
    Stop {
        stream: u8,
        code: u8,
    },
    Read {
        stream: u8,
        max: u8,
    },
    /// All that was written so far grows too old.
    Age,
    Transmit {
        size: u16,
    },
    /// All that waits is sent.
    Drain,
    Acked {
        packet: u8,
    },
    Lost {
        packet: u8,
    },
    /// The peer's STREAM_OPEN of a stream of its own.
    PeerOpen {
        stream: u8,
        timely: bool,
    },
    Data {
        stream: u8,
        offset: u8,
        len: u8,
        fin: bool,
    },
    /// STREAM_CLOSE; `spare` is what of the stream's bytes it leaves out, if it may.
    Close {
        stream: u8,
        code: u8,
        spare: u8,
    },
    PeerStop {
        stream: u8,
        code: u8,
    },
    Skip {
        stream: u8,
        offset: u8,
    },
    /// A frame whose final size may contradict all that was said.
    Wild {
        stream: u8,
        size: u8,
        is_close: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let stream = || 0..STREAMS;
    let direction = || {
        any::<bool>().prop_map(|both| {
            if both { Direction::Bidirectional } else { Direction::Unidirectional }
        })
    };
    prop_oneof![
        3 => (direction(), any::<bool>()).prop_map(|(direction, timely)| Step::Open { direction, timely }),
        6 => (stream(), 0_u8..90).prop_map(|(stream, len)| Step::Write { stream, len }),
        3 => stream().prop_map(|stream| Step::Finish { stream }),
        2 => (stream(), any::<u8>()).prop_map(|(stream, code)| Step::Reset { stream, code }),
        2 => (stream(), any::<u8>()).prop_map(|(stream, code)| Step::Stop { stream, code }),
        10 => (stream(), 1_u8..60).prop_map(|(stream, max)| Step::Read { stream, max }),
        2 => Just(Step::Age),
        6 => (40_u16..300).prop_map(|size| Step::Transmit { size }),
        2 => Just(Step::Drain),
        8 => any::<u8>().prop_map(|packet| Step::Acked { packet }),
        4 => any::<u8>().prop_map(|packet| Step::Lost { packet }),
        4 => (stream(), any::<bool>()).prop_map(|(stream, timely)| Step::PeerOpen { stream, timely }),
        14 => (stream(), 0_u8..80, 0_u8..60, any::<bool>())
            .prop_map(|(stream, offset, len, fin)| Step::Data { stream, offset, len, fin }),
        2 => (stream(), any::<u8>(), 0_u8..90)
            .prop_map(|(stream, code, spare)| Step::Close { stream, code, spare }),
        2 => (stream(), any::<u8>()).prop_map(|(stream, code)| Step::PeerStop { stream, code }),
        4 => (stream(), 0_u8..90).prop_map(|(stream, offset)| Step::Skip { stream, offset }),
        1 => (stream(), 0_u8..90, any::<bool>())
            .prop_map(|(stream, size, is_close)| Step::Wild { stream, size, is_close }),
    ]
}

/// The byte at an offset of a stream; another from each side.
fn byte(raw: u32, at: u64, is_peers: bool) -> u8 {
    (at * 7 + u64::from(raw) * 31 + u64::from(is_peers) * 101) as u8
}

/// Bytes that the peer would send on a stream if nothing came between.
fn planned(raw: u32) -> u64 {
    u64::from(raw) * 13 % 90
}

/// What became of a packet of the side under test.
struct Sent {
    packet: Packet,
    is_acked: bool,
    is_lost: bool,
}

struct Run {
    streams: Streams,
    models: BTreeMap<StreamId, Model>,
    sent: Vec<Sent>,
    now: Instant,
    /// What must be told in this step: whatever else is told is too much.
    expected: Vec<StreamEvent>,
}

impl Run {
    fn new() -> Self {
        let limits = limits(100, 1 << 20, 1 << 24);
        let (streams, _) = joined(limits, limits);
        Self {
            streams,
            models: BTreeMap::new(),
            sent: Vec::new(),
            now: Instant::default(),
            expected: Vec::new(),
        }
    }

    /// A stream of the run: those that this side opened, and the first ones of the peer, whether it has
    /// spoken of them or not.
    fn pick(&self, stream: u8) -> StreamId {
        let index = 1 + u32::from(stream / 4);
        match stream % 4 {
            0 => StreamId::new(true, Direction::Bidirectional, index),
            1 => StreamId::new(true, Direction::Unidirectional, index),
            2 => StreamId::new(false, Direction::Bidirectional, index),
            _ => StreamId::new(false, Direction::Unidirectional, index),
        }
    }

    /// Whether the application cannot know of a stream that is there.
    fn is_secret(&self, id: StreamId) -> bool {
        self.models.get(&id).is_some_and(|model| !model.is_told)
    }

    /// What the model knows of a stream that the application may use.
    fn known(&mut self, id: StreamId) -> Option<&mut Model> {
        self.models.get_mut(&id).filter(|model| model.is_told && !model.is_closed)
    }

    /// What the model knows of a stream that a frame of the peer names: it may be the first. `Err`
    /// where the stream has no such half, or is one of ours that was never opened.
    fn named(&mut self, id: StreamId, half: Half) -> Result<&mut Model, PeerFault> {
        let is_own = id.is_by_initiator();
        if !half.exists(id.direction(), is_own) || (is_own && !self.models.contains_key(&id)) {
            return Err(PeerFault::new(ErrorCode::InvalidFrame));
        }
        let fresh = || Model::new(id.direction(), is_own, false);
        Ok(self.models.entry(id).or_insert_with(fresh))
    }

    /// Does a step with both, and compares. `false` when the session is over for it.
    fn apply(&mut self, step: &Step) -> bool {
        let goes_on = match *step {
            Step::PeerOpen { stream, timely } => self.peer_open(self.pick(stream), timely),
            Step::Data { stream, offset, len, fin } => {
                let id = self.pick(stream);
                let size = self.peer_size(id);
                let start = u64::from(offset).min(size);
                let end = (start + u64::from(len)).min(size);
                self.data(id, start, end, fin && end == size)
            }
            Step::Close { stream, code, spare } => {
                let id = self.pick(stream);
                let size = self.peer_size(id).saturating_sub(u64::from(spare));
                let recv = self.models.get(&id).and_then(|model| model.recv.as_ref());
                let known = recv.and_then(|recv| recv.size);
                let size = known.unwrap_or(size.max(recv.map_or(0, |recv| recv.highest)));
                self.close(id, u64::from(code), size)
            }
            Step::PeerStop { stream, code } => self.peer_stop(self.pick(stream), u64::from(code)),
            Step::Skip { stream, offset } => {
                let id = self.pick(stream);
                let offset = u64::from(offset).min(self.peer_size(id));
                self.skip(id, offset)
            }
            Step::Wild { stream, size, is_close: true } => {
                self.close(self.pick(stream), 1, u64::from(size))
            }
            Step::Wild { stream, size, .. } => {
                let size = u64::from(size);
                self.data(self.pick(stream), size.saturating_sub(3), size, true)
            }
            _ => {
                self.call(step);
                true
            }
        };
        if goes_on {
            self.close_what_is_over();
            self.compare_events();
            self.compare_sums();
        }
        goes_on
    }

    /// The final size that the peer keeps to: one that it told, or the one it planned.
    fn peer_size(&self, id: StreamId) -> u64 {
        let recv = self.models.get(&id).and_then(|model| model.recv.as_ref());
        recv.and_then(|recv| recv.size).unwrap_or(planned(id.as_u32()))
    }

    fn call(&mut self, step: &Step) {
        match *step {
            Step::Write { stream, .. }
            | Step::Finish { stream }
            | Step::Reset { stream, .. }
            | Step::Stop { stream, .. }
            | Step::Read { stream, .. }
                if self.is_secret(self.pick(stream)) => {}
            Step::Open { direction, timely } => {
                let deadline = timely.then_some(AGE);
                let id =
                    self.streams.open(StreamOptions { direction, deadline, ..bidirectional() });
                let model = Model::new(direction, true, timely);
                assert!(self.models.insert(id.unwrap(), model).is_none(), "an id is used twice");
            }
            Step::Write { stream, len } => self.write(self.pick(stream), u64::from(len)),
            Step::Finish { stream } => {
                let id = self.pick(stream);
                let found = self.streams.finish(id);
                assert_eq!(found, self.may_write(id), "finish {id:?}");
                if found.is_ok() {
                    self.sending(id).is_finished = true;
                }
            }
            Step::Reset { stream, code } => {
                let (id, code) = (self.pick(stream), u64::from(code));
                let found = self.streams.reset(id, code);
                let send = self.known(id).and_then(|model| model.send.as_mut());
                let expected = match send.filter(|send| !send.state.is_over()) {
                    None => Err(WriteError::UnknownStream),
                    Some(send) if send.state == Sending::ResetSent => Err(WriteError::Closed),
                    Some(send) => {
                        send.reset(code);
                        Ok(())
                    }
                };
                assert_eq!(found, expected, "reset {id:?}");
            }
            Step::Stop { stream, code } => self.stop(self.pick(stream), u64::from(code)),
            Step::Read { stream, max } => self.read(self.pick(stream), usize::from(max)),
            Step::Age => self.age(),
            Step::Transmit { size } => drop(self.transmit(usize::from(size))),
            Step::Drain => {
                while self.transmit(300) {}
                self.nothing_is_left_behind();
            }
            Step::Acked { packet } => self.acked(usize::from(packet)),
            Step::Lost { packet } => {
                let candidates =
                    self.sent.iter_mut().filter(|sent| !sent.is_acked && !sent.is_lost);
                let mut candidates: Vec<&mut Sent> = candidates.collect();
                if candidates.is_empty() {
                    return;
                }
                let picked = usize::from(packet) % candidates.len();
                let sent = &mut *candidates[picked];
                sent.is_lost = true;
                lost(&mut self.streams, &sent.packet);
            }
            _ => {}
        }
    }

    fn sending(&mut self, id: StreamId) -> &mut SendModel {
        self.models.get_mut(&id).unwrap().send.as_mut().unwrap()
    }

    fn may_write(&mut self, id: StreamId) -> Result<(), WriteError> {
        let send = self.known(id).and_then(|model| model.send.as_ref());
        match send.filter(|send| !send.state.is_over()) {
            None => Err(WriteError::UnknownStream),
            Some(send) if send.is_finished || send.state.is_reset() => Err(WriteError::Closed),
            Some(_) => Ok(()),
        }
    }

    fn write(&mut self, id: StreamId, len: u64) {
        let from = self.models.get(&id).and_then(|model| model.send.as_ref());
        let from = from.map_or(0, |send| send.written);
        let bytes: Vec<u8> = (from..from + len).map(|at| byte(id.as_u32(), at, false)).collect();
        let found = self.streams.write(self.now, id, bytes.into());
        assert_eq!(found, self.may_write(id), "write to {id:?}");
        if found.is_ok() {
            self.sending(id).written += len;
        }
    }

    fn stop(&mut self, id: StreamId, code: u64) {
        let found = self.streams.stop(id, code);
        let recv = self.known(id).and_then(|model| model.recv.as_mut());
        let expected = match recv.filter(|recv| !recv.state.is_over() && recv.stopped.is_none()) {
            None => Err(ReadError::UnknownStream),
            Some(recv) => {
                recv.stopped = Some(code);
                recv.gap = None;
                if recv.size.is_some() {
                    recv.state.go(Receiving::DataRead);
                }
                Ok(())
            }
        };
        assert_eq!(found, expected, "stop {id:?}");
    }

    fn read(&mut self, id: StreamId, max: usize) {
        let found = self.streams.read(id, max);
        let recv = self.known(id).and_then(|model| model.recv.as_mut());
        let Some(recv) = recv.filter(|recv| recv.stopped.is_none()) else {
            assert_eq!(found, Err(ReadError::UnknownStream), "read {id:?}");
            return;
        };
        let expected = match recv.state {
            Receiving::DataRead => Err(ReadError::UnknownStream),
            Receiving::ResetRecvd | Receiving::ResetRead => {
                if recv.state == Receiving::ResetRecvd {
                    recv.state.go(Receiving::ResetRead);
                }
                Ok(ReadOutcome::Reset(recv.reset.unwrap()))
            }
            _ if recv.gap.is_some() => {
                let (start, end) = recv.gap.take().unwrap();
                Ok(ReadOutcome::Skipped { offset: start, len: end - start })
            }
            _ if recv.in_order() > recv.read => {
                let Ok(ReadOutcome::Chunk(chunk)) = &found else { panic!("{id:?}: {found:?}") };
                let end = recv.read + chunk.len() as u64;
                assert!(!chunk.is_empty() && chunk.len() <= max && end <= recv.in_order());
                let bytes = (recv.read..end).map(|at| byte(id.as_u32(), at, true));
                assert!(bytes.eq(chunk.iter().copied()), "{id:?}: other bytes were read than sent");
                recv.read = end;
                found.clone()
            }
            Receiving::DataRecvd => {
                recv.state.go(Receiving::DataRead);
                Ok(ReadOutcome::Finished)
            }
            _ => {
                recv.is_awaited = true;
                Ok(ReadOutcome::Blocked)
            }
        };
        assert_eq!(found, expected, "read {id:?}");
    }

    /// Time goes by until every byte written is too old.
    fn age(&mut self) {
        self.now += 3 * AGE;
        self.streams.expire(self.now);
        for (id, model) in &mut self.models {
            let Some(send) = model.send.as_mut().filter(|_| model.is_timely) else { continue };
            if send.reset.is_some() || send.state.is_over() || send.prefix() == send.written {
                continue;
            }
            send.floor = send.written;
            send.is_floor_acked = false;
            self.expected.push(StreamEvent::Released { stream: *id, acked: send.floor });
        }
        assert_eq!(self.streams.next_expiry(), None, "everything has been given up");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn every_call_does_what_the_states_of_rfc_9000_say(
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut run = Run::new();
        for step in &steps {
            if !run.apply(step) {
                break;
            }
        }
    }
}

#[test]
fn a_half_is_not_over_before_the_last_of_what_it_gave_up_is_acknowledged() {
    let mut run = Run::new();
    let stream = 1;
    for step in [
        Step::Open { direction: Direction::Unidirectional, timely: true },
        Step::Drain,
        Step::Acked { packet: 0 },
        Step::Write { stream, len: 10 },
        Step::Age,
        Step::Drain,
        Step::Finish { stream },
        Step::Drain,
        // FIN, and only then the STREAM_SKIP before it.
        Step::Acked { packet: 1 },
        Step::Acked { packet: 0 },
    ] {
        assert!(run.apply(&step), "{step:?}");
    }
    assert!(run.models[&run.pick(stream)].is_closed);
}

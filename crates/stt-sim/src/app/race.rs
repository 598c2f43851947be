//! Both ends of a session end it, and its streams, in an order and at times drawn from the seed.

use core::time::Duration;
use std::collections::BTreeSet;

use stt_proto::{Close, Instant, SessionHandle, StreamId};

use super::end::End;
use crate::{
    random::Random,
    world::{NodeId, World},
};

/// What an end may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Move {
    /// End the sending half of a stream.
    Finish,
    /// Give it up.
    Reset,
    /// Ask the peer to give it up.
    Stop,
    /// End the session after what was written.
    Close,
    /// End it at once.
    CloseNow,
}

const STREAM_MOVES: [Move; 3] = [Move::Finish, Move::Reset, Move::Stop];
/// Times between two moves, from the same instant to more than a round trip of either profile.
const PAUSES_MICROS: [u64; 6] = [0, 0, 10, 5_000, 15_000, 40_000];
/// How long a graceful end may take.
const DRAIN: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub(super) struct Race {
    /// By time, last first.
    moves: Vec<(Instant, usize, Move)>,
    aborted: BTreeSet<StreamId>,
    random: Random,
}

impl Race {
    pub(super) fn new(now: Instant, random: &mut Random) -> Self {
        let mut moves = Vec::new();
        let count = random.below(7);
        for _ in 0..count {
            moves.push((random.below(2) as usize, STREAM_MOVES[random.below(3) as usize]));
        }
        // One or both ends close, somewhere among the other moves.
        let first = random.below(2) as usize;
        let closers = if random.chance(0.6) { vec![first, 1 - first] } else { vec![first] };
        for end in closers {
            let close = if random.chance(0.3) { Move::CloseNow } else { Move::Close };
            let place = random.below(moves.len() as u64 + 1) as usize;
            moves.insert(place, (end, close));
        }
        let mut at = now;
        let mut timed = Vec::new();
        for (end, what) in moves {
            at += Duration::from_micros(PAUSES_MICROS[random.below(6) as usize]);
            timed.push((at, end, what));
        }
        timed.reverse();
        let random = Random::new(random.draw(), "race");
        Self { moves: timed, aborted: BTreeSet::new(), random }
    }

    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.moves.last().map(|(at, _, _)| *at)
    }

    /// Whether one end gave this stream up, or asked the other to.
    pub(super) fn has_aborted(&self, stream: StreamId) -> bool {
        self.aborted.contains(&stream)
    }

    /// Makes the moves whose time has come. Refusals are part of the game: what counts is that
    /// both ends learn that the session is over, and that no byte is wrong until then.
    pub(super) fn advance(
        &mut self,
        world: &mut World,
        nodes: [NodeId; 2],
        sessions: [Option<SessionHandle>; 2],
        ends: &[End; 2],
    ) {
        while self.moves.last().is_some_and(|(at, _, _)| *at <= world.now()) {
            let Some((_, end, what)) = self.moves.pop() else { return };
            let Some(session) = sessions[end] else {
                // The server does not know the session yet: its client closes instead, later.
                let at = world.now() + Duration::from_millis(50);
                self.moves.insert(0, (at, if matches!(what, Move::Close) { 0 } else { end }, what));
                self.moves.sort_by_key(|(at, ..)| core::cmp::Reverse(*at));
                continue;
            };
            let now = world.now_at(nodes[end]);
            let streams = ends[end].streams();
            let endpoint = world.endpoint_mut(nodes[end]);
            let stream = streams.get(self.random.below(streams.len() as u64) as usize).copied();
            match (what, stream) {
                (Move::Close, _) => endpoint.close(now, session, Close::graceful(DRAIN)),
                (Move::CloseNow, _) => {
                    endpoint.close(now, session, Close::graceful(Duration::ZERO));
                }
                (_, None) => {}
                (Move::Finish, Some(stream)) => {
                    let _ = endpoint.finish(now, session, stream);
                }
                (Move::Reset, Some(stream)) => {
                    self.aborted.insert(stream);
                    let _ = endpoint.reset(now, session, stream, 7);
                }
                (Move::Stop, Some(stream)) => {
                    self.aborted.insert(stream);
                    let _ = endpoint.stop(now, session, stream, 9);
                }
            }
        }
    }
}

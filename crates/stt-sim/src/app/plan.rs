//! The streams that both ends of a flow open, and what they write to them.

use core::time::Duration;

use stt_proto::Direction;

use crate::spec::FlowSpec;

/// Index of the endless stream among a flow's streams.
pub(super) const STEADY: u64 = 0xF_FFFE;
/// That of the chat.
pub(super) const CHAT: u64 = 0xF_FFFF;
/// Stands for the early data there.
pub(super) const EARLY: u64 = 0xF_FFFD;

/// A stream to be opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) key: u64,
    /// Bytes; `None` is not known yet.
    pub(super) total: Option<u64>,
    /// Bytes that may be written so far.
    pub(super) allowed: u64,
    pub(super) direction: Direction,
    /// What its bytes are good for.
    pub(super) deadline: Option<Duration>,
}

/// The streams of the client, and those of the server; `key` gives the key of a stream by its end and index.
pub(super) fn plans(spec: &FlowSpec, key: impl Fn(usize, u64) -> u64) -> [Vec<Plan>; 2] {
    let direction =
        if spec.unidirectional { Direction::Unidirectional } else { Direction::Bidirectional };
    let lists = [&spec.streams, &spec.back];
    let mut plans = [0, 1].map(|end| {
        let repeated = lists[end].repeat(spec.repeat.unwrap_or(1));
        let plan = |(index, total): (usize, &u64)| Plan {
            key: key(end, index as u64),
            total: Some(*total),
            allowed: *total,
            direction,
            deadline: None,
        };
        repeated.iter().enumerate().map(plan).collect::<Vec<_>>()
    });
    let deadline = spec.chat_deadline_ms.map(Duration::from_millis);
    for (wanted, index, allowed, deadline) in [
        (spec.steady_ms.is_some(), STEADY, u64::MAX, None),
        (spec.chat_every_ms.is_some() && spec.chat_times > 0, CHAT, 0, deadline),
    ] {
        if wanted {
            plans[0].push(Plan { key: key(0, index), total: None, allowed, direction, deadline });
        }
    }
    plans
}

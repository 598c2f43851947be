//! What a session remembers while its packets change their way (PROTOCOL.md section 6.3): the path
//! that is not proven yet, the one to go back to, and the one that is tried on purpose.

use core::time::Duration;
use std::collections::VecDeque;

use stt_wire::PathId;
use stt_wire::frame::{KeepAlive, NewId};

use crate::path::PathAddress;
use crate::recovery::Recovery;
use crate::session::RouteChanges;
use crate::time::Instant;

use super::MtuSearch;

/// Answers owed on other paths; a peer that asks for more gets the newest.
const MAX_REPLIES: usize = 4;
/// Challenges of one validation whose answers are still good.
const MAX_NONCES: usize = 8;
/// Challenges are repeated so many times within the time that a validation has.
const CHALLENGES: u32 = 6;

/// See the module. A session that stays where it is has none.
#[derive(Default)]
pub(crate) struct Moving {
    /// The path in use is not proven.
    pub(crate) validation: Option<Validation>,
    /// The path before, until the one in use is proven and its last ACKs have come.
    pub(crate) former: Option<Former>,
    /// A move that this side wants.
    pub(crate) candidate: Option<Candidate>,
    /// An id of the peer that is used on a path that the peer tries on purpose.
    pub(crate) reserved: Option<(PathAddress, NewId)>,
    /// Answers that go out by the path on which they were asked for.
    pub(crate) replies: VecDeque<Reply>,
    /// A challenge to the path before, asked for once.
    pub(crate) ask_former: Option<u64>,
    /// What the endpoint has to learn.
    pub(crate) routes: Option<Box<RouteChanges>>,
    /// Until then packets of two paths may be far apart.
    pub(crate) wide_until: Option<Instant>,
}

/// A path id of the peer's that this side sends to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PeerId {
    pub(crate) id: PathId,
    /// What a reset of it proves itself by; FINAL brings the first to an initiator.
    pub(crate) reset_token: Option<[u8; 16]>,
    pub(crate) sequence: u64,
}

impl From<NewId> for PeerId {
    fn from(new: NewId) -> Self {
        Self { id: new.path_id, reset_token: Some(new.reset_token), sequence: new.sequence }
    }
}

/// Whether the peer is where its packets seem to come from.
pub(crate) struct Validation {
    /// Bytes that came by the path, and that went to it.
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) challenge: Challenge,
    /// The session was elsewhere before, which its application is told of once the path is proven.
    pub(crate) moved: bool,
}

/// Challenges of one path.
pub(crate) struct Challenge {
    nonces: VecDeque<u64>,
    /// When the next one is due.
    pub(crate) at: Instant,
    interval: Duration,
    /// When it began.
    pub(crate) since: Instant,
    /// When the path has failed.
    pub(crate) deadline: Instant,
}

/// A path that was left.
pub(crate) struct Former {
    pub(crate) address: PathAddress,
    /// The peer's id on it.
    pub(crate) peer: PeerId,
    /// What was known of it, unless the path that followed took that over.
    pub(crate) known: Option<(MtuSearch, Recovery)>,
    /// This side left it, and not the peer.
    pub(crate) by_choice: bool,
    /// Its connection is no more, so that going back to it leaves the session without a path.
    pub(crate) lost: bool,
    /// When it is forgotten; set once the path after it is proven.
    pub(crate) until: Option<Instant>,
}

/// A path that is tried on purpose.
pub(crate) struct Candidate {
    pub(crate) address: PathAddress,
    /// What the application knows the move by.
    pub(crate) token: u64,
    /// The peer's id on it. Without one there is nothing to do but to wait for the peer's next NEW_ID.
    pub(crate) id: Option<PeerId>,
    pub(crate) challenge: Challenge,
}

/// Which paths take packets now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reach {
    /// All of them.
    All,
    /// Connections alone: the socket has refused what was sent by it, and is left alone for now.
    Connections,
}

impl Reach {
    pub(crate) const fn has(self, path: &PathAddress) -> bool {
        matches!(self, Self::All) || path.is_reliable()
    }
}

impl Candidate {
    /// The id to challenge the path under, when that is due and can be done.
    pub(crate) fn due(&self, now: Instant, reach: Reach) -> Option<PathId> {
        let due = self.challenge.at <= now && reach.has(&self.address);
        self.id.filter(|_| due).map(|id| id.id)
    }

    fn next_timeout(&self, now: Instant) -> Instant {
        if self.id.is_some() { self.challenge.next_timeout(now) } else { self.challenge.deadline }
    }
}

/// An answer to a KEEP_ALIVE that came by another path than the one in use.
pub(crate) struct Reply {
    pub(crate) path: PathAddress,
    pub(crate) echo: KeepAlive,
    /// Bytes of the datagram that it answers; the answer is no longer.
    pub(crate) len: usize,
    /// Where the peer listens on that path.
    pub(crate) peer_id: PathId,
}

impl Challenge {
    /// Challenges from `now` on, for `span` at most.
    pub(crate) fn new(now: Instant, span: Duration) -> Self {
        let interval = span / CHALLENGES;
        Self { nonces: VecDeque::new(), at: now, interval, since: now, deadline: now + span }
    }

    /// One went out.
    pub(crate) fn on_sent(&mut self, now: Instant, nonce: u64) {
        if self.nonces.len() == MAX_NONCES {
            self.nonces.pop_front();
        }
        self.nonces.push_back(nonce);
        self.at = now + self.interval;
    }

    /// The next one waits twice as long as the last did.
    pub(crate) fn slow_down(&mut self) {
        self.interval *= 2;
    }

    /// Whether an echo answers one of them.
    pub(crate) fn is_answered_by(&self, nonce: u64) -> bool {
        self.nonces.contains(&nonce)
    }

    fn next_timeout(&self, now: Instant) -> Instant {
        // What is due already waits for credit, not for time.
        if self.at > now { self.at.min(self.deadline) } else { self.deadline }
    }
}

impl Validation {
    /// Bytes that may go to the path now.
    pub(crate) fn credit(&self) -> usize {
        usize::try_from(self.received.saturating_sub(self.sent)).unwrap_or(usize::MAX)
    }
}

impl Moving {
    /// Owes an answer on another path.
    pub(crate) fn reply(&mut self, reply: Reply) {
        if self.replies.len() == MAX_REPLIES {
            self.replies.pop_front();
        }
        self.replies.push_back(reply);
    }

    /// Takes the oldest answer that can be given now.
    pub(crate) fn take_reply(&mut self, reach: Reach) -> Option<Reply> {
        let place = self.replies.iter().position(|reply| reach.has(&reply.path))?;
        self.replies.remove(place)
    }

    /// Takes the oldest answer that is owed on a path.
    pub(crate) fn take_reply_on(&mut self, path: &PathAddress) -> Option<Reply> {
        let place = self.replies.iter().position(|reply| reply.path == *path)?;
        self.replies.remove(place)
    }

    /// Whether packets for paths other than `here`, the one in use, or challenges for it, are due and
    /// can be sent.
    pub(crate) fn wants_transmit(&self, now: Instant, reach: Reach, here: &PathAddress) -> bool {
        let former = self.former.as_ref().filter(|_| self.ask_former.is_some());
        let candidate = self.candidate.as_ref();
        let validation = self.validation.as_ref().filter(|_| reach.has(here));
        self.replies.iter().any(|reply| reach.has(&reply.path))
            || former.is_some_and(|former| reach.has(&former.address))
            || candidate.is_some_and(|candidate| candidate.due(now, reach).is_some())
            || validation.is_some_and(|validation| validation.challenge.at <= now)
    }

    /// When something is due.
    pub(crate) fn next_timeout(&self, now: Instant) -> Option<Instant> {
        let validation = self.validation.as_ref().map(|v| v.challenge.next_timeout(now));
        let candidate = self.candidate.as_ref().map(|candidate| candidate.next_timeout(now));
        let former = self.former.as_ref().and_then(|former| former.until);
        [validation, candidate, former, self.wide_until].into_iter().flatten().min()
    }

    /// Whether there is nothing left to remember.
    pub(crate) fn is_over(&self) -> bool {
        self.validation.is_none()
            && self.former.is_none()
            && self.candidate.is_none()
            && self.reserved.is_none()
            && self.replies.is_empty()
            && self.ask_former.is_none()
            && self.routes.is_none()
            && self.wide_until.is_none()
    }
}

//! Moving (PROTOCOL.md section 6.3): packets that come from elsewhere, the proof that the peer is
//! there, the way back when it is not, and moves that this side makes on purpose.

use core::time::Duration;

use stt_crypto::ReplayWindow;
use stt_wire::bundle::BundleWriter;
use stt_wire::frame::{KeepAlive, KeepAliveKind};
use stt_wire::{
    CRC32_LEN, Frame, FrameType, HEADER_LEN, MIN_MTU, PathId, SEALED_OVERHEAD, TAG_LEN, Writer,
};

use crate::event::Event;
use crate::path::{PathAddress, Rebind, SendError, Transmit};
use crate::recovery::{INITIAL_RTT, Recovery};
use crate::time::Instant;

use super::path::{
    Candidate, Challenge, Former, MtuSearch, Path, PeerId, Reach, Reply, Validation,
};
use super::transmit::Payload;
use super::{Context, MAX_ECHOES, Session, controller};

/// Probe timeouts that a path has to prove itself, and for which a path that was left is remembered.
const PATIENCE: u32 = 3;

/// Bytes of a packet that holds a KEEP_ALIVE and nothing else.
const PROBE_LEN: usize = SEALED_OVERHEAD + KeepAlive::LEN;

/// How an authentic packet came.
#[derive(Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) path: PathAddress,
    /// Bytes of its datagram.
    pub(crate) len: usize,
    /// The path id of this side that it was sent to.
    pub(crate) id: PathId,
    /// That id was given out after the one that the peer has used up to now.
    pub(crate) id_is_fresh: bool,
}

/// Why a session does not move.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MoveError {
    /// The session is not in use, or not any more.
    #[error("the session is not open")]
    SessionClosed,
    /// The connection to move to is not open, or not any more.
    #[error("the connection is not open")]
    NoConnection,
}

/// Why a move came to nothing. The session is where it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MoveFailure {
    /// The peer did not answer on the path.
    NoAnswer {
        /// For so long.
        waited: Duration,
    },
    /// The peer gave no path id that was not used on another path.
    NoPathId {
        /// For so long.
        waited: Duration,
    },
    /// The system does not send by the path.
    Refused(SendError),
    /// The connection that was tried is no more.
    ConnectionLost,
    /// Another move took its place.
    Replaced,
    /// It was given up by [`crate::Endpoint::cancel_move`].
    Cancelled,
}

/// What the endpoint's tables are to learn from a session.
#[derive(Default)]
pub(crate) struct RouteChanges {
    /// The peer's ids, and where they were used, that are not any more.
    pub(crate) left: Vec<(PathId, [u8; 19])>,
    /// Ids of this side that the peer has retired.
    pub(crate) retired: Vec<PathId>,
}

/// Whether a frame moves nothing.
pub(super) fn is_probing(frame: &Frame<'_>) -> bool {
    match frame {
        Frame::KeepAlive(request) => request.kind == KeepAliveKind::Probe,
        Frame::KeepAliveAck(_) | Frame::NewId(_) => true,
        Frame::Bundle(bundle) => bundle.parts().all(|part| is_probing(&part.frame)),
        _ => false,
    }
}

impl Session {
    /// Whether a path is another one than that in use.
    pub(super) fn is_elsewhere(&self, path: &PathAddress) -> bool {
        !self.path.address.same_path(path)
    }

    /// Whether packets go by a path: the one in use, or one that is tried.
    pub(crate) fn sends_to(&self, path: &PathAddress) -> bool {
        let candidate = self.moving.as_ref().and_then(|moving| moving.candidate.as_ref());
        self.path.address == *path || candidate.is_some_and(|tried| tried.address == *path)
    }

    /// Whether a packet that came by another path shows that the peer has moved. One that came from
    /// where the peer is, to another address of this side, does so only under an id that the peer had
    /// not used: this side may itself have moved since it was sent. So does one by the path that this
    /// side left on purpose.
    pub(super) fn shows_a_move(&self, arrival: &Arrival) -> bool {
        let may_be_late =
            self.path.address.same_remote(&arrival.path) || self.has_left(&arrival.path);
        !may_be_late || arrival.id_is_fresh
    }

    /// Whether this side left a path on purpose for the one in use.
    fn has_left(&self, path: &PathAddress) -> bool {
        let former = self.moving.as_ref().and_then(|moving| moving.former.as_ref());
        former.is_some_and(|former| former.by_choice && former.address.same_path(path))
    }

    /// Whether an id of this side was given out after the one that the peer has used up to now.
    pub(super) fn is_fresh_id(&self, id: PathId) -> bool {
        id != self.local_id && self.ids.is_newer(id, self.local_id)
    }

    fn may_move(&self) -> bool {
        self.is_established() && self.is_live()
    }

    /// Bytes that may go to the path in use now.
    pub(super) fn send_credit(&self) -> usize {
        let validation = self.moving.as_ref().and_then(|moving| moving.validation.as_ref());
        // A connection leads to whoever opened it: nobody else can be flooded by it.
        let validation = validation.filter(|_| !self.path.address.is_reliable());
        validation.map_or(usize::MAX, Validation::credit)
    }

    /// Bytes came by the path in use.
    pub(super) fn add_credit(&mut self, bytes: usize) {
        if let Some(moving) = &mut self.moving
            && let Some(validation) = &mut moving.validation
        {
            validation.received += bytes as u64;
        }
    }

    /// Bytes went to the path in use.
    pub(super) fn spend_credit(&mut self, bytes: usize) {
        if let Some(moving) = &mut self.moving
            && let Some(validation) = &mut moving.validation
        {
            validation.sent += bytes as u64;
        }
    }

    /// Answers a KEEP_ALIVE by the path that it came by, which is not the one in use.
    pub(super) fn owe_reply(&mut self, now: Instant, arrival: &Arrival, echo: KeepAlive) {
        if !self.may_move() {
            return;
        }
        if self.has_left(&arrival.path) && !arrival.id_is_fresh {
            // To be seen there under the id of the new path would join the two.
            return;
        }
        let patience = 2 * self.validation_span();
        let peer_id = self.peer_id_for(arrival);
        let reply = Reply { path: arrival.path, echo, len: arrival.len, peer_id };
        let moving = self.moving.get_or_insert_default();
        moving.reply(reply);
        moving.wide_until.get_or_insert(now + patience);
    }

    /// The peer's id for packets to a path that it tries. One that it tries under a fresh id of ours
    /// is to show no id that was seen elsewhere.
    fn peer_id_for(&mut self, arrival: &Arrival) -> PathId {
        if !arrival.id_is_fresh {
            return self.remote_id.id;
        }
        let moving = self.moving.get_or_insert_default();
        if let Some((path, id)) = &moving.reserved
            && path.same_path(&arrival.path)
        {
            return id.path_id;
        }
        let Some(fresh) = self.ids.take_spare() else { return self.remote_id.id };
        if let Some((_, unused)) = moving.reserved.replace((arrival.path, fresh)) {
            self.ids.retire(unused.sequence);
        }
        fresh.path_id
    }

    /// The newest packet so far, and more than a probe, came from elsewhere: the peer has moved.
    pub(super) fn on_peer_moved(&mut self, cx: &mut Context<'_>, arrival: &Arrival) {
        if !self.may_move() {
            self.say_the_end_there(cx, arrival);
            return;
        }
        let returned = self.moving.as_ref().is_some_and(|moving| {
            moving.validation.is_some()
                && moving.former.as_ref().is_some_and(|f| f.address.same_path(&arrival.path))
        });
        if returned {
            self.revert(cx);
            return;
        }
        let now = cx.now.mono;
        let before = self.remote_id;
        if arrival.id_is_fresh {
            // The peer did it on purpose: what it sees of us on the new path is new, too.
            self.local_id = arrival.id;
            let moving = self.moving.get_or_insert_default();
            let reserved = moving.reserved.take_if(|(path, _)| path.same_path(&arrival.path));
            if let Some(id) = reserved.map(|(_, id)| id).or_else(|| self.ids.take_spare()) {
                self.use_peer_id(PeerId::from(id));
            }
        }
        let unproven = self.moving.as_ref().is_some_and(|moving| moving.validation.is_some());
        let old = self.switch(cx, arrival.path);
        let span = self.validation_span();
        let nonce = cx.nonce();
        let moving = self.moving.get_or_insert_default();
        if unproven {
            // What the unproven path showed of the peer's ids is used up.
            let kept = moving.former.as_ref().map(|former| former.peer.sequence);
            if before.sequence != self.remote_id.sequence && kept != Some(before.sequence) {
                self.ids.retire(before.sequence);
            }
            // Where the unproven path was the former one but for its port, the two were known as one: what was
            // goes back with the former.
            if let Some(former) = moving.former.as_mut().filter(|former| former.known.is_none()) {
                former.known = old.known;
            }
        } else {
            moving.ask_former = Some(nonce);
            moving.former = Some(Former { peer: before, ..old });
        }
        moving.validation = Some(Validation {
            received: arrival.len as u64,
            sent: 0,
            challenge: Challenge::new(now, span),
            moved: true,
        });
        // What is to be answered there is paid for like all else that goes to the path in use.
        while let Some(reply) = moving.take_reply_on(&arrival.path) {
            if self.echoes.len() < MAX_ECHOES {
                self.echoes.push(reply.echo);
            }
        }
    }

    /// The peer of a session that is ending is, or looks for an answer, elsewhere: SESSION_CLOSE goes there, or it would
    /// never hear of the end. An address that is not proven gets no more than came from it, as any.
    fn say_the_end_there(&mut self, cx: &mut Context<'_>, arrival: &Arrival) {
        // To be seen on a path that was left, under an id of the new one, would join the two.
        let left = self.has_left(&arrival.path) && !arrival.id_is_fresh;
        if !self.says_the_end() || !self.is_established() || left {
            return;
        }
        if arrival.id_is_fresh {
            self.local_id = arrival.id;
            if let Some(id) = self.ids.take_spare() {
                self.use_peer_id(PeerId::from(id));
            }
        }
        self.leave_route();
        let before = core::mem::replace(&mut self.path.address, arrival.path);
        (self.path.held, self.path.lost) = (false, false);
        if !before.same_host(&arrival.path) {
            // Another kind of path has other timers; how the one before was is of no use any more.
            self.learn_anew(cx);
        }
        let challenge = Challenge::new(cx.now.mono, self.validation_span());
        let moving = self.moving.get_or_insert_default();
        // Nothing is gone back to any more.
        moving.former = None;
        let received = arrival.len as u64;
        moving.validation = Some(Validation { received, sent: 0, challenge, moved: true });
    }

    /// Asks whether the peer is where the session has been from its beginning; until it answers, no more goes there
    /// than `credit` and what comes from there. A connection leads to whoever opened it, and is not asked.
    pub(crate) fn challenge_here(&mut self, now: Instant, credit: usize) {
        if self.path.address.is_reliable() {
            return;
        }
        let challenge = Challenge::new(now, self.validation_span());
        let received = credit as u64;
        self.moving.get_or_insert_default().validation =
            Some(Validation { received, sent: 0, challenge, moved: false });
    }

    /// Goes on by another path; what was known of the one before comes back.
    fn switch(&mut self, cx: &mut Context<'_>, path: PathAddress) -> Former {
        let now = cx.now.mono;
        self.leave_route();
        self.replay.resize(ReplayWindow::MAX_BITS);
        let moving = self.moving.get_or_insert_default();
        moving.wide_until = Some(now + Duration::from_secs(3600));
        let address = core::mem::replace(&mut self.path.address, path);
        let lost = self.path.lost;
        (self.path.held, self.path.lost) = (false, false);
        // `PathChange` tells of it.
        self.silent = false;
        if address.same_host(&path) {
            // A NAT gave it another port: the way is the same.
            let (peer, by_choice) = (self.remote_id, false);
            return Former { address, known: None, until: None, peer, by_choice, lost };
        }
        self.start_counts();
        let known = Some(self.learn_anew(cx));
        Former { address, known, until: None, peer: self.remote_id, by_choice: false, lost }
    }

    /// Nothing is known of the path in use any more; what was comes back.
    pub(super) fn learn_anew(&mut self, cx: &mut Context<'_>) -> (MtuSearch, Recovery) {
        self.requeue_in_flight(cx);
        let reliable = self.path.address.is_reliable();
        let mut fresh = self.recovery.for_new_path(controller(self.config.congestion), reliable);
        self.recovery.hand_over_to(&mut fresh);
        let recovery = core::mem::replace(&mut self.recovery, fresh);
        let search = Path::search(&self.path.address, self.path.mtu.upper(), self.initiator);
        let search = search.after(&self.path.mtu, cx.now.mono);
        let mtu = core::mem::replace(&mut self.path.mtu, search);
        self.paced_until = None;
        (mtu, recovery)
    }

    /// The unproven path in use has failed, or the peer is back: the path before is the one.
    fn revert(&mut self, cx: &mut Context<'_>) {
        let again = self.validation_span();
        let Some(moving) = &mut self.moving else { return };
        moving.ask_former = None;
        let Some(former) = moving.former.take() else {
            // The path before went while this one was unproven. To take this one for proven would let a
            // forged address be flooded: it is asked again, and gets no more than came from it.
            if let Some(validation) = &mut moving.validation {
                validation.challenge = Challenge::new(cx.now.mono, again);
            }
            return;
        };
        moving.validation = None;
        let span = PATIENCE * self.recovery.pto();
        moving.wide_until = Some(cx.now.mono + span);
        self.leave_route();
        if former.peer.sequence != self.remote_id.sequence {
            let failed = self.remote_id.sequence;
            self.use_peer_id(former.peer);
            self.ids.retire(failed);
        }
        self.path.address = former.address;
        // Its end was told when it came, and nothing has been told since.
        (self.path.held, self.path.lost) = (former.lost, former.lost);
        if let Some((mtu, mut recovery)) = former.known {
            self.start_counts();
            self.requeue_in_flight(cx);
            self.recovery.hand_over_to(&mut recovery);
            self.path.mtu = mtu.after(&self.path.mtu, cx.now.mono);
            self.recovery = recovery;
            self.paced_until = None;
        }
        self.keep_alive_due = true;
    }

    /// An answer to a challenge; true when it was one.
    pub(super) fn on_path_answer(&mut self, cx: &mut Context<'_>, nonce: u64) -> bool {
        let Some(moving) = &mut self.moving else { return false };
        let proven = moving.validation.take_if(|path| path.challenge.is_answered_by(nonce));
        if let Some(Validation { moved, .. }) = proven {
            self.on_proven(cx, moved);
            return true;
        }
        let answered =
            moving.candidate.take_if(|candidate| candidate.challenge.is_answered_by(nonce));
        if let Some(candidate) = answered {
            self.adopt(cx, candidate);
            return true;
        }
        false
    }

    /// The path in use leads to the peer.
    fn on_proven(&mut self, cx: &mut Context<'_>, moved: bool) {
        let now = cx.now.mono;
        let Some(moving) = &mut self.moving else { return };
        let until = now + PATIENCE * self.recovery.pto();
        moving.wide_until = Some(until);
        moving.ask_former = None;
        if let Some(former) = &mut moving.former {
            former.until = Some(until);
            if former.peer.sequence != self.remote_id.sequence {
                self.ids.retire(former.peer.sequence);
            }
        }
        self.path.mtu.start(now);
        if moved {
            cx.events
                .push_back(Event::PathChange { session: cx.handle, remote: self.path.address });
        }
    }

    /// Tries another path, and moves there when the peer answers on it. Returned is what the events
    /// know the move by.
    ///
    /// # Errors
    /// [`MoveError`]; nothing has changed then.
    pub(crate) fn move_to(
        &mut self,
        cx: &mut Context<'_>,
        path: PathAddress,
    ) -> Result<u64, MoveError> {
        if !self.may_move() {
            return Err(MoveError::SessionClosed);
        }
        let tried = self.moving.as_mut().and_then(|moving| moving.candidate.as_mut());
        let id = tried.filter(|tried| tried.address == path).and_then(|tried| tried.id.take());
        self.give_up_candidate(cx, MoveFailure::Replaced, |_| true);
        let token = cx.nonce();
        if path == self.path.address {
            cx.events.push_back(Event::Moved { session: cx.handle, token, path });
            return Ok(token);
        }
        let id = id.or_else(|| self.ids.take_spare().map(PeerId::from));
        // Where nothing can bring another id any more, the one in use has to do: to be seen to move is
        // better than not to.
        let id = id.or_else(|| self.path.lost.then_some(self.remote_id));
        let challenge = Challenge::new(cx.now.mono, self.validation_span());
        let candidate = Candidate { address: path, token, id, challenge };
        self.moving.get_or_insert_default().candidate = Some(candidate);
        Ok(token)
    }

    /// Whether the driver looks for another carrier, such as a connection that is being opened. Until that
    /// has ended one way or the other, refusals do not end the session: silence does.
    pub(crate) fn seek(&mut self, cx: &mut Context<'_>, seeking: bool) {
        self.seeking = seeking;
        self.die_if_refused(cx);
    }

    /// Ends the session if the peer's host has refused enough, and nothing else is to be hoped for.
    pub(super) fn die_if_refused(&mut self, cx: &mut Context<'_>) {
        let hope = self.seeking || self.moving.as_ref().is_some_and(|m| m.candidate.is_some());
        let here = !hope && self.is_live() && !self.path.address.is_reliable();
        if let Some((count, span)) = self.liveness.refused().filter(|_| here) {
            self.die_refused(cx, count, span);
        }
    }

    /// Tries no longer to move, if the move is still under way.
    pub(crate) fn cancel_move(&mut self, cx: &mut Context<'_>, token: u64) {
        self.give_up_candidate(cx, MoveFailure::Cancelled, |candidate| candidate.token == token);
    }

    /// The path that is tried is not, if it is the one meant; true when it was.
    fn give_up_candidate(
        &mut self,
        cx: &mut Context<'_>,
        reason: MoveFailure,
        is_meant: impl FnOnce(&Candidate) -> bool,
    ) -> bool {
        let Some(moving) = &mut self.moving else { return false };
        let Some(candidate) = moving.candidate.take_if(|candidate| is_meant(candidate)) else {
            return false;
        };
        if let Some(id) = candidate.id.filter(|id| id.sequence != self.remote_id.sequence) {
            self.ids.retire(id.sequence);
        }
        let Candidate { address: path, token, .. } = candidate;
        cx.events.push_back(Event::MoveFailed { session: cx.handle, token, path, reason });
        true
    }

    /// Whether the path's connection takes nothing now; the endpoint says when it does again.
    pub(crate) fn hold(&mut self, held: bool) {
        self.path.held = held || self.path.lost;
    }

    /// A connection is no more: what was under way on it goes out anew, by the path before if the one
    /// in use was still to be proven, or by the next path that the driver, or the peer, finds.
    pub(crate) fn on_connection_lost(&mut self, cx: &mut Context<'_>, id: u64) {
        let is_lost = |path: &PathAddress| path.connection().is_some_and(|own| own.id == id);
        self.give_up_candidate(cx, MoveFailure::ConnectionLost, |c| is_lost(&c.address));
        if let Some(moving) = &mut self.moving {
            moving.replies.retain(|reply| !is_lost(&reply.path));
            let former = moving.former.take_if(|former| is_lost(&former.address));
            if former.is_some() {
                moving.ask_former = None;
            }
            if let Some(former) = former.filter(|former| former.until.is_none())
                && former.peer.sequence != self.remote_id.sequence
            {
                self.ids.retire(former.peer.sequence);
            }
        }
        if !is_lost(&self.path.address) {
            return;
        }
        if self.moving.as_ref().is_some_and(|moving| moving.validation.is_some()) {
            self.revert(cx);
        }
        if !is_lost(&self.path.address) {
            return;
        }
        self.requeue_in_flight(cx);
        (self.path.held, self.path.lost) = (true, true);
        if self.may_move() {
            let path = self.path.address;
            cx.events.push_back(Event::PathLost { session: cx.handle, path });
        }
    }

    /// The system did not send a packet of this session by `path`. True when that path is but tried, or
    /// was left: the one in use has nothing to do with it.
    pub(super) fn on_other_path_refused(
        &mut self,
        cx: &mut Context<'_>,
        path: &PathAddress,
        error: SendError,
    ) -> bool {
        if self.path.address == *path {
            return false;
        }
        // Buffers will be free again: the next challenge may pass.
        let tried = !matches!(error, SendError::NoBuffers(_))
            && self.give_up_candidate(cx, MoveFailure::Refused(error), |c| c.address == *path);
        tried || self.is_elsewhere(path)
    }

    /// The path that this side tried answers: make before break.
    fn adopt(&mut self, cx: &mut Context<'_>, candidate: Candidate) {
        let Some(id) = candidate.id else { return };
        let before = self.remote_id;
        let old = self.switch(cx, candidate.address);
        self.use_peer_id(id);
        let moving = self.moving.get_or_insert_default();
        // Whatever was unproven is left behind.
        moving.validation = None;
        let skipped = moving.former.replace(Former { peer: before, by_choice: true, ..old });
        if let Some(former) = skipped.filter(|former| former.until.is_none())
            && former.peer.sequence != before.sequence
        {
            self.ids.retire(former.peer.sequence);
        }
        // Says to the peer that this is the path from now on.
        self.keep_alive_due = true;
        self.on_proven(cx, true);
        let Candidate { address: path, token, .. } = candidate;
        cx.events.push_back(Event::Moved { session: cx.handle, token, path });
    }

    fn use_peer_id(&mut self, id: PeerId) {
        self.leave_route();
        self.remote_id = id;
    }

    /// The path, or the peer's id, is about to change: resets are looked up by both.
    pub(super) fn leave_route(&mut self) {
        let route = (self.remote_id.id, self.path.address.remote_bytes());
        let left = &mut self.moving.get_or_insert_default().routes.get_or_insert_default().left;
        if !left.contains(&route) {
            left.push(route);
        }
    }

    /// RFC 9000 8.2.4: three of the larger of this path's probe timeout and a new path's.
    fn validation_span(&self) -> Duration {
        PATIENCE * self.recovery.pto().max(3 * INITIAL_RTT)
    }

    /// Acts on the deadlines of a move.
    pub(super) fn moving_timeout(&mut self, cx: &mut Context<'_>) {
        let now = cx.now.mono;
        let again = self.validation_span();
        let Some(moving) = &mut self.moving else { return };
        if let Some(validation) = &mut moving.validation
            && validation.challenge.deadline <= now
        {
            if self.path.address.is_reliable() && !self.path.lost {
                // What was asked arrives, and the answer may wait behind much else: while the
                // connection is open only its end says that nobody answers.
                validation.challenge.deadline = now + again;
            } else {
                self.revert(cx);
            }
        }
        if let Some(candidate) = self.moving.as_ref().and_then(|moving| moving.candidate.as_ref())
            && candidate.challenge.deadline <= now
        {
            let waited = now.saturating_duration_since(candidate.challenge.since);
            let reason = match candidate.id {
                Some(_) => MoveFailure::NoAnswer { waited },
                None => MoveFailure::NoPathId { waited },
            };
            self.give_up_candidate(cx, reason, |_| true);
        }
        let Some(moving) = &mut self.moving else { return };
        moving.former.take_if(|former| former.until.is_some_and(|until| until <= now));
        if moving.wide_until.take_if(|until| *until <= now).is_some() {
            self.replay.resize(ReplayWindow::DEFAULT_BITS);
            if let Some((_, unused)) = moving.reserved.take() {
                self.ids.retire(unused.sequence);
            }
        }
        if moving.is_over() {
            self.moving = None;
        }
    }

    /// What goes by other paths than the one in use, and challenges of that one; only by those of `reach`.
    pub(super) fn transmit_moving(
        &mut self,
        cx: &mut Context<'_>,
        reach: Reach,
        buf: &mut [u8],
    ) -> Option<Transmit> {
        let now = cx.now.mono;
        let moving = self.moving.as_mut()?;
        if let Some(Reply { path, echo, len, peer_id }) = moving.take_reply(reach) {
            let kind = FrameType::KEEP_ALIVE_ACK;
            return self.transmit_probing(now, buf, path, peer_id, kind, &echo, len);
        }
        let probe =
            |nonce: u64| KeepAlive { kind: KeepAliveKind::Probe, nonce: nonce.to_le_bytes() };
        let kind = FrameType::KEEP_ALIVE;
        if let Some(former) = moving.former.as_ref().filter(|former| reach.has(&former.address))
            && let Some(nonce) = moving.ask_former.take()
        {
            let (path, id) = (former.address, former.peer.id);
            return self.transmit_probing(now, buf, path, id, kind, &probe(nonce), 0);
        }
        if let Some(candidate) = &mut moving.candidate
            && let Some(id) = candidate.due(now, reach)
        {
            let nonce = cx.nonce();
            candidate.challenge.on_sent(now, nonce);
            let path = candidate.address;
            return self.transmit_probing(now, buf, path, id, kind, &probe(nonce), MIN_MTU);
        }
        let here = &self.path.address;
        let validation =
            moving.validation.as_mut().filter(|v| v.challenge.at <= now && reach.has(here))?;
        let reliable = here.is_reliable();
        if validation.credit() < PROBE_LEN && !reliable {
            return None;
        }
        let nonce = cx.nonce();
        validation.challenge.on_sent(now, nonce);
        if reliable {
            // A copy could only be dropped by this side; so few are remembered that a late answer
            // still counts for as long as the session lives.
            validation.challenge.slow_down();
        }
        validation.sent += PROBE_LEN as u64;
        let (path, id) = (self.path.address, self.remote_id.id);
        self.transmit_probing(now, buf, path, id, kind, &probe(nonce), 0)
    }

    /// One packet of `len` bytes, or as few as may be, that moves nothing and is not followed: what
    /// asks or answers has its own clock.
    #[expect(clippy::too_many_arguments, reason = "all of it is one packet's way and words")]
    fn transmit_probing(
        &mut self,
        now: Instant,
        buf: &mut [u8],
        path: PathAddress,
        peer_id: PathId,
        frame_type: FrameType,
        body: &KeepAlive,
        len: usize,
    ) -> Option<Transmit> {
        let size = len.clamp(PROBE_LEN, MIN_MTU);
        let room = buf.get_mut(..size)?;
        let plain = &mut room[HEADER_LEN..size - TAG_LEN - CRC32_LEN];
        let payload = if plain.len() < BundleWriter::part_header_len(0) + KeepAlive::LEN {
            body.write(&mut Writer::new(plain)).ok()?;
            Payload { frame_type, stream: 0, fin: false, len: KeepAlive::LEN, eliciting: true }
        } else {
            let mut bundle = BundleWriter::new(plain);
            bundle.part(frame_type, 0, |out| body.write(out)).ok()?;
            bundle.pad_to(usize::MAX);
            Payload::bundle(bundle.len(), true)
        };
        self.rotate_key(now);
        let (_, len) = self.seal_packet(now, room, &payload, peer_id, false, false);
        self.liveness.on_sent();
        Some(Transmit { path, len, segment_size: None, ecn: None, opens: false })
    }

    /// The system does not send from the local address in use: let it choose another, and let the peer
    /// see at once that this side is elsewhere.
    pub(super) fn on_local_address_lost(&mut self, cx: &mut Context<'_>, error: SendError) {
        let gone = matches!(error, SendError::Unreachable(_) | SendError::Other(_));
        if gone && self.path.address.local().is_some() {
            self.on_rebind(cx, Rebind::Address);
        }
    }

    /// The socket, or the address it sends from, is another one. There is nothing to go back to, so the session goes on from there
    /// at once, under an id that was not seen elsewhere if there is one, and the peer finds out.
    pub(crate) fn on_rebind(&mut self, cx: &mut Context<'_>, rebind: Rebind) {
        let PathAddress::Udp { local, .. } = &mut self.path.address else { return };
        *local = None;
        if !self.may_move() {
            return;
        }
        if let Some(fresh) = self.ids.take_spare() {
            let before = self.remote_id.sequence;
            self.use_peer_id(PeerId::from(fresh));
            self.ids.retire(before);
        }
        if rebind == Rebind::Address {
            self.learn_anew(cx);
            self.path.mtu.start(cx.now.mono);
        }
        self.keep_alive_due = true;
    }

    /// The peer gave another path id.
    pub(super) fn on_new_id(&mut self, now: Instant, new: stt_wire::frame::NewId) {
        self.ids.on_new_id(new);
        let span = self.validation_span();
        if let Some(moving) = &mut self.moving
            && let Some(candidate) = &mut moving.candidate
            && candidate.id.is_none()
            && let Some(id) = self.ids.take_spare()
        {
            candidate.id = Some(PeerId::from(id));
            candidate.challenge = Challenge::new(now, span);
        }
    }

    /// The peer has no more use for a path id of ours.
    pub(super) fn on_retire_id(&mut self, sequence: u64) {
        if let Some(id) = self.ids.on_retire(sequence) {
            let moving = self.moving.get_or_insert_default();
            moving.routes.get_or_insert_default().retired.push(id);
        }
    }

    /// Takes what changed of the ids and addresses by which datagrams find this session.
    pub(crate) fn take_route_changes(&mut self) -> Option<Box<RouteChanges>> {
        self.moving.as_mut()?.routes.take()
    }

    /// Every path id by which the peer may reach this session.
    pub(crate) fn local_ids(&self) -> impl Iterator<Item = PathId> + '_ {
        self.ids.local()
    }

    /// Whether the peer is to get another path id for moves to come.
    pub(crate) fn wants_path_id(&self) -> bool {
        matches!(self.state, super::State::Open) && self.ids.wants_local()
    }

    /// Gives the peer a path id that the endpoint has set aside.
    pub(crate) fn issue_path_id(&mut self, id: PathId) {
        self.ids.issue(id);
    }
}

//! What must hold after every step of every run, whatever the scenario (`docs/adr/0058`).
//!
//! What takes constant time is looked at after each step; what must be counted, after so many steps
//! that the counting costs about as much as the rest.

mod handshake;
mod path_ids;
mod recount;
mod session;

use std::collections::{BTreeMap, BTreeSet};

use stt_proto::{
    Endpoint, Event, Instant, SessionHandle, SessionStats,
    inspect::{Inspection, Recount},
};

use crate::world::NodeId;

pub(crate) use self::path_ids::PathIds;

/// Sessions of one node that are looked at after each step; with more of them, they take turns.
const SESSIONS_A_STEP: usize = 8;
/// Packets and streams that are counted for each step at most, on average.
const COUNTED_A_STEP: usize = 4;

/// What one node has sent to another, and the other way, while the sender has no proof that the
/// receiver is where it says.
#[derive(Debug, Default)]
struct Pair {
    sent: u64,
    delivered: u64,
    /// The receiver spoke first.
    responds: bool,
    proven: bool,
}

#[derive(Debug)]
struct Watched {
    session: SessionHandle,
    last: SessionStats,
    /// As it was when it was looked at last, with the number of that look at the node.
    seen: Option<(Inspection, u64)>,
    /// Looks until its next count.
    rest: usize,
}

/// The side of a session: its number, and whether it is the one that connected.
type SideOf = ([u8; 8], bool);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    /// Sessions are left alone.
    pub(crate) blind: bool,
    /// By node and [`SessionHandle::as_u64`].
    sessions: BTreeMap<(NodeId, u64), Watched>,
    /// Where the other side of a session is found.
    sides: BTreeMap<SideOf, (NodeId, SessionHandle)>,
    /// How often a node was looked at.
    looks: BTreeMap<NodeId, u64>,
    /// Where the turns of each node have come to.
    turn: BTreeMap<NodeId, u64>,
    /// The same for what has not become a session that its application knows.
    handshake_turn: BTreeMap<NodeId, u32>,
    pairs: BTreeMap<(NodeId, NodeId), Pair>,
    /// Nodes that only answer: what they send to others is held against what came.
    pub(crate) responders: BTreeSet<NodeId>,
    /// Where each path id was seen, if that matters.
    pub(crate) path_ids: Option<PathIds>,
}

impl Checks {
    /// `from` is the node at the address that the event names.
    pub(crate) fn on_event(&mut self, node: NodeId, event: &Event, from: Option<NodeId>) {
        match event {
            Event::PathChange { .. } => self.prove(node, from),
            Event::Incoming { session, .. } | Event::Connected { session, .. } if !self.blind => {
                let last = SessionStats::default();
                let watched = Watched { session: *session, last, seen: None, rest: 0 };
                self.sessions.entry((node, session.as_u64())).or_insert(watched);
                self.prove(node, from);
            }
            _ => {}
        }
    }

    /// A node knows that another is where it says. Who has moved on meanwhile may be any of them.
    fn prove(&mut self, node: NodeId, from: Option<NodeId>) {
        let proven =
            from.map_or((node, 0)..=(node, NodeId::MAX), |from| (node, from)..=(node, from));
        self.pairs.range_mut(proven).for_each(|(_, pair)| pair.proven = true);
    }

    /// The node has lost its memory.
    pub(crate) fn forget(&mut self, node: NodeId) {
        self.sessions.retain(|(owner, _), _| *owner != node);
        self.sides.retain(|_, (owner, _)| *owner != node);
        self.pairs.retain(|(from, _), _| *from != node);
    }

    pub(crate) fn on_sent(&mut self, from: NodeId, to: NodeId, bytes: usize) {
        self.pairs.entry((from, to)).or_default().sent += bytes as u64;
    }

    pub(crate) fn on_delivered(&mut self, from: NodeId, to: NodeId, bytes: usize) {
        let pair = self.pairs.entry((to, from)).or_default();
        pair.responds |= pair.sent == 0;
        pair.delivered += bytes as u64;
    }

    /// Looks at one endpoint, after it was drained at `now`. `doubled` counts what the network has
    /// delivered twice so far, `timeout` is the endpoint's, and `peer` finds another node's endpoint.
    pub(crate) fn check<'a>(
        &mut self,
        node: NodeId,
        now: Instant,
        timeout: Option<Instant>,
        doubled: u64,
        peer: impl Fn(NodeId) -> &'a Endpoint,
    ) -> Result<(), String> {
        self.check_amplification(node)?;
        let endpoint = peer(node);
        if timeout.is_none() && endpoint.stats().sessions > 0 {
            return Err(format!("node {node} has sessions and no timer"));
        }
        let look = self.looks.entry(node).or_default();
        *look += 1;
        let look = *look;
        if !self.blind {
            self.check_handshakes(node, now, look, endpoint)?;
        }
        for key in self.turn_of(node) {
            let Some(watched) = self.sessions.get_mut(&(node, key)) else { continue };
            let handle = watched.session;
            let told = |what| format!("node {node} {handle:?}: {what}");
            let (Some(stats), Some(seen)) =
                (endpoint.session_stats(handle), endpoint.inspect(now, handle))
            else {
                if let Some((seen, _)) = watched.seen {
                    self.sides.remove(&(seen.session_id, seen.initiator));
                }
                self.sessions.remove(&(node, key));
                continue;
            };
            watched.check(&stats, doubled).map_err(told)?;
            watched.last = stats;
            watched.look(&seen, now, look).map_err(told)?;
            let known = watched.seen.replace((seen, look));
            if known.is_none_or(|(known, _)| known.session_id != seen.session_id) {
                self.sides.insert((seen.session_id, seen.initiator), (node, handle));
            }
            if watched.rest > 0 {
                watched.rest -= 1;
                continue;
            }
            let Some(count) = endpoint.recount(handle) else { continue };
            recount::check(&count).map_err(told)?;
            watched.rest = recount::size(&count) / COUNTED_A_STEP;
            let other = self.sides.get(&(seen.session_id, !seen.initiator));
            if let Some((other, handle)) = other
                && let Some(theirs) = peer(*other).recount(*handle)
            {
                check_both(&count, &theirs).map_err(told)?;
            }
        }
        Ok(())
    }

    /// Whether every path id was seen on one path only, where that was asked for.
    pub(crate) fn check_path_ids(&self) -> Result<(), String> {
        self.path_ids.as_ref().map_or(Ok(()), PathIds::check)
    }

    /// What no event has told of yet: connects, half-open handshakes, and sessions that wait for the
    /// last word of theirs.
    fn check_handshakes(
        &mut self,
        node: NodeId,
        now: Instant,
        look: u64,
        endpoint: &Endpoint,
    ) -> Result<(), String> {
        let from = self.handshake_turn.remove(&node).unwrap_or(0);
        let mut next = None;
        for (index, (place, handle)) in endpoint.inspected_from(from).enumerate() {
            if index == SESSIONS_A_STEP {
                next = Some(place);
                break;
            }
            let told = |what| format!("node {node} {handle:?}, in its handshake: {what}");
            if let Some(seen) = endpoint.inspect_connect(now, handle) {
                handshake::check_connect(&seen, now).map_err(told)?;
            } else if !self.sessions.contains_key(&(node, handle.as_u64()))
                && let Some(seen) = endpoint.inspect(now, handle)
            {
                session::check(&seen, now).map_err(told)?;
            }
        }
        self.handshake_turn.extend(next.map(|place| (node, place)));
        // Counting them costs as much as there are.
        let many = endpoint.stats().half_open / COUNTED_A_STEP as u64;
        if look.is_multiple_of(many + 1)
            && let Some(seen) = endpoint.inspect_half_open()
        {
            handshake::check_half_open(&seen, now)
                .map_err(|what| format!("node {node}: {what}"))?;
        }
        Ok(())
    }

    /// PROTOCOL.md section 2.6: to an address that is not proven no more goes than came from it. The
    /// bound is counted over the datagrams between two nodes.
    fn check_amplification(&self, node: NodeId) -> Result<(), String> {
        if !self.responders.contains(&node) {
            return Ok(());
        }
        for ((_, to), pair) in self.pairs.range((node, 0)..=(node, NodeId::MAX)) {
            if pair.responds && !pair.proven && pair.sent > pair.delivered {
                let Pair { sent, delivered, .. } = pair;
                return Err(format!(
                    "node {node} has sent {sent} bytes to node {to}, which sent {delivered} and has \
                     proven nothing"
                ));
            }
        }
        Ok(())
    }

    /// The sessions of a node whose turn it is.
    fn turn_of(&mut self, node: NodeId) -> Vec<u64> {
        let from = self.turn.remove(&node).unwrap_or(0);
        let sessions: Vec<u64> = self
            .sessions
            .range((node, from)..=(node, u64::MAX))
            .map(|((_, key), _)| *key)
            .take(SESSIONS_A_STEP)
            .collect();
        if let (SESSIONS_A_STEP, Some(last)) = (sessions.len(), sessions.last()) {
            self.turn.insert(node, last + 1);
        }
        sessions
    }
}

/// Credit, in both directions.
fn check_both(ours: &Recount, theirs: &Recount) -> Result<(), String> {
    recount::check_credit(&ours.streams, &theirs.streams)?;
    recount::check_credit(&theirs.streams, &ours.streams)
}

impl Watched {
    fn look(&self, seen: &Inspection, now: Instant, look: u64) -> Result<(), String> {
        session::check(seen, now)?;
        match &self.seen {
            Some((before, at)) if before.session_id == seen.session_id => {
                session::check_change(before, seen, at + 1 == look)
            }
            _ => Ok(()),
        }
    }

    fn check(&self, stats: &SessionStats, doubled: u64) -> Result<(), String> {
        let last = &self.last;
        if stats.packets_sent < last.packets_sent || stats.bytes_received < last.bytes_received {
            return Err("a counter went back".to_owned());
        }
        // A packet number that was used twice is a duplicate that the network did not make.
        if stats.packets_duplicate > doubled {
            return Err(format!(
                "{} packets came twice, and the network doubled {doubled}",
                stats.packets_duplicate
            ));
        }
        Ok(())
    }
}

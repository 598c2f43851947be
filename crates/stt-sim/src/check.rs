//! What must hold after every step of every run, whatever the scenario.

use std::collections::{BTreeMap, BTreeSet};

use stt_proto::{Endpoint, Event, SessionHandle, SessionStats};

use crate::world::NodeId;

/// Sessions of one node that are looked at after each step; with more of them, they take turns.
const SESSIONS_A_STEP: usize = 8;

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
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    /// By node and [`SessionHandle::as_u64`].
    sessions: BTreeMap<(NodeId, u64), Watched>,
    /// Where the turns of each node have come to.
    turn: BTreeMap<NodeId, u64>,
    pairs: BTreeMap<(NodeId, NodeId), Pair>,
    /// Nodes that only answer: what they send to others is held against what came.
    pub(crate) responders: BTreeSet<NodeId>,
}

impl Checks {
    pub(crate) fn on_event(&mut self, node: NodeId, event: &Event) {
        match event {
            Event::Incoming { session, .. } | Event::Connected { session, .. } => {
                let last = SessionStats::default();
                let watched = Watched { session: *session, last };
                self.sessions.entry((node, session.as_u64())).or_insert(watched);
                self.pairs.range_mut((node, 0)..=(node, NodeId::MAX)).for_each(|(_, pair)| {
                    pair.proven = true;
                });
            }
            _ => {}
        }
    }

    /// The node has lost its memory.
    pub(crate) fn forget(&mut self, node: NodeId) {
        self.sessions.retain(|(owner, _), _| *owner != node);
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

    /// Looks at one endpoint. `doubled` counts what the network has delivered twice so far.
    pub(crate) fn check(
        &mut self,
        node: NodeId,
        endpoint: &mut Endpoint,
        doubled: u64,
    ) -> Result<(), String> {
        self.check_amplification(node)?;
        if endpoint.poll_timeout().is_none() && endpoint.stats().sessions > 0 {
            return Err(format!("node {node} has sessions and no timer"));
        }
        for key in self.turn_of(node) {
            let Some(watched) = self.sessions.get_mut(&(node, key)) else { continue };
            let Some(stats) = endpoint.session_stats(watched.session) else {
                self.sessions.remove(&(node, key));
                continue;
            };
            watched
                .check(&stats, doubled)
                .map_err(|what| format!("node {node} {:?}: {what}", watched.session))?;
            watched.last = stats;
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

impl Watched {
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

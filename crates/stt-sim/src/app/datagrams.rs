//! Datagrams that both ends of a session send: each arrives whole and once, or is counted as lost.

use core::time::Duration;
use std::collections::BTreeSet;

use bytes::{BufMut, Bytes, BytesMut};
use stt_proto::{FrameType, Instant, Message, SessionHandle};

use super::end::pattern;
use crate::{
    spec::FlowSpec,
    world::{NodeId, World},
};

/// Bytes that say which one it is.
const NUMBER: usize = 8;
/// Time after the last of them in which the fate of all becomes known ...
const GRACE: Duration = Duration::from_secs(5);
/// ... on most paths: so often it is waited for again, on those with seconds of darkness or of queue.
const PATIENCE: u32 = 24;

/// See the module.
#[derive(Debug)]
pub(crate) struct Datagrams {
    key: u64,
    count: u64,
    pause: Duration,
    most: usize,
    sent: u64,
    next: Option<Instant>,
    waited: u32,
    /// What has come to each end.
    came: [BTreeSet<u64>; 2],
}

impl Datagrams {
    pub(super) fn new(spec: &FlowSpec, key: u64) -> Self {
        Self {
            key,
            count: spec.datagrams,
            pause: Duration::from_millis(spec.datagram_every_ms),
            most: spec.datagram_bytes as usize,
            sent: 0,
            next: None,
            waited: 0,
            came: Default::default(),
        }
    }

    /// The datagram of this number from this end.
    fn bytes(&self, end: usize, number: u64) -> Bytes {
        let span = self.most.saturating_sub(NUMBER) as u64 + 1;
        let len = number.wrapping_mul(37) % span;
        let mut bytes = BytesMut::with_capacity(NUMBER + len as usize);
        bytes.put_u64(number);
        bytes.put_slice(&pattern((self.key << 32 | number) * 2 + end as u64, 0, len as usize));
        bytes.freeze()
    }

    /// Sends from both ends what is due, once both have the session.
    pub(super) fn advance(
        &mut self,
        world: &mut World,
        nodes: [NodeId; 2],
        sessions: [Option<SessionHandle>; 2],
    ) -> Result<(), String> {
        let [Some(ours), Some(theirs)] = sessions else { return Ok(()) };
        while self.sent < self.count && self.next.is_none_or(|at| at <= world.now()) {
            for (end, session) in [ours, theirs].into_iter().enumerate() {
                let bytes = self.bytes(end, self.sent);
                let message = Message { frame_type: FrameType::DATAGRAM, bytes };
                let now = world.now_at(nodes[end]);
                world
                    .endpoint_mut(nodes[end])
                    .send_message(now, session, message)
                    .map_err(|error| format!("datagram {} of end {end}: {error}", self.sent))?;
            }
            self.sent += 1;
            let pause = if self.sent == self.count { GRACE } else { self.pause };
            self.next = Some(self.next.unwrap_or(world.now()) + pause);
        }
        Ok(())
    }

    pub(super) const fn next_wake(&self) -> Option<Instant> {
        self.next
    }

    /// Reads and checks what has come to one end.
    pub(super) fn read(
        &mut self,
        world: &mut World,
        node: NodeId,
        end: usize,
        session: SessionHandle,
    ) -> Result<(), String> {
        while let Some(Message { bytes, .. }) = world.endpoint_mut(node).read_message(session) {
            let number = bytes.first_chunk::<NUMBER>().map(|number| u64::from_be_bytes(*number));
            let Some(number) = number.filter(|n| bytes == self.bytes(1 - end, *n)) else {
                return Err(format!("end {end}: {} bytes that are no datagram", bytes.len()));
            };
            if number >= self.sent || !self.came[end].insert(number) {
                return Err(format!("end {end}: datagram {number} came twice"));
            }
        }
        Ok(())
    }

    /// Whether all were sent, and had their time.
    pub(super) fn is_complete(
        &mut self,
        world: &mut World,
        nodes: [NodeId; 2],
        sessions: [Option<SessionHandle>; 2],
    ) -> bool {
        let now = world.now();
        if self.sent < self.count || self.next.is_some_and(|at| at > now) {
            return false;
        }
        if self.waited < PATIENCE && self.check(world, nodes, sessions).is_err() {
            self.waited += 1;
            self.next = Some(now + GRACE);
            return false;
        }
        true
    }

    /// Datagrams that were sent both ways, and that came.
    pub(crate) fn counts(&self) -> [u64; 2] {
        [2 * self.sent, self.came.iter().map(|came| came.len() as u64).sum()]
    }

    /// What has not come must have been counted as lost, and nothing as dropped.
    pub(super) fn check(
        &self,
        world: &mut World,
        nodes: [NodeId; 2],
        sessions: [Option<SessionHandle>; 2],
    ) -> Result<(), String> {
        for end in 0..2 {
            let Some(session) = sessions[end].filter(|_| self.count > 0) else { continue };
            let stats = world.endpoint_mut(nodes[end]).session_stats(session);
            let counts = stats.unwrap_or_default().messages;
            let came = self.came[1 - end].len() as u64;
            if counts.sent != self.sent || counts.dropped_sending > 0 {
                return Err(format!("end {end} sent {} datagrams: {counts:?}", self.sent));
            }
            if came + counts.lost < counts.sent {
                return Err(format!("of the datagrams of end {end} {came} came: {counts:?}"));
            }
        }
        Ok(())
    }
}

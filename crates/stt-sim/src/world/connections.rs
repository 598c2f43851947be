//! Connections between hosts: what TCP and a WebSocket make of a network. What is handed over arrives
//! once and in order, at a rate, and what waits is bounded by what the endpoint was told.

use core::time::Duration;
use std::collections::BTreeMap;

use stt_proto::{Connection, Instant, PathAddress};

use crate::link::Link;

use super::{NodeId, World, arrivals::Cargo};

/// Bytes that a connection takes before it has passed any on.
const ROOM: usize = 512 * 1024;
/// Headers of IP and TCP for each so many bytes.
const HEADERS: usize = 52;
const SEGMENT: usize = 1_448;

/// All connections, and whether anything passes on them.
#[derive(Debug, Default)]
pub(super) struct Connections {
    open: BTreeMap<u64, Pipe>,
    last: u64,
    stalled: bool,
    /// Bytes that nodes have handed over, in all.
    carried: u64,
}

#[derive(Debug)]
struct Pipe {
    ends: [NodeId; 2],
    ways: [Way; 2],
}

/// One direction.
#[derive(Debug)]
struct Way {
    link: Link,
    /// When the last byte that was handed over leaves.
    free_at: Instant,
    /// Messages so far.
    count: u64,
    /// What TCP repeats in vain: the number of each, and whether the sender was told that it had left.
    held: Vec<(u64, bool, Vec<u8>)>,
}

impl World {
    /// Joins two nodes by a connection whose directions are like these links; its number.
    pub fn open_connection(&mut self, ends: [NodeId; 2], links: [Link; 2]) -> u64 {
        self.connections.last += 1;
        let id = self.connections.last;
        let now = self.now;
        let ways = links.map(|link| Way { link, free_at: now, count: 0, held: Vec::new() });
        self.connections.open.insert(id, Pipe { ends, ways });
        for (end, other) in [(0, 1), (1, 0)] {
            let remote = self.address(ends[other]);
            let connection = Connection { id, remote };
            self.nodes[ends[end]].endpoint.open_connection(connection, ROOM);
        }
        id
    }

    /// The path by a connection, as one of its nodes names it.
    #[must_use]
    pub fn path_by(&self, connection: u64, to: NodeId) -> PathAddress {
        PathAddress::Connection(Connection { id: connection, remote: self.address(to) })
    }

    /// Ends a connection: one node learns of it at once, the other when word of it has come.
    pub fn close_connection(&mut self, connection: u64) {
        let Some(pipe) = self.connections.open.remove(&connection) else { return };
        let (now, delay) = (self.now, pipe.ways[0].link.delay);
        let [near, far] = pipe.ends;
        self.push(now, Cargo::Closed { connection, at: near });
        self.push(now + delay, Cargo::Closed { connection, at: far });
    }

    /// Ends every connection, as a proxy on the way does that is restarted.
    pub fn cut_connections(&mut self) {
        let all: Vec<u64> = self.connections.open.keys().copied().collect();
        all.into_iter().for_each(|connection| self.close_connection(connection));
    }

    /// Whether nothing passes on connections: they stay open, and what was handed over waits. None is
    /// opened meanwhile.
    pub fn stall_connections(&mut self, stalled: bool) {
        self.connections.stalled = stalled;
        if stalled {
            return;
        }
        let ids: Vec<u64> = self.connections.open.keys().copied().collect();
        for id in ids {
            for way in 0..2 {
                let Some(pipe) = self.connections.open.get_mut(&id) else { continue };
                let by = pipe.ends[way];
                let mut held = core::mem::take(&mut pipe.ways[way].held);
                held.sort_unstable();
                for (number, is_told, bytes) in held {
                    self.send_message(by, id, number, is_told, bytes);
                }
            }
        }
    }

    /// Whether connections carry anything, and can be opened.
    #[must_use]
    pub const fn is_stalled(&self) -> bool {
        self.connections.stalled
    }

    /// Bytes that went by connections, both ways.
    #[must_use]
    pub const fn carried_by_connections(&self) -> u64 {
        self.connections.carried
    }

    /// A node's endpoint has something for a connection.
    pub(super) fn hand_over(&mut self, node: NodeId, connection: u64, bytes: &[u8]) {
        self.connections.carried += bytes.len() as u64;
        let Some(pipe) = self.connections.open.get_mut(&connection) else { return };
        let way = &mut pipe.ways[usize::from(pipe.ends[0] != node)];
        way.count += 1;
        let number = way.count;
        if self.connections.stalled {
            way.held.push((number, false, bytes.to_vec()));
        } else {
            self.send_message(node, connection, number, false, bytes.to_vec());
        }
    }

    fn send_message(
        &mut self,
        node: NodeId,
        connection: u64,
        number: u64,
        is_told: bool,
        bytes: Vec<u8>,
    ) {
        let now = self.now;
        let Some(pipe) = self.connections.open.get_mut(&connection) else { return };
        let (way, to) = if pipe.ends[0] == node { (0, pipe.ends[1]) } else { (1, pipe.ends[0]) };
        let way = &mut pipe.ways[way];
        let len = bytes.len();
        let on_the_wire = (len + len.div_ceil(SEGMENT) * HEADERS) as u64;
        let leaves = way.free_at.max(now) + way.link.transmission(on_the_wire);
        way.free_at = leaves;
        let delay = way.link.delay;
        if !is_told {
            self.push(leaves, Cargo::PassedOn { connection, by: node, bytes: len });
        }
        self.push(leaves + delay, Cargo::Message { connection, to, number, bytes });
    }

    pub(super) fn pass_on(&mut self, connection: u64, by: NodeId, bytes: usize) {
        if self.connections.open.contains_key(&connection) {
            let now = self.now_at(by);
            self.nodes[by].endpoint.connection_writable(now, connection, bytes);
        }
    }

    pub(super) fn deliver_message(
        &mut self,
        at: Instant,
        connection: u64,
        to: NodeId,
        number: u64,
        mut bytes: Vec<u8>,
    ) {
        let Some(pipe) = self.connections.open.get_mut(&connection) else { return };
        let way = usize::from(pipe.ends[0] == to);
        if self.connections.stalled {
            // What was on the way when the network fell silent is repeated when it speaks again.
            pipe.ways[way].held.push((number, true, bytes));
            return;
        }
        // TCP brings it all the same: it is the receiver that drops it.
        if pipe.ways[way].link.drop.contains(&(number - 1)) {
            return;
        }
        let other = pipe.ends[1 - usize::from(pipe.ends[1] == to)];
        for word in [at.as_nanos(), to as u64, bytes.len() as u64] {
            self.mix(word);
        }
        let (now, path) = (self.now_at(to), self.path_by(connection, other));
        self.nodes[to].endpoint.handle_datagram(now, path, None, &mut bytes);
    }

    /// Time in which a connection is opened: TCP's round trip, and that of the upgrade.
    #[must_use]
    pub fn opening_time(links: &[Link; 2]) -> Duration {
        2 * (links[0].delay + links[1].delay)
    }
}

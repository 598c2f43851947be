//! What is on its way, and what becomes of it where it arrives.

use std::{cmp::Reverse, net::SocketAddr};

use stt_proto::{Ecn, Instant, PathAddress, PathError};

use super::{NodeId, World, overhead};

/// Bytes of a datagram that a host quotes in its answer.
const QUOTED: usize = 128;

#[derive(Debug)]
pub(super) enum Cargo {
    Datagram {
        from: SocketAddr,
        to: SocketAddr,
        ecn: Option<Ecn>,
        bytes: Vec<u8>,
    },
    /// A host says that nobody has the port of `by`.
    Refusal {
        by: SocketAddr,
        to: SocketAddr,
        quoted: Vec<u8>,
    },
    /// A message came by a connection.
    Message {
        connection: u64,
        to: NodeId,
        number: u64,
        bytes: Vec<u8>,
    },
    /// A connection has passed on so many bytes of a node.
    PassedOn {
        connection: u64,
        by: NodeId,
        bytes: usize,
    },
    /// A node learns that its connection is no more.
    Closed {
        connection: u64,
        at: NodeId,
    },
    /// A model's packet reached its far end.
    Cross {
        flow: usize,
        number: u64,
    },
    /// A model heard of it.
    CrossAck {
        flow: usize,
        number: u64,
    },
}

pub(super) struct Arrival {
    pub(super) at: Instant,
    pub(super) order: u64,
    pub(super) cargo: Cargo,
}

impl PartialEq for Arrival {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Arrival {}

impl PartialOrd for Arrival {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Arrival {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl World {
    pub(super) fn carry(
        &mut self,
        node: NodeId,
        path: PathAddress,
        ecn: Option<Ecn>,
        datagram: &[u8],
    ) {
        let PathAddress::Udp { remote, .. } = path else { return };
        let interface = self.interface_of(node, &path);
        self.refresh_nat(node);
        let source = self.nodes[node].addresses[interface];
        let now = self.now;
        if let Some(recording) = &self.recording {
            recording.pcap(|pcap| pcap.record(now, source, remote, ecn, datagram));
        }
        // Nobody is there: the network loses it.
        let Some(to) = self.owners.get(&remote).copied() else { return };
        self.checks.on_sent(node, to.0, datagram.len());
        if let Some(ids) = &mut self.checks.path_ids {
            ids.on_sent(source, remote, datagram);
        }
        let overhead = overhead(&remote);
        let state = self.link_state((node, interface), to);
        for flight in state.send(now, datagram.len(), overhead, ecn).into_iter().flatten() {
            let mut bytes = datagram.to_vec();
            if let Some(flip) = flight.flip.filter(|_| !bytes.is_empty()) {
                let bit = flip % (bytes.len() as u64 * 8);
                bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
            }
            let cargo = Cargo::Datagram { from: source, to: remote, ecn: flight.ecn, bytes };
            self.push(flight.at, cargo);
        }
    }

    pub(super) fn push(&mut self, at: Instant, cargo: Cargo) {
        self.order += 1;
        self.arrivals.push(Reverse(Arrival { at, order: self.order, cargo }));
    }

    pub(super) fn deliver(&mut self, arrival: Arrival) {
        match arrival.cargo {
            Cargo::Datagram { from, to, ecn, bytes } => {
                self.deliver_datagram(arrival.at, from, to, ecn, bytes);
            }
            Cargo::Refusal { by, to, quoted } => {
                if let Some((node, _)) = self.owners.get(&to).copied() {
                    let now = self.now_at(node);
                    let endpoint = &mut self.nodes[node].endpoint;
                    endpoint.handle_path_error(now, by, PathError::Refused, Some(&quoted));
                }
            }
            Cargo::Message { connection, to, number, bytes } => {
                self.deliver_message(arrival.at, connection, to, number, bytes);
            }
            Cargo::PassedOn { connection, by, bytes } => self.pass_on(connection, by, bytes),
            Cargo::Closed { connection, at } => {
                let now = self.now_at(at);
                self.nodes[at].endpoint.close_connection(now, connection);
            }
            Cargo::Cross { flow, number } => {
                if let Some((_, model)) = self.cross.get_mut(flow) {
                    let at = arrival.at + model.on_arrival();
                    self.push(at, Cargo::CrossAck { flow, number });
                }
            }
            Cargo::CrossAck { flow, number } => {
                if let Some((_, model)) = self.cross.get_mut(flow) {
                    model.on_ack(arrival.at, number);
                }
            }
        }
    }

    fn deliver_datagram(
        &mut self,
        at: Instant,
        from: SocketAddr,
        to: SocketAddr,
        ecn: Option<Ecn>,
        mut bytes: Vec<u8>,
    ) {
        // Whoever had the address may have left it meanwhile.
        let Some((node, interface)) = self.owners.get(&to).copied() else { return };
        if self.nodes[node].asleep || !self.nat_lets_in(node) {
            return;
        }
        if let Some(icmp) = &mut self.nodes[node].gone {
            if icmp.take(at) {
                bytes.truncate(QUOTED);
                let back = at + self.default_link.delay;
                self.push(back, Cargo::Refusal { by: to, to: from, quoted: bytes });
            }
            return;
        }
        for word in [at.as_nanos(), node as u64, bytes.len() as u64] {
            self.mix(word);
        }
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
        if let Some((sender, _)) = self.owners.get(&from) {
            self.checks.on_delivered(*sender, node, bytes.len());
        }
        let now = self.now_at(node);
        let several = self.nodes[node].addresses.len() > 1;
        let local = several.then(|| self.nodes[node].addresses[interface].ip());
        let path = PathAddress::Udp { remote: from, local };
        self.nodes[node].endpoint.handle_datagram(now, path, ecn, &mut bytes);
    }

    /// FNV-1a, by words.
    pub(super) fn mix(&mut self, word: u64) {
        self.transcript = (self.transcript ^ word).wrapping_mul(0x100_0000_01B3).rotate_left(23);
    }
}

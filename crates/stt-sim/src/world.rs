//! The world: nodes, links, and the one clock that moves them.

use core::{fmt, time::Duration};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
};

use stt_crypto::{NetworkKeys, NodeIdentity, NodeSeed, SharedSeed};
use stt_proto::{Endpoint, EndpointConfig, Event, Instant, Now, PathAddress};

use crate::{
    link::{Link, LinkState, LinkStats},
    random::Random,
};

/// Names a node of a world.
pub type NodeId = usize;

/// Milliseconds since 1970 at which every world begins.
const EPOCH_UNIX_MS: u64 = 1_800_000_000_000;
/// Steps at one instant after which the world counts as stuck.
const MAX_STEPS_AT_ONE_INSTANT: u32 = 100_000;
/// Segments of one batch, as on a kernel with GSO.
const MAX_SEGMENTS: usize = 44;

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong.
    pub what: String,
    /// When, on the virtual clock.
    pub at: Duration,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:.6} s", self.what, self.at.as_secs_f64())
    }
}

impl std::error::Error for Failure {}

struct Node {
    endpoint: Endpoint,
    address: SocketAddr,
    /// Added to the wall clock of this node.
    clock_skew_ms: i64,
    events: Vec<Event>,
}

struct Arrival {
    at: Instant,
    order: u64,
    from: SocketAddr,
    to: NodeId,
    bytes: Vec<u8>,
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

/// Nodes joined by links, on a virtual clock.
pub struct World {
    nodes: Vec<Node>,
    links: BTreeMap<(NodeId, NodeId), LinkState>,
    default_link: Link,
    arrivals: BinaryHeap<Reverse<Arrival>>,
    now: Instant,
    order: u64,
    random: Random,
    seed: u64,
    /// Digest-like running value over every datagram delivered: equal for equal runs.
    transcript: u64,
    buffer: Vec<u8>,
}

impl World {
    /// An empty world whose links are `default_link` unless [`World::set_link`] says otherwise.
    #[must_use]
    pub fn new(seed: u64, default_link: Link) -> Self {
        Self {
            nodes: Vec::new(),
            links: BTreeMap::new(),
            default_link,
            arrivals: BinaryHeap::new(),
            now: Instant::from_nanos(0),
            order: 0,
            random: Random::new(seed, "world"),
            seed,
            transcript: 0xCBF2_9CE4_8422_2325,
            buffer: vec![0; 65_536],
        }
    }

    /// Adds a node that holds `shared_seed`; its own seed is drawn from the run's.
    pub fn add_node(&mut self, config: EndpointConfig, shared_seed: [u8; 32]) -> NodeId {
        let node_seed = self.random.bytes();
        self.add_node_with(config, &[shared_seed], node_seed)
    }

    /// Adds a node with these seeds.
    ///
    /// # Panics
    /// When a seed is refused: a scenario's mistake.
    pub fn add_node_with(
        &mut self,
        config: EndpointConfig,
        shared_seeds: &[[u8; 32]],
        node_seed: [u8; 32],
    ) -> NodeId {
        let id = self.nodes.len();
        let last = u8::try_from(id + 1).unwrap_or(u8::MAX);
        let address = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, last), 7788));
        let endpoint = self.endpoint(config, shared_seeds, node_seed);
        self.nodes.push(Node { endpoint, address, clock_skew_ms: 0, events: Vec::new() });
        id
    }

    /// Replaces a node's endpoint by a fresh one with these seeds, as a restart of its process does.
    pub fn restart(
        &mut self,
        node: NodeId,
        config: EndpointConfig,
        shared_seeds: &[[u8; 32]],
        node_seed: [u8; 32],
    ) {
        self.nodes[node].endpoint = self.endpoint(config, shared_seeds, node_seed);
        self.nodes[node].events.clear();
    }

    fn endpoint(
        &mut self,
        config: EndpointConfig,
        shared_seeds: &[[u8; 32]],
        node_seed: [u8; 32],
    ) -> Endpoint {
        let networks = shared_seeds
            .iter()
            .map(|seed| match SharedSeed::new(seed) {
                Ok(seed) => NetworkKeys::new(&seed),
                Err(error) => panic!("the scenario's shared seed was refused: {error:?}"),
            })
            .collect();
        let identity = match NodeSeed::new(&node_seed) {
            Ok(seed) => NodeIdentity::from_seed(&seed),
            Err(error) => panic!("the scenario's node seed was refused: {error:?}"),
        };
        Endpoint::new(config, identity, networks, self.random.bytes())
    }

    /// Sets the link from one node to another; the way back is its own.
    pub fn set_link(&mut self, from: NodeId, to: NodeId, link: Link) {
        self.link_state(from, to).link = link;
    }

    /// Sets both directions between two nodes.
    pub fn set_links(&mut self, a: NodeId, b: NodeId, link: &Link) {
        self.set_link(a, b, link.clone());
        self.set_link(b, a, link.clone());
    }

    /// Counters of one direction.
    pub fn link_stats(&mut self, from: NodeId, to: NodeId) -> LinkStats {
        self.link_state(from, to).stats
    }

    fn link_state(&mut self, from: NodeId, to: NodeId) -> &mut LinkState {
        let (seed, link) = (self.seed, &self.default_link);
        self.links.entry((from, to)).or_insert_with(|| {
            LinkState::new(link.clone(), Random::new(seed, &format!("link {from} {to}")))
        })
    }

    /// Sets a node's wall clock off by this much.
    pub fn skew_clock(&mut self, node: NodeId, milliseconds: i64) {
        self.nodes[node].clock_skew_ms = milliseconds;
    }

    /// Moves a node to another address, as a NAT does: its peers see the change, it does not.
    pub fn rebind(&mut self, node: NodeId, address: SocketAddr) {
        self.nodes[node].address = address;
    }

    /// The path to a node, as its peers name it.
    #[must_use]
    pub fn path_to(&self, node: NodeId) -> PathAddress {
        PathAddress::Udp { remote: self.nodes[node].address, local: None }
    }

    /// The clock.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Time since the world began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.now.as_nanos())
    }

    /// The clock as a node sees it.
    #[must_use]
    pub fn now_at(&self, node: NodeId) -> Now {
        let wall = EPOCH_UNIX_MS + self.now.as_nanos() / 1_000_000;
        Now { mono: self.now, unix_ms: wall.saturating_add_signed(self.nodes[node].clock_skew_ms) }
    }

    /// A node's endpoint. Call [`World::settle`] after changing it, or run on.
    pub fn endpoint_mut(&mut self, node: NodeId) -> &mut Endpoint {
        &mut self.nodes[node].endpoint
    }

    /// What a node was told since the last call.
    pub fn take_events(&mut self, node: NodeId) -> Vec<Event> {
        core::mem::take(&mut self.nodes[node].events)
    }

    /// A value over all datagrams delivered so far and their times; equal for equal runs.
    #[must_use]
    pub const fn transcript(&self) -> u64 {
        self.transcript
    }

    /// Puts a datagram of no node's making in front of a node.
    pub fn inject(&mut self, to: NodeId, from: SocketAddr, datagram: &mut [u8]) {
        let now = self.now_at(to);
        let path = PathAddress::Udp { remote: from, local: None };
        self.nodes[to].endpoint.handle_datagram(now, path, None, datagram);
    }

    /// Takes out all that the endpoints have to send and to say at this instant.
    pub fn settle(&mut self) {
        for node in 0..self.nodes.len() {
            self.drain(node);
        }
    }

    fn drain(&mut self, node: NodeId) {
        let now = self.now_at(node);
        let mut buffer = core::mem::take(&mut self.buffer);
        while let Some(transmit) =
            self.nodes[node].endpoint.poll_transmit(now, MAX_SEGMENTS, &mut buffer)
        {
            let segment = transmit.segment_size.unwrap_or(transmit.len).max(1);
            for datagram in buffer[..transmit.len].chunks(segment) {
                self.carry(node, transmit.path, datagram);
            }
        }
        self.buffer = buffer;
        while let Some(event) = self.nodes[node].endpoint.poll_event() {
            self.nodes[node].events.push(event);
        }
    }

    fn carry(&mut self, from: NodeId, path: PathAddress, datagram: &[u8]) {
        let PathAddress::Udp { remote, .. } = path else { return };
        let Some(to) = self.nodes.iter().position(|node| node.address == remote) else { return };
        let (now, source) = (self.now, self.nodes[from].address);
        for flight in self.link_state(from, to).send(now, datagram).into_iter().flatten() {
            self.order += 1;
            self.arrivals.push(Reverse(Arrival {
                at: flight.at,
                order: self.order,
                from: source,
                to,
                bytes: flight.bytes,
            }));
        }
    }

    /// Moves the clock to the next thing that happens and lets it happen. `false` when nothing ever
    /// will.
    pub fn step(&mut self) -> bool {
        self.settle();
        let arrival = self.arrivals.peek().map(|Reverse(arrival)| arrival.at);
        let deadline = self.nodes.iter_mut().filter_map(|node| node.endpoint.poll_timeout()).min();
        let Some(next) = [arrival, deadline].into_iter().flatten().min() else { return false };
        self.now = self.now.max(next);
        while self.arrivals.peek().is_some_and(|Reverse(arrival)| arrival.at <= self.now) {
            if let Some(Reverse(arrival)) = self.arrivals.pop() {
                self.deliver(arrival);
            }
        }
        for node in 0..self.nodes.len() {
            if self.nodes[node].endpoint.poll_timeout().is_some_and(|deadline| deadline <= self.now)
            {
                let now = self.now_at(node);
                self.nodes[node].endpoint.handle_timeout(now);
            }
        }
        self.settle();
        true
    }

    fn deliver(&mut self, mut arrival: Arrival) {
        for word in [arrival.at.as_nanos(), arrival.to as u64, arrival.bytes.len() as u64] {
            self.mix(&word.to_le_bytes());
        }
        self.mix(&arrival.bytes);
        let now = self.now_at(arrival.to);
        let path = PathAddress::Udp { remote: arrival.from, local: None };
        self.nodes[arrival.to].endpoint.handle_datagram(now, path, None, &mut arrival.bytes);
    }

    /// FNV-1a.
    fn mix(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.transcript = (self.transcript ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3);
        }
    }

    /// Steps until `done` answers with a value, asking after each step.
    ///
    /// # Errors
    /// [`Failure`] when `limit` passes on the virtual clock, when nothing more will ever happen, or
    /// when the world turns in place: something acts again and again without the clock moving.
    pub fn run_until<T>(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&mut Self) -> Result<Option<T>, String>,
    ) -> Result<T, Failure> {
        let end = self.now + limit;
        let mut steps_here = 0;
        let mut here = self.now;
        loop {
            self.settle();
            match done(self) {
                Ok(Some(value)) => return Ok(value),
                Ok(None) => {}
                Err(what) => return Err(self.failure(what)),
            }
            if self.now > end {
                return Err(self.failure(format!("not done within {limit:?}")));
            }
            if !self.step() {
                return Err(self.failure("nothing more will ever happen".to_owned()));
            }
            steps_here = if self.now == here { steps_here + 1 } else { 0 };
            here = self.now;
            if steps_here > MAX_STEPS_AT_ONE_INSTANT {
                return Err(self.failure("the world turns in place".to_owned()));
            }
        }
    }

    /// Lets `span` pass.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            self.settle();
            let arrival = self.arrivals.peek().map(|Reverse(arrival)| arrival.at);
            let deadline =
                self.nodes.iter_mut().filter_map(|node| node.endpoint.poll_timeout()).min();
            match [arrival, deadline].into_iter().flatten().min() {
                Some(next) if next <= end => {
                    self.step();
                }
                _ => break,
            }
        }
        self.now = end;
    }

    fn failure(&self, what: String) -> Failure {
        Failure { what, at: self.elapsed() }
    }
}

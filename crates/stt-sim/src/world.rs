//! The world: nodes, links, and the one clock that moves them.

mod arrivals;
mod connections;
mod hosts;
mod links;

use core::{fmt, time::Duration};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    net::SocketAddr,
};

use stt_crypto::{NetworkKeys, NodeIdentity, NodeSeed, SharedSeed};
use stt_proto::{Endpoint, EndpointConfig, Event, Instant, Now, PathAddress};

use crate::{
    check::{Checks, PathIds},
    cross::CrossFlow,
    link::{IPV4_OVERHEAD, Link, LinkState},
    random::Random,
    recording::Recording,
};

use self::{arrivals::Arrival, connections::Connections, hosts::Node};

/// Names a node of a world.
pub type NodeId = usize;

/// Milliseconds since 1970 at which every world begins.
pub(crate) const EPOCH_UNIX_MS: u64 = 1_800_000_000_000;
/// Steps at one instant after which the world counts as stuck.
const MAX_STEPS_AT_ONE_INSTANT: u32 = 20_000;
/// Timeouts in a row, at one instant, that bring neither a datagram nor an event.
const MAX_IDLE_TIMEOUTS: u32 = 4;
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

/// Nodes joined by links, on a virtual clock.
pub struct World {
    nodes: Vec<Node>,
    /// Who has which address now, with the interface.
    owners: BTreeMap<SocketAddr, (NodeId, usize)>,
    links: Vec<LinkState>,
    /// Which link leads from an interface to another.
    routes: BTreeMap<[(NodeId, usize); 2], usize>,
    cross: Vec<(usize, CrossFlow)>,
    connections: Connections,
    default_link: Link,
    arrivals: BinaryHeap<Reverse<Arrival>>,
    now: Instant,
    order: u64,
    random: Random,
    seed: u64,
    ipv6: bool,
    /// Digest-like running value over every datagram delivered: equal for equal runs.
    transcript: u64,
    buffer: Vec<u8>,
    idle_timeouts: u32,
    checks: Checks,
    recording: Option<Recording>,
}

impl World {
    /// An empty world whose links are `default_link` unless [`World::set_link`] says otherwise.
    #[must_use]
    pub fn new(seed: u64, default_link: Link) -> Self {
        Self {
            nodes: Vec::new(),
            owners: BTreeMap::new(),
            links: Vec::new(),
            routes: BTreeMap::new(),
            cross: Vec::new(),
            connections: Connections::default(),
            default_link,
            arrivals: BinaryHeap::new(),
            now: Instant::from_nanos(0),
            order: 0,
            random: Random::new(seed, "world"),
            seed,
            ipv6: false,
            transcript: 0xCBF2_9CE4_8422_2325,
            buffer: vec![0; 65_536],
            idle_timeouts: 0,
            checks: Checks::default(),
            recording: None,
        }
    }

    /// Nodes added from now on have IPv6 addresses.
    pub fn use_ipv6(&mut self) {
        self.ipv6 = true;
    }

    /// Keeps every datagram that is sent from now on, and what sessions that begin from now on have
    /// to say.
    pub(crate) fn record(&mut self, recording: &Recording) {
        for (node, state) in self.nodes.iter_mut().enumerate() {
            state.endpoint.set_tracer(Some(recording.tracer(node)));
        }
        self.recording = Some(recording.clone());
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
        let endpoint = self.endpoint(id, config, shared_seeds, node_seed);
        self.nodes.push(Node {
            endpoint,
            addresses: Vec::new(),
            active: 0,
            nat: None,
            asleep: false,
            refusing: None,
            gone: None,
            clock_skew_ms: 0,
            events: Vec::new(),
        });
        self.add_interface(id);
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
        self.nodes[node].endpoint = self.endpoint(node, config, shared_seeds, node_seed);
        self.nodes[node].events.clear();
        self.checks.forget(node);
    }

    fn endpoint(
        &mut self,
        node: NodeId,
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
        let mut endpoint = Endpoint::new(config, identity, networks, self.random.bytes());
        if let Some(recording) = &self.recording {
            endpoint.set_tracer(Some(recording.tracer(node)));
        }
        endpoint
    }

    /// Keeps no record of sessions and holds nothing against it from now on: for tests that count what a
    /// process holds.
    pub fn watch_no_session(&mut self) {
        self.checks.blind = true;
    }

    /// Holds what a node that only answers sends to others against what came from them, from now on
    /// (PROTOCOL.md section 2.6).
    pub fn watch_responder(&mut self, node: NodeId) {
        self.checks.responders.insert(node);
    }

    /// Holds it against a session, from now on, when one of its path ids is seen on two paths
    /// (PROTOCOL.md section 6.3).
    pub fn watch_path_ids(&mut self) {
        self.checks.path_ids = Some(PathIds::default());
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

    /// How many nodes there are.
    #[must_use]
    pub fn node_count(&self) -> usize {
        self.nodes.len()
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
        for flow in 0..self.cross.len() {
            self.drain_cross(flow);
        }
    }

    fn drain(&mut self, node: NodeId) {
        if self.nodes[node].asleep || self.nodes[node].gone.is_some() {
            return;
        }
        let now = self.now_at(node);
        let mut buffer = core::mem::take(&mut self.buffer);
        while let Some(transmit) =
            self.nodes[node].endpoint.poll_transmit(now, MAX_SEGMENTS, &mut buffer)
        {
            self.idle_timeouts = 0;
            if let PathAddress::Connection(connection) = transmit.path {
                self.hand_over(node, connection.id, &buffer[..transmit.len]);
                continue;
            }
            if let Some(error) = self.nodes[node].refusing {
                self.nodes[node].endpoint.handle_send_error(now, transmit.path, error);
                continue;
            }
            let segment = transmit.segment_size.unwrap_or(transmit.len).max(1);
            for datagram in buffer[..transmit.len].chunks(segment) {
                self.carry(node, transmit.path, transmit.ecn, datagram);
            }
        }
        self.buffer = buffer;
        while let Some(event) = self.nodes[node].endpoint.poll_event() {
            self.idle_timeouts = 0;
            let from = match &event {
                Event::Incoming { remote: PathAddress::Udp { remote, .. }, .. }
                | Event::Connected { remote: PathAddress::Udp { remote, .. }, .. }
                | Event::PathChange { remote: PathAddress::Udp { remote, .. }, .. } => {
                    self.owners.get(remote).map(|(from, _)| *from)
                }
                _ => None,
            };
            self.checks.on_event(node, &event, from);
            self.nodes[node].events.push(event);
        }
    }

    /// When something happens next, if nothing is done to the world before.
    fn next(&mut self) -> Option<Instant> {
        let arrival = self.arrivals.peek().map(|Reverse(arrival)| arrival.at);
        let cross = self.cross.iter().filter_map(|(_, flow)| flow.next_timeout()).min();
        [arrival, self.next_deadline(), cross].into_iter().flatten().min()
    }

    fn next_deadline(&mut self) -> Option<Instant> {
        let awake = self.nodes.iter_mut().filter(|node| !node.asleep && node.gone.is_none());
        awake.filter_map(|node| node.endpoint.poll_timeout()).min()
    }

    /// Moves the clock to the next thing that happens and lets it happen. `false` when nothing ever
    /// will.
    pub fn step(&mut self) -> bool {
        self.step_to(None)
    }

    /// The same, but no further than `limit`, which counts as something that happens.
    pub fn step_to(&mut self, limit: Option<Instant>) -> bool {
        self.settle();
        let Some(next) = [self.next(), limit].into_iter().flatten().min() else { return false };
        self.now = self.now.max(next);
        while self.arrivals.peek().is_some_and(|Reverse(arrival)| arrival.at <= self.now) {
            if let Some(Reverse(arrival)) = self.arrivals.pop() {
                self.idle_timeouts = 0;
                self.deliver(arrival);
            }
        }
        for node in 0..self.nodes.len() {
            let Node { endpoint, asleep: false, gone: None, .. } = &mut self.nodes[node] else {
                continue;
            };
            if endpoint.poll_timeout().is_some_and(|deadline| deadline <= self.now) {
                self.idle_timeouts += 1;
                let now = self.now_at(node);
                self.nodes[node].endpoint.handle_timeout(now);
            }
        }
        for (_, flow) in &mut self.cross {
            flow.handle_timeout(self.now);
        }
        self.settle();
        if self.next_deadline().is_none_or(|deadline| deadline > self.now) {
            self.idle_timeouts = 0;
        }
        true
    }

    /// Asks every endpoint whether all that must hold does, and sees that the world does not turn in
    /// place.
    ///
    /// # Errors
    /// What does not hold.
    pub fn check(&mut self) -> Result<(), String> {
        if self.idle_timeouts > MAX_IDLE_TIMEOUTS {
            return Err("a timer fires again and again, and nothing comes of it".to_owned());
        }
        let doubled = self.links.iter().map(|link| link.stats.duplicated).sum();
        let now = self.now;
        self.checks.check_path_ids()?;
        for id in 0..self.nodes.len() {
            if self.nodes[id].asleep || self.nodes[id].gone.is_some() {
                continue;
            }
            let timeout = self.nodes[id].endpoint.poll_timeout();
            let nodes = &self.nodes;
            self.checks.check(id, now, timeout, doubled, |node| &nodes[node].endpoint)?;
        }
        Ok(())
    }

    /// Steps until `done` answers with a value, asking after each step.
    ///
    /// # Errors
    /// [`Failure`] when `limit` passes on the virtual clock, when nothing more will ever happen, when
    /// an invariant is broken, or when the world turns in place: something acts again and again
    /// without the clock moving.
    pub fn run_until<T>(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&mut Self) -> Result<Option<T>, String>,
    ) -> Result<T, Failure> {
        self.run_until_with(limit, |world| done(world).map(|value| (value, None)))
    }

    /// The same where `done` also says when it wants to be asked at the latest.
    ///
    /// # Errors
    /// See [`World::run_until`].
    pub fn run_until_with<T>(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&mut Self) -> Result<(Option<T>, Option<Instant>), String>,
    ) -> Result<T, Failure> {
        let end = self.now + limit;
        let (mut steps_here, mut here) = (0, self.now);
        loop {
            self.settle();
            self.check().map_err(|what| self.failure(what))?;
            let wake = match done(self) {
                Ok((Some(value), _)) => return Ok(value),
                Ok((None, wake)) => wake,
                Err(what) => return Err(self.failure(what)),
            };
            if self.now >= end {
                return Err(self.failure(format!("not done within {limit:?}")));
            }
            if !self.step_to(wake) {
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
            match self.next() {
                Some(next) if next <= end => {
                    self.step();
                }
                _ => break,
            }
        }
        self.now = end;
    }

    /// A failure now.
    #[must_use]
    pub fn failure(&self, what: String) -> Failure {
        Failure { what, at: self.elapsed() }
    }
}

/// Bytes of the headers of IP and UDP.
pub(crate) fn overhead(address: &SocketAddr) -> usize {
    if address.is_ipv6() { IPV4_OVERHEAD + 20 } else { IPV4_OVERHEAD }
}

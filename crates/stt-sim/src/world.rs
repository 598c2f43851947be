//! The world: nodes, links, and the one clock that moves them.

use core::{fmt, time::Duration};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use stt_crypto::{NetworkKeys, NodeIdentity, NodeSeed, SharedSeed};
use stt_proto::{
    Ecn, Endpoint, EndpointConfig, Event, Instant, Now, PathAddress, PathError, SendError,
};

use crate::{
    check::{Checks, PathIds},
    cross::{CrossFlow, CrossKind, CrossStats},
    link::{IPV4_OVERHEAD, Link, LinkState, LinkStats},
    random::Random,
    recording::Recording,
};

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
/// Bytes of a datagram that a host quotes in its answer.
const QUOTED: usize = 128;
/// Answers that a host gives at once, and how often after that.
const ICMP_BURST: u32 = 6;
const ICMP_INTERVAL: Duration = Duration::from_secs(1);
/// The port of every node's first address.
const PORT: u16 = 7788;

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

/// A NAT that forgets: who was silent for longer than this gets another port with the next datagram,
/// and what comes for the old one is lost.
#[derive(Clone, Copy, Debug)]
struct Nat {
    timeout: Duration,
    used: Instant,
}

/// How fast a host answers for ports that nobody has: Linux's `icmp_ratelimit`.
#[derive(Debug)]
struct Icmp {
    tokens: u32,
    since: Instant,
}

impl Icmp {
    fn take(&mut self, now: Instant) -> bool {
        while self.since + ICMP_INTERVAL <= now {
            self.since += ICMP_INTERVAL;
            self.tokens = (self.tokens + 1).min(ICMP_BURST);
        }
        let any = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        any
    }
}

struct Node {
    endpoint: Endpoint,
    /// As its peers see them, one for each interface.
    addresses: Vec<SocketAddr>,
    /// The interface of datagrams that name no local address.
    active: usize,
    nat: Option<Nat>,
    /// Neither hears nor acts: a suspended computer.
    asleep: bool,
    /// What its system says to whatever is sent.
    refusing: Option<SendError>,
    /// Its process has ended: the host answers that nobody has the port, when it may again.
    gone: Option<Icmp>,
    /// Added to the wall clock of this node.
    clock_skew_ms: i64,
    events: Vec<Event>,
}

#[derive(Debug)]
enum Cargo {
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

struct Arrival {
    at: Instant,
    order: u64,
    cargo: Cargo,
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
    /// Who has which address now, with the interface.
    owners: BTreeMap<SocketAddr, (NodeId, usize)>,
    links: Vec<LinkState>,
    /// Which link leads from an interface to another.
    routes: BTreeMap<[(NodeId, usize); 2], usize>,
    cross: Vec<(usize, CrossFlow)>,
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

    /// Gives a node one more address, with links of its own; its number.
    pub fn add_interface(&mut self, node: NodeId) -> usize {
        let interface = self.nodes[node].addresses.len();
        let last = u8::try_from(node + 1).unwrap_or(u8::MAX);
        let net = interface as u8;
        let address = if self.ipv6 {
            (Ipv6Addr::new(0xfd00, 0, 0, u16::from(net), 0, 0, 0, u16::from(last)), PORT).into()
        } else {
            (Ipv4Addr::new(10, 0, net, last), PORT).into()
        };
        self.nodes[node].addresses.push(address);
        self.owners.insert(address, (node, interface));
        interface
    }

    /// Sends by this interface from now on, where the endpoint names no local address.
    pub fn switch_interface(&mut self, node: NodeId, interface: usize) {
        self.nodes[node].active = interface;
    }

    /// The interface of datagrams that name no local address.
    #[must_use]
    pub fn active_interface(&self, node: NodeId) -> usize {
        self.nodes[node].active
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

    /// Sets the link from one node to another; the way back is its own.
    pub fn set_link(&mut self, from: NodeId, to: NodeId, link: Link) {
        self.link_state((from, 0), (to, 0)).link = link;
    }

    /// Sets both directions between two nodes.
    pub fn set_links(&mut self, a: NodeId, b: NodeId, link: &Link) {
        self.set_link(a, b, link.clone());
        self.set_link(b, a, link.clone());
    }

    /// The link from one interface to another, to be changed.
    pub fn link_mut(&mut self, from: (NodeId, usize), to: (NodeId, usize)) -> &mut Link {
        &mut self.link_state(from, to).link
    }

    /// Lets all these ways, each from an interface to another, share one link and its queue.
    pub fn share_link(&mut self, ways: &[[(NodeId, usize); 2]], link: Link) {
        let index = self.links.len();
        let random = Random::new(self.seed, &format!("shared link {index}"));
        self.links.push(LinkState::new(link, random));
        for way in ways {
            self.routes.insert(*way, index);
        }
    }

    /// Lets a model of another flow send over the link between two interfaces, from now on.
    pub fn add_cross_flow(
        &mut self,
        from: (NodeId, usize),
        to: (NodeId, usize),
        kind: CrossKind,
    ) -> usize {
        let delay = self.link_state(to, from).link.delay;
        let link = self.link_index(from, to);
        self.cross.push((link, CrossFlow::new(kind, delay, self.now)));
        self.cross.len() - 1
    }

    /// Ends every model of another flow; what it has on the way is dropped. Their numbers are void.
    pub fn end_cross_flows(&mut self) {
        self.cross.clear();
    }

    /// What a model has done so far.
    #[must_use]
    pub fn cross_stats(&self, flow: usize) -> CrossStats {
        self.cross[flow].1.stats()
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

    /// Counters of one direction.
    pub fn link_stats(&mut self, from: NodeId, to: NodeId) -> LinkStats {
        self.link_state((from, 0), (to, 0)).stats
    }

    fn link_state(&mut self, from: (NodeId, usize), to: (NodeId, usize)) -> &mut LinkState {
        let index = self.link_index(from, to);
        &mut self.links[index]
    }

    fn link_index(&mut self, from: (NodeId, usize), to: (NodeId, usize)) -> usize {
        let (seed, links, link) = (self.seed, &mut self.links, &self.default_link);
        *self.routes.entry([from, to]).or_insert_with(|| {
            let name = format!("link {}.{} {}.{}", from.0, from.1, to.0, to.1);
            links.push(LinkState::new(link.clone(), Random::new(seed, &name)));
            links.len() - 1
        })
    }

    /// Sets a node's wall clock off by this much.
    pub fn skew_clock(&mut self, node: NodeId, milliseconds: i64) {
        self.nodes[node].clock_skew_ms = milliseconds;
    }

    /// Moves a node to another address, as a NAT does: its peers see the change, it does not.
    pub fn rebind(&mut self, node: NodeId, address: SocketAddr) {
        let active = self.nodes[node].active;
        let old = core::mem::replace(&mut self.nodes[node].addresses[active], address);
        self.owners.remove(&old);
        self.owners.insert(address, (node, active));
    }

    /// The same with the next port, or the next address of the network.
    pub fn rebind_next(&mut self, node: NodeId, change_address: bool) {
        let old = self.address(node);
        let address = if change_address {
            let bump = |byte: u8| if byte < 200 { 200 } else { byte.wrapping_add(1).max(200) };
            let ip = match old.ip() {
                std::net::IpAddr::V4(ip) => {
                    let [a, b, c, d] = ip.octets();
                    Ipv4Addr::new(a, b, bump(c), d).into()
                }
                std::net::IpAddr::V6(ip) => {
                    let mut octets = ip.octets();
                    octets[9] = bump(octets[9]);
                    Ipv6Addr::from(octets).into()
                }
            };
            SocketAddr::new(ip, old.port())
        } else {
            SocketAddr::new(old.ip(), old.port().wrapping_add(1).max(1024))
        };
        self.rebind(node, address);
    }

    /// Puts a node behind a NAT that forgets a mapping after so much silence of the node.
    pub fn set_nat(&mut self, node: NodeId, timeout: Duration) {
        self.nodes[node].nat = Some(Nat { timeout, used: self.now });
    }

    /// The node's system refuses to send anything from now on, or does no more.
    pub fn set_refusing(&mut self, node: NodeId, error: Option<SendError>) {
        self.nodes[node].refusing = error;
    }

    /// The node's process ends, and its host answers for it, as a kernel does.
    pub fn kill(&mut self, node: NodeId) {
        self.nodes[node].gone = Some(Icmp { tokens: ICMP_BURST, since: self.now });
    }

    /// Suspends a node, or wakes it: asleep it neither hears nor acts, but its clocks go on.
    pub fn set_asleep(&mut self, node: NodeId, asleep: bool) {
        self.nodes[node].asleep = asleep;
    }

    /// Where a node is, as its peers see it.
    #[must_use]
    pub fn address(&self, node: NodeId) -> SocketAddr {
        self.nodes[node].addresses[self.nodes[node].active]
    }

    /// How many interfaces a node has.
    #[must_use]
    pub fn interfaces(&self, node: NodeId) -> usize {
        self.nodes[node].addresses.len()
    }

    /// Address of one of a node's interfaces.
    #[must_use]
    pub fn interface_address(&self, node: NodeId, interface: usize) -> SocketAddr {
        self.nodes[node].addresses[interface]
    }

    /// The path to a node, as its peers name it.
    #[must_use]
    pub fn path_to(&self, node: NodeId) -> PathAddress {
        PathAddress::Udp { remote: self.address(node), local: None }
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
                | Event::Connected { remote: PathAddress::Udp { remote, .. }, .. } => {
                    self.owners.get(remote).map(|(from, _)| *from)
                }
                _ => None,
            };
            self.checks.on_event(node, &event, from);
            self.nodes[node].events.push(event);
        }
    }

    /// The interface by which a node sends.
    fn interface_of(&self, node: NodeId, path: &PathAddress) -> usize {
        let node = &self.nodes[node];
        let PathAddress::Udp { local: Some(local), .. } = path else { return node.active };
        node.addresses.iter().position(|address| address.ip() == *local).unwrap_or(node.active)
    }

    fn carry(&mut self, node: NodeId, path: PathAddress, ecn: Option<Ecn>, datagram: &[u8]) {
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

    fn push(&mut self, at: Instant, cargo: Cargo) {
        self.order += 1;
        self.arrivals.push(Reverse(Arrival { at, order: self.order, cargo }));
    }

    fn refresh_nat(&mut self, node: NodeId) {
        let now = self.now;
        let Some(nat) = &mut self.nodes[node].nat else { return };
        let silent = now.saturating_duration_since(nat.used);
        nat.used = now;
        if silent > nat.timeout {
            self.rebind_next(node, false);
        }
    }

    fn nat_lets_in(&self, node: NodeId) -> bool {
        let nat = self.nodes[node].nat.as_ref();
        nat.is_none_or(|nat| self.now.saturating_duration_since(nat.used) <= nat.timeout)
    }

    fn drain_cross(&mut self, flow: usize) {
        let now = self.now;
        let (link, model) = &mut self.cross[flow];
        let mut flights = Vec::new();
        while let Some((number, len)) = model.poll_transmit(now) {
            for flight in self.links[*link]
                .send(now, len - IPV4_OVERHEAD, IPV4_OVERHEAD, None)
                .into_iter()
                .flatten()
            {
                flights.push((flight.at, number));
            }
        }
        for (at, number) in flights {
            self.push(at, Cargo::Cross { flow, number });
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

    fn deliver(&mut self, arrival: Arrival) {
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
    fn mix(&mut self, word: u64) {
        self.transcript = (self.transcript ^ word).wrapping_mul(0x100_0000_01B3).rotate_left(23);
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

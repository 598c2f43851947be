//! Hosts: their addresses, NATs, and what their systems do.

use core::time::Duration;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use stt_proto::{Endpoint, Event, Instant, PathAddress, SendError};

use super::{NodeId, World};

/// Answers that a host gives at once, and how often after that.
const ICMP_BURST: u32 = 6;
const ICMP_INTERVAL: Duration = Duration::from_secs(1);
/// The port of every node's first address.
const PORT: u16 = 7788;

/// A NAT that forgets: who was silent for longer than this gets another port with the next datagram,
/// and what comes for the old one is lost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nat {
    pub(super) timeout: Duration,
    pub(super) used: Instant,
}

/// How fast a host answers for ports that nobody has: Linux's `icmp_ratelimit`.
#[derive(Debug)]
pub(super) struct Icmp {
    pub(super) tokens: u32,
    pub(super) since: Instant,
}

impl Icmp {
    pub(super) fn take(&mut self, now: Instant) -> bool {
        while self.since + ICMP_INTERVAL <= now {
            self.since += ICMP_INTERVAL;
            self.tokens = (self.tokens + 1).min(ICMP_BURST);
        }
        let any = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        any
    }
}

pub(super) struct Node {
    pub(super) endpoint: Endpoint,
    /// As its peers see them, one for each interface.
    pub(super) addresses: Vec<SocketAddr>,
    /// The interface of datagrams that name no local address.
    pub(super) active: usize,
    pub(super) nat: Option<Nat>,
    /// Neither hears nor acts: a suspended computer.
    pub(super) asleep: bool,
    /// What its system says to whatever is sent.
    pub(super) refusing: Option<SendError>,
    /// Its process has ended: the host answers that nobody has the port, when it may again.
    pub(super) gone: Option<Icmp>,
    /// Added to the wall clock of this node.
    pub(super) clock_skew_ms: i64,
    pub(super) events: Vec<Event>,
}

impl World {
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

    /// The interface by which a node sends.
    pub(super) fn interface_of(&self, node: NodeId, path: &PathAddress) -> usize {
        let node = &self.nodes[node];
        let PathAddress::Udp { local: Some(local), .. } = path else { return node.active };
        node.addresses.iter().position(|address| address.ip() == *local).unwrap_or(node.active)
    }

    pub(super) fn refresh_nat(&mut self, node: NodeId) {
        let now = self.now;
        let Some(nat) = &mut self.nodes[node].nat else { return };
        let silent = now.saturating_duration_since(nat.used);
        nat.used = now;
        if silent > nat.timeout {
            self.rebind_next(node, false);
        }
    }

    pub(super) fn nat_lets_in(&self, node: NodeId) -> bool {
        let nat = self.nodes[node].nat.as_ref();
        nat.is_none_or(|nat| self.now.saturating_duration_since(nat.used) <= nat.timeout)
    }
}

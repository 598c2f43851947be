//! A path of a session: where it leads, how large its datagrams may be.

mod ids;
mod moving;
mod mtu;

use crate::path::PathAddress;

pub(crate) use self::ids::PathIds;
pub(crate) use self::moving::{
    Candidate, Challenge, Former, Moving, PeerId, Reach, Reply, Validation,
};
pub(crate) use self::mtu::{MtuChange, MtuSearch};

/// See the module.
pub(crate) struct Path {
    /// Where it leads.
    pub(crate) address: PathAddress,
    /// How large its datagrams may be.
    pub(crate) mtu: MtuSearch,
    /// The connection takes nothing now, or is no more.
    pub(crate) held: bool,
    /// The connection is no more, and nothing has taken its place.
    pub(crate) lost: bool,
}

impl Path {
    /// A path whose datagrams may grow to `upper` bytes, at the side that opened the session or at the other.
    pub(crate) fn new(address: PathAddress, upper: usize, initiator: bool) -> Self {
        Self { address, mtu: Self::search(&address, upper, initiator), held: false, lost: false }
    }

    /// What finds out how large the datagrams of a path to `address` may be.
    pub(crate) fn search(address: &PathAddress, upper: usize, initiator: bool) -> MtuSearch {
        match address.is_reliable() {
            true => MtuSearch::settled(upper, initiator),
            false => MtuSearch::new(upper),
        }
    }

    /// Bytes that IP and UDP put before a datagram's payload, without options.
    pub(crate) fn ip_overhead(&self) -> usize {
        match self.address.remote().map(|remote| remote.ip().to_canonical()) {
            Some(std::net::IpAddr::V6(_)) => 48,
            _ => 28,
        }
    }
}

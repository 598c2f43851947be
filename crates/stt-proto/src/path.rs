//! Where packets come from and go to, as the driver sees it.

use std::net::{IpAddr, SocketAddr};

/// One carrier and its far end: where a datagram came from, or is to go.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PathAddress {
    /// A UDP path.
    Udp {
        /// The peer's address.
        remote: SocketAddr,
        /// The local address the datagram came in on, when the system tells it; sending from it
        /// keeps a multi-homed host answering from the address that was asked.
        local: Option<IpAddr>,
    },
    /// A connection-oriented carrier (WebSocket), which repeats and paces what it carries.
    Connection(Connection),
}

/// One connection below the protocol: a WebSocket.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Connection {
    /// The number that the driver gave it, never given twice.
    pub id: u64,
    /// Whom the limits of sources count it to: the far end's address, or, behind a proxy that is
    /// trusted to tell it, the client's.
    pub remote: SocketAddr,
}

impl PathAddress {
    /// A UDP path to `remote` from whichever local address the system picks.
    pub const fn udp(remote: SocketAddr) -> Self {
        Self::Udp { remote, local: None }
    }

    /// The peer's socket address, for UDP.
    pub const fn remote(&self) -> Option<SocketAddr> {
        match self {
            Self::Udp { remote, .. } => Some(*remote),
            Self::Connection(_) => None,
        }
    }

    /// The local address, for UDP, when it is known.
    pub const fn local(&self) -> Option<IpAddr> {
        match self {
            Self::Udp { local, .. } => *local,
            Self::Connection(_) => None,
        }
    }

    /// The connection, where it is one.
    pub const fn connection(&self) -> Option<Connection> {
        match self {
            Self::Udp { .. } => None,
            Self::Connection(connection) => Some(*connection),
        }
    }

    /// Whether whatever is handed over arrives once and in order, for as long as the path exists: the
    /// carrier repeats, paces and answers for the far end's address.
    pub(crate) const fn is_reliable(&self) -> bool {
        matches!(self, Self::Connection(_))
    }

    /// Whether both name the same far end, whatever the local address.
    pub(crate) fn same_remote(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Udp { remote: a, .. }, Self::Udp { remote: b, .. }) => a == b,
            (Self::Connection(a), Self::Connection(b)) => a.id == b.id,
            _ => false,
        }
    }

    /// Whether both may be the same path: a local address that is not known may be any.
    pub(crate) fn same_path(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Udp { remote: a, local: Some(here) },
                Self::Udp { remote: b, local: Some(there) },
            ) => a == b && here == there,
            _ => self.same_remote(other),
        }
    }

    /// Whether both lead from one host to one host, at whichever port.
    pub(crate) fn same_host(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Udp { remote: a, local: here }, Self::Udp { remote: b, local: there }) => {
                a.ip().to_canonical() == b.ip().to_canonical() && here == there
            }
            _ => self == other,
        }
    }

    /// The far end as bytes, for cookies and source limits: a carrier tag, the address, the port.
    /// IPv4-mapped IPv6 addresses equal their IPv4 form.
    pub(crate) fn remote_bytes(&self) -> [u8; 19] {
        let mut out = [0; 19];
        match self {
            Self::Udp { remote, .. } => {
                match remote.ip().to_canonical() {
                    IpAddr::V4(ip) => {
                        out[0] = 4;
                        out[1..5].copy_from_slice(&ip.octets());
                    }
                    IpAddr::V6(ip) => {
                        out[0] = 6;
                        out[1..17].copy_from_slice(&ip.octets());
                    }
                }
                out[17..].copy_from_slice(&remote.port().to_be_bytes());
            }
            Self::Connection(connection) => {
                out[0] = 1;
                out[1..9].copy_from_slice(&connection.id.to_be_bytes());
            }
        }
        out
    }
}

/// The ECN codepoint of a datagram (RFC 3168 section 5); Not-ECT is the absence of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ecn {
    /// ECN-capable, codepoint 0b10.
    Ect0,
    /// ECN-capable, codepoint 0b01.
    Ect1,
    /// Congestion experienced, codepoint 0b11.
    Ce,
}

/// What the driver is to send: the bytes are in the buffer it gave, from its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transmit {
    /// Where to.
    pub path: PathAddress,
    /// How many bytes of the buffer.
    pub len: usize,
    /// Set when the bytes are several datagrams of this size each (the last may be shorter), to be
    /// sent as one GSO batch or one by one.
    pub segment_size: Option<usize>,
    /// The codepoint to mark the datagrams with.
    pub ecn: Option<Ecn>,
    /// Whether this asks somebody who has not answered yet: HELLO or RESUME. A driver whose socket is
    /// told nothing of closed ports asks the network of it by other means then, and reports by
    /// [`handle_path_hint`](crate::Endpoint::handle_path_hint).
    pub opens: bool,
}

/// What an ICMP message, read from the socket's error queue, said about a destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PathError {
    /// Nobody listens on the port.
    Refused,
    /// Neither the host nor its port can be reached: no route, nobody answers for the address, or a
    /// firewall on the way rejects it.
    Unreachable {
        /// The system's number for which of these it is; 0 when unknown.
        errno: i32,
    },
    /// The datagram was larger than a link on the way carries.
    MessageTooLong {
        /// Largest IP packet the link carries, in bytes; 0 when the message did not say.
        mtu: usize,
    },
}

/// What changed with a new socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rebind {
    /// The port alone: datagrams take the way that they took.
    Port,
    /// The address, and with it perhaps the network: nothing is known of the way.
    Address,
}

/// Why a datagram could not be sent, with the system's error number: which one means what differs
/// between systems, so the driver sorts them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SendError {
    /// EPERM or EACCES: a firewall rule of this host.
    Permission(i32),
    /// ENOBUFS or ENOMEM.
    NoBuffers(i32),
    /// ENETDOWN.
    NetworkDown(i32),
    /// ENETUNREACH, EHOSTUNREACH, or EADDRNOTAVAIL: no route.
    Unreachable(i32),
    /// EMSGSIZE: larger than the local interface takes.
    MessageTooLong(i32),
    /// Any other.
    Other(i32),
}

impl SendError {
    /// The system's number, 0 when there is none.
    pub const fn errno(self) -> i32 {
        match self {
            Self::Permission(errno)
            | Self::NoBuffers(errno)
            | Self::NetworkDown(errno)
            | Self::Unreachable(errno)
            | Self::MessageTooLong(errno)
            | Self::Other(errno) => errno,
        }
    }

    /// Whether the datagram was too large, and a smaller one may pass.
    pub const fn is_too_long(self) -> bool {
        matches!(self, Self::MessageTooLong(_))
    }
}

//! What can go wrong on the way out, sorted by what the protocol does about it.

use std::fmt;
use std::io;
use std::net::SocketAddr;

/// Why a datagram, or a batch of them, was not taken by the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The send buffer is full. The first `sent` bytes of the batch are on their way; the rest must
    /// be offered again once the socket is writable.
    WouldBlock {
        /// Bytes of the batch that the system took, always a whole number of segments.
        sent: usize,
    },
    /// A datagram is larger than the interface, or the path as the kernel knows it, carries
    /// (`EMSGSIZE`). The size that would fit follows as a [`PathError`] where the system tells it.
    MessageTooLong,
    /// A firewall or a missing right forbids it (`EPERM`, `EACCES`).
    Permission,
    /// The system is out of buffers or its queue dropped the datagram (`ENOBUFS`, `ENOMEM`).
    NoBuffers,
    /// The interface is down (`ENETDOWN`).
    NetworkDown,
    /// No route to the network (`ENETUNREACH`), or no local address that could be used
    /// (`EADDRNOTAVAIL`).
    NetworkUnreachable,
    /// No way to the host (`EHOSTUNREACH`).
    HostUnreachable,
    /// Anything else, by its system number.
    Other(i32),
}

impl SendError {
    /// Sorts a failed system call.
    pub(crate) fn classify(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock => return Self::WouldBlock { sent: 0 },
            io::ErrorKind::PermissionDenied => return Self::Permission,
            io::ErrorKind::NetworkDown => return Self::NetworkDown,
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable => {
                return Self::NetworkUnreachable;
            }
            io::ErrorKind::HostUnreachable => return Self::HostUnreachable,
            io::ErrorKind::OutOfMemory => return Self::NoBuffers,
            _ => {}
        }
        if quinn_udp::is_msg_size_err(error) {
            return Self::MessageTooLong;
        }
        match error.raw_os_error() {
            Some(raw) if is_no_buffers(raw) => Self::NoBuffers,
            Some(raw) => Self::Other(raw),
            None => Self::Other(0),
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WouldBlock { sent } => write!(f, "the send buffer is full after {sent} bytes"),
            Self::MessageTooLong => f.write_str("the datagram is larger than the path carries"),
            Self::Permission => f.write_str("sending is forbidden by a firewall or a right"),
            Self::NoBuffers => f.write_str("the system has no buffers left"),
            Self::NetworkDown => f.write_str("the network interface is down"),
            Self::NetworkUnreachable => f.write_str("there is no route to the network"),
            Self::HostUnreachable => f.write_str("there is no way to the host"),
            Self::Other(raw) => write!(f, "system error {raw}"),
        }
    }
}

impl std::error::Error for SendError {}

/// What the network reported about a datagram of ours that had already left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathError {
    /// The peer that the datagram was meant for.
    pub remote: SocketAddr,
    /// What was reported.
    pub kind: PathErrorKind,
    /// How many bytes of the datagram's start were quoted back; they stand in the buffer that was
    /// passed to [`UdpSocket::recv_path_error`](crate::UdpSocket::recv_path_error). Only 8 bytes
    /// of UDP header are guaranteed by RFC 792, so this may be zero.
    pub quoted: usize,
}

/// The kinds of [`PathError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathErrorKind {
    /// Nobody listens on the peer's port (`ECONNREFUSED`).
    Refused,
    /// The host cannot be reached (`EHOSTUNREACH`).
    HostUnreachable,
    /// The network cannot be reached (`ENETUNREACH`).
    NetworkUnreachable,
    /// A firewall on the path rejects it (`EACCES`, `EPERM`).
    Prohibited,
    /// The datagram was too large for a link on the way.
    MessageTooLong {
        /// The largest IP packet that the link carries, in bytes; 0 when nobody said.
        mtu: u32,
    },
}

#[cfg(unix)]
fn is_no_buffers(raw: i32) -> bool {
    // POSIX names; the numbers differ between Linux and the BSDs.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const ENOBUFS: i32 = 105;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const ENOBUFS: i32 = 55;
    raw == ENOBUFS
}

#[cfg(windows)]
fn is_no_buffers(raw: i32) -> bool {
    const WSAENOBUFS: i32 = 10_055;
    raw == WSAENOBUFS
}

#[cfg(not(any(unix, windows)))]
fn is_no_buffers(_raw: i32) -> bool {
    false
}

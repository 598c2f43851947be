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
    MessageTooLong(i32),
    /// A firewall or a missing right forbids it (`EPERM`, `EACCES`). Here and below, the number is the
    /// system's.
    Permission(i32),
    /// The system is out of buffers or its queue dropped the datagram (`ENOBUFS`, `ENOMEM`).
    NoBuffers(i32),
    /// The interface is down (`ENETDOWN`).
    NetworkDown(i32),
    /// No route to the network (`ENETUNREACH`), or no local address that could be used
    /// (`EADDRNOTAVAIL`).
    NetworkUnreachable(i32),
    /// No way to the host (`EHOSTUNREACH`).
    HostUnreachable(i32),
    /// Anything else; 0 for what has no number.
    Other(i32),
}

impl SendError {
    /// Sorts a failed system call.
    pub(crate) fn classify(error: &io::Error) -> Self {
        let raw = error.raw_os_error().unwrap_or(0);
        match error.kind() {
            io::ErrorKind::WouldBlock => Self::WouldBlock { sent: 0 },
            io::ErrorKind::PermissionDenied => Self::Permission(raw),
            io::ErrorKind::NetworkDown => Self::NetworkDown(raw),
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable => {
                Self::NetworkUnreachable(raw)
            }
            io::ErrorKind::HostUnreachable => Self::HostUnreachable(raw),
            io::ErrorKind::OutOfMemory => Self::NoBuffers(raw),
            _ if quinn_udp::is_msg_size_err(error) => Self::MessageTooLong(raw),
            _ if is_no_buffers(raw) => Self::NoBuffers(raw),
            _ => Self::Other(raw),
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WouldBlock { sent } => write!(f, "the send buffer is full after {sent} bytes"),
            Self::MessageTooLong(_) => f.write_str("the datagram is larger than the path carries"),
            Self::Permission(_) => f.write_str("sending is forbidden by a firewall or a right"),
            Self::NoBuffers(_) => f.write_str("the system has no buffers left"),
            Self::NetworkDown(_) => f.write_str("the network interface is down"),
            Self::NetworkUnreachable(_) => f.write_str("there is no route to the network"),
            Self::HostUnreachable(_) => f.write_str("there is no way to the host"),
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
    /// The system's number for it.
    pub errno: i32,
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

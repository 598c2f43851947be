//! The UDP socket of STT: segmentation offload, receive coalescing, ECN, "don't fragment" and ICMP
//! errors behind one face.
//!
//! The system calls that are the same for every QUIC-like transport come from `quinn-udp`. This
//! crate adds what a driver needs around them:
//!
//! * [`UdpSocket::bind`] raises the socket buffers, asks for busy polling and reports what the system granted;
//! * [`UdpSocket::send`] survives network cards that refuse segmentation offload, and classifies
//!   every failure into a [`SendError`] the protocol can act on;
//! * [`UdpSocket::recv`] fills a [`RecvBatch`] of several 64 KiB buffers with one system call;
//! * [`UdpSocket::recv_path_error`] reads what ICMP said about datagrams of ours, with the peer's
//!   address and the start of the datagram that drew it (Linux and Android);
//! * [`Canary`] finds out elsewhere that nobody listens at a peer's port.
//!
//! The crate knows nothing of the protocol: no keys, no packet formats, no clock.

#![deny(unsafe_op_in_unsafe_fn)]

mod batch;
mod busy_poll;
mod canary;
mod error;
mod error_queue;
mod socket;
mod timestamps;
mod wait;

#[cfg(test)]
mod tests;

pub use batch::{Received, RecvBatch};
pub use canary::Canary;
pub use error::{PathError, PathErrorKind, SendError};
pub use quinn_udp::EcnCodepoint;
pub use socket::{SocketOptions, Transmit, UdpSocket};
pub use wait::wait_precisely;

/// The largest UDP payload over IPv4, in bytes: 65 535 less a 20-byte IP and an 8-byte UDP header.
///
/// A batch that is handed to the system in one call is bounded by it too, since segmentation
/// offload starts from one oversized datagram.
pub const MAX_BATCH_BYTES: usize = 65_507;

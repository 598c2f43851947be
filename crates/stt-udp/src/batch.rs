//! The buffers that one receive call fills.

use std::array;
use std::io::IoSliceMut;
use std::net::{IpAddr, SocketAddr};

use quinn_udp::{EcnCodepoint, RecvMeta};

/// Buffers filled by one system call. Eight of them already amortise the call to under a tenth of
/// what the kernel spends per buffer, and 512 KiB still fit into the second-level cache.
pub(crate) const BUFFERS: usize = 8;

/// What one buffer can hold: the largest coalesced read that a kernel delivers.
pub(crate) const BUFFER_BYTES: usize = 64 * 1024;

/// Storage for [`UdpSocket::recv`](crate::UdpSocket::recv), allocated once and used for every read.
pub struct RecvBatch {
    bytes: Box<[u8]>,
    meta: [RecvMeta; BUFFERS],
    filled: usize,
}

/// One filled buffer: one datagram, or several of equal size (the last may be shorter) that came
/// from the same peer with the same ECN mark.
pub struct Received<'a> {
    /// Who sent it. An IPv4 peer seen by a dual-stack socket has its IPv4 address here.
    pub remote: SocketAddr,
    /// The local address that it was sent to, where the system tells and the socket is bound to a
    /// wildcard address.
    pub local: Option<IpAddr>,
    /// The ECN mark of the IP header.
    pub ecn: Option<EcnCodepoint>,
    /// Size of one datagram in bytes; boundaries stand at its multiples.
    pub stride: usize,
    /// The datagrams, one behind the other. Mutable so that they can be opened in place.
    pub bytes: &'a mut [u8],
}

impl RecvBatch {
    /// Allocates the buffers (512 KiB).
    pub fn new() -> Self {
        Self {
            bytes: vec![0; BUFFERS * BUFFER_BYTES].into_boxed_slice(),
            meta: [RecvMeta::default(); BUFFERS],
            filled: 0,
        }
    }

    /// Whether a read that filled `filled` buffers had room for more.
    pub fn has_room(&self, filled: usize) -> bool {
        filled < BUFFERS
    }

    /// Runs `read` over all buffers and remembers how many it filled.
    pub(crate) fn fill<E>(
        &mut self,
        read: impl FnOnce(&mut [IoSliceMut<'_>], &mut [RecvMeta]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        self.filled = 0;
        let mut chunks = self.bytes.chunks_mut(BUFFER_BYTES);
        let mut slices: [IoSliceMut<'_>; BUFFERS] =
            array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        self.filled = read(&mut slices, &mut self.meta)?.min(BUFFERS);
        Ok(self.filled)
    }

    /// The buffers that the last read filled. `wildcard` keeps the destination address, which is
    /// noise when the socket has only one.
    pub(crate) fn received(&mut self, wildcard: bool) -> impl Iterator<Item = Received<'_>> {
        self.bytes.chunks_mut(BUFFER_BYTES).zip(&self.meta).take(self.filled).map(
            move |(buffer, meta)| {
                let len = meta.len.min(buffer.len());
                Received {
                    remote: canonical(meta.addr),
                    local: meta.dst_ip.filter(|_| wildcard).map(|ip| ip.to_canonical()),
                    ecn: meta.ecn,
                    // A zero-length datagram has stride 0; callers divide by it.
                    stride: meta.stride.max(1),
                    bytes: &mut buffer[..len],
                }
            },
        )
    }
}

impl Default for RecvBatch {
    fn default() -> Self {
        Self::new()
    }
}

/// An IPv4 address that an IPv6 socket shows in its mapped form becomes IPv4 again, so that one
/// peer has one address.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddr::from((v4, v6.port())),
            None => address,
        },
        SocketAddr::V4(_) => address,
    }
}

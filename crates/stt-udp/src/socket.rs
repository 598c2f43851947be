//! Binding, sending, receiving.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

use mio::event::Source;
use mio::{Interest, Registry, Token};
use quinn_udp::{EcnCodepoint, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::batch::{Received, RecvBatch};
use crate::error::{PathError, SendError};
use crate::{busy_poll, error_queue, timestamps};

/// What a socket is asked for, or was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SocketOptions {
    /// `SO_SNDBUF`, in bytes.
    pub send_buffer: usize,
    /// `SO_RCVBUF`, in bytes.
    pub recv_buffer: usize,
    /// `SO_BUSY_POLL`, in microseconds: how long the system may ask the network card itself instead of
    /// waiting for its interrupt. 0 leaves what the system has. Linux and Android only.
    pub busy_poll: u32,
}

/// What one [`UdpSocket::send`] puts on the wire.
#[derive(Debug, Clone, Copy)]
pub struct Transmit<'a> {
    /// Where to.
    pub remote: SocketAddr,
    /// The address to send from, for sockets that are bound to a wildcard address.
    pub local: Option<IpAddr>,
    /// The ECN mark to set.
    pub ecn: Option<EcnCodepoint>,
    /// Size of one datagram when `bytes` holds several; the last may be shorter.
    pub segment_size: Option<usize>,
    /// One datagram or a run of equal ones, at most
    /// [`MAX_BATCH_BYTES`](crate::MAX_BATCH_BYTES) in all.
    pub bytes: &'a [u8],
}

/// A bound, non-blocking UDP socket.
#[derive(Debug)]
pub struct UdpSocket {
    io: mio::net::UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    options: SocketOptions,
    /// Cleared for good once the system has refused a batch whose parts it then took.
    pub(crate) offload: AtomicBool,
}

impl UdpSocket {
    /// Binds to `address` (port 0 lets the system choose) and asks for these options;
    /// [`options`](Self::options) tells what was granted.
    ///
    /// A socket bound to the IPv6 wildcard `[::]` serves IPv4 too: its IPv4 peers appear with IPv4
    /// addresses, and sending to an IPv4 address works. One bound to any other IPv6 address serves
    /// IPv6 only.
    ///
    /// # Errors
    /// The system's own: `EADDRINUSE`, `EACCES`, `EADDRNOTAVAIL`, `EMFILE` and the like. That the
    /// system grants less than was asked for is not an error.
    pub fn bind(address: SocketAddr, wanted: SocketOptions) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            // Systems differ in their default, so it is always said.
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        socket.bind(&address.into())?;
        let socket: std::net::UdpSocket = socket.into();
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        timestamps::disable(&socket)?;
        error_queue::enable(&state, &socket)?;
        let options = ask_for(&state, &socket, wanted);
        let local = socket.local_addr()?;
        Ok(Self {
            io: mio::net::UdpSocket::from_std(socket),
            state,
            local,
            options,
            offload: AtomicBool::new(true),
        })
    }

    /// The address that the socket is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// What the system granted.
    pub fn options(&self) -> SocketOptions {
        self.options
    }

    /// How many datagrams may go into one [`send`](Self::send): 64 with segmentation offload, 1
    /// without. It falls to 1 for good when offload turns out not to work.
    pub fn max_segments(&self) -> usize {
        if self.offload.load(Ordering::Relaxed) { self.state.max_gso_segments() } else { 1 }
    }

    /// Sends one datagram or one batch.
    ///
    /// When the system refuses a batch (`EIO`, `EINVAL`: the network card cannot do it), its
    /// datagrams are sent one by one; if that works, offload is given up for this socket.
    ///
    /// # Errors
    /// See [`SendError`]. After [`SendError::WouldBlock`] wait for the socket to become writable.
    pub fn send(&self, transmit: &Transmit<'_>) -> Result<(), SendError> {
        let segment = transmit.segment_size.unwrap_or(transmit.bytes.len());
        if segment == 0 || segment >= transmit.bytes.len() {
            return self.send_call(transmit, None).map_err(|e| SendError::classify(&e));
        }
        if self.offload.load(Ordering::Relaxed) {
            match self.send_call(transmit, Some(segment)) {
                Ok(()) => return Ok(()),
                Err(error) if !is_offload_failure(&error) => {
                    return Err(SendError::classify(&error));
                }
                Err(_) => {}
            }
        }
        self.send_singly(transmit, segment)?;
        // Every part went through, so it was the batch that the system could not take.
        self.offload.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn send_singly(&self, transmit: &Transmit<'_>, segment: usize) -> Result<(), SendError> {
        let mut sent = 0;
        for bytes in transmit.bytes.chunks(segment) {
            let single = Transmit { bytes, segment_size: None, ..*transmit };
            if let Err(error) = self.send_call(&single, None) {
                return Err(match SendError::classify(&error) {
                    SendError::WouldBlock { .. } => SendError::WouldBlock { sent },
                    other => other,
                });
            }
            sent += bytes.len();
        }
        Ok(())
    }

    fn send_call(&self, transmit: &Transmit<'_>, segment_size: Option<usize>) -> io::Result<()> {
        let message = quinn_udp::Transmit {
            destination: self.mapped(transmit.remote),
            ecn: transmit.ecn,
            contents: transmit.bytes,
            segment_size,
            src_ip: transmit.local.map(|ip| self.mapped_ip(ip)),
        };
        past_reports(|| {
            self.io.try_io(|| self.state.try_send(UdpSockRef::from(&self.io), &message))
        })
    }

    /// Reads what has arrived into `batch`, with one system call, and returns how many buffers were
    /// filled (see [`received`](Self::received)).
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there. Others are transient on UDP sockets: count and go on.
    pub fn recv(&self, batch: &mut RecvBatch) -> io::Result<usize> {
        batch.fill(|slices, meta| {
            past_reports(|| {
                self.io.try_io(|| self.state.recv(UdpSockRef::from(&self.io), slices, meta))
            })
        })
    }

    /// What the last [`recv`](Self::recv) put into `batch`.
    pub fn received<'a>(
        &self,
        batch: &'a mut RecvBatch,
    ) -> impl Iterator<Item = Received<'a>> + use<'a> {
        batch.received(self.local.ip().is_unspecified())
    }

    /// Takes one report of the network about a datagram that this socket sent, and puts the start
    /// of that datagram, as far as it was quoted, into `quoted`. `None` when there is no more.
    ///
    /// Only Linux and Android [tell](Self::tells_refusals); elsewhere this is always `None`.
    pub fn recv_path_error(&self, quoted: &mut [u8]) -> Option<PathError> {
        error_queue::recv(&self.io, quoted)
    }

    /// Whether [`recv_path_error`](Self::recv_path_error) ever tells anything. Where it does not, a
    /// [`Canary`](crate::Canary) finds out whether anybody listens.
    pub fn tells_refusals(&self) -> bool {
        error_queue::EXISTS
    }

    /// The same socket by another descriptor, for somebody else to watch. The port is in use until both are
    /// closed.
    ///
    /// # Errors
    /// The system's own: `EMFILE`.
    #[cfg(unix)]
    pub fn duplicate(&self) -> io::Result<std::os::fd::OwnedFd> {
        std::os::fd::AsFd::as_fd(&self.io).try_clone_to_owned()
    }

    /// On a dual-stack socket IPv4 peers are addressed in IPv6 form.
    fn mapped(&self, address: SocketAddr) -> SocketAddr {
        match address {
            SocketAddr::V4(v4) if self.local.is_ipv6() => {
                SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port()))
            }
            _ => address,
        }
    }

    fn mapped_ip(&self, ip: IpAddr) -> IpAddr {
        match ip {
            IpAddr::V4(v4) if self.local.is_ipv6() => {
                IpAddr::V6(Ipv6Addr::from(v4.to_ipv6_mapped().octets()))
            }
            _ => ip,
        }
    }
}

impl Source for UdpSocket {
    fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        self.io.register(registry, token, interests)
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        self.io.reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.io.deregister(registry)
    }
}

/// System calls that a failed one is worth at most: each takes about a microsecond, and a report that happens to arrive
/// between two of them is rare even under a flood.
const ASKED: usize = 16;

/// Raises the buffers, never lowers them, and halves a request that the system refuses outright
/// (macOS and the BSDs do, where Linux grants what it allows).
fn ask_for(
    state: &UdpSocketState,
    socket: &std::net::UdpSocket,
    wanted: SocketOptions,
) -> SocketOptions {
    let raise = |wanted: usize, current: usize, set: &dyn Fn(usize) -> io::Result<()>| {
        let mut size = wanted;
        while size > current && set(size).is_err() {
            size /= 2;
        }
    };
    let io = SockRef::from(socket);
    let sockref = || UdpSockRef::from(socket);
    raise(wanted.send_buffer, io.send_buffer_size().unwrap_or(0), &|n| {
        state.set_send_buffer_size(sockref(), n)
    });
    raise(wanted.recv_buffer, io.recv_buffer_size().unwrap_or(0), &|n| {
        state.set_recv_buffer_size(sockref(), n)
    });
    SocketOptions {
        send_buffer: granted(io.send_buffer_size().unwrap_or(0)),
        recv_buffer: granted(io.recv_buffer_size().unwrap_or(0)),
        busy_poll: busy_poll::ask_for(socket, wanted.busy_poll),
    }
}

/// Linux doubles what it grants to pay for its own bookkeeping and reports the doubled value.
fn granted(reported: usize) -> usize {
    if cfg!(any(target_os = "linux", target_os = "android")) { reported / 2 } else { reported }
}

/// The errors by which a driver or a kernel turns down an offloaded batch.
fn is_offload_failure(error: &io::Error) -> bool {
    const EIO: i32 = 5;
    error.kind() == io::ErrorKind::InvalidInput || error.raw_os_error() == Some(EIO)
}

/// Makes a system call, and again while its error may be the report of an earlier datagram.
///
/// A pending ICMP error is told once, by whatever call comes next, also when it concerns another peer. Asking again
/// tells it from an error of this very call; but where reports come in a flood, as forgers send them, the next one
/// may be there by then. What is told [`ASKED`] times in a row is this call's own.
fn past_reports<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut result = call();
    for _ in 1..ASKED {
        match &result {
            Err(error) if may_be_pending(error) => result = call(),
            _ => break,
        }
    }
    result
}

/// Errors that may be the report of an earlier datagram instead of an answer to this call.
fn may_be_pending(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::PermissionDenied
    ) || quinn_udp::is_msg_size_err(error)
}

//! Whether anybody listens at a peer's port, where the system tells an unconnected socket nothing of it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use mio::event::Source;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

use crate::error::{PathError, PathErrorKind};

/// Datagrams that one look takes out of the way of a report. A canary asks for none, and a peer that sends them
/// all the same gains nothing by it.
const UNASKED: usize = 4;

/// A socket connected to a peer, from a port of its own, that sends empty datagrams there and is told what they
/// drew: a closed port, no host, no network.
///
/// ICMP errors reach a UDP socket by the peer that it is connected to. A socket that serves many peers is
/// connected to none, and learns of them by Linux's error queue alone; see
/// [`UdpSocket::tells_refusals`](crate::UdpSocket::tells_refusals). An empty datagram is the least that can draw
/// one, and says nothing to whoever listens. What is told is about this socket's port and not about that of the
/// datagrams that matter: a hint, that an answer from the peer refutes.
///
/// On Windows a refusal is `WSAECONNRESET`, unless somebody switched that off (`SIO_UDP_CONNRESET`); it is on for
/// every new socket.
#[derive(Debug)]
pub struct Canary {
    io: mio::net::UdpSocket,
    remote: SocketAddr,
}

impl Canary {
    /// A canary for `remote`, which sends from `local` unless that is a wildcard address or one of the other
    /// family.
    ///
    /// # Errors
    /// The system's own: no descriptors left (`EMFILE`), no route (`ENETUNREACH`), a foreign address
    /// (`EADDRNOTAVAIL`).
    pub fn new(local: IpAddr, remote: SocketAddr) -> io::Result<Self> {
        let any = match remote {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let local = if local.is_ipv4() == any.is_ipv4() { local } else { any };
        let socket = Socket::new(Domain::for_address(remote), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::new(local, 0).into())?;
        socket.connect(&remote.into())?;
        Ok(Self { io: mio::net::UdpSocket::from_std(socket.into()), remote })
    }

    /// The peer.
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Sends an empty datagram. A report of an earlier one may come back instead.
    pub fn send(&self) -> Option<PathError> {
        // What the system will not send says nothing of the peer, and the connect's own datagrams meet it too.
        self.report(self.io.send(&[]).err()?)
    }

    /// What earlier datagrams drew, if that is known by now. To be called when the poller says that the socket is
    /// readable or has an error.
    pub fn recv(&self) -> Option<PathError> {
        let mut nothing = [0; 1];
        for _ in 0..UNASKED {
            match self.io.recv(&mut nothing) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) => match self.report(error) {
                    // Windows calls a datagram that was cut short an error.
                    None => {}
                    report => return report,
                },
            }
        }
        None
    }

    fn report(&self, error: io::Error) -> Option<PathError> {
        let kind = match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => {
                PathErrorKind::Refused
            }
            io::ErrorKind::HostUnreachable => PathErrorKind::HostUnreachable,
            io::ErrorKind::NetworkUnreachable => PathErrorKind::NetworkUnreachable,
            _ => return None,
        };
        let errno = error.raw_os_error().unwrap_or(0);
        Some(PathError { remote: self.remote, kind, errno, quoted: 0 })
    }
}

impl Source for Canary {
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

//! Another socket: because the address of the one in use went away, as when a laptop leaves one network
//! for another, or because the application asks for it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use mio::{Interest, Registry};
use stt_proto::{Instant, Now, Rebind, SendError};
use stt_udp::UdpSocket;

use super::{Driver, SOCKET};
use crate::event::Event;

/// Pause between two looks at whether the socket's address is still this host's.
const LOOK: Duration = Duration::from_millis(100);

impl Driver {
    /// After a refused send: a socket bound to an address that is not this host's any more makes way
    /// for one that is bound to none, and every peer is shown at once where this side is now.
    pub(super) fn rebind_if_gone(&mut self, now: Now, error: SendError) -> bool {
        let telling = matches!(
            error,
            SendError::Unreachable(_) | SendError::NetworkDown(_) | SendError::Other(_)
        );
        let due = self.looked.is_none_or(|at| now.mono >= at + LOOK);
        if !telling || !due {
            return false;
        }
        self.looked = Some(now.mono);
        let bound = self.io.socket().local_addr();
        if bound.ip().is_unspecified() || !is_gone(bound.ip()) {
            return false;
        }
        // Should it fail, the next refused send tries again.
        self.look_again();
        if self.io.replace_socket(bound).is_err() {
            return false;
        }
        self.stop_checking();
        self.stats.rebinds += 1;
        self.push(Event::Rebound { token: None, address: self.io.socket().local_addr() });
        self.core.handle_rebind(now, Rebind::Address);
        true
    }

    /// Goes on with a socket that the application had bound.
    pub(super) fn rebind(&mut self, now: Now, token: u64, socket: UdpSocket) {
        let (before, address) = (self.io.socket().local_addr(), socket.local_addr());
        self.look_again();
        if let Err(error) = self.io.take_socket(socket) {
            let errno = error.raw_os_error().unwrap_or(0);
            self.push(Event::RebindFailed { token, errno });
            return;
        }
        self.stop_checking();
        self.stats.rebinds += 1;
        self.push(Event::Rebound { token: Some(token), address });
        // Of two sockets that are bound to the same address, or to all, the port alone differs.
        let same = before.ip() == address.ip();
        self.core.handle_rebind(now, if same { Rebind::Port } else { Rebind::Address });
    }
}

/// When a socket was last looked at.
pub(super) type Looked = Option<Instant>;

/// Whether nothing can be bound to an address because no interface has it.
fn is_gone(ip: IpAddr) -> bool {
    std::net::UdpSocket::bind(SocketAddr::new(ip, 0))
        .is_err_and(|error| error.kind() == io::ErrorKind::AddrNotAvailable)
}

/// A socket for every address of the family of `bound`, registered in the place of `old`: at the same
/// port if that can be had.
pub(super) fn replace(
    registry: &Registry,
    old: &mut UdpSocket,
    bound: SocketAddr,
) -> io::Result<()> {
    let any = match bound {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    // The old socket holds the port until it is gone.
    for port in [0, bound.port()] {
        match UdpSocket::bind(SocketAddr::new(any, port), old.options()) {
            Ok(mut fresh) => {
                registry.deregister(old)?;
                registry.register(&mut fresh, SOCKET, Interest::READABLE)?;
                *old = fresh;
            }
            // Somebody else has it: any other does for peers that know this side.
            Err(_) if port != 0 => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

//! Linux's error queue (`IP_RECVERR`, `IPV6_RECVERR`; ip(7)).
//!
//! `quinn-udp` reads the queue too, but reports the router that complained instead of the peer the
//! datagram was for, and drops the quoted datagram. Both are what tells a real refusal from one
//! that a stranger made up.

use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::ptr;

use quinn_udp::{UdpSockRef, UdpSocketState};

use crate::batch::canonical;
use crate::error::{PathError, PathErrorKind};

/// Room for the error and the offender's address, with some to spare for other messages.
const CONTROL_BYTES: usize = 512;

/// `recvmsg` wants control messages aligned as their header.
#[repr(C)]
union Control {
    _align: mem::ManuallyDrop<MaybeUninit<libc::cmsghdr>>,
    bytes: [MaybeUninit<u8>; CONTROL_BYTES],
}

/// Asks for reports.
pub(crate) fn enable(state: &UdpSocketState, socket: &std::net::UdpSocket) -> io::Result<()> {
    state.enable_transport_errors(UdpSockRef::from(socket))
}

/// Takes reports from the queue until one is understood; `None` once it is empty.
pub(crate) fn recv(socket: &mio::net::UdpSocket, quoted: &mut [u8]) -> Option<PathError> {
    loop {
        match recv_one(socket, quoted)? {
            Some(error) => return Some(error),
            // Time stamps, or an ICMP type that means nothing to us.
            None => continue,
        }
    }
}

/// `None`: the queue is empty (or unreadable). `Some(None)`: a report that is of no use.
fn recv_one(socket: &mio::net::UdpSocket, quoted: &mut [u8]) -> Option<Option<PathError>> {
    // SAFETY: an all-zero `sockaddr_storage` is valid: it means an unspecified family.
    let mut name: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let mut control = Control { bytes: [MaybeUninit::uninit(); CONTROL_BYTES] };
    let mut iov =
        libc::iovec { iov_base: quoted.as_mut_ptr().cast::<libc::c_void>(), iov_len: quoted.len() };
    // SAFETY: all-zero is a valid `msghdr`: null pointers with zero lengths.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_name = ptr::from_mut(&mut name).cast::<libc::c_void>();
    header.msg_namelen = size_of_val(&name) as libc::socklen_t;
    header.msg_iov = &mut iov;
    header.msg_iovlen = 1;
    header.msg_control = ptr::from_mut(&mut control).cast::<libc::c_void>();
    header.msg_controllen = CONTROL_BYTES as _;

    // SAFETY: every pointer in `header` is to a live buffer of this frame (or of the caller's) with
    // the length that stands beside it, and none of them moves until the call returns.
    let received = unsafe {
        libc::recvmsg(
            socket.as_raw_fd(),
            &mut header,
            libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    };
    let quoted = usize::try_from(received).ok()?.min(quoted.len());
    let Some(extended) = extended_error(&header) else { return Some(None) };
    let Some(remote) = socket_address(&name) else { return Some(None) };
    let errno = i32::try_from(extended.ee_errno).unwrap_or(0);
    Some(kind(&extended).map(|kind| PathError { remote, kind, errno, quoted }))
}

/// The `IP_RECVERR` or `IPV6_RECVERR` control message among those that `recvmsg` filled in.
fn extended_error(header: &libc::msghdr) -> Option<libc::sock_extended_err> {
    // SAFETY: `header` was filled by `recvmsg`, so `msg_control` and `msg_controllen` describe
    // complete, aligned control messages; the macros never step past `msg_controllen`.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while let Some(current) = message.as_ref() {
            let ours = matches!(
                (current.cmsg_level, current.cmsg_type),
                (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
            );
            let need = libc::CMSG_LEN(size_of::<libc::sock_extended_err>() as libc::c_uint);
            if ours && current.cmsg_len >= need as _ {
                let data = libc::CMSG_DATA(message).cast::<libc::sock_extended_err>();
                return Some(ptr::read_unaligned(data));
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    None
}

fn kind(error: &libc::sock_extended_err) -> Option<PathErrorKind> {
    let errno = i32::try_from(error.ee_errno).ok()?;
    match errno {
        libc::ECONNREFUSED => Some(PathErrorKind::Refused),
        libc::EHOSTUNREACH | libc::EHOSTDOWN => Some(PathErrorKind::HostUnreachable),
        libc::ENETUNREACH | libc::ENONET => Some(PathErrorKind::NetworkUnreachable),
        libc::EACCES | libc::EPERM => Some(PathErrorKind::Prohibited),
        libc::EMSGSIZE => Some(PathErrorKind::MessageTooLong { mtu: error.ee_info }),
        _ => None,
    }
}

/// The destination of the datagram, which the kernel puts where a sender's address would stand.
fn socket_address(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let from = ptr::from_ref(storage);
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that the kernel wrote a `sockaddr_in`, and
            // `sockaddr_storage` is large and aligned enough for each kind of address.
            let v4 = unsafe { &*from.cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddr::from((ip, u16::from_be(v4.sin_port))))
        }
        libc::AF_INET6 => {
            // SAFETY: as above, for `sockaddr_in6`.
            let v6 = unsafe { &*from.cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            Some(canonical(SocketAddr::V6(SocketAddrV6::new(ip, port, 0, v6.sin6_scope_id))))
        }
        _ => None,
    }
}

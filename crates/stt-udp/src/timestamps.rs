//! Receive time stamps, which `quinn-udp` 0.6 turns on and this transport has no use for.
//!
//! They are not only wasted work per datagram. With them the control messages of a coalesced read
//! (time stamp, segment size, local address, traffic class: 112 bytes on IPv4) outgrow the 96 bytes
//! that `quinn-udp` sets aside, and the kernel cuts off the last one: the ECN mark.

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn disable(socket: &std::net::UdpSocket) -> std::io::Result<()> {
    use std::os::fd::AsRawFd;

    let off: libc::c_int = 0;
    // SAFETY: the descriptor is open for the length of the borrow, and the option's value is a live
    // `c_int` of the size given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPNS,
            (&raw const off).cast::<libc::c_void>(),
            size_of_val(&off) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn disable(_socket: &std::net::UdpSocket) -> std::io::Result<()> {
    Ok(())
}

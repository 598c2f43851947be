//! `SO_BUSY_POLL`: a receive, or a wait, that finds nothing has the network card asked for a while instead of
//! sleeping until its interrupt. It costs a processor and saves the interrupt's time, on cards whose driver
//! has NAPI polling; loopback has not.
//!
//! Other systems have no such option: nothing is granted there.

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use linux::ask_for;
#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
pub(crate) use linux::get;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn ask_for(_socket: &std::net::UdpSocket, _micros: u32) -> u32 {
    0
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::io;
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd;

    /// Asks for so many microseconds, unless for none; what the socket has then.
    pub(crate) fn ask_for(socket: &UdpSocket, micros: u32) -> u32 {
        if micros > 0 {
            // Old kernels grant more than `net.core.busy_read` to CAP_NET_ADMIN alone: the answer shows it.
            let _ = set(socket, micros);
        }
        get(socket).unwrap_or(0)
    }

    fn set(socket: &UdpSocket, micros: u32) -> io::Result<()> {
        let value = libc::c_int::try_from(micros).map_err(io::Error::other)?;
        // SAFETY: the descriptor is open for the length of the borrow, and the option's value is a live
        // `c_int` of the size given.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_BUSY_POLL,
                (&raw const value).cast::<libc::c_void>(),
                size_of_val(&value) as libc::socklen_t,
            )
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    pub(crate) fn get(socket: &UdpSocket) -> io::Result<u32> {
        let mut value: libc::c_int = 0;
        let mut len = size_of_val(&value) as libc::socklen_t;
        // SAFETY: the descriptor is open for the length of the borrow; the option is written to a live
        // `c_int`, whose size `len` says, and `len` itself is live.
        let result = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_BUSY_POLL,
                (&raw mut value).cast::<libc::c_void>(),
                &raw mut len,
            )
        };
        if result == 0 {
            Ok(u32::try_from(value).unwrap_or(0))
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

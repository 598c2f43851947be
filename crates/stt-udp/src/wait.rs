//! Waiting for less than the poller can count.

use std::time::Duration;

use mio::Poll;

/// Blocks until `poll` has events or `timeout` has passed, to the nanosecond that the kernel counts
/// in (the poller itself counts in milliseconds), and returns the timeout that is left to give to
/// the poller: none.
///
/// Only Linux and Android can; elsewhere this returns at once with `timeout` as it is.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn wait_precisely(poll: &Poll, timeout: Duration) -> Duration {
    use std::os::fd::AsRawFd;

    let mut descriptor = libc::pollfd { fd: poll.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let timeout = libc::timespec {
        tv_sec: timeout.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: timeout.subsec_nanos() as _,
    };
    // SAFETY: the descriptor, one in number as stated, and the timeout live until the call returns;
    // a null mask leaves the signals as they are.
    let result = unsafe { libc::ppoll(&mut descriptor, 1, &timeout, std::ptr::null()) };
    // A failure (a signal) only makes the wait shorter, which every caller must expect anyway.
    let _ = result;
    Duration::ZERO
}

/// Blocks until `poll` has events or `timeout` has passed, where the system can do so precisely;
/// returns what is left for the poller. Here: all of it.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn wait_precisely(_poll: &Poll, timeout: Duration) -> Duration {
    timeout
}

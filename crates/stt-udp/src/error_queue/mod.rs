//! What the network reported about datagrams that had already left.
//!
//! The feature `no-error-queue` makes Linux one of the systems that tell an unconnected socket nothing, so that
//! what is done there can be tested here.

#[cfg(all(any(target_os = "linux", target_os = "android"), not(feature = "no-error-queue")))]
mod linux;
#[cfg(all(any(target_os = "linux", target_os = "android"), not(feature = "no-error-queue")))]
pub(crate) use linux::{enable, recv};

#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(feature = "no-error-queue"))))]
mod none;
#[cfg(not(all(
    any(target_os = "linux", target_os = "android"),
    not(feature = "no-error-queue")
)))]
pub(crate) use none::{enable, recv};

/// Whether this system has an error queue.
pub(crate) const EXISTS: bool =
    cfg!(all(any(target_os = "linux", target_os = "android"), not(feature = "no-error-queue")));

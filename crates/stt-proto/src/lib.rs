//! The sans-IO machine of STT: endpoint, sessions, streams, recovery, congestion.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), allow(dead_code, reason = "the session layer that calls recovery is wired on merge"))]

pub(crate) mod recovery;
pub mod time;

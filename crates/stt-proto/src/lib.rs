//! The sans-IO machine of STT: endpoint, sessions, streams, recovery, congestion.
#![forbid(unsafe_code)]
#![allow(dead_code, unused_imports, reason = "the session that calls recovery is wired on merge")]

pub(crate) mod recovery;
pub mod time;

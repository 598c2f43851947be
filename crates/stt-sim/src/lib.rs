//! A deterministic world for the STT core: one virtual clock, nodes that are real
//! [`stt_proto::Endpoint`]s, and links that delay, lose, double, reorder, corrupt and cut.
//!
//! A run is a seed. The same seed and the same scenario give the same datagrams, byte for byte, and
//! a failure prints the command that runs it again.
#![forbid(unsafe_code)]

mod link;
mod random;
mod transfer;
mod world;

pub mod report;
pub mod scenario;

pub use link::{Link, LinkStats};
pub use random::Random;
pub use transfer::{Reader, Transfer, pattern};
pub use world::{Failure, NodeId, World};

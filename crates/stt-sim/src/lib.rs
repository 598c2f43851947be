//! A deterministic world for the STT core: one virtual clock, nodes that are real
//! [`stt_proto::Endpoint`]s, and links that delay, lose, double, reorder, corrupt and cut.
//!
//! A run is a seed. The same seed and the same scenario give the same datagrams, byte for byte, and
//! a failure prints the command that runs it again. Scenarios are the files of `scenarios/`.
#![forbid(unsafe_code)]

mod app;
mod check;
mod cross;
mod link;
mod pair;
mod pcap;
mod play;
mod random;
mod random_scenario;
mod recording;
mod transfer;
mod world;

pub mod catalog;
pub mod report;
pub mod spec;
pub mod sweep;

pub use cross::{CrossKind, CrossStats};
pub use link::{Burst, EcnPolicy, Link, LinkStats};
pub use pair::pair;
pub use play::{Outcome, play};
pub use random::Random;
pub use random_scenario::{draw, shrink};
pub use transfer::{Reader, Transfer, pattern};
pub use world::{Failure, NodeId, World};

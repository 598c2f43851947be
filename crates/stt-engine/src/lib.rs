//! The driver of STT: gives the sans-IO core a socket, a clock and a thread.
//!
//! An [`Engine`] is one endpoint. Its thread owns the socket and every session; the application's
//! thread never waits for it. Between the two stand
//!
//! * a command queue, filled by the methods of [`Engine`] and swapped out whole by the thread;
//! * a bounded ring of [`Event`]s, filled by the thread and taken by [`Engine::poll`], with a
//!   doorbell that rings when the ring is no longer empty (never once per datagram);
//! * for each stream, a pair of atomic counters that bound what may be written and not yet
//!   acknowledged.
//!
//! Back-pressure runs through all of it. At most [`READ_AHEAD`] bytes of a stream are given to an
//! application that has not [consumed](Engine::consumed) them; the rest stays in the core, and its
//! credit with it, so that the peer stops.
//!
//! The crate knows nothing of Node and nothing of async runtimes.

#![forbid(unsafe_code)]

mod arena;
mod clock;
mod command;
mod config;
mod credit;
mod driver;
mod engine;
mod event;
mod frames;
mod inflow;
mod local;
mod log;
mod outbox;
mod ring;
mod shared;
mod snapshot;
mod stats;
mod sync;
mod watch;

#[cfg(test)]
#[cfg(feature = "shuttle")]
mod model;
#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests;

pub use command::{CloseOptions, ConnectTarget, MoveTarget};
pub use config::{EngineConfig, StartError};
pub use credit::SendCredit;
#[cfg(unix)]
pub use engine::WatchedSocket;
pub use engine::{Engine, Received, Taken, Watched, Written};
pub use event::{EngineEnd, Event, Resource, SharedCredit};
pub use frames::Frames;
pub use log::LogConfig;
pub use outbox::Sent;
pub use stats::EngineStats;
pub use stt_udp::SocketOptions;

/// Bytes of one stream that may have been given to the application without having been consumed,
/// at most; a smaller stream receive buffer lowers it. Two slabs of JavaScript's: with one, the engine's
/// thread found nothing to give while the application read, and both slept more often.
pub const READ_AHEAD: u64 = 512 * 1024;

/// Names a session, or a connect in progress, within one engine. Numbers are not used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionNumber(pub u32);

/// Names a stream within one engine, whatever its session. Numbers are not used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamNumber(pub u32);

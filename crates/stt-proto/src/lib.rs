//! The machine of STT/1 without its sockets: handshakes, sessions, streams, loss recovery and
//! congestion control, as functions of bytes and time.
//!
//! An [`Endpoint`] never touches the system. Time, addresses, datagrams and randomness are
//! arguments; datagrams to send, deadlines and events are results. The same inputs give the same
//! outputs, byte for byte.
//!
//! # The law
//!
//! After every call that changes an endpoint (all that take `now`), the driver drains it:
//!
//! 1. [`Endpoint::poll_transmit`] until it gives nothing, sending each batch;
//! 2. [`Endpoint::poll_event`] until it gives nothing;
//! 3. then it reads [`Endpoint::poll_timeout`], and calls [`Endpoint::handle_timeout`] when that
//!    time has come, if nothing else happens before.
//!
//! A driver whose socket is full may stop at 1 and go on when it has room; nothing is lost.
//!
//! Section numbers in this crate refer to `docs/PROTOCOL.md`.
#![forbid(unsafe_code)]

mod config;
mod departures;
mod endpoint;
mod event;
mod fault;
#[cfg(feature = "inspect")]
pub mod inspect;
mod memory;
mod messages;
mod path;
mod recovery;
mod rtts;
mod scratch;
mod session;
mod stats;
mod streams;
mod ticket;
mod time;
pub mod trace;

pub use stt_crypto::{NetworkKeys, NodeId, NodeIdentity};
pub use stt_wire::{CloseReason, ErrorCode, FrameType, PathId};

pub use crate::config::{
    Cap, CongestionControl, ConnectOptions, EndpointConfig, ListenConfig, SessionConfig,
};
pub use crate::endpoint::{Close, ConnectError, Endpoint};
pub use crate::event::{EarlyData, Event, SessionHandle, Side};
pub use crate::fault::{Fault, FaultDetail, Origin};
pub use crate::memory::{Memory, Shortage};
pub use crate::messages::{Message, MessageCounts, MessageDrop, MessageError};
pub use crate::path::{Connection, Ecn, PathAddress, PathError, Rebind, SendError, Transmit};
pub use crate::session::{MoveError, MoveFailure, PathStrain};
pub use crate::stats::{EndpointStats, FrameErrorCounts, SessionStats};
pub use crate::streams::{
    Direction, OpenError, ReadError, ReadOutcome, StreamId, StreamOptions, WriteError,
};
pub use crate::ticket::ResumptionTicket;
pub use crate::time::{Instant, Now};

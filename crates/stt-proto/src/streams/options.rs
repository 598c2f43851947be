//! What streams are asked for, and how they refuse.

use core::time::Duration;

use thiserror::Error;

use super::id::Direction;
use crate::memory::Shortage;

/// Longest purpose label, in bytes (PROTOCOL.md section 1, STREAM_OPEN).
pub(super) const MAX_PURPOSE: usize = 255;
/// The least urgent priority.
pub(super) const MAX_PRIORITY: u8 = 7;

/// What [`crate::Endpoint::open_stream`] wants to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamOptions {
    /// Which ways it goes.
    pub direction: Direction,
    /// A label that the peer sees, at most 255 bytes of UTF-8; a longer one is cut at a character.
    pub purpose: String,
    /// An id that the application chooses: one space for both sides and both kinds, each used once
    /// in the life of a session.
    pub name: Option<u32>,
    /// 0 (urgent) to 7 (background); what is above 7 counts as 7. Default 3.
    pub priority: u8,
    /// Bytes older than this are given up, both ways: at least 1 ms, and up to a thirty-second part
    /// late. `None` repeats every byte until it arrives.
    pub deadline: Option<Duration>,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            direction: Direction::Bidirectional,
            purpose: String::new(),
            name: None,
            priority: 3,
            deadline: None,
        }
    }
}

/// Why a stream was not opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum OpenError {
    /// TOO_MANY_STREAMS (0x0302): as many as this side, or the peer, allows, or the session's names
    /// are used up.
    #[error("at most {limit} streams may be open")]
    TooManyStreams {
        /// The limit: this side's counts open streams, the peer's all that were ever opened.
        limit: u64,
        /// Whether it is this side's own.
        local: bool,
    },
    /// RESOURCE_EXHAUSTED (0x0603): the endpoint's memory is at its ceiling.
    #[error("the memory is at its ceiling")]
    OutOfMemory(Shortage),
    /// STREAM_ID_CONFLICT (0x0303): the name is, or was, in use.
    #[error("the stream name is in use")]
    NameConflict,
    /// SESSION_CLOSED (0x0201).
    #[error("the session is closed")]
    SessionClosed,
}

/// Why bytes were not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum WriteError {
    /// No such stream, or its sending half is done, or it never had one.
    #[error("no such stream to write to")]
    UnknownStream,
    /// The sending half was finished or reset, by this side or at the peer's request.
    #[error("the sending half is closed")]
    Closed,
    /// SESSION_CLOSED (0x0201).
    #[error("the session is closed")]
    SessionClosed,
}

/// Why nothing could be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ReadError {
    /// No such stream, or its receiving half is done or was stopped, or it never had one.
    #[error("no such stream to read from")]
    UnknownStream,
    /// SESSION_CLOSED (0x0201), and nothing is left to read.
    #[error("the session is closed")]
    SessionClosed,
}

//! What streams are asked for, and how they refuse.

use thiserror::Error;

use super::id::Direction;

/// What [`crate::Endpoint::open_stream`] wants to know.
#[derive(Clone, Debug)]
pub struct StreamOptions {
    /// Which ways it goes.
    pub direction: Direction,
    /// A label that the peer sees, at most 255 bytes; longer ones are cut at a character.
    pub purpose: String,
    /// An id that the application chooses, one space for both sides and kinds, used once a session.
    pub name: Option<u32>,
    /// 0 (urgent) to 7 (background).
    pub priority: u8,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            direction: Direction::Bidirectional,
            purpose: String::new(),
            name: None,
            priority: 3,
        }
    }
}

/// Why a stream was not opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum OpenError {
    /// TOO_MANY_STREAMS (0x0302): the limit that the peer, or this side, allows at the moment.
    #[error("at most {limit} streams may be open")]
    TooManyStreams {
        /// The limit.
        limit: u64,
        /// Whether it is this side's own.
        local: bool,
    },
    /// STREAM_ID_CONFLICT (0x0303): that name is, or was, in use.
    #[error("the stream name is in use")]
    NameConflict,
    /// SESSION_CLOSED (0x0201).
    #[error("the session is closed")]
    SessionClosed,
}

/// Why bytes were not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum WriteError {
    /// No such stream, or it only receives.
    #[error("no such stream to write to")]
    UnknownStream,
    /// The sending half was ended or aborted.
    #[error("the sending half is closed")]
    Closed,
    /// SESSION_CLOSED (0x0201).
    #[error("the session is closed")]
    SessionClosed,
}

/// Why nothing could be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ReadError {
    /// No such stream, or it only sends.
    #[error("no such stream to read from")]
    UnknownStream,
    /// SESSION_CLOSED (0x0201), and nothing is left to read.
    #[error("the session is closed")]
    SessionClosed,
}

/// What this side allows the peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalLimits {
    /// Bidirectional streams that the peer may have open at once.
    pub(crate) max_bidi: u32,
    /// Unidirectional ones.
    pub(crate) max_uni: u32,
    /// Bytes of credit on each stream.
    pub(crate) stream_window: u64,
    /// Bytes of credit over all.
    pub(crate) session_window: u64,
}

/// What the peer allows at the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerLimits {
    pub(crate) max_bidi: u32,
    pub(crate) max_uni: u32,
    pub(crate) stream_window: u64,
    pub(crate) session_window: u64,
}

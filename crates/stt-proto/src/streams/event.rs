//! What streams have to tell.

use core::time::Duration;

use stt_wire::ErrorCode;

use super::id::{Direction, StreamId};
use crate::event::{Event, SessionHandle};
use crate::fault::{Fault, FaultDetail, Origin};

/// An event of one stream, before its session's handle is put on it.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum StreamEvent {
    Opened {
        stream: StreamId,
        purpose: String,
        name: Option<u32>,
        priority: u8,
        deadline: Option<Duration>,
    },
    Readable {
        stream: StreamId,
    },
    Released {
        stream: StreamId,
        acked: u64,
    },
    Finished {
        stream: StreamId,
    },
    Reset {
        stream: StreamId,
        code: u64,
    },
    Stopped {
        stream: StreamId,
        code: u64,
    },
    /// STT itself ended both halves, here or at the peer.
    Failed {
        stream: StreamId,
        code: ErrorCode,
    },
    Closed {
        stream: StreamId,
    },
    Available {
        direction: Direction,
    },
}

/// Codes of STREAM_CLOSE and STREAM_STOP from here on are STT's own: this, plus an error code. Those
/// below are the application's (PROTOCOL.md section 1.9).
const OWN_CODES: u64 = 0x1_0000;

/// The code by which STT itself aborts a stream.
pub(super) fn own_code(code: ErrorCode) -> u64 {
    OWN_CODES | u64::from(code.as_u16())
}

/// What STT itself has aborted a stream for, if `code` is its own.
fn own_error(code: u64) -> Option<ErrorCode> {
    ErrorCode::from_u16(u16::try_from(code.checked_sub(OWN_CODES)?).ok()?)
}

impl StreamEvent {
    /// The peer gave up sending.
    pub(super) fn reset(stream: StreamId, code: u64) -> Self {
        match own_error(code) {
            Some(code) => Self::Failed { stream, code },
            None => Self::Reset { stream, code },
        }
    }

    /// The peer wants no more.
    pub(super) fn stopped(stream: StreamId, code: u64) -> Self {
        match own_error(code) {
            Some(code) => Self::Failed { stream, code },
            None => Self::Stopped { stream, code },
        }
    }

    pub(crate) fn for_session(self, session: SessionHandle) -> Event {
        match self {
            Self::Opened { stream, purpose, name, priority, deadline } => {
                let direction = stream.direction();
                Event::StreamOpened {
                    session,
                    stream,
                    direction,
                    purpose,
                    name,
                    priority,
                    deadline,
                }
            }
            Self::Readable { stream } => Event::StreamReadable { session, stream },
            Self::Released { stream, acked } => Event::StreamReleased { session, stream, acked },
            Self::Finished { stream } => Event::StreamFinished { session, stream },
            Self::Reset { stream, code } => Event::StreamReset { session, stream, code },
            Self::Stopped { stream, code } => Event::StreamStopped { session, stream, code },
            Self::Failed { stream, code } => {
                let error = match code {
                    // Only the side that a stream is opened to refuses it so.
                    ErrorCode::ResourceExhausted => Fault::new(code)
                        .by(Origin::Peer)
                        .with_detail(FaultDetail::Limit { limit: 0, local: false }),
                    code => Fault::new(code),
                };
                Event::StreamFailed { session, stream, error }
            }
            Self::Closed { stream } => Event::StreamClosed { session, stream },
            Self::Available { direction } => Event::StreamsAvailable { session, direction },
        }
    }
}

/// What the peer did that ends the session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PeerFault {
    pub(crate) code: ErrorCode,
    /// The limit that was broken, where it was one.
    pub(crate) limit: Option<u64>,
}

impl PeerFault {
    pub(super) const fn new(code: ErrorCode) -> Self {
        Self { code, limit: None }
    }

    pub(super) const fn limit(code: ErrorCode, limit: u64) -> Self {
        Self { code, limit: Some(limit) }
    }
}

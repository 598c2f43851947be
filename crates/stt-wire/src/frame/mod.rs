//! The frames that travel sealed, one file per family. Each is a borrowed view: parsed in place,
//! written into the caller's buffer (PROTOCOL.md §1, the table).

pub mod ack;
pub mod control;
pub mod stream;

use crate::{
    bundle::Bundle,
    header::{Flags, FrameType},
    reader::{Reader, UnexpectedEnd},
};

pub use ack::{AckView, EcnCounts};
pub use control::{Final, KeepAlive, KeepAliveKind, MaxStreams, NewId, SessionClose, StreamKind};
pub use stream::{Data, Reliability, StreamClose, StreamOpen};

/// A sealed frame, or a part of a BUNDLE.
#[derive(Clone, Debug)]
pub enum Frame<'a> {
    /// The responder's verdict.
    Final(Final<'a>),
    /// Bytes of a stream.
    Data(Data<'a>),
    /// Packet numbers that arrived.
    Ack(AckView<'a>),
    /// A sign of life that wants an echo.
    KeepAlive(KeepAlive),
    /// The echo.
    KeepAliveAck(KeepAlive),
    /// New absolute credit: of the session where the stream id is 0.
    Window {
        /// Bytes that the peer may have sent in all.
        limit: u64,
    },
    /// One unreliable message.
    Datagram(&'a [u8]),
    /// Streams that the peer may have opened in all.
    MaxStreams(MaxStreams),
    /// A spare path id.
    NewId(NewId),
    /// A path id that the sender no longer uses.
    RetireId {
        /// Its sequence number.
        sequence: u64,
    },
    /// Several frames.
    Bundle(Bundle<'a>),
    /// Opens a stream.
    StreamOpen(StreamOpen<'a>),
    /// The sender gives up the rest of the stream.
    StreamClose(StreamClose),
    /// The reader does not want the rest of the stream.
    StreamStop {
        /// The application's code.
        code: u64,
    },
    /// What lies before is given up.
    StreamSkip {
        /// New start of the stream.
        offset: u64,
    },
    /// Ends the session.
    SessionClose(SessionClose<'a>),
    /// The session is about to end.
    Drain {
        /// Milliseconds that the sender leaves for what is under way.
        within: u64,
    },
    /// The application's own.
    Custom {
        /// 0x80 to 0xFE.
        frame_type: FrameType,
        /// The message.
        data: &'a [u8],
    },
    /// A type that this version does not know: acknowledged, dropped, reported.
    Unknown {
        /// The type.
        frame_type: FrameType,
    },
}

/// The structure of an opened frame is impossible: INVALID_FRAME (0x0401).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// It ends inside a field.
    Truncated,
    /// Bytes follow its last field.
    TrailingBytes,
    /// A flag that this frame does not have.
    Flags,
    /// A stream id where none belongs, or none where one does.
    StreamId,
    /// A field has a value outside its range.
    Value,
    /// A frame that must not stand in a BUNDLE, or not alone.
    Misplaced,
}

impl From<UnexpectedEnd> for FrameError {
    fn from(_: UnexpectedEnd) -> Self {
        Self::Truncated
    }
}

impl Frame<'_> {
    /// Whether a packet that holds it asks for an ACK (§5).
    #[must_use]
    pub fn is_ack_eliciting(&self) -> bool {
        match self {
            Self::Ack(_) | Self::SessionClose(_) => false,
            Self::Bundle(bundle) => bundle.is_ack_eliciting(),
            _ => true,
        }
    }
}

/// Parses the payload of an opened packet.
///
/// # Errors
/// [`FrameError`] when the frame is malformed; nothing of it must act then.
pub fn parse<'a>(
    frame_type: FrameType,
    flags: Flags,
    stream_id: u32,
    payload: &'a [u8],
) -> Result<Frame<'a>, FrameError> {
    if flags.has_unknown() || (flags.contains(Flags::FIN) && frame_type != FrameType::DATA) {
        return Err(FrameError::Flags);
    }
    if frame_type == FrameType::BUNDLE {
        if stream_id != 0 {
            return Err(FrameError::StreamId);
        }
        return Bundle::parse(payload).map(Frame::Bundle);
    }
    parse_part(frame_type, flags.contains(Flags::FIN), stream_id, payload)
}

/// Parses a frame that is not a BUNDLE.
pub(crate) fn parse_part<'a>(
    frame_type: FrameType,
    fin: bool,
    stream_id: u32,
    body: &'a [u8],
) -> Result<Frame<'a>, FrameError> {
    if frame_type.is_clear() || frame_type == FrameType::BUNDLE || frame_type == FrameType::PADDING
    {
        return Err(FrameError::Misplaced);
    }
    let belongs_to_stream = match frame_type {
        FrameType::DATA
        | FrameType::STREAM_OPEN
        | FrameType::STREAM_CLOSE
        | FrameType::STREAM_STOP
        | FrameType::STREAM_SKIP => Some(true),
        // The session's credit, or a stream's.
        FrameType::WINDOW => None,
        // What nobody knows is not judged.
        _ if frame_type.name().is_none() => None,
        _ => Some(false),
    };
    if belongs_to_stream.is_some_and(|belongs| belongs != (stream_id != 0)) {
        return Err(FrameError::StreamId);
    }
    let mut input = Reader::new(body);
    let frame = match frame_type {
        FrameType::FINAL => Frame::Final(Final::read(&mut input)?),
        FrameType::DATA => Frame::Data(Data::read(&mut input, fin)?),
        FrameType::ACK => Frame::Ack(AckView::read(&mut input)?),
        FrameType::KEEP_ALIVE => Frame::KeepAlive(KeepAlive::read(&mut input)?),
        FrameType::KEEP_ALIVE_ACK => Frame::KeepAliveAck(KeepAlive::read(&mut input)?),
        FrameType::WINDOW => Frame::Window { limit: input.varint()? },
        FrameType::DATAGRAM => Frame::Datagram(input.rest()),
        FrameType::MAX_STREAMS => Frame::MaxStreams(MaxStreams::read(&mut input)?),
        FrameType::NEW_ID => Frame::NewId(NewId::read(&mut input)?),
        FrameType::RETIRE_ID => Frame::RetireId { sequence: input.varint()? },
        FrameType::STREAM_OPEN => Frame::StreamOpen(StreamOpen::read(&mut input)?),
        FrameType::STREAM_CLOSE => Frame::StreamClose(StreamClose::read(&mut input)?),
        FrameType::STREAM_STOP => Frame::StreamStop { code: input.varint()? },
        FrameType::STREAM_SKIP => Frame::StreamSkip { offset: input.varint()? },
        FrameType::SESSION_CLOSE => Frame::SessionClose(SessionClose::read(&mut input)?),
        FrameType::DRAIN => Frame::Drain { within: input.varint()? },
        _ if frame_type.is_custom() => Frame::Custom { frame_type, data: input.rest() },
        _ => return Ok(Frame::Unknown { frame_type }),
    };
    if input.is_empty() { Ok(frame) } else { Err(FrameError::TrailingBytes) }
}

//! Frames of the session itself.

use super::FrameError;
use crate::{
    TOKEN_LEN,
    codes::CloseReason,
    header::PathId,
    reader::Reader,
    writer::{NoRoom, Writer},
};

/// Longest message of a SESSION_CLOSE, in bytes of UTF-8.
pub const MAX_CLOSE_MESSAGE: usize = 256;
/// Longest ticket in a FINAL.
pub const MAX_TICKET: usize = 512;

/// The responder's verdict on the handshake (§2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Final<'a> {
    /// 0, or the error code of a refusal.
    pub status: u16,
    /// The sub-code of a refusal, or 0.
    pub subcode: u8,
    /// Token for a reset of the path id that the initiator sends to.
    pub reset_token: [u8; TOKEN_LEN],
    /// A ticket for a later RESUME; empty = none.
    pub ticket: &'a [u8],
}

impl<'a> Final<'a> {
    pub(super) fn read(input: &mut Reader<'a>) -> Result<Self, FrameError> {
        let (status, subcode, reset_token) = (input.u16()?, input.u8()?, input.array()?);
        let ticket_len = usize::from(input.u16()?);
        if ticket_len > MAX_TICKET {
            return Err(FrameError::Value);
        }
        Ok(Self { status, subcode, reset_token, ticket: input.bytes(ticket_len)? })
    }

    /// Writes the frame's body.
    ///
    /// # Errors
    /// [`NoRoom`] when it does not fit, or the ticket is longer than [`MAX_TICKET`].
    pub fn write(&self, out: &mut Writer<'_>) -> Result<(), NoRoom> {
        let ticket_len =
            u16::try_from(self.ticket.len()).ok().filter(|len| usize::from(*len) <= MAX_TICKET);
        out.u16(self.status)?;
        out.u8(self.subcode)?;
        out.bytes(&self.reset_token)?;
        out.u16(ticket_len.ok_or(NoRoom)?)?;
        out.bytes(self.ticket)
    }
}

/// What a KEEP_ALIVE is for (§6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum KeepAliveKind {
    /// The session lives; may move it.
    Alive = 0,
    /// A probe of a path; moves nothing.
    Probe = 1,
}

/// KEEP_ALIVE and its echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// What it is for.
    pub kind: KeepAliveKind,
    /// Fresh random bytes per path and attempt, echoed unchanged.
    pub nonce: [u8; 8],
}

impl KeepAlive {
    /// Bytes of the body.
    pub const LEN: usize = 9;

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, FrameError> {
        let kind = match input.u8()? {
            0 => KeepAliveKind::Alive,
            1 => KeepAliveKind::Probe,
            _ => return Err(FrameError::Value),
        };
        Ok(Self { kind, nonce: input.array()? })
    }

    /// Writes the frame's body.
    ///
    /// # Errors
    /// [`NoRoom`] when it does not fit.
    pub fn write(&self, out: &mut Writer<'_>) -> Result<(), NoRoom> {
        out.u8(self.kind as u8)?;
        out.bytes(&self.nonce)
    }
}

/// Bidirectional or unidirectional: bit 1 of a stream id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum StreamKind {
    /// Both sides send.
    Bidirectional = 0,
    /// Only the opener sends.
    Unidirectional = 1,
}

/// Streams of one kind that the peer may have opened in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxStreams {
    /// Which kind.
    pub kind: StreamKind,
    /// The cumulative number.
    pub limit: u64,
}

impl MaxStreams {
    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, FrameError> {
        let kind = match input.u8()? {
            0 => StreamKind::Bidirectional,
            1 => StreamKind::Unidirectional,
            _ => return Err(FrameError::Value),
        };
        Ok(Self { kind, limit: input.varint()? })
    }

    /// Writes the frame's body.
    ///
    /// # Errors
    /// [`NoRoom`] when it does not fit.
    pub fn write(&self, out: &mut Writer<'_>) -> Result<(), NoRoom> {
        out.u8(self.kind as u8)?;
        out.varint(self.limit)
    }
}

/// A spare path id for a deliberate move (§6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewId {
    /// Counts the ids that its sender has given out.
    pub sequence: u64,
    /// The id.
    pub path_id: PathId,
    /// The token of its reset.
    pub reset_token: [u8; TOKEN_LEN],
}

impl NewId {
    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, FrameError> {
        Ok(Self {
            sequence: input.varint()?,
            path_id: PathId(input.array()?),
            reset_token: input.array()?,
        })
    }

    /// Writes the frame's body.
    ///
    /// # Errors
    /// [`NoRoom`] when it does not fit.
    pub fn write(&self, out: &mut Writer<'_>) -> Result<(), NoRoom> {
        out.varint(self.sequence)?;
        out.bytes(&self.path_id.0)?;
        out.bytes(&self.reset_token)
    }
}

/// The end of the session (§6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionClose<'a> {
    /// Why.
    pub reason: CloseReason,
    /// An error code, or 0.
    pub code: u16,
    /// For people; at most [`MAX_CLOSE_MESSAGE`] bytes.
    pub message: &'a str,
}

impl<'a> SessionClose<'a> {
    pub(super) fn read(input: &mut Reader<'a>) -> Result<Self, FrameError> {
        let reason = CloseReason::from_u8(input.u8()?).ok_or(FrameError::Value)?;
        let code = input.u16()?;
        let len = usize::from(input.u16()?);
        if len > MAX_CLOSE_MESSAGE {
            return Err(FrameError::Value);
        }
        let message = core::str::from_utf8(input.bytes(len)?).map_err(|_| FrameError::Value)?;
        Ok(Self { reason, code, message })
    }

    /// Writes the frame's body; a longer message is cut at a character.
    ///
    /// # Errors
    /// [`NoRoom`] when it does not fit.
    pub fn write(&self, out: &mut Writer<'_>) -> Result<(), NoRoom> {
        let message = &self.message[..self.message.floor_char_boundary(MAX_CLOSE_MESSAGE)];
        out.u8(self.reason as u8)?;
        out.u16(self.code)?;
        out.u16(message.len() as u16)?;
        out.bytes(message.as_bytes())
    }
}

//! Frames of one stream.

use super::FrameError;
use crate::{
    reader::Reader,
    varint::VarInt,
    writer::{NoRoom, Writer},
};

/// Longest purpose label, in bytes of UTF-8.
pub const MAX_PURPOSE: usize = 255;
/// Lowest priority; 0 is the most urgent.
pub const MAX_PRIORITY: u8 = 7;

/// Bytes of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data<'a> {
    /// Where they stand in the stream.
    pub offset: u64,
    /// The bytes; may be empty where the stream ends.
    pub bytes: &'a [u8],
    /// The stream ends with them.
    pub fin: bool,
}

impl<'a> Data<'a> {
    pub(super) fn read(input: &mut Reader<'a>, fin: bool) -> Result<Self, FrameError> {
        let offset = input.varint()?;
        let bytes = input.rest();
        // No stream reaches past what a varint can say.
        match offset.checked_add(bytes.len() as u64) {
            Some(end) if end <= VarInt::MAX.get() => Ok(Self { offset, bytes, fin }),
            _ => Err(FrameError::Value),
        }
    }

    /// Bytes before the data: the offset.
    #[must_use]
    pub const fn prefix_len(offset: u64) -> usize {
        VarInt::saturating(offset).encoded_len()
    }
}

/// How a stream treats time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Reliability {
    /// Every byte arrives, however late.
    #[default]
    Reliable,
    /// Bytes older than this many milliseconds are given up.
    Deadline {
        /// The age.
        milliseconds: u64,
    },
}

/// Opens a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamOpen<'a> {
    /// What the application calls it; at most [`MAX_PURPOSE`] bytes.
    pub purpose: &'a str,
    /// The id that the application named, if it did.
    pub name: Option<u32>,
    /// 0 (urgent) to 7 (background).
    pub priority: u8,
    /// How it treats time.
    pub reliability: Reliability,
    /// Bytes that the peer may send back before a WINDOW; 0 on unidirectional streams.
    pub initial_credit: u64,
}

impl<'a> StreamOpen<'a> {
    pub(super) fn read(input: &mut Reader<'a>) -> Result<Self, FrameError> {
        let purpose_len = usize::from(input.u8()?);
        let purpose =
            core::str::from_utf8(input.bytes(purpose_len)?).map_err(|_| FrameError::Value)?;
        let name = match input.u8()? {
            0 => None,
            1 => Some(input.u32()?),
            _ => return Err(FrameError::Value),
        };
        let priority = input.u8()?;
        if priority > MAX_PRIORITY {
            return Err(FrameError::Value);
        }
        let reliability = match input.u8()? {
            0 => Reliability::Reliable,
            1 => Reliability::Deadline { milliseconds: input.varint()? },
            _ => return Err(FrameError::Value),
        };
        Ok(Self { purpose, name, priority, reliability, initial_credit: input.varint()? })
    }

    /// Writes the frame's body; a longer purpose is cut at a character.
    ///
    /// # Errors
    /// [`NoRoom`] when it does not fit.
    pub fn write(&self, out: &mut Writer<'_>) -> Result<(), NoRoom> {
        let purpose = &self.purpose[..self.purpose.floor_char_boundary(MAX_PURPOSE)];
        out.u8(purpose.len() as u8)?;
        out.bytes(purpose.as_bytes())?;
        match self.name {
            None => out.u8(0)?,
            Some(name) => {
                out.u8(1)?;
                out.u32(name)?;
            }
        }
        out.u8(self.priority.min(MAX_PRIORITY))?;
        match self.reliability {
            Reliability::Reliable => out.u8(0)?,
            Reliability::Deadline { milliseconds } => {
                out.u8(1)?;
                out.varint(milliseconds)?;
            }
        }
        out.varint(self.initial_credit)
    }
}

/// The sender gives up the rest of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamClose {
    /// The application's code, or an STT code.
    pub code: u64,
    /// Bytes that the stream has in all; counts against credit.
    pub final_offset: u64,
}

impl StreamClose {
    pub(super) fn read(input: &mut Reader<'_>) -> Result<Self, FrameError> {
        Ok(Self { code: input.varint()?, final_offset: input.varint()? })
    }

    /// Writes the frame's body.
    ///
    /// # Errors
    /// [`NoRoom`] when it does not fit.
    pub fn write(&self, out: &mut Writer<'_>) -> Result<(), NoRoom> {
        out.varint(self.code)?;
        out.varint(self.final_offset)
    }
}

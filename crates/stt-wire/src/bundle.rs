//! BUNDLE: several frames in one packet (PROTOCOL.md §1).
//!
//! Each part is `type u8, flags u8, stream varint, length u16, body`; padding is single 0x00 bytes.
//! Every length and every known part is checked before any part acts.

use crate::{
    frame::{Frame, FrameError, parse_part},
    header::{Flags, FrameType},
    reader::Reader,
    varint::VarInt,
    writer::{NoRoom, Writer},
};

/// One part of a BUNDLE.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    /// The stream it belongs to, 0 for the session.
    pub stream_id: u32,
    /// What it says.
    pub frame: Frame<'a>,
}

/// A checked BUNDLE.
#[derive(Clone, Debug)]
pub struct Bundle<'a> {
    parts: &'a [u8],
    ack_eliciting: bool,
}

impl<'a> Bundle<'a> {
    /// Checks the whole payload.
    ///
    /// # Errors
    /// [`FrameError`] when any length, flag or known part is wrong; no part must act then.
    pub fn parse(payload: &'a [u8]) -> Result<Self, FrameError> {
        let mut input = Reader::new(payload);
        let mut ack_eliciting = false;
        while let Some(part) = next_part(&mut input)? {
            ack_eliciting |= part.frame.is_ack_eliciting();
        }
        Ok(Self { parts: payload, ack_eliciting })
    }

    /// Whether any part asks for an ACK; padding does not.
    #[must_use]
    pub const fn is_ack_eliciting(&self) -> bool {
        self.ack_eliciting
    }

    /// The parts in their order, padding left out.
    #[must_use]
    pub fn parts(&self) -> Parts<'a> {
        Parts { input: Reader::new(self.parts) }
    }
}

/// See [`Bundle::parts`].
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    input: Reader<'a>,
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        // All parts were checked by `Bundle::parse`, so an error cannot come; ending is right anyway.
        next_part(&mut self.input).ok().flatten()
    }
}

fn next_part<'a>(input: &mut Reader<'a>) -> Result<Option<Part<'a>>, FrameError> {
    skip_padding(input)?;
    if input.is_empty() {
        return Ok(None);
    }
    let frame_type = FrameType(input.u8()?);
    let fin = match input.u8()? {
        0 => false,
        flags if u16::from(flags) == Flags::FIN.bits() && frame_type == FrameType::DATA => true,
        _ => return Err(FrameError::Flags),
    };
    let stream_id = u32::try_from(input.varint()?).map_err(|_| FrameError::StreamId)?;
    let len = usize::from(input.u16()?);
    let body = input.bytes(len)?;
    Ok(Some(Part { stream_id, frame: parse_part(frame_type, fin, stream_id, body)? }))
}

/// Passes over PADDING. A probe of the path's datagram size is 64 KiB of it: sixteen bytes at a time.
fn skip_padding(input: &mut Reader<'_>) -> Result<(), FrameError> {
    const STEP: usize = 16;
    let rest = input.peek_rest();
    let steps = rest.chunks_exact(STEP).take_while(|bytes| **bytes == [0; STEP]).count();
    let single = rest[steps * STEP..].iter().take_while(|byte| **byte == 0).count();
    input.bytes(steps * STEP + single)?;
    Ok(())
}

/// Appends parts to a packet's payload, in place.
#[derive(Debug)]
pub struct BundleWriter<'a> {
    out: Writer<'a>,
}

impl<'a> BundleWriter<'a> {
    /// A writer over the room for the payload.
    #[must_use]
    pub const fn new(out: &'a mut [u8]) -> Self {
        Self { out: Writer::new(out) }
    }

    /// Bytes written so far.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether no part has been written.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Bytes that still fit, part headers included.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.out.remaining()
    }

    /// Bytes before the body of a part of this stream.
    #[must_use]
    pub fn part_header_len(stream_id: u32) -> usize {
        4 + VarInt::from(stream_id).encoded_len()
    }

    /// Appends a part whose body `write` produces.
    ///
    /// # Errors
    /// [`NoRoom`] when it does not fit; the writer is as it was before.
    pub fn part(
        &mut self,
        frame_type: FrameType,
        stream_id: u32,
        write: impl FnOnce(&mut Writer<'_>) -> Result<(), NoRoom>,
    ) -> Result<(), NoRoom> {
        let start = self.out.len();
        let written = self.try_part(frame_type, stream_id, write);
        if written.is_err() {
            self.out.truncate(start);
        }
        written
    }

    fn try_part(
        &mut self,
        frame_type: FrameType,
        stream_id: u32,
        write: impl FnOnce(&mut Writer<'_>) -> Result<(), NoRoom>,
    ) -> Result<(), NoRoom> {
        self.part_header(frame_type, Flags::NONE, stream_id)?;
        let body_start = self.out.len();
        write(&mut self.out)?;
        self.patch_len(body_start)
    }

    /// Appends a DATA part. `fill` gets the room for the body, offset prefix included, and answers
    /// with the bytes it used and whether the stream ends with them; `None` appends nothing.
    pub fn data_part<T>(
        &mut self,
        stream_id: u32,
        fill: impl FnOnce(&mut [u8]) -> Option<(usize, bool, T)>,
    ) -> Option<T> {
        let start = self.out.len();
        if self.part_header(FrameType::DATA, Flags::NONE, stream_id).is_err() {
            self.out.truncate(start);
            return None;
        }
        let body_start = self.out.len();
        let room = self.out.remaining().min(usize::from(u16::MAX));
        let Some((used, fin, value)) = self.out.reserve(room).ok().and_then(fill) else {
            self.out.truncate(start);
            return None;
        };
        self.out.truncate(body_start + used.min(room));
        if fin {
            self.out.written_mut()[start + 1] = Flags::FIN.bits() as u8;
        }
        if self.patch_len(body_start).is_err() {
            self.out.truncate(start);
            return None;
        }
        Some(value)
    }

    /// Makes a DATA part of `len` bytes of body that stand already where the part's body belongs:
    /// [`Self::part_header_len`] bytes after what was written so far. Nothing happens without the
    /// room.
    pub fn adopt_data_part(&mut self, stream_id: u32, fin: bool, len: usize) {
        let start = self.out.len();
        let flags = Flags::NONE.with_if(fin, Flags::FIN);
        let adopted = self.part_header(FrameType::DATA, flags, stream_id).and_then(|()| {
            let body_start = self.out.len();
            self.out.reserve(len)?;
            self.patch_len(body_start)
        });
        if adopted.is_err() {
            self.out.truncate(start);
        }
    }

    /// Fills with padding until the payload has `len` bytes, or the room ends.
    pub fn pad_to(&mut self, len: usize) {
        let missing = len.saturating_sub(self.out.len()).min(self.out.remaining());
        if let Ok(room) = self.out.reserve(missing) {
            room.fill(FrameType::PADDING.0);
        }
    }

    fn part_header(
        &mut self,
        frame_type: FrameType,
        flags: Flags,
        stream_id: u32,
    ) -> Result<(), NoRoom> {
        self.out.u8(frame_type.0)?;
        self.out.u8(flags.bits() as u8)?;
        self.out.varint(u64::from(stream_id))?;
        self.out.u16(0)
    }

    fn patch_len(&mut self, body_start: usize) -> Result<(), NoRoom> {
        let len = u16::try_from(self.out.len() - body_start).map_err(|_| NoRoom)?;
        self.out.written_mut()[body_start - 2..body_start].copy_from_slice(&len.to_le_bytes());
        Ok(())
    }
}

//! A cursor over a caller's buffer that fills it from the front.

use crate::varint::VarInt;

/// The buffer has no room for the field; what was written before stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

/// Writes fields to the front of a slice.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    /// A writer at the first byte of `out`.
    #[must_use]
    pub const fn new(out: &'a mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    /// Bytes written so far.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing has been written.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that still fit.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.out.len() - self.len
    }

    /// Drops all that was written after the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Room for `len` bytes that the caller fills.
    pub fn reserve(&mut self, len: usize) -> Result<&mut [u8], NoRoom> {
        let end = self.len.checked_add(len).ok_or(NoRoom)?;
        let room = self.out.get_mut(self.len..end).ok_or(NoRoom)?;
        self.len = end;
        Ok(room)
    }

    /// The bytes written so far, to patch a field whose value came later.
    pub fn written_mut(&mut self) -> &mut [u8] {
        &mut self.out[..self.len]
    }

    /// Bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        self.reserve(bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) -> Result<(), NoRoom> {
        self.bytes(&[value])
    }

    /// Two bytes, little endian.
    pub fn u16(&mut self, value: u16) -> Result<(), NoRoom> {
        self.bytes(&value.to_le_bytes())
    }

    /// Four bytes, little endian.
    pub fn u32(&mut self, value: u32) -> Result<(), NoRoom> {
        self.bytes(&value.to_le_bytes())
    }

    /// Eight bytes, little endian.
    pub fn u64(&mut self, value: u64) -> Result<(), NoRoom> {
        self.bytes(&value.to_le_bytes())
    }

    /// A variable-length integer in its shortest form (RFC 9000 §16); values above 2^62 - 1 are
    /// written as 2^62 - 1.
    pub fn varint(&mut self, value: u64) -> Result<(), NoRoom> {
        let room = &mut self.out[self.len..];
        self.len += VarInt::saturating(value).write(room).ok_or(NoRoom)?;
        Ok(())
    }
}

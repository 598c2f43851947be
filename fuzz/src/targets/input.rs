//! An input read as numbers. Where it has ended, numbers that follow from it go on.

use crate::mutate::Random;

/// What is left of an input.
pub(super) struct Input<'a> {
    data: &'a [u8],
    rest: Random,
}

impl<'a> Input<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        let seed = data.iter().fold(0_u64, |seed, byte| {
            seed.wrapping_mul(0x0100_0000_01b3).wrapping_add(u64::from(*byte) + 1)
        });
        Self { data, rest: Random::new(seed) }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    pub(super) fn u8(&mut self) -> u8 {
        let Some((first, rest)) = self.data.split_first() else {
            return self.rest.next_u64() as u8;
        };
        self.data = rest;
        *first
    }

    pub(super) fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }

    pub(super) fn u32(&mut self) -> u32 {
        u32::from(self.u16()) | u32::from(self.u16()) << 16
    }

    pub(super) fn u64(&mut self) -> u64 {
        u64::from(self.u32()) | u64::from(self.u32()) << 32
    }

    /// So many bytes.
    pub(super) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.u8()).collect()
    }
}

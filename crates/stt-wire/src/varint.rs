//! Variable-length integers as in RFC 9000 §16: the two top bits of the first byte give the length.

/// An integer that fits a variable-length encoding: 0 to 2^62 - 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct VarInt(u64);

impl VarInt {
    /// The largest value, 2^62 - 1.
    pub const MAX: Self = Self((1 << 62) - 1);
    /// The longest encoding, in bytes.
    pub const MAX_LEN: usize = 8;

    /// `None` when `value` is above [`VarInt::MAX`].
    #[must_use]
    pub const fn new(value: u64) -> Option<Self> {
        if value <= Self::MAX.0 { Some(Self(value)) } else { None }
    }

    /// `value`, or [`VarInt::MAX`] where it is larger.
    #[must_use]
    pub const fn saturating(value: u64) -> Self {
        if value <= Self::MAX.0 { Self(value) } else { Self::MAX }
    }

    /// The plain integer.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Bytes of the shortest encoding: 1, 2, 4 or 8.
    #[must_use]
    pub const fn encoded_len(self) -> usize {
        match self.0 {
            0..=0x3F => 1,
            0x40..=0x3FFF => 2,
            0x4000..=0x3FFF_FFFF => 4,
            _ => 8,
        }
    }

    /// Writes the shortest encoding to the front of `out`; `None` when it does not fit.
    #[must_use]
    pub fn write(self, out: &mut [u8]) -> Option<usize> {
        let len = self.encoded_len();
        let out = out.get_mut(..len)?;
        let tagged = self.0 | (len.trailing_zeros() as u64) << (8 * len - 2);
        out.copy_from_slice(&tagged.to_be_bytes()[8 - len..]);
        Some(len)
    }

    /// Reads from the front of `bytes`: the value and its length. Encodings longer than needed are
    /// accepted, as RFC 9000 §16 does; `None` when bytes are missing.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let first = *bytes.first()?;
        let len = 1_usize << (first >> 6);
        let bytes = bytes.get(..len)?;
        let mut value = u64::from(first & 0x3F);
        for byte in &bytes[1..] {
            value = value << 8 | u64::from(*byte);
        }
        Some((Self(value), len))
    }
}

impl From<u32> for VarInt {
    fn from(value: u32) -> Self {
        Self(u64::from(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_rfc_9000_a_1() {
        let cases: [(&[u8], u64); 5] = [
            (&[0xC2, 0x19, 0x7C, 0x5E, 0xFF, 0x14, 0xE8, 0x8C], 151_288_809_941_952_652),
            (&[0x9D, 0x7F, 0x3E, 0x7D], 494_878_333),
            (&[0x7B, 0xBD], 15_293),
            (&[0x25], 37),
            (&[0x40, 0x25], 37),
        ];
        for (bytes, value) in cases {
            assert_eq!(VarInt::read(bytes), Some((VarInt(value), bytes.len())));
        }
    }

    #[test]
    fn every_boundary_round_trips_and_no_prefix_reads() {
        for bits in 0..62 {
            for value in [(1_u64 << bits) - 1, 1 << bits, (1 << bits) + 1] {
                let value = VarInt::new(value).unwrap();
                let mut out = [0; 8];
                let len = value.write(&mut out).unwrap();
                assert_eq!(len, value.encoded_len());
                assert_eq!(VarInt::read(&out), Some((value, len)));
                for short in 0..len {
                    assert_eq!(VarInt::read(&out[..short]), None);
                    assert_eq!(value.write(&mut [0; 8][..short]), None);
                }
            }
        }
        assert_eq!(VarInt::new(1 << 62), None);
        assert_eq!(VarInt::saturating(u64::MAX), VarInt::MAX);
    }
}

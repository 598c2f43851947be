//! The answer to a HELLO whose mac1 does not verify: bytes that look like CHALLENGE's Noise message (`PROTOCOL.md` section 2).

use core::fmt;

use rand_core::CryptoRng;

use crate::provider::{HmacKey, X25519Private};

/// How many public keys take turns.
const POOL: usize = 16;

/// A small pool of real X25519 public keys, and a key for the pseudorandom rest.
///
/// Random bytes in a public key's place would be told from a key by their top bit, which no X25519 public key has set.
pub struct DecoyPool {
    publics: [[u8; 32]; POOL],
    key: HmacKey,
}

impl DecoyPool {
    /// A pool from `rng`; the private halves are forgotten at once.
    #[must_use]
    pub fn new<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut draw = || {
            let mut bytes = zeroize::Zeroizing::new([0; 32]);
            rng.fill_bytes(&mut bytes[..]);
            bytes
        };
        let key = HmacKey::new(&draw()[..]);
        Self {
            publics: core::array::from_fn(|_| *X25519Private::from_bytes(&draw()).public()),
            key,
        }
    }

    /// Fills `out` for the HELLO that `input` is (its cookie left out by the caller): the same input gives the same bytes, so a resent
    /// HELLO draws the same answer, as from a real responder. Nothing is kept.
    pub fn fill(&self, input: &[&[u8]], out: &mut [u8]) {
        let seed = self.key.mac(input);
        let public = &self.publics[usize::from(seed[0]) % POOL];
        let (head, rest) = out.split_at_mut(out.len().min(public.len()));
        head.copy_from_slice(&public[..head.len()]);
        for (counter, chunk) in (0_u32..).zip(rest.chunks_mut(32)) {
            let block = self.key.mac(&[&seed, &counter.to_le_bytes()]);
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}

impl fmt::Debug for DecoyPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DecoyPool(..)")
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha12Rng;
    use rand_core::SeedableRng;

    use super::*;

    #[test]
    fn repeats_for_the_same_hello_and_differs_for_another() {
        let pool = DecoyPool::new(&mut ChaCha12Rng::from_seed([7; 32]));
        let (mut first, mut again, mut other) = ([0; 200], [0; 200], [0; 200]);
        pool.fill(&[b"hello"], &mut first);
        pool.fill(&[b"he", b"llo"], &mut again);
        pool.fill(&[b"hallo"], &mut other);
        assert_eq!(first, again);
        assert_ne!(first[32..], other[32..]);
    }

    #[test]
    fn starts_with_a_public_key() {
        let pool = DecoyPool::new(&mut ChaCha12Rng::from_seed([8; 32]));
        for number in 0_u32..200 {
            let mut out = [0; 96];
            pool.fill(&[&number.to_le_bytes()], &mut out);
            assert!(pool.publics.iter().any(|public| public[..] == out[..32]));
            assert_eq!(out[31] & 0x80, 0);
        }
    }

    #[test]
    fn fills_any_length() {
        let pool = DecoyPool::new(&mut ChaCha12Rng::from_seed([9; 32]));
        for len in 0..130 {
            pool.fill(&[b"x"], &mut vec![0; len]);
        }
    }
}

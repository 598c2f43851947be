//! Header masking (`PROTOCOL.md` section 1, after RFC 9001 section 5.4): 11 bytes of mask from 16 bytes of ciphertext.
//!
//! The QUIC mask calls of ring and AWS-LC yield 5 bytes, so the block cipher itself is used, and the same code serves both providers.

use core::fmt;

use aes::Aes256Enc;
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use zeroize::Zeroizing;

use crate::aead::Aead;

#[cfg(test)]
mod tests;

/// Bytes of a header that are masked.
pub const MASK_LEN: usize = 11;

/// Bytes of ciphertext a mask is computed from.
pub const SAMPLE_LEN: usize = 16;

/// How many AES blocks are computed side by side: what hides the latency of the AES instructions.
const LANES: usize = 8;

/// Masks and unmasks the headers of one direction, for as long as the session lives.
pub struct HeaderKey(Cipher);

enum Cipher {
    /// Boxed: the round keys take 960 bytes.
    Aes(Box<Aes256Enc>),
    ChaCha(Zeroizing<[u8; 32]>),
}

impl HeaderKey {
    /// The mask cipher that goes with `aead`.
    pub(crate) fn new(aead: Aead, key: &[u8; 32]) -> Self {
        Self(match aead {
            Aead::Aes256Gcm => Cipher::Aes(Box::new(Aes256Enc::new(&Array(*key)))),
            Aead::ChaCha20Poly1305 => Cipher::ChaCha(Zeroizing::new(*key)),
        })
    }

    /// The mask for a packet whose payload starts with `sample`.
    #[must_use]
    #[inline]
    pub fn mask(&self, sample: &[u8; SAMPLE_LEN]) -> [u8; MASK_LEN] {
        match &self.0 {
            Cipher::Aes(key) => {
                let mut block = Array(*sample);
                key.encrypt_block(&mut block);
                first(&block.0)
            }
            Cipher::ChaCha(key) => chacha_mask(key, sample),
        }
    }

    /// The masks for several packets, in order; as many as the shorter of the two slices holds. Eight AES blocks are computed at once,
    /// which costs little more than one.
    pub fn mask_batch(&self, samples: &[[u8; SAMPLE_LEN]], masks: &mut [[u8; MASK_LEN]]) {
        match &self.0 {
            Cipher::Aes(key) => {
                for (samples, masks) in samples.chunks(LANES).zip(masks.chunks_mut(LANES)) {
                    let mut blocks = [Array([0; SAMPLE_LEN]); LANES];
                    for (block, sample) in blocks.iter_mut().zip(samples) {
                        block.0 = *sample;
                    }
                    key.encrypt_blocks(&mut blocks[..samples.len()]);
                    for (mask, block) in masks.iter_mut().zip(&blocks[..samples.len()]) {
                        *mask = first(&block.0);
                    }
                }
            }
            Cipher::ChaCha(key) => {
                for (mask, sample) in masks.iter_mut().zip(samples) {
                    *mask = chacha_mask(key, sample);
                }
            }
        }
    }
}

impl fmt::Debug for HeaderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeaderKey(..)")
    }
}

/// The first bytes of an encrypted block.
fn first(block: &[u8; 16]) -> [u8; MASK_LEN] {
    core::array::from_fn(|i| block[i])
}

/// RFC 9001 section 5.4.4: block counter = the first four bytes of the sample, little-endian; nonce = the other twelve.
fn chacha_mask(key: &[u8; 32], sample: &[u8; SAMPLE_LEN]) -> [u8; MASK_LEN] {
    let counter = u32::from_le_bytes(core::array::from_fn(|i| sample[i]));
    let nonce: [u8; 12] = core::array::from_fn(|i| sample[4 + i]);
    let mut cipher = ChaCha20::new(&Array(*key), &Array(nonce));
    let mut mask = [0; MASK_LEN];
    // The keystream is shorter than 2^38 bytes and the mask shorter than a block, so neither call can run past its end.
    if cipher.try_seek(u64::from(counter) * 64).is_ok() {
        let _ = cipher.try_apply_keystream(&mut mask);
    }
    mask
}

//! The primitives in pure Rust, by RustCrypto and dalek.

use core::fmt;

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{AeadInOut, KeyInit};
use chacha20poly1305::ChaCha20Poly1305;
use hmac::{Hmac, Mac};
use sha2::Digest;
use zeroize::Zeroizing;

use super::{Refused, TAG_LEN};
use crate::aead::Aead;

/// An expanded AEAD key.
pub(crate) enum AeadKey {
    /// Boxed: its round keys are thirty times the size of a ChaCha key.
    Aes256Gcm(Box<Aes256Gcm>),
    ChaCha20Poly1305(ChaCha20Poly1305),
}

impl AeadKey {
    /// Expands `key` for `algorithm`.
    pub(crate) fn new(algorithm: Aead, key: &[u8; 32]) -> Self {
        match algorithm {
            Aead::Aes256Gcm => Self::Aes256Gcm(Box::new(Aes256Gcm::new(key.into()))),
            Aead::ChaCha20Poly1305 => Self::ChaCha20Poly1305(ChaCha20Poly1305::new(key.into())),
        }
    }

    /// Encrypts `data` in place and returns its tag. Refused only for data beyond the AEAD's own limit (2^36 bytes).
    #[inline]
    pub(crate) fn seal(
        &self,
        nonce: [u8; 12],
        aad: &[u8],
        data: &mut [u8],
    ) -> Result<[u8; TAG_LEN], Refused> {
        let nonce = (&nonce).into();
        let tag = match self {
            Self::Aes256Gcm(key) => key.encrypt_inout_detached(nonce, aad, data.into()),
            Self::ChaCha20Poly1305(key) => key.encrypt_inout_detached(nonce, aad, data.into()),
        };
        tag.map(Into::into).map_err(|_| Refused)
    }

    /// Verifies and decrypts `data` (ciphertext, then its tag) in place and returns the length of the plaintext.
    #[inline]
    pub(crate) fn open(
        &self,
        nonce: [u8; 12],
        aad: &[u8],
        data: &mut [u8],
    ) -> Result<usize, Refused> {
        let nonce = (&nonce).into();
        let (text, tag) = data.split_last_chunk_mut::<TAG_LEN>().ok_or(Refused)?;
        let len = text.len();
        let tag = (&*tag).into();
        match self {
            Self::Aes256Gcm(key) => key.decrypt_inout_detached(nonce, aad, text.into(), tag),
            Self::ChaCha20Poly1305(key) => key.decrypt_inout_detached(nonce, aad, text.into(), tag),
        }
        .map(|()| len)
        .map_err(|_| Refused)
    }
}

impl fmt::Debug for AeadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AeadKey(..)")
    }
}

/// A key for HMAC-SHA256, its two pads already hashed.
#[derive(Clone)]
pub(crate) struct HmacKey(Hmac<sha2::Sha256>);

impl HmacKey {
    /// Prepares `key`, which may be of any length.
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    pub(crate) fn new(key: &[u8]) -> Self {
        Self(<Hmac<sha2::Sha256> as KeyInit>::new_from_slice(key).expect("HMAC key"))
    }

    /// HMAC-SHA256 of the concatenated `parts`.
    pub(crate) fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacKey(..)")
    }
}

/// A running SHA-256.
#[derive(Clone)]
pub(crate) struct Sha256(sha2::Sha256);

impl Sha256 {
    /// Starts an empty hash.
    pub(crate) fn new() -> Self {
        Self(sha2::Sha256::new())
    }

    /// Takes `data` in.
    pub(crate) fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// The hash of all that was taken in.
    pub(crate) fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// An X25519 private key with its public half.
pub(crate) struct X25519Private {
    private: x25519_dalek::StaticSecret,
    public: [u8; 32],
}

impl X25519Private {
    /// The key whose scalar is `bytes`; clamped when used, as RFC 7748 section 5 says.
    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Self {
        let private = x25519_dalek::StaticSecret::from(*bytes);
        let public = x25519_dalek::PublicKey::from(&private).to_bytes();
        Self { private, public }
    }

    /// The public half.
    pub(crate) fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// The shared secret with `peer`; refused when it is all zeros (RFC 7748 section 6.1), which only a small-order point causes.
    pub(crate) fn agree(&self, peer: &[u8; 32]) -> Result<Zeroizing<[u8; 32]>, Refused> {
        let shared = self.private.diffie_hellman(&x25519_dalek::PublicKey::from(*peer));
        if shared.was_contributory() { Ok(Zeroizing::new(shared.to_bytes())) } else { Err(Refused) }
    }
}

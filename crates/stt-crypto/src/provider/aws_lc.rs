//! The primitives by AWS-LC.

use core::fmt;

use aws_lc_rs::{aead, agreement, digest, hmac};
use zeroize::Zeroizing;

use super::{Refused, TAG_LEN};
use crate::aead::Aead;

/// An expanded AEAD key.
pub(crate) struct AeadKey(aead::LessSafeKey);

impl AeadKey {
    /// Expands `key` for `algorithm`.
    #[expect(
        clippy::expect_used,
        reason = "both algorithms take exactly the 32 bytes that the type guarantees"
    )]
    pub(crate) fn new(algorithm: Aead, key: &[u8; 32]) -> Self {
        let algorithm = match algorithm {
            Aead::Aes256Gcm => &aead::AES_256_GCM,
            Aead::ChaCha20Poly1305 => &aead::CHACHA20_POLY1305,
        };
        let key = aead::UnboundKey::new(algorithm, key).expect("32-byte AEAD key");
        Self(aead::LessSafeKey::new(key))
    }

    /// Encrypts `data` in place and returns its tag. Refused only for data beyond the AEAD's own limit (2^36 bytes).
    #[inline]
    pub(crate) fn seal(
        &self,
        nonce: [u8; 12],
        aad: &[u8],
        data: &mut [u8],
    ) -> Result<[u8; TAG_LEN], Refused> {
        let nonce = aead::Nonce::assume_unique_for_key(nonce);
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce, aead::Aad::from(aad), data)
            .map_err(|_| Refused)?;
        tag.as_ref().try_into().map_err(|_| Refused)
    }

    /// Verifies and decrypts `data` (ciphertext, then its tag) in place and returns the length of the plaintext.
    #[inline]
    pub(crate) fn open(
        &self,
        nonce: [u8; 12],
        aad: &[u8],
        data: &mut [u8],
    ) -> Result<usize, Refused> {
        let nonce = aead::Nonce::assume_unique_for_key(nonce);
        self.0
            .open_in_place(nonce, aead::Aad::from(aad), data)
            .map(|plaintext| plaintext.len())
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
pub(crate) struct HmacKey(hmac::Key);

impl HmacKey {
    /// Prepares `key`, which may be of any length.
    pub(crate) fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// HMAC-SHA256 of the concatenated `parts`.
    pub(crate) fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(part);
        }
        let mut out = [0; 32];
        out.copy_from_slice(context.sign().as_ref());
        out
    }
}

impl fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacKey(..)")
    }
}

/// A running SHA-256.
#[derive(Clone)]
pub(crate) struct Sha256(digest::Context);

impl Sha256 {
    /// Starts an empty hash.
    pub(crate) fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    /// Takes `data` in.
    pub(crate) fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// The hash of all that was taken in.
    pub(crate) fn finish(self) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(self.0.finish().as_ref());
        out
    }
}

/// An X25519 private key with its public half.
pub(crate) struct X25519Private {
    private: agreement::PrivateKey,
    public: [u8; 32],
}

impl X25519Private {
    /// The key whose scalar is `bytes`; clamped when used, as RFC 7748 section 5 says.
    #[expect(clippy::expect_used, reason = "every 32-byte string is an X25519 private key")]
    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Self {
        let private = agreement::PrivateKey::from_private_key(&agreement::X25519, bytes)
            .expect("X25519 private key");
        let computed = private.compute_public_key().expect("X25519 public key");
        let mut public = [0; 32];
        public.copy_from_slice(computed.as_ref());
        Self { private, public }
    }

    /// The public half.
    pub(crate) fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// The shared secret with `peer`; refused when it is all zeros (RFC 7748 section 6.1), which only a small-order point causes.
    pub(crate) fn agree(&self, peer: &[u8; 32]) -> Result<Zeroizing<[u8; 32]>, Refused> {
        let peer = agreement::UnparsedPublicKey::new(&agreement::X25519, peer);
        agreement::agree(&self.private, peer, Refused, |shared| {
            let mut out = Zeroizing::new([0; 32]);
            out.copy_from_slice(shared);
            Ok(out)
        })
    }
}

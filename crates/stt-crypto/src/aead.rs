//! Which AEAD seals a session's packets, and the keys that do it (`PROTOCOL.md` section 4).

use core::fmt;

use zeroize::Zeroize;

use crate::mask::HeaderKey;
use crate::provider::{AeadKey, TAG_LEN, has_fast_aes};
use crate::schedule::TrafficSecret;

#[cfg(test)]
mod tests;

/// Bytes that sealing adds to a payload.
pub const AEAD_TAG_LEN: usize = TAG_LEN;

/// An AEAD for traffic, by the bit it has in HELLO's bitmap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Aead {
    /// AES-256-GCM (RFC 5116), bit 0.
    Aes256Gcm = 1 << 0,
    /// ChaCha20-Poly1305 (RFC 8439), bit 1.
    ChaCha20Poly1305 = 1 << 1,
}

impl Aead {
    /// All of them, in the order of their bits.
    pub const ALL: [Self; 2] = [Self::Aes256Gcm, Self::ChaCha20Poly1305];

    /// The bitmap HELLO offers: this build computes both.
    #[must_use]
    pub fn supported_bitmap() -> u16 {
        Self::ALL.iter().fold(0, |bits, aead| bits | aead.bit())
    }

    /// The faster one on this processor: AES-256-GCM where AES and carry-less multiplication are instructions, else
    /// ChaCha20-Poly1305.
    #[must_use]
    pub fn preferred() -> Self {
        if has_fast_aes() { Self::Aes256Gcm } else { Self::ChaCha20Poly1305 }
    }

    /// The responder's choice from HELLO's bitmap: the preferred one if offered, else the other; `None` if neither is.
    #[must_use]
    pub fn choose(offered: u16) -> Option<Self> {
        let preferred = Self::preferred();
        core::iter::once(preferred).chain(Self::ALL).find(|aead| offered & aead.bit() != 0)
    }

    /// Its bit in the bitmap, which is also how a choice travels.
    #[must_use]
    pub const fn bit(self) -> u16 {
        self as u16
    }

    /// The AEAD of exactly this bit.
    #[must_use]
    pub fn from_bit(bit: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|aead| aead.bit() == bit)
    }

    /// How many packets that fail to open one key may see before the session must end: 2^52 for AES-256-GCM, 2^36 for
    /// ChaCha20-Poly1305 (`PROTOCOL.md` section 3; RFC 9001 section 6.6).
    #[must_use]
    pub const fn integrity_limit(self) -> u64 {
        match self {
            Self::Aes256Gcm => 1 << 52,
            Self::ChaCha20Poly1305 => 1 << 36,
        }
    }
}

/// A packet did not open: it was not sealed by the peer under this key, number and header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the packet does not authenticate")]
pub struct OpenFailed;

/// The keys of one direction in one key phase, and the secret that the next phase comes from.
struct PhaseKey {
    aead: Aead,
    iv: [u8; 12],
    key: AeadKey,
    secret: TrafficSecret,
}

impl PhaseKey {
    fn new(aead: Aead, secret: TrafficSecret) -> Self {
        Self { aead, iv: *secret.iv(), key: AeadKey::new(aead, &secret.aead_key()), secret }
    }

    fn next(&self) -> Self {
        Self::new(self.aead, self.secret.next())
    }

    /// IV xor packet number, the number big-endian in the last eight bytes (as RFC 9001 section 5.3).
    fn nonce(&self, packet_number: u64) -> [u8; 12] {
        let mut nonce = self.iv;
        for (byte, number) in nonce[4..].iter_mut().zip(packet_number.to_be_bytes()) {
            *byte ^= number;
        }
        nonce
    }
}

impl Drop for PhaseKey {
    fn drop(&mut self) {
        self.iv.zeroize();
    }
}

/// Seals what this side sends, in one key phase.
pub struct SealKey(PhaseKey);

impl SealKey {
    /// The key of the first phase, from the direction's traffic secret.
    pub(crate) fn new(aead: Aead, secret: TrafficSecret) -> Self {
        Self(PhaseKey::new(aead, secret))
    }

    /// Which AEAD it uses.
    #[must_use]
    pub fn aead(&self) -> Aead {
        self.0.aead
    }

    /// Encrypts all but the last 16 bytes of `buf` in place and writes the tag over those 16. `aad` is authenticated with it.
    ///
    /// One packet number must never seal two different packets under one key.
    ///
    /// # Panics
    /// If `buf` is shorter than a tag: a mistake of the caller, who owns the buffer; nothing a peer sends leads here.
    #[expect(
        clippy::expect_used,
        reason = "a packet is at most 64 KiB, far below the AEAD's limit"
    )]
    #[inline]
    pub fn seal_in_place(&self, packet_number: u64, aad: &[u8], buf: &mut [u8]) {
        let (text, tag) = buf.split_last_chunk_mut::<TAG_LEN>().expect("room for the tag");
        *tag = self
            .0
            .key
            .seal(self.0.nonce(packet_number), aad, text)
            .expect("within the AEAD's length limit");
    }

    /// The key of the next phase.
    #[must_use]
    pub fn next(&self) -> Self {
        Self(self.0.next())
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealKey").field("aead", &self.0.aead).finish_non_exhaustive()
    }
}

/// Opens what the peer sends, in one key phase.
pub struct OpenKey(PhaseKey);

impl OpenKey {
    /// The key of the first phase, from the direction's traffic secret.
    pub(crate) fn new(aead: Aead, secret: TrafficSecret) -> Self {
        Self(PhaseKey::new(aead, secret))
    }

    /// Which AEAD it uses.
    #[must_use]
    pub fn aead(&self) -> Aead {
        self.0.aead
    }

    /// Verifies `buf` (ciphertext, then tag) with `aad`, decrypts it in place and returns the length of the plaintext, which stands
    /// at the start of `buf`.
    ///
    /// # Errors
    /// [`OpenFailed`] if it does not authenticate, or is shorter than a tag; `buf` then holds nothing of use, and must not be tried
    /// again with another key: keep a copy where a second key may apply.
    #[inline]
    pub fn open_in_place(
        &self,
        packet_number: u64,
        aad: &[u8],
        buf: &mut [u8],
    ) -> Result<usize, OpenFailed> {
        self.0.key.open(self.0.nonce(packet_number), aad, buf).map_err(|_| OpenFailed)
    }

    /// The key of the next phase. Computing it ahead of need keeps the time of a first packet in it like any other's.
    #[must_use]
    pub fn next(&self) -> Self {
        Self(self.0.next())
    }
}

impl fmt::Debug for OpenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenKey").field("aead", &self.0.aead).finish_non_exhaustive()
    }
}

/// What one side needs to send: the sealing key of the current phase, and the header key, which never changes.
#[derive(Debug)]
pub struct SealKeys {
    /// Seals payloads.
    pub key: SealKey,
    /// Masks headers.
    pub header: HeaderKey,
}

impl SealKeys {
    /// The first keys of a direction from its `secret_0`, as a key log has it (`PROTOCOL.md` section 4.1): for tools that speak in
    /// a session whose secrets somebody gave them.
    #[must_use]
    pub fn from_secret(aead: Aead, secret: &[u8; 32]) -> Self {
        let secret = TrafficSecret::from_bytes(secret);
        let header = HeaderKey::new(aead, &secret.header_key());
        Self { key: SealKey::new(aead, secret), header }
    }
}

/// What one side needs to receive: the opening key of the current phase, and the header key, which never changes.
#[derive(Debug)]
pub struct OpenKeys {
    /// Opens payloads.
    pub key: OpenKey,
    /// Unmasks headers.
    pub header: HeaderKey,
}

impl OpenKeys {
    /// The first keys of a direction from its `secret_0`, as a key log has it (`PROTOCOL.md` section 4.1): for tools that read a
    /// session whose secrets somebody gave them.
    #[must_use]
    pub fn from_secret(aead: Aead, secret: &[u8; 32]) -> Self {
        let secret = TrafficSecret::from_bytes(secret);
        let header = HeaderKey::new(aead, &secret.header_key());
        Self { key: OpenKey::new(aead, secret), header }
    }
}

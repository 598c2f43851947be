//! HKDF-SHA256 (RFC 5869), the one key derivation of STC.

use core::fmt;

use zeroize::Zeroizing;

use crate::provider::HmacKey;

/// The HKDF salt of every derivation that has no handshake behind it: the same seed used by another protocol gives unrelated keys.
const SALT: &[u8] = b"STT/1";

/// A key derived from `secret` for the purpose that `label` names: HKDF-SHA256 with salt `STT/1`, info = the label, 32 bytes.
///
/// This is the `HKDF(secret, "label")` of `PROTOCOL.md`.
#[must_use]
pub fn derive(secret: &[u8], label: &str) -> Zeroizing<[u8; 32]> {
    Prk::extract(SALT, secret).expand(label.as_bytes())
}

/// The pseudorandom key of HKDF, ready to expand (RFC 5869 section 2.3).
pub(crate) struct Prk(HmacKey);

impl Prk {
    /// HKDF-Extract.
    pub(crate) fn extract(salt: &[u8], ikm: &[u8]) -> Self {
        let prk = Zeroizing::new(HmacKey::new(salt).mac(&[ikm]));
        Self(HmacKey::new(&prk[..]))
    }

    /// A secret that is uniform already, such as the output of an earlier expansion, needs no extraction.
    pub(crate) fn from_uniform(secret: &[u8; 32]) -> Self {
        Self(HmacKey::new(secret))
    }

    /// HKDF-Expand to at most one hash, which is all STC asks for.
    pub(crate) fn expand<const N: usize>(&self, info: &[u8]) -> Zeroizing<[u8; N]> {
        const { assert!(N <= 32) }
        let block = Zeroizing::new(self.0.mac(&[info, &[1]]));
        let mut out = Zeroizing::new([0; N]);
        out.copy_from_slice(&block[..N]);
        out
    }
}

impl fmt::Debug for Prk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prk(..)")
    }
}

//! The keys that all nodes of one network share (`PROTOCOL.md` section 2).

use core::fmt;

use zeroize::Zeroizing;

use crate::ct_eq;
use crate::kdf::derive;
use crate::provider::HmacKey;
use crate::seed::SharedSeed;

/// Bytes of every handshake mac.
pub const MAC_LEN: usize = 16;

/// The pre-shared key of the Noise handshake and the mac keys that come from it. Derived once for each shared seed.
pub struct NetworkKeys {
    psk: Zeroizing<[u8; 32]>,
    mac1: HmacKey,
    mac2: HmacKey,
    err: HmacKey,
    fingerprint: [u8; 8],
}

impl NetworkKeys {
    /// PSK = HKDF(seed, "psk"); mac keys = HKDF(PSK, "mac1"), "mac2", "err".
    #[must_use]
    pub fn new(seed: &SharedSeed) -> Self {
        let psk = derive(seed.bytes(), "psk");
        let key = |label| HmacKey::new(&derive(&psk[..], label)[..]);
        let mut fingerprint = [0; 8];
        fingerprint.copy_from_slice(&derive(&psk[..], "network")[..8]);
        Self { mac1: key("mac1"), mac2: key("mac2"), err: key("err"), fingerprint, psk }
    }

    /// Eight bytes that tell this network's seed from others among those a node holds; they say nothing of the seed, and never stand
    /// on the wire.
    #[must_use]
    pub fn fingerprint(&self) -> &[u8; 8] {
        &self.fingerprint
    }

    /// The pre-shared key that Noise mixes in.
    pub(crate) fn psk(&self) -> &[u8; 32] {
        &self.psk
    }

    /// mac1 of HELLO and RESUME: over header[0..22], then the payload before mac1.
    #[must_use]
    pub fn mac1(&self, parts: &[&[u8]]) -> [u8; MAC_LEN] {
        truncated(&self.mac1, parts)
    }

    /// Whether `mac` is the [`mac1`](Self::mac1) of `parts`, in constant time.
    #[must_use]
    pub fn verify_mac1(&self, parts: &[&[u8]], mac: &[u8]) -> bool {
        ct_eq(&self.mac1(parts), mac)
    }

    /// mac2 of AUTH_PROOF: over the handshake hash after message 2, header[0..22], then the payload before mac2.
    #[must_use]
    pub fn mac2(&self, parts: &[&[u8]]) -> [u8; MAC_LEN] {
        truncated(&self.mac2, parts)
    }

    /// Whether `mac` is the [`mac2`](Self::mac2) of `parts`, in constant time.
    #[must_use]
    pub fn verify_mac2(&self, parts: &[&[u8]], mac: &[u8]) -> bool {
        ct_eq(&self.mac2(parts), mac)
    }

    /// The mac of RETRY and ERROR: over the HELLO's ephemeral key, the frame type, then the body.
    #[must_use]
    pub fn err_mac(&self, parts: &[&[u8]]) -> [u8; MAC_LEN] {
        truncated(&self.err, parts)
    }

    /// Whether `mac` is the [`err_mac`](Self::err_mac) of `parts`, in constant time.
    #[must_use]
    pub fn verify_err_mac(&self, parts: &[&[u8]], mac: &[u8]) -> bool {
        ct_eq(&self.err_mac(parts), mac)
    }
}

impl fmt::Debug for NetworkKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NetworkKeys(..)")
    }
}

/// A secret that macs cookies. Rotating it is the caller's business.
pub struct CookieKey(HmacKey);

impl CookieKey {
    /// A key from 32 fresh random bytes.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(HmacKey::new(secret))
    }

    /// HMAC-SHA256 of the concatenated `parts`, cut to 16 bytes. Parts of variable length must come last or carry their length.
    #[must_use]
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; MAC_LEN] {
        truncated(&self.0, parts)
    }

    /// Whether `mac` is the [`mac`](Self::mac) of `parts`, in constant time.
    #[must_use]
    pub fn verify(&self, parts: &[&[u8]], mac: &[u8]) -> bool {
        ct_eq(&self.mac(parts), mac)
    }
}

impl fmt::Debug for CookieKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieKey(..)")
    }
}

/// The first 16 bytes of an HMAC, which RFC 2104 section 5 permits.
pub(crate) fn truncated(key: &HmacKey, parts: &[&[u8]]) -> [u8; MAC_LEN] {
    let mac = key.mac(parts);
    core::array::from_fn(|i| mac[i])
}

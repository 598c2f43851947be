//! From a finished handshake to the keys of both directions (`PROTOCOL.md` section 4).
//!
//! ```text
//! traffic secret = HKDF-Expand(HKDF-Extract(salt = handshake hash, split key of the direction), "traffic")
//! AEAD key       = HKDF-Expand(traffic secret, "key")       32 bytes
//! IV             = HKDF-Expand(traffic secret, "iv")        12 bytes
//! header key     = HKDF-Expand(first traffic secret, "header")  32 bytes, for all phases
//! next secret    = HKDF-Expand(traffic secret, "next")
//! ```

use core::fmt;

use zeroize::{Zeroize, Zeroizing};

use crate::aead::{Aead, OpenKey, OpenKeys, SealKey, SealKeys};
use crate::kdf::Prk;
use crate::mask::HeaderKey;

/// What a handshake leaves behind: the hash of its whole transcript and the two split keys of Noise.
pub struct TrafficSecrets {
    handshake_hash: [u8; 32],
    initiator_to_responder: Zeroizing<[u8; 32]>,
    responder_to_initiator: Zeroizing<[u8; 32]>,
}

impl TrafficSecrets {
    /// Derives the traffic secrets from the split keys, which are forgotten here.
    pub(crate) fn new(handshake_hash: [u8; 32], mut split: ([u8; 32], [u8; 32])) -> Self {
        let secret = |key: &[u8; 32]| Prk::extract(&handshake_hash, key).expand(b"traffic");
        let secrets = Self {
            handshake_hash,
            initiator_to_responder: secret(&split.0),
            responder_to_initiator: secret(&split.1),
        };
        split.0.zeroize();
        split.1.zeroize();
        secrets
    }

    /// The hash over all three Noise messages: equal on both sides, unique to the session, not secret. Its first 8 bytes are the
    /// session's shown name.
    #[must_use]
    pub fn handshake_hash(&self) -> &[u8; 32] {
        &self.handshake_hash
    }

    /// The keys of the side that is or is not the initiator, for the AEAD that CHALLENGE named.
    #[must_use]
    pub fn keys(&self, is_initiator: bool, aead: Aead) -> (SealKeys, OpenKeys) {
        let (send, receive) = if is_initiator {
            (&self.initiator_to_responder, &self.responder_to_initiator)
        } else {
            (&self.responder_to_initiator, &self.initiator_to_responder)
        };
        let header = |secret| HeaderKey::new(aead, &Prk::from_uniform(secret).expand(b"header"));
        (
            SealKeys { key: SealKey::new(aead, send.clone()), header: header(send) },
            OpenKeys { key: OpenKey::new(aead, receive.clone()), header: header(receive) },
        )
    }
}

impl fmt::Debug for TrafficSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrafficSecrets").finish_non_exhaustive()
    }
}

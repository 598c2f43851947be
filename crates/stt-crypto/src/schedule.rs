//! From a finished handshake to the keys of both directions (`PROTOCOL.md` section 4).
//!
//! ```text
//! traffic secret = HKDF-Expand(HKDF-Extract(salt = handshake hash, split key of the direction), "traffic")
//! AEAD key       = HKDF-Expand(traffic secret, "key")       32 bytes
//! IV             = HKDF-Expand(traffic secret, "iv")        12 bytes
//! header key     = HKDF-Expand(first traffic secret, "header")  32 bytes, for all phases
//! next secret    = HKDF-Expand(traffic secret, "next")
//! ticket secret  = HKDF-Expand(HKDF-Extract(salt = handshake hash, both split keys), "resume")
//! ```

use core::fmt;

use zeroize::{Zeroize, Zeroizing};

use crate::aead::{Aead, OpenKey, OpenKeys, SealKey, SealKeys};
use crate::kdf::Prk;
use crate::mask::HeaderKey;

/// The secret of one direction in one key phase.
#[derive(Clone)]
pub(crate) struct TrafficSecret(Zeroizing<[u8; 32]>);

impl TrafficSecret {
    /// The secret of the first phase.
    fn first(handshake_hash: &[u8; 32], split_key: &[u8; 32]) -> Self {
        Self(Prk::extract(handshake_hash, split_key).expand(b"traffic"))
    }

    /// One that was derived before.
    pub(crate) fn from_bytes(secret: &[u8; 32]) -> Self {
        Self(Zeroizing::new(*secret))
    }

    pub(crate) fn aead_key(&self) -> Zeroizing<[u8; 32]> {
        self.expand(b"key")
    }

    pub(crate) fn iv(&self) -> Zeroizing<[u8; 12]> {
        self.expand(b"iv")
    }

    /// Only the first phase's is ever used.
    pub(crate) fn header_key(&self) -> Zeroizing<[u8; 32]> {
        self.expand(b"header")
    }

    /// The secret of the next phase; there is no way back.
    pub(crate) fn next(&self) -> Self {
        Self(self.expand(b"next"))
    }

    fn expand<const N: usize>(&self, label: &[u8]) -> Zeroizing<[u8; N]> {
        Prk::from_uniform(&self.0).expand(label)
    }
}

/// What a handshake leaves behind: the hash of its whole transcript and a secret for each direction.
pub struct TrafficSecrets {
    handshake_hash: [u8; 32],
    pub(crate) initiator_to_responder: TrafficSecret,
    pub(crate) responder_to_initiator: TrafficSecret,
    resumption: Zeroizing<[u8; 32]>,
}

impl TrafficSecrets {
    /// Derives the traffic secrets from the split keys, which are forgotten here.
    pub(crate) fn new(handshake_hash: [u8; 32], mut split: ([u8; 32], [u8; 32])) -> Self {
        let mut both = Zeroizing::new([0; 64]);
        both[..32].copy_from_slice(&split.0);
        both[32..].copy_from_slice(&split.1);
        let secrets = Self {
            handshake_hash,
            initiator_to_responder: TrafficSecret::first(&handshake_hash, &split.0),
            responder_to_initiator: TrafficSecret::first(&handshake_hash, &split.1),
            resumption: Prk::extract(&handshake_hash, &both[..]).expand(b"resume"),
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

    /// The secret of the ticket that FINAL of this session may carry (`PROTOCOL.md` section 2.7). No traffic key gives it away, and
    /// it gives none away.
    #[must_use]
    pub fn resumption_secret(&self) -> &[u8; 32] {
        &self.resumption
    }

    /// `secret_0` of the initiator's packets, then of the responder's: all that it takes to read the
    /// session. For a key log that its user asked for, and nothing else.
    #[must_use]
    pub fn first_secrets(&self) -> [&[u8; 32]; 2] {
        [&self.initiator_to_responder.0, &self.responder_to_initiator.0]
    }

    /// The keys of the side that is or is not the initiator, for the AEAD that CHALLENGE named.
    #[must_use]
    pub fn keys(&self, is_initiator: bool, aead: Aead) -> (SealKeys, OpenKeys) {
        let (send, receive) = if is_initiator {
            (&self.initiator_to_responder, &self.responder_to_initiator)
        } else {
            (&self.responder_to_initiator, &self.initiator_to_responder)
        };
        let header = |secret: &TrafficSecret| HeaderKey::new(aead, &secret.header_key());
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

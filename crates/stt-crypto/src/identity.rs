//! Who a node is: its static key, its id, and the key of its reset tokens (`PROTOCOL.md` sections 0 and 6).

use core::fmt;

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::kdf::derive;
use crate::network_keys::{MAC_LEN, truncated};
use crate::provider::{HmacKey, Sha256, X25519Private};
use crate::seed::NodeSeed;

/// SHA-256 of a node's static public key: the id certifies itself, as only the key's holder completes a handshake.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub [u8; 32]);

impl NodeId {
    /// The id that belongs to a static public key.
    #[must_use]
    pub fn of(static_public: &[u8; 32]) -> Self {
        let mut hash = Sha256::new();
        hash.update(static_public);
        Self(hash.finish())
    }

    /// Its 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

/// What a node seed expands to.
pub struct NodeIdentity {
    static_private: Zeroizing<[u8; 32]>,
    /// The same, ready for use: every handshake shares it.
    static_key: Arc<X25519Private>,
    node_id: NodeId,
    reset: HmacKey,
}

impl NodeIdentity {
    /// Static private key = HKDF(seed, "static"), key of the reset tokens = HKDF(seed, "reset").
    #[must_use]
    pub fn from_seed(seed: &NodeSeed) -> Self {
        let static_private = derive(seed.bytes(), "static");
        let static_key = Arc::new(X25519Private::from_bytes(&static_private));
        let node_id = NodeId::of(static_key.public());
        let reset = HmacKey::new(&derive(seed.bytes(), "reset")[..]);
        Self { static_private, static_key, node_id, reset }
    }

    /// The node's id.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.node_id
    }

    /// The static public key, which only peers that hold the shared seed ever see.
    #[must_use]
    pub fn public(&self) -> &[u8; 32] {
        self.static_key.public()
    }

    /// The token that proves this node's word on `path_id`: a node restarted with the same seed computes it again, so it can tell a
    /// peer that the session is gone.
    #[must_use]
    pub fn reset_token(&self, path_id: &[u8; 8]) -> [u8; MAC_LEN] {
        truncated(&self.reset, &[path_id])
    }

    /// The static private key, for the handshake.
    pub(crate) fn static_private(&self) -> &[u8; 32] {
        &self.static_private
    }

    /// The same with its public half.
    pub(crate) fn static_key(&self) -> &Arc<X25519Private> {
        &self.static_key
    }
}

impl fmt::Debug for NodeIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeIdentity").field("node_id", &self.node_id).finish_non_exhaustive()
    }
}

//! The handshake: `Noise_XXpsk2_25519_{AESGCM,ChaChaPoly}_SHA256` (`PROTOCOL.md` section 2).
//!
//! Both sides are functions of their inputs, the ephemeral key among them. So when a message fails to verify, which may leave `snow`
//! with a cipher that matches no message, the state is built anew from those inputs, and a later genuine message still verifies.

use std::sync::Arc;

use snow::{Builder, HandshakeState, params::NoiseParams};
use zeroize::Zeroizing;

use crate::identity::NodeIdentity;
use crate::network_keys::NetworkKeys;
use crate::provider::X25519Private;
use crate::schedule::TrafficSecrets;

mod initiator;
mod resolver;
mod responder;
mod resumption;
#[cfg(test)]
mod tests;

pub use initiator::Initiator;
pub use responder::Responder;
pub use resumption::{RESUME_OVERHEAD, ResumeInitiator, ResumeResponder};

/// Bytes of Noise message 1: an ephemeral key and the tag of an empty payload.
pub const MESSAGE1_LEN: usize = 48;

/// Bytes that Noise message 2 adds to its payload: an ephemeral key, a sealed static key and the payload's tag.
pub const MESSAGE2_OVERHEAD: usize = 32 + 48 + 16;

/// Bytes that Noise message 3 adds to its payload: a sealed static key and the payload's tag.
pub const MESSAGE3_OVERHEAD: usize = 48 + 16;

/// The cipher of the handshake itself, by its number in HELLO. It is independent of the AEAD of the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Suite {
    /// `Noise_XXpsk2_25519_AESGCM_SHA256`.
    AesGcm = 1,
    /// `Noise_XXpsk2_25519_ChaChaPoly_SHA256`.
    ChaChaPoly = 2,
}

impl Suite {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::AesGcm, Self::ChaChaPoly];

    /// Its number in HELLO.
    #[must_use]
    pub const fn id(self) -> u16 {
        self as u16
    }

    /// The suite of this number.
    #[must_use]
    pub fn from_id(id: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.id() == id)
    }

    /// Its full name in the Noise specification's notation.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AesGcm => "Noise_XXpsk2_25519_AESGCM_SHA256",
            Self::ChaChaPoly => "Noise_XXpsk2_25519_ChaChaPoly_SHA256",
        }
    }

    /// The full name of the short handshake of a resumption with the same cipher.
    #[must_use]
    pub const fn resumption_name(self) -> &'static str {
        match self {
            Self::AesGcm => "Noise_NNpsk0_25519_AESGCM_SHA256",
            Self::ChaChaPoly => "Noise_NNpsk0_25519_ChaChaPoly_SHA256",
        }
    }
}

/// Why a step of the handshake did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoiseError {
    /// The message does not verify: another seed, another prologue, a forgery or a corruption. The handshake can go on with another
    /// copy of the message.
    #[error("the handshake message does not verify")]
    NotVerified,
    /// The step is out of order, such as a second message 2.
    #[error("the handshake step is out of order")]
    OutOfOrder,
    /// The output buffer is too small, or the message would exceed 65535 bytes.
    #[error("the buffer does not fit the handshake message")]
    BufferSize,
}

impl From<snow::Error> for NoiseError {
    fn from(error: snow::Error) -> Self {
        match error {
            snow::Error::State(_) => Self::OutOfOrder,
            snow::Error::Input => Self::BufferSize,
            _ => Self::NotVerified,
        }
    }
}

/// All that one side of a handshake is built from.
struct Recipe {
    suite: Suite,
    psk: Zeroizing<[u8; 32]>,
    static_private: Zeroizing<[u8; 32]>,
    static_key: Arc<X25519Private>,
    prologue: Box<[u8]>,
    ephemeral: Zeroizing<[u8; 32]>,
}

impl Recipe {
    fn new(
        suite: Suite,
        network: &NetworkKeys,
        identity: &NodeIdentity,
        prologue: &[u8],
        ephemeral: [u8; 32],
    ) -> Self {
        Self {
            suite,
            psk: Zeroizing::new(*network.psk()),
            static_private: Zeroizing::new(*identity.static_private()),
            static_key: Arc::clone(identity.static_key()),
            prologue: prologue.into(),
            ephemeral: Zeroizing::new(ephemeral),
        }
    }

    /// A fresh state, before message 1.
    #[expect(
        clippy::expect_used,
        reason = "the pattern, the lengths and the resolver are fixed here, none comes from outside"
    )]
    fn build(&self, initiator: bool) -> HandshakeState {
        let params: NoiseParams = self.suite.name().parse().expect("a valid Noise name");
        let resolver = Box::new(resolver::Resolver::with_static(&self.ephemeral, &self.static_key));
        let builder = Builder::with_resolver(params, resolver)
            .psk(2, &self.psk)
            .and_then(|builder| builder.local_private_key(&self.static_private[..]))
            .and_then(|builder| builder.prologue(&self.prologue))
            .expect("each is set once");
        if initiator { builder.build_initiator() } else { builder.build_responder() }
            .expect("everything is resolved")
    }
}

/// Where the payload of a message goes that adds `overhead` bytes to it.
fn payload_of<'a>(
    message: &[u8],
    overhead: usize,
    payload: &'a mut [u8],
) -> Result<&'a mut [u8], NoiseError> {
    let len = message.len().checked_sub(overhead).ok_or(NoiseError::NotVerified)?;
    payload.get_mut(..len).ok_or(NoiseError::BufferSize)
}

/// Reads an initiator's message 2 with the state after message 1, or, where a read has failed before, with what `again` gives. A failed
/// read drops the state: `snow` restores its hashes, but not a cipher key that the message has replaced.
fn read_message2(
    state: &mut Option<HandshakeState>,
    again: impl FnOnce() -> Result<HandshakeState, NoiseError>,
    message: &[u8],
    payload: &mut [u8],
) -> Result<usize, NoiseError> {
    let mut tried = match state.take() {
        Some(state) => state,
        None => again()?,
    };
    let len = tried.read_message(message, payload).map_err(|_| NoiseError::NotVerified)?;
    *state = Some(tried);
    Ok(len)
}

/// The split keys of a handshake whose messages have all passed, for the test vectors.
#[cfg(test)]
fn raw_split(state: &mut HandshakeState) -> Option<([u8; 32], [u8; 32])> {
    state.is_handshake_finished().then(|| state.dangerously_get_raw_split())
}

/// The hash so far, mixed over everything sent and received.
fn handshake_hash(state: &HandshakeState) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(&state.get_handshake_hash()[..32]);
    hash
}

/// The other side's static key, once its message has been read.
fn remote_static(state: &HandshakeState) -> Option<[u8; 32]> {
    state.get_remote_static().and_then(|key| key.try_into().ok())
}

/// Ends a handshake whose messages have all passed.
fn finish(mut state: HandshakeState) -> Result<TrafficSecrets, NoiseError> {
    if !state.is_handshake_finished() {
        return Err(NoiseError::OutOfOrder);
    }
    let split = state.dangerously_get_raw_split();
    Ok(TrafficSecrets::new(handshake_hash(&state), split))
}

//! The side that sends HELLO.

use core::fmt;

use snow::HandshakeState;

use super::{MESSAGE1_LEN, MESSAGE2_OVERHEAD, MESSAGE3_OVERHEAD, NoiseError, Recipe, Suite};
use crate::identity::NodeIdentity;
use crate::network_keys::NetworkKeys;
use crate::schedule::TrafficSecrets;

/// The initiator's half of one handshake.
pub struct Initiator {
    recipe: Recipe,
    /// `None` after a message 2 that did not verify, until it is built anew.
    state: Option<HandshakeState>,
    message1: [u8; MESSAGE1_LEN],
    progress: Progress,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    Message1,
    Message2,
    Message3,
}

impl Initiator {
    /// Starts a handshake. `ephemeral` must come fresh from a cryptographic random source for every handshake: a repeated one gives
    /// up forward secrecy and is refused by the responder as a replay.
    ///
    /// # Errors
    /// [`NoiseError`] only if the prologue is beyond any sensible length; message 1 is computed here.
    pub fn new(
        suite: Suite,
        network: &NetworkKeys,
        identity: &NodeIdentity,
        prologue: &[u8],
        ephemeral: [u8; 32],
    ) -> Result<Self, NoiseError> {
        let recipe = Recipe::new(suite, network, identity, prologue, ephemeral);
        let (state, message1) = start(&recipe)?;
        Ok(Self { recipe, state: Some(state), message1, progress: Progress::Message1 })
    }

    /// Message 1, which HELLO carries; the same bytes at every call, as a resent HELLO needs.
    #[must_use]
    pub fn write_message1(&self) -> [u8; MESSAGE1_LEN] {
        self.message1
    }

    /// The ephemeral private key. For a key log that its user asked for, and nothing else.
    #[must_use]
    pub fn ephemeral_private(&self) -> &[u8; 32] {
        &self.recipe.ephemeral
    }

    /// Reads message 2 from CHALLENGE and returns the length of its payload, written to `payload`.
    ///
    /// # Errors
    /// [`NoiseError::NotVerified`] if it was not made for this HELLO by a holder of the seed: the handshake is unharmed and waits for
    /// another. [`NoiseError::BufferSize`] if `payload` is too small, [`NoiseError::OutOfOrder`] after one has verified.
    pub fn read_message2(
        &mut self,
        message: &[u8],
        payload: &mut [u8],
    ) -> Result<usize, NoiseError> {
        if self.progress != Progress::Message1 {
            return Err(NoiseError::OutOfOrder);
        }
        let payload = super::payload_of(message, MESSAGE2_OVERHEAD, payload)?;
        let again = || start(&self.recipe).map(|(state, _)| state);
        let len = super::read_message2(&mut self.state, again, message, payload)?;
        self.progress = Progress::Message2;
        Ok(len)
    }

    /// The hash over messages 1 and 2, which mac2 covers; `None` before message 2 has verified and once message 3 is written.
    #[must_use]
    pub fn handshake_hash(&self) -> Option<[u8; 32]> {
        self.verified().filter(|_| self.progress == Progress::Message2).map(super::handshake_hash)
    }

    /// The responder's static key, once message 2 has verified.
    #[must_use]
    pub fn remote_static(&self) -> Option<[u8; 32]> {
        self.verified().and_then(super::remote_static)
    }

    /// Writes message 3, for AUTH_PROOF, to the start of `out` and returns its length: the payload's plus [`MESSAGE3_OVERHEAD`].
    ///
    /// # Errors
    /// [`NoiseError::OutOfOrder`] before message 2 or a second time, [`NoiseError::BufferSize`] if `out` is too small.
    pub fn write_message3(&mut self, payload: &[u8], out: &mut [u8]) -> Result<usize, NoiseError> {
        if self.progress != Progress::Message2 {
            return Err(NoiseError::OutOfOrder);
        }
        if out.len() < payload.len() + MESSAGE3_OVERHEAD {
            return Err(NoiseError::BufferSize);
        }
        let len = self.state.as_mut().ok_or(NoiseError::OutOfOrder)?.write_message(payload, out)?;
        self.progress = Progress::Message3;
        Ok(len)
    }

    /// Ends the handshake.
    ///
    /// # Errors
    /// [`NoiseError::OutOfOrder`] before message 3 is written.
    pub fn finish(self) -> Result<TrafficSecrets, NoiseError> {
        super::finish(self.state.ok_or(NoiseError::OutOfOrder)?)
    }

    /// The split keys, for the test vectors.
    #[cfg(test)]
    pub(crate) fn raw_split(&mut self) -> Option<([u8; 32], [u8; 32])> {
        super::raw_split(self.state.as_mut()?)
    }

    fn verified(&self) -> Option<&HandshakeState> {
        self.state.as_ref().filter(|_| self.progress >= Progress::Message2)
    }
}

impl fmt::Debug for Initiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Initiator").field("suite", &self.recipe.suite).finish_non_exhaustive()
    }
}

/// The state after message 1, and message 1.
fn start(recipe: &Recipe) -> Result<(HandshakeState, [u8; MESSAGE1_LEN]), NoiseError> {
    let mut state = recipe.build(true);
    let mut message1 = [0; MESSAGE1_LEN];
    state.write_message(&[], &mut message1)?;
    Ok((state, message1))
}

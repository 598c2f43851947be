//! The side that answers HELLO.

use core::fmt;

use snow::HandshakeState;
use zeroize::Zeroizing;

use super::{MESSAGE1_LEN, MESSAGE2_OVERHEAD, MESSAGE3_OVERHEAD, NoiseError, Recipe, Suite};
use crate::identity::NodeIdentity;
use crate::network_keys::NetworkKeys;
use crate::schedule::TrafficSecrets;

/// The responder's half of one handshake.
pub struct Responder {
    recipe: Recipe,
    /// `None` after a message that did not verify, until it is built anew.
    state: Option<HandshakeState>,
    message1: [u8; MESSAGE1_LEN],
    payload2: Zeroizing<Vec<u8>>,
    hash2: [u8; 32],
    progress: Progress,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Start,
    Message1,
    Message2,
    Message3,
}

impl Responder {
    /// Starts a handshake. `ephemeral` must come fresh from a cryptographic random source for every handshake.
    #[must_use]
    pub fn new(
        suite: Suite,
        network: &NetworkKeys,
        identity: &NodeIdentity,
        prologue: &[u8],
        ephemeral: [u8; 32],
    ) -> Self {
        Self {
            recipe: Recipe::new(suite, network, identity, prologue, ephemeral),
            state: None,
            message1: [0; MESSAGE1_LEN],
            payload2: Zeroizing::default(),
            hash2: [0; 32],
            progress: Progress::Start,
        }
    }

    /// Reads message 1 from HELLO.
    ///
    /// # Errors
    /// [`NoiseError::NotVerified`] if it does not belong to this prologue, [`NoiseError::OutOfOrder`] after one that did.
    pub fn read_message1(&mut self, message: &[u8; MESSAGE1_LEN]) -> Result<(), NoiseError> {
        if self.progress != Progress::Start {
            return Err(NoiseError::OutOfOrder);
        }
        self.state = Some(after_message1(&self.recipe, message)?);
        self.message1 = *message;
        self.progress = Progress::Message1;
        Ok(())
    }

    /// Writes message 2, for CHALLENGE, to the start of `out` and returns its length: the payload's plus [`MESSAGE2_OVERHEAD`].
    ///
    /// # Errors
    /// [`NoiseError::OutOfOrder`] before message 1 or a second time, [`NoiseError::BufferSize`] if `out` is too small,
    /// [`NoiseError::NotVerified`] if the initiator's ephemeral key is a point of small order.
    pub fn write_message2(&mut self, payload: &[u8], out: &mut [u8]) -> Result<usize, NoiseError> {
        if self.progress != Progress::Message1 {
            return Err(NoiseError::OutOfOrder);
        }
        if out.len() < payload.len() + MESSAGE2_OVERHEAD {
            return Err(NoiseError::BufferSize);
        }
        // A failed write ends this handshake for good: the same message 1 would fail again.
        let mut state = self.state.take().ok_or(NoiseError::OutOfOrder)?;
        let len = state.write_message(payload, out)?;
        self.hash2 = super::handshake_hash(&state);
        self.payload2.extend_from_slice(payload);
        self.state = Some(state);
        self.progress = Progress::Message2;
        Ok(len)
    }

    /// The hash over messages 1 and 2, which mac2 covers; `None` before message 2 is written.
    #[must_use]
    pub fn handshake_hash(&self) -> Option<[u8; 32]> {
        matches!(self.progress, Progress::Message2 | Progress::Message3).then_some(self.hash2)
    }

    /// Reads message 3 from AUTH_PROOF and returns the length of its payload, written to `payload`. Check mac2 first: it keeps a
    /// stranger from spending this side's Diffie-Hellman.
    ///
    /// # Errors
    /// [`NoiseError::NotVerified`] if it does not verify: the handshake is unharmed and waits for another.
    /// [`NoiseError::BufferSize`] if `payload` is too small, [`NoiseError::OutOfOrder`] before message 2 or after one has verified.
    pub fn read_message3(
        &mut self,
        message: &[u8],
        payload: &mut [u8],
    ) -> Result<usize, NoiseError> {
        if self.progress != Progress::Message2 {
            return Err(NoiseError::OutOfOrder);
        }
        let payload = super::payload_of(message, MESSAGE3_OVERHEAD, payload)?;
        let mut state = match self.state.take() {
            Some(state) => state,
            None => self.replay()?,
        };
        // A failed read drops the state: `snow` restores its hashes, but not a cipher key that the message has replaced.
        let len = state.read_message(message, payload).map_err(|_| NoiseError::NotVerified)?;
        self.state = Some(state);
        self.progress = Progress::Message3;
        Ok(len)
    }

    /// The initiator's static key, once message 3 has verified.
    #[must_use]
    pub fn remote_static(&self) -> Option<[u8; 32]> {
        self.state
            .as_ref()
            .filter(|_| self.progress == Progress::Message3)
            .and_then(super::remote_static)
    }

    /// Ends the handshake.
    ///
    /// # Errors
    /// [`NoiseError::OutOfOrder`] before message 3 has verified.
    pub fn finish(self) -> Result<TrafficSecrets, NoiseError> {
        super::finish(self.state.ok_or(NoiseError::OutOfOrder)?)
    }

    /// The state after message 2 once more; being a function of its inputs, it is the same.
    fn replay(&self) -> Result<HandshakeState, NoiseError> {
        let mut state = after_message1(&self.recipe, &self.message1)?;
        let mut message2 = vec![0; self.payload2.len() + MESSAGE2_OVERHEAD];
        state.write_message(&self.payload2, &mut message2)?;
        Ok(state)
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder").field("suite", &self.recipe.suite).finish_non_exhaustive()
    }
}

fn after_message1(
    recipe: &Recipe,
    message1: &[u8; MESSAGE1_LEN],
) -> Result<HandshakeState, NoiseError> {
    let mut state = recipe.build(false);
    state.read_message(message1, &mut []).map_err(|_| NoiseError::NotVerified)?;
    Ok(state)
}

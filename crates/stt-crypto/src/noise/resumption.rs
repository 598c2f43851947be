//! The short handshake of a returning peer: `Noise_NNpsk0_25519_{AESGCM,ChaChaPoly}_SHA256` under a ticket's secret
//! (`PROTOCOL.md` section 2.7).
//!
//! ```text
//! -> psk, e
//! <- e, ee
//! ```

use core::fmt;

use snow::{Builder, HandshakeState, params::NoiseParams};
use zeroize::Zeroizing;

use super::{NoiseError, Suite, resolver};
use crate::schedule::TrafficSecrets;

/// Bytes that each of the two messages adds to its payload: an ephemeral key and the payload's tag.
pub const RESUME_OVERHEAD: usize = 32 + 16;

/// All that one side is built from; a failed read is undone by building it anew.
struct Recipe {
    suite: Suite,
    secret: Zeroizing<[u8; 32]>,
    prologue: Box<[u8]>,
    ephemeral: Zeroizing<[u8; 32]>,
}

impl Recipe {
    #[expect(
        clippy::expect_used,
        reason = "the pattern, the lengths and the resolver are fixed here, none comes from outside"
    )]
    fn build(&self, initiator: bool) -> HandshakeState {
        let params: NoiseParams = self.suite.resumption_name().parse().expect("a valid Noise name");
        let builder =
            Builder::with_resolver(params, Box::new(resolver::Resolver::new(&self.ephemeral)))
                .psk(0, &self.secret)
                .and_then(|builder| builder.prologue(&self.prologue))
                .expect("each is set once");
        if initiator { builder.build_initiator() } else { builder.build_responder() }
            .expect("everything is resolved")
    }
}

/// The side that holds a ticket and sends RESUME.
pub struct ResumeInitiator {
    recipe: Recipe,
    /// `None` after a message 2 that did not verify, until it is built anew.
    state: Option<HandshakeState>,
    payload: Zeroizing<Vec<u8>>,
    verified: bool,
}

impl ResumeInitiator {
    /// Begins, and writes message 1 with `payload` to the start of `out`: [`RESUME_OVERHEAD`] bytes more than the payload. `ephemeral`
    /// must come fresh from a cryptographic random source, and `secret`, the ticket's, serves once.
    ///
    /// # Errors
    /// [`NoiseError::BufferSize`] if `out` is too small.
    pub fn new(
        suite: Suite,
        secret: &[u8; 32],
        prologue: &[u8],
        ephemeral: [u8; 32],
        payload: &[u8],
        out: &mut [u8],
    ) -> Result<Self, NoiseError> {
        let recipe = Recipe {
            suite,
            secret: Zeroizing::new(*secret),
            prologue: prologue.into(),
            ephemeral: Zeroizing::new(ephemeral),
        };
        let room = out.get_mut(..payload.len() + RESUME_OVERHEAD).ok_or(NoiseError::BufferSize)?;
        let mut state = recipe.build(true);
        state.write_message(payload, room)?;
        let payload = Zeroizing::new(payload.to_vec());
        Ok(Self { recipe, state: Some(state), payload, verified: false })
    }

    /// The ephemeral private key. For a key log that its user asked for, and nothing else.
    #[must_use]
    pub fn ephemeral_private(&self) -> &[u8; 32] {
        &self.recipe.ephemeral
    }

    /// Reads message 2 from RESUME_REPLY and returns the length of its payload, written to `payload`.
    ///
    /// # Errors
    /// [`NoiseError::NotVerified`] if it was not made for this RESUME by whoever can open the ticket: the handshake is unharmed and
    /// waits for another. [`NoiseError::BufferSize`] if `payload` is too small, [`NoiseError::OutOfOrder`] after one has verified.
    pub fn read_message2(
        &mut self,
        message: &[u8],
        payload: &mut [u8],
    ) -> Result<usize, NoiseError> {
        if self.verified {
            return Err(NoiseError::OutOfOrder);
        }
        let payload = super::payload_of(message, RESUME_OVERHEAD, payload)?;
        let len = super::read_message2(
            &mut self.state,
            || after_message1(&self.recipe, &self.payload),
            message,
            payload,
        )?;
        self.verified = true;
        Ok(len)
    }

    /// Ends the handshake.
    ///
    /// # Errors
    /// [`NoiseError::OutOfOrder`] before message 2 has verified.
    pub fn finish(self) -> Result<TrafficSecrets, NoiseError> {
        super::finish(self.state.ok_or(NoiseError::OutOfOrder)?)
    }

    /// The split keys, for the test vectors.
    #[cfg(test)]
    pub(crate) fn raw_split(&mut self) -> Option<([u8; 32], [u8; 32])> {
        super::raw_split(self.state.as_mut()?)
    }
}

impl fmt::Debug for ResumeInitiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResumeInitiator").field("suite", &self.recipe.suite).finish_non_exhaustive()
    }
}

/// The state after message 1 once more; being a function of its inputs, it is the same.
fn after_message1(recipe: &Recipe, payload: &[u8]) -> Result<HandshakeState, NoiseError> {
    let mut state = recipe.build(true);
    let mut message1 = vec![0; payload.len() + RESUME_OVERHEAD];
    state.write_message(payload, &mut message1)?;
    Ok(state)
}

/// The side that sealed the ticket and answers RESUME. It keeps nothing between messages: what came is read and answered, or dropped.
pub struct ResumeResponder(HandshakeState);

impl ResumeResponder {
    /// Reads message 1 with the secret that the ticket held, and returns the length of its payload, written to `payload`.
    ///
    /// # Errors
    /// [`NoiseError::NotVerified`] if it was not made with this secret for this prologue. [`NoiseError::BufferSize`] if `payload` is too
    /// small.
    pub fn read_message1(
        suite: Suite,
        secret: &[u8; 32],
        prologue: &[u8],
        ephemeral: [u8; 32],
        message: &[u8],
        payload: &mut [u8],
    ) -> Result<(Self, usize), NoiseError> {
        let payload = super::payload_of(message, RESUME_OVERHEAD, payload)?;
        let recipe = Recipe {
            suite,
            secret: Zeroizing::new(*secret),
            prologue: prologue.into(),
            ephemeral: Zeroizing::new(ephemeral),
        };
        let mut state = recipe.build(false);
        let len = state.read_message(message, payload).map_err(|_| NoiseError::NotVerified)?;
        Ok((Self(state), len))
    }

    /// Writes message 2, for RESUME_REPLY, to the start of `out`, and ends the handshake. The message has [`RESUME_OVERHEAD`] bytes more
    /// than its payload.
    ///
    /// # Errors
    /// [`NoiseError::BufferSize`] if `out` is too small, [`NoiseError::NotVerified`] if the initiator's ephemeral key is a point of small
    /// order.
    pub fn write_message2(
        mut self,
        payload: &[u8],
        out: &mut [u8],
    ) -> Result<TrafficSecrets, NoiseError> {
        let room = out.get_mut(..payload.len() + RESUME_OVERHEAD).ok_or(NoiseError::BufferSize)?;
        self.0.write_message(payload, room)?;
        super::finish(self.0)
    }
}

impl fmt::Debug for ResumeResponder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResumeResponder(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u8; 32] = [7; 32];
    const PROLOGUE: &[u8] = b"STT/1, the fields, and the ticket";

    fn begin(suite: Suite) -> (ResumeInitiator, Vec<u8>) {
        let mut message = vec![0; 5 + RESUME_OVERHEAD];
        let initiator =
            ResumeInitiator::new(suite, &SECRET, PROLOGUE, [1; 32], b"early", &mut message)
                .unwrap();
        (initiator, message)
    }

    fn answer(suite: Suite, secret: &[u8; 32], prologue: &[u8], message: &[u8]) -> Answered {
        let mut payload = [0; 64];
        let (responder, len) = ResumeResponder::read_message1(
            suite,
            secret,
            prologue,
            [2; 32],
            message,
            &mut payload,
        )?;
        let mut reply = vec![0; 5 + RESUME_OVERHEAD];
        let secrets = responder.write_message2(b"reply", &mut reply)?;
        Ok((payload[..len].to_vec(), reply, secrets))
    }

    type Answered = Result<(Vec<u8>, Vec<u8>, TrafficSecrets), NoiseError>;

    #[test]
    fn both_suites_complete_in_one_round_trip() {
        for suite in Suite::ALL {
            let (mut initiator, message) = begin(suite);
            let (early, reply, theirs) = answer(suite, &SECRET, PROLOGUE, &message).unwrap();
            assert_eq!(early, b"early");
            let mut payload = [0; 64];
            let len = initiator.read_message2(&reply, &mut payload).unwrap();
            assert_eq!(&payload[..len], b"reply");
            let ours = initiator.finish().unwrap();
            assert_eq!(ours.handshake_hash(), theirs.handshake_hash());
            assert_eq!(ours.resumption_secret(), theirs.resumption_secret());
            assert_ne!(ours.resumption_secret(), &SECRET);
        }
    }

    #[test]
    fn every_flipped_bit_of_message_1_and_every_other_input_is_refused() {
        let (_, message) = begin(Suite::AesGcm);
        for bit in 0..message.len() * 8 {
            // The top bit of an X25519 key is ignored by the curve but not by the hash.
            let mut damaged = message.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                answer(Suite::AesGcm, &SECRET, PROLOGUE, &damaged).err(),
                Some(NoiseError::NotVerified)
            );
        }
        for len in 0..message.len() {
            assert!(answer(Suite::AesGcm, &SECRET, PROLOGUE, &message[..len]).is_err());
        }
        assert!(answer(Suite::ChaChaPoly, &SECRET, PROLOGUE, &message).is_err());
        assert!(answer(Suite::AesGcm, &[8; 32], PROLOGUE, &message).is_err());
        assert!(answer(Suite::AesGcm, &SECRET, b"another", &message).is_err());
    }

    #[test]
    fn a_forged_message_2_harms_nothing() {
        for suite in Suite::ALL {
            let (mut initiator, message) = begin(suite);
            let (_, reply, theirs) = answer(suite, &SECRET, PROLOGUE, &message).unwrap();
            let mut payload = [0; 64];
            for byte in 0..reply.len() {
                let mut damaged = reply.clone();
                damaged[byte] ^= 1;
                assert_eq!(
                    initiator.read_message2(&damaged, &mut payload),
                    Err(NoiseError::NotVerified)
                );
            }
            assert_eq!(
                initiator.read_message2(&[0; 20], &mut payload),
                Err(NoiseError::NotVerified)
            );
            initiator.read_message2(&reply, &mut payload).unwrap();
            assert_eq!(initiator.read_message2(&reply, &mut payload), Err(NoiseError::OutOfOrder));
            assert_eq!(initiator.finish().unwrap().handshake_hash(), theirs.handshake_hash());
        }
    }

    #[test]
    fn an_ephemeral_key_of_small_order_is_refused() {
        let (mut initiator, message) = begin(Suite::AesGcm);
        let (_, mut reply, _) = answer(Suite::AesGcm, &SECRET, PROLOGUE, &message).unwrap();
        reply[..32].fill(0);
        assert_eq!(initiator.read_message2(&reply, &mut [0; 64]), Err(NoiseError::NotVerified));
    }
}

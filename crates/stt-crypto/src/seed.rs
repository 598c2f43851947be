//! The two seeds everything comes from (`PROTOCOL.md` section 0), and the refusal of those that are none.

use core::fmt;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::kdf::derive;

mod checks;
#[cfg(feature = "passphrase")]
mod passphrase;
#[cfg(test)]
mod tests;

/// The least length of a seed in bytes.
pub(crate) const MIN_SEED_LEN: usize = 32;

/// Why a seed is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SeedError {
    /// Fewer than 32 bytes.
    #[error("a seed needs at least 32 bytes, this one has {len}")]
    TooShort {
        /// How many it has.
        len: usize,
    },
    /// Plainly not random: somebody forgot to replace it.
    #[error("the seed is a placeholder: {why}")]
    Placeholder {
        /// What gives it away.
        why: &'static str,
    },
    /// Its bytes cannot hold enough randomness, however they were made.
    #[error("the seed is too regular to be random")]
    LowEntropy,
    /// The passphrase could be guessed offline by whoever captures one HELLO.
    #[error(
        "the passphrase is too easy to guess (zxcvbn score {score} of 4, at least 3 is needed)"
    )]
    WeakPassphrase {
        /// The zxcvbn score, 0 to 2.
        score: u8,
    },
    /// The salt of a passphrase has fewer than 16 bytes (RFC 9106 section 3.1).
    #[error("a passphrase needs a salt of at least 16 bytes, this one has {len}")]
    SaltTooShort {
        /// How many it has.
        len: usize,
    },
    /// Argon2id refused its input: a passphrase or salt beyond 4 GiB.
    #[error("Argon2id could not derive the seed")]
    KeyDerivation,
}

/// The secret that all nodes of one network hold.
///
/// Wiped when dropped, never shown by `Debug`.
#[derive(Clone)]
pub struct SharedSeed(Zeroizing<Vec<u8>>);

impl SharedSeed {
    /// Takes a seed of at least 32 random bytes.
    ///
    /// The checks catch what was never random (too short, repeated, counting, text); no check can tell that a seed is secret.
    ///
    /// # Errors
    /// [`SeedError::TooShort`], [`SeedError::Placeholder`] or [`SeedError::LowEntropy`].
    pub fn new(bytes: &[u8]) -> Result<Self, SeedError> {
        checked(bytes).map(Self)
    }

    /// A seed of 32 bytes from `rng`.
    #[must_use]
    pub fn random<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self(random_bytes(rng))
    }

    /// The seed of a passphrase: Argon2id (RFC 9106) with 64 MiB, three passes, one lane, 32 bytes. It takes about a tenth of a
    /// second, so keep it off an event loop. All nodes need the same salt, which is not secret.
    ///
    /// # Errors
    /// [`SeedError::WeakPassphrase`] if zxcvbn scores it below 3, [`SeedError::SaltTooShort`] below 16 bytes.
    #[cfg(feature = "passphrase")]
    pub fn from_passphrase(passphrase: &str, salt: &[u8]) -> Result<Self, SeedError> {
        passphrase::derive_seed(passphrase, salt).map(|bytes| Self(Zeroizing::new(bytes.to_vec())))
    }

    /// The seed of one pairing: HKDF(secret, "pair"). Its 128 bits live ten minutes and serve once, so the length rule does not apply.
    #[must_use]
    pub fn pairing(secret: &[u8; 16]) -> Self {
        Self(Zeroizing::new(derive(secret, "pair").to_vec()))
    }

    /// The secret itself, to be stored or handed on. What is copied out of here is no longer wiped.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SharedSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSeed(..)")
    }
}

/// The secret of one node, which its identity comes from. One live endpoint per node seed.
///
/// Wiped when dropped, never shown by `Debug`.
#[derive(Clone)]
pub struct NodeSeed(Zeroizing<Vec<u8>>);

impl NodeSeed {
    /// Takes a seed of at least 32 random bytes, under the same checks as [`SharedSeed::new`].
    ///
    /// # Errors
    /// [`SeedError::TooShort`], [`SeedError::Placeholder`] or [`SeedError::LowEntropy`].
    pub fn new(bytes: &[u8]) -> Result<Self, SeedError> {
        checked(bytes).map(Self)
    }

    /// A seed of 32 bytes from `rng`, for an id that lasts as long as the process.
    #[must_use]
    pub fn random<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self(random_bytes(rng))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for NodeSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeSeed(..)")
    }
}

/// A copy of `bytes` if they pass for a seed.
fn checked(bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, SeedError> {
    checks::check(bytes)?;
    Ok(Zeroizing::new(bytes.to_vec()))
}

fn random_bytes<R: CryptoRng + ?Sized>(rng: &mut R) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(vec![0; MIN_SEED_LEN]);
    rng.fill_bytes(&mut bytes);
    bytes
}

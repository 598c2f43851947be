//! Seeds from passphrases: Argon2id, and no passphrase that could be guessed.

use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;
use zxcvbn::{Score, zxcvbn};

use super::{MIN_SEED_LEN, SeedError};

/// Memory in KiB.
const MEMORY: u32 = 64 * 1024;
/// Passes over it.
const PASSES: u32 = 3;
/// Lanes. One: the same time on every target, wasm32 included.
const LANES: u32 = 1;
/// The least length of a salt in bytes.
const MIN_SALT_LEN: usize = 16;

/// The 32 seed bytes of a passphrase.
pub(super) fn derive_seed(
    passphrase: &str,
    salt: &[u8],
) -> Result<Zeroizing<[u8; MIN_SEED_LEN]>, SeedError> {
    if salt.len() < MIN_SALT_LEN {
        return Err(SeedError::SaltTooShort { len: salt.len() });
    }
    let score = zxcvbn(passphrase, &["stt", "seigr"]).score();
    if score < Score::Three {
        return Err(SeedError::WeakPassphrase { score: u8::from(score) });
    }
    let params = Params::new(MEMORY, PASSES, LANES, Some(MIN_SEED_LEN))
        .map_err(|_| SeedError::KeyDerivation)?;
    let mut seed = Zeroizing::new([0; MIN_SEED_LEN]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.as_bytes(), salt, &mut seed[..])
        .map_err(|_| SeedError::KeyDerivation)?;
    Ok(seed)
}

//! Seeds: judging them, and deriving them from passphrases.

use napi::bindgen_prelude::{AsyncTask, Uint8Array};
use napi::{Env, Error, Result, Status, Task};
use napi_derive::napi;
use stt_crypto::SharedSeed;

/// Why `seed` cannot be a shared or node seed, in words, or `null` when it can.
#[napi(catch_unwind)]
pub fn check_seed(seed: &[u8]) -> Option<String> {
    SharedSeed::new(seed).err().map(|error| error.to_string())
}

/// The seed of a passphrase: Argon2id on a thread of libuv's pool. Rejects with the reason when the
/// passphrase is too easy to guess or the salt too short.
#[napi(ts_return_type = "Promise<Uint8Array>", catch_unwind)]
pub fn derive_seed(passphrase: String, salt: &[u8]) -> AsyncTask<DeriveSeed> {
    AsyncTask::new(DeriveSeed { passphrase, salt: salt.to_vec() })
}

/// The work behind [`derive_seed`].
pub struct DeriveSeed {
    passphrase: String,
    salt: Vec<u8>,
}

impl Task for DeriveSeed {
    type Output = SharedSeed;
    type JsValue = Uint8Array;

    fn compute(&mut self) -> Result<SharedSeed> {
        SharedSeed::from_passphrase(&self.passphrase, &self.salt)
            .map_err(|error| Error::new(Status::InvalidArg, error.to_string()))
    }

    fn resolve(&mut self, _env: Env, seed: SharedSeed) -> Result<Uint8Array> {
        Ok(Uint8Array::from(seed.expose()))
    }
}

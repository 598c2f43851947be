//! Gives `snow` the primitives of the provider, and the ephemeral key that the caller chose.

use std::sync::Arc;

use snow::Error;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};
use zeroize::Zeroizing;

use crate::aead::Aead;
use crate::provider::{AeadKey, Sha256, TAG_LEN, X25519Private};

/// A resolver whose only randomness is `ephemeral`: the handshake is a function of its inputs, so it can be replayed.
pub(super) struct Resolver {
    ephemeral: Zeroizing<[u8; 32]>,
    static_key: Option<Arc<X25519Private>>,
}

impl Resolver {
    /// For a handshake without a static key.
    pub(super) fn new(ephemeral: &[u8; 32]) -> Self {
        Self { ephemeral: Zeroizing::new(*ephemeral), static_key: None }
    }

    /// For one with this static key. Its public half is not computed anew, which costs as much as half an agreement.
    pub(super) fn with_static(ephemeral: &[u8; 32], key: &Arc<X25519Private>) -> Self {
        Self { static_key: Some(Arc::clone(key)), ..Self::new(ephemeral) }
    }
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(OneDraw(Some(self.ephemeral.clone()))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        let unset = || X25519::unset(self.static_key.clone());
        matches!(choice, DHChoice::Curve25519).then(|| Box::new(unset()) as Box<dyn Dh>)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        matches!(choice, HashChoice::SHA256)
            .then(|| Box::new(Hasher(Sha256::new())) as Box<dyn Hash>)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        let aead = match choice {
            CipherChoice::AESGCM => Aead::Aes256Gcm,
            CipherChoice::ChaChaPoly => Aead::ChaCha20Poly1305,
        };
        Some(Box::new(NoiseCipher { aead, key: None }))
    }
}

/// Yields the ephemeral scalar once. A second draw would repeat an ephemeral key, so it fails.
struct OneDraw(Option<Zeroizing<[u8; 32]>>);

impl Random for OneDraw {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        let bytes = self.0.take().ok_or(Error::Rng)?;
        if dest.len() != bytes.len() {
            return Err(Error::Rng);
        }
        dest.copy_from_slice(&bytes[..]);
        Ok(())
    }
}

/// X25519 as `snow` wants it: empty until a key is set or generated.
struct X25519 {
    /// What a key that is set is: `snow` sets the static one alone.
    static_key: Option<Arc<X25519Private>>,
    key: Option<Arc<X25519Private>>,
    private: Zeroizing<[u8; 32]>,
}

impl X25519 {
    fn unset(static_key: Option<Arc<X25519Private>>) -> Self {
        Self { static_key, key: None, private: Zeroizing::new([0; 32]) }
    }
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, privkey: &[u8]) {
        let mut private = Zeroizing::new([0; 32]);
        private.copy_from_slice(privkey);
        let computed = || Arc::new(X25519Private::from_bytes(&private));
        self.key = Some(self.static_key.take().unwrap_or_else(computed));
        self.private = private;
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), Error> {
        let mut private = Zeroizing::new([0; 32]);
        rng.try_fill_bytes(&mut private[..])?;
        self.key = Some(Arc::new(X25519Private::from_bytes(&private)));
        self.private = private;
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        self.key.as_ref().map_or(&[], |key| key.public())
    }

    fn privkey(&self) -> &[u8] {
        &self.private[..]
    }

    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), Error> {
        // `snow` hands over a buffer as long as its longest curve needs.
        let peer = pubkey.first_chunk::<32>().ok_or(Error::Dh)?;
        let key = self.key.as_ref().ok_or(Error::Dh)?;
        let shared = key.agree(peer).map_err(|_| Error::Dh)?;
        out.get_mut(..32).ok_or(Error::Dh)?.copy_from_slice(&shared[..]);
        Ok(())
    }
}

/// SHA-256 as `snow` wants it.
struct Hasher(Sha256);

impl Hash for Hasher {
    fn name(&self) -> &'static str {
        "SHA256"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0 = Sha256::new();
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        let hash = core::mem::replace(&mut self.0, Sha256::new()).finish();
        out[..32].copy_from_slice(&hash);
    }
}

/// One of the two Noise ciphers. They differ in more than the algorithm: the nonce is big-endian for AES-GCM and little-endian for
/// ChaCha20-Poly1305 (Noise specification, section 12).
struct NoiseCipher {
    aead: Aead,
    key: Option<AeadKey>,
}

impl NoiseCipher {
    fn nonce(&self, n: u64) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&match self.aead {
            Aead::Aes256Gcm => n.to_be_bytes(),
            Aead::ChaCha20Poly1305 => n.to_le_bytes(),
        });
        nonce
    }
}

impl Cipher for NoiseCipher {
    fn name(&self) -> &'static str {
        match self.aead {
            Aead::Aes256Gcm => "AESGCM",
            Aead::ChaCha20Poly1305 => "ChaChaPoly",
        }
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.key = Some(AeadKey::new(self.aead, key));
    }

    #[expect(
        clippy::expect_used,
        reason = "snow sets a key before it encrypts, and its messages are at most 64 KiB"
    )]
    fn encrypt(&self, nonce: u64, authtext: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let key = self.key.as_ref().expect("a key is set");
        let (text, rest) = out.split_at_mut(plaintext.len());
        text.copy_from_slice(plaintext);
        let tag =
            key.seal(self.nonce(nonce), authtext, text).expect("within the AEAD's length limit");
        rest[..TAG_LEN].copy_from_slice(&tag);
        plaintext.len() + TAG_LEN
    }

    fn decrypt(
        &self,
        nonce: u64,
        authtext: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let key = self.key.as_ref().ok_or(Error::Decrypt)?;
        // `snow` gives room for the plaintext only, while the AEAD works where the tag stands too.
        let mut text = Zeroizing::new(ciphertext.to_vec());
        let len = key.open(self.nonce(nonce), authtext, &mut text).map_err(|_| Error::Decrypt)?;
        out.get_mut(..len).ok_or(Error::Decrypt)?.copy_from_slice(&text[..len]);
        Ok(len)
    }
}

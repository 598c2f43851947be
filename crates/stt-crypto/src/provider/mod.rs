//! The face between STC and the library that computes its primitives.
//!
//! Both providers offer the same four types: [`AeadKey`], [`HmacKey`], [`Sha256`] and [`X25519Private`]. Exactly one of them is compiled
//! in, chosen by cargo feature, so no call is ever dispatched at run time. AWS-LC wins where both features are on, as cargo adds
//! features up.

#[cfg(feature = "aws-lc")]
mod aws_lc;
#[cfg(feature = "aws-lc")]
pub(crate) use aws_lc::{AeadKey, HmacKey, Sha256, X25519Private};

#[cfg(all(feature = "rustcrypto", not(feature = "aws-lc")))]
mod rustcrypto;
#[cfg(all(feature = "rustcrypto", not(feature = "aws-lc")))]
pub(crate) use rustcrypto::{AeadKey, HmacKey, Sha256, X25519Private};

#[cfg(not(any(feature = "aws-lc", feature = "rustcrypto")))]
compile_error!("stt-crypto needs a provider: switch on the feature `aws-lc` or `rustcrypto`");

#[cfg(test)]
mod tests;

/// The name of the provider compiled in, for logs and benchmark reports.
pub const PROVIDER: &str = if cfg!(feature = "aws-lc") { "aws-lc" } else { "rustcrypto" };

/// Bytes of an AEAD tag, a mac and a sample alike.
pub(crate) const TAG_LEN: usize = 16;

/// The primitive refused: a tag did not match, or a Diffie-Hellman result was all zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused;

/// Whether this processor computes AES-GCM in hardware. Without that, ChaCha20-Poly1305 is several times faster and constant time for
/// certain.
pub(crate) fn has_fast_aes() -> bool {
    #[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
    {
        std::arch::is_x86_feature_detected!("aes")
            && std::arch::is_x86_feature_detected!("pclmulqdq")
    }
    #[cfg(target_arch = "aarch64")]
    {
        std::arch::is_aarch64_feature_detected!("aes")
            && std::arch::is_aarch64_feature_detected!("pmull")
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")))]
    {
        false
    }
}

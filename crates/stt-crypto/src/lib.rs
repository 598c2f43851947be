//! STC, the seed transport crypto of STT: from seeds to keys, through a Noise handshake, to sealed and masked packets.
//!
//! The way through: a [`SharedSeed`] gives [`NetworkKeys`], a [`NodeSeed`] gives a [`NodeIdentity`]; with both an [`Initiator`] and a
//! [`Responder`] run the handshake that ends in [`TrafficSecrets`], whose [`keys`](TrafficSecrets::keys) seal, open and mask. A
//! [`ReplayWindow`] refuses packet numbers seen before.
//!
//! Primitives and framework are vetted ones: AWS-LC or RustCrypto (cargo features `aws-lc` and `rustcrypto`), and `snow` for Noise.
//! Nothing here reads a clock or draws randomness: random bytes are arguments, so every run can be repeated.

#![forbid(unsafe_code)]

mod aead;
mod decoy;
mod identity;
mod kdf;
mod mask;
mod network_keys;
mod noise;
mod provider;
mod replay;
mod schedule;
mod seed;
mod ticket;
#[cfg(test)]
mod vectors;

pub use aead::{AEAD_TAG_LEN, Aead, OpenFailed, OpenKey, OpenKeys, SealKey, SealKeys};
pub use decoy::DecoyPool;
pub use identity::{NodeId, NodeIdentity};
pub use kdf::derive;
pub use mask::{HeaderKey, MASK_LEN, SAMPLE_LEN};
pub use network_keys::{CookieKey, MAC_LEN, NetworkKeys};
pub use noise::{
    Initiator, MESSAGE1_LEN, MESSAGE2_OVERHEAD, MESSAGE3_OVERHEAD, NoiseError, RESUME_OVERHEAD,
    Responder, ResumeInitiator, ResumeResponder, Suite,
};
pub use provider::PROVIDER;
pub use replay::{Replay, ReplayWindow};
pub use schedule::TrafficSecrets;
pub use seed::{NodeSeed, SeedError, SharedSeed};
pub use ticket::{TICKET_OVERHEAD, TicketKey};

/// Whether two byte strings are equal, in a time that depends on their lengths only.
#[must_use]
pub fn ct_eq(a: &[u8], b: &[u8]) -> bool {
    subtle::ConstantTimeEq::ct_eq(a, b).into()
}

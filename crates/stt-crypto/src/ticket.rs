//! What seals resumption tickets (`PROTOCOL.md` section 2.7). Only who made a ticket ever opens it.

use core::fmt;

use zeroize::Zeroizing;

use crate::aead::Aead;
use crate::provider::{AeadKey, TAG_LEN};

/// Bytes that sealing adds to a ticket's fields: a nonce and a tag.
pub const TICKET_OVERHEAD: usize = NONCE_LEN + TAG_LEN;

const NONCE_LEN: usize = 12;
const LABEL: &[u8] = b"STT/1 ticket";

/// A key for tickets, known to one process alone. Rotating it is the caller's business.
pub struct TicketKey(AeadKey);

impl TicketKey {
    /// A key from 32 fresh random bytes.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(AeadKey::new(Aead::preferred(), secret))
    }

    /// Seals a ticket's fields: nonce, ciphertext, tag. `nonce` is random; one key may seal 2^32 tickets before two of 96 bits are
    /// likely to meet (NIST SP 800-38D section 8.3).
    ///
    /// # Panics
    /// Never: the fields of a ticket are far below the AEAD's limit.
    #[expect(clippy::expect_used, reason = "a ticket is far below the AEAD's length limit")]
    #[must_use]
    pub fn seal(&self, nonce: [u8; NONCE_LEN], fields: &[u8]) -> Box<[u8]> {
        let mut ticket = Vec::with_capacity(fields.len() + TICKET_OVERHEAD);
        ticket.extend_from_slice(&nonce);
        ticket.extend_from_slice(fields);
        let tag = self
            .0
            .seal(nonce, LABEL, &mut ticket[NONCE_LEN..])
            .expect("within the AEAD's length limit");
        ticket.extend_from_slice(&tag);
        ticket.into_boxed_slice()
    }

    /// The fields of a ticket that this key sealed; `None` for anything else.
    #[must_use]
    pub fn open(&self, ticket: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = ticket.split_first_chunk::<NONCE_LEN>()?;
        let mut fields = Zeroizing::new(sealed.to_vec());
        let len = self.0.open(*nonce, LABEL, &mut fields).ok()?;
        fields.truncate(len);
        Some(fields)
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_opens_whole_under_its_own_key_or_not_at_all() {
        let key = TicketKey::new(&[3; 32]);
        let ticket = key.seal([5; 12], b"fields");
        assert_eq!(ticket.len(), 6 + TICKET_OVERHEAD);
        assert_eq!(key.open(&ticket).unwrap()[..], *b"fields");
        assert!(TicketKey::new(&[4; 32]).open(&ticket).is_none());
        for len in 0..ticket.len() {
            assert!(key.open(&ticket[..len]).is_none());
        }
        for bit in 0..ticket.len() * 8 {
            let mut damaged = ticket.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(key.open(&damaged).is_none());
        }
    }
}

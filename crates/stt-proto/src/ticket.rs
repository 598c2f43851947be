//! What an initiator keeps of a session to return by (PROTOCOL.md section 2.7).

use core::fmt;

use stt_crypto::NodeId;
use stt_wire::frame::control::MAX_TICKET;
use stt_wire::resumption::Resume;
use zeroize::Zeroizing;

/// Layout of [`ResumptionTicket::to_bytes`]; another one is another number.
const FORMAT: u8 = 1;

/// A ticket with all that its holder must remember beside it. Whoever has it, and the shared seed, can
/// return as this node, once: it is a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct ResumptionTicket {
    /// Which shared seed the session was made under.
    pub(crate) network: [u8; 8],
    /// The node that it was issued to.
    pub(crate) own: NodeId,
    /// The node that issued it.
    pub(crate) peer: NodeId,
    pub(crate) secret: Zeroizing<[u8; 32]>,
    /// What the peer sealed for itself.
    pub(crate) ticket: Box<[u8]>,
}

impl ResumptionTicket {
    /// Bytes of [`ResumptionTicket::to_bytes`] before the peer's own ticket.
    pub const HEADER_LEN: usize = 1 + 8 + 32 + 32 + 32;

    /// The node that issued it, and that alone can take it.
    #[must_use]
    pub fn peer(&self) -> NodeId {
        self.peer
    }

    /// Bytes of early data that can travel with it.
    #[must_use]
    pub fn early_capacity(&self) -> usize {
        Resume::early_capacity(self.ticket.len())
    }

    /// Reads what [`ResumptionTicket::to_bytes`] wrote; `None` for anything else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (format, rest) = bytes.split_first()?;
        let (network, rest) = rest.split_first_chunk()?;
        let (own, rest) = rest.split_first_chunk()?;
        let (peer, rest) = rest.split_first_chunk()?;
        let (secret, ticket) = rest.split_first_chunk()?;
        if *format != FORMAT || ticket.is_empty() || ticket.len() > MAX_TICKET {
            return None;
        }
        Some(Self {
            network: *network,
            own: NodeId(*own),
            peer: NodeId(*peer),
            secret: Zeroizing::new(*secret),
            ticket: ticket.into(),
        })
    }

    /// The ticket as bytes to keep: secret ones.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::HEADER_LEN + self.ticket.len());
        bytes.push(FORMAT);
        bytes.extend_from_slice(&self.network);
        bytes.extend_from_slice(&self.own.0);
        bytes.extend_from_slice(&self.peer.0);
        bytes.extend_from_slice(&self.secret[..]);
        bytes.extend_from_slice(&self.ticket);
        bytes
    }
}

impl fmt::Debug for ResumptionTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResumptionTicket").field("peer", &self.peer).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_read_as_it_was_written_and_shows_no_secret() {
        let ticket = ResumptionTicket {
            network: [1; 8],
            own: NodeId([2; 32]),
            peer: NodeId([3; 32]),
            secret: Zeroizing::new([0xC5; 32]),
            ticket: vec![5; 106].into(),
        };
        let bytes = ticket.to_bytes();
        assert_eq!(bytes.len(), ResumptionTicket::HEADER_LEN + 106);
        assert_eq!(ResumptionTicket::from_bytes(&bytes).as_ref(), Some(&ticket));
        assert_eq!(ticket.early_capacity(), 898);
        for len in 0..=ResumptionTicket::HEADER_LEN {
            assert_eq!(ResumptionTicket::from_bytes(&bytes[..len]), None);
        }
        let mut other = bytes.clone();
        other[0] = 2;
        assert_eq!(ResumptionTicket::from_bytes(&other), None);
        let long = [&bytes[..], &[0; 500]].concat();
        assert_eq!(ResumptionTicket::from_bytes(&long), None);
        let shown = format!("{ticket:?}").to_lowercase();
        assert!(!shown.contains("c5") && !shown.contains("197"), "{shown}");
    }
}

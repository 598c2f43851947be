//! The responder's tickets (PROTOCOL.md section 2.7): sealed under keys that live with the process,
//! numbered, and each good for one use. The register of uses is exact: one bit for each ticket that
//! can still be opened, and no ticket can be opened once its bit is gone.

use core::time::Duration;

use rand_core::Rng;
use stt_crypto::{NodeId, TicketKey};
use stt_wire::{Reader, Writer};
use zeroize::Zeroizing;

use crate::time::Instant;

/// Tickets of one key. More sessions than this within a ticket's lifetime bring the next key early,
/// and the oldest tickets fall out: their holders return by HELLO.
const EPOCH_TICKETS: u32 = 1 << 16;
/// Bytes of a ticket's fields.
const FIELDS_LEN: usize = 4 + 8 + 2 + 32 + 32;

/// What an opened ticket says.
pub(super) struct Opened {
    /// Index of the shared seed that the session was made under.
    pub(super) network: usize,
    /// The initiator it was issued to.
    pub(super) peer: NodeId,
    /// What both sides derived from that session.
    pub(super) secret: Zeroizing<[u8; 32]>,
    number: u32,
    current: bool,
}

/// One key and the uses of its tickets.
struct Epoch {
    key: TicketKey,
    since: Instant,
    /// Tickets sealed so far, which is the number of the next.
    issued: u32,
    /// A bit for each, set once it has been used.
    used: Vec<u64>,
}

impl Epoch {
    fn new(now: Instant, rng: &mut impl Rng) -> Self {
        let mut secret = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut secret[..]);
        Self { key: TicketKey::new(&secret), since: now, issued: 0, used: Vec::new() }
    }

    fn is_used(&self, number: u32) -> bool {
        let word = self.used.get(number as usize / 64);
        // A number beyond what was issued cannot be under this key; if it were, it is not ours.
        word.is_none_or(|word| word >> (number % 64) & 1 == 1)
    }
}

/// See the module.
pub(super) struct Tickets {
    current: Option<Epoch>,
    previous: Option<Epoch>,
    /// Of the tickets issued last; keys live twice as long at most.
    lifetime: Duration,
    /// Tickets of one key.
    capacity: u32,
}

impl Default for Tickets {
    fn default() -> Self {
        Self { current: None, previous: None, lifetime: Duration::ZERO, capacity: EPOCH_TICKETS }
    }
}

impl Tickets {
    /// Seals a ticket for `peer`, good for `lifetime`.
    pub(super) fn issue(
        &mut self,
        now: Instant,
        rng: &mut impl Rng,
        lifetime: Duration,
        network: usize,
        peer: &NodeId,
        secret: &[u8; 32],
    ) -> Option<Box<[u8]>> {
        self.lifetime = lifetime;
        self.expire(now);
        let full = |epoch: &Epoch| epoch.issued == self.capacity;
        if self.current.as_ref().is_none_or(full) {
            self.previous = self.current.replace(Epoch::new(now, rng));
        }
        let epoch = self.current.as_mut()?;
        let number = epoch.issued;
        let mut fields = Zeroizing::new([0; FIELDS_LEN]);
        let mut out = Writer::new(&mut fields[..]);
        out.u32(number).ok()?;
        out.u64(now.as_nanos().saturating_add(lifetime.as_nanos() as u64)).ok()?;
        out.u16(u16::try_from(network).ok()?).ok()?;
        out.bytes(&peer.0).ok()?;
        out.bytes(secret).ok()?;
        epoch.issued += 1;
        if number % 64 == 0 {
            epoch.used.push(0);
        }
        let mut nonce = [0; 12];
        rng.fill_bytes(&mut nonce);
        Some(epoch.key.seal(nonce, &fields[..]))
    }

    /// Opens a ticket that can still be used. It is used only by [`Tickets::spend`].
    pub(super) fn open(&mut self, now: Instant, ticket: &[u8]) -> Option<Opened> {
        self.expire(now);
        let (fields, current) = [(&self.current, true), (&self.previous, false)]
            .into_iter()
            .find_map(|(epoch, current)| Some((epoch.as_ref()?.key.open(ticket)?, current)))?;
        let mut input = Reader::new(&fields);
        let (number, until) = (input.u32().ok()?, input.u64().ok()?);
        let network = usize::from(input.u16().ok()?);
        let peer = NodeId(input.array().ok()?);
        let secret = Zeroizing::new(input.array().ok()?);
        let epoch = if current { &self.current } else { &self.previous };
        let good = until > now.as_nanos() && !epoch.as_ref()?.is_used(number);
        good.then_some(Opened { network, peer, secret, number, current })
    }

    /// Marks a ticket as used. No other call may come between this and the one that opened it.
    pub(super) fn spend(&mut self, opened: &Opened) {
        let epoch = if opened.current { &mut self.current } else { &mut self.previous };
        let word = epoch.as_mut().and_then(|epoch| epoch.used.get_mut(opened.number as usize / 64));
        if let Some(word) = word {
            *word |= 1 << (opened.number % 64);
        }
    }

    /// Forgets keys whose time is over, and begins none.
    pub(super) fn expire(&mut self, now: Instant) {
        let age = |epoch: &Epoch| now.saturating_duration_since(epoch.since);
        if self.current.as_ref().is_some_and(|epoch| age(epoch) >= self.lifetime) {
            self.previous = self.current.take();
        }
        self.previous.take_if(|epoch| age(epoch) >= 2 * self.lifetime);
    }

    /// When [`Tickets::expire`] has something to do.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let current = self.current.as_ref().map(|epoch| epoch.since + self.lifetime);
        let previous = self.previous.as_ref().map(|epoch| epoch.since + 2 * self.lifetime);
        [current, previous].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha12Rng;
    use rand_core::SeedableRng;

    use super::*;

    const LIFETIME: Duration = Duration::from_secs(3600);
    const PEER: NodeId = NodeId([9; 32]);

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn issue(tickets: &mut Tickets, rng: &mut ChaCha12Rng, now: Instant) -> Box<[u8]> {
        tickets.issue(now, rng, LIFETIME, 1, &PEER, &[7; 32]).unwrap()
    }

    #[test]
    fn a_ticket_serves_once() {
        let (mut tickets, mut rng) = (Tickets::default(), ChaCha12Rng::seed_from_u64(1));
        let (first, second) =
            (issue(&mut tickets, &mut rng, at(0)), issue(&mut tickets, &mut rng, at(0)));
        assert_eq!(first.len(), 106);
        for _ in 0..2 {
            // Opening alone uses nothing up: the message behind it may be forged.
            let opened = tickets.open(at(1), &first).unwrap();
            assert_eq!((opened.network, opened.peer, *opened.secret), (1, PEER, [7; 32]));
        }
        let opened = tickets.open(at(1), &first).unwrap();
        tickets.spend(&opened);
        assert!(tickets.open(at(1), &first).is_none());
        assert!(tickets.open(at(1), &second).is_some());
    }

    #[test]
    fn a_ticket_expires_to_the_nanosecond_and_its_key_with_it() {
        let (mut tickets, mut rng) = (Tickets::default(), ChaCha12Rng::seed_from_u64(2));
        let first = issue(&mut tickets, &mut rng, at(0));
        assert_eq!(tickets.next_timeout(), Some(at(3600)));
        let late = issue(&mut tickets, &mut rng, at(3599));
        assert!(tickets.open(Instant::from_nanos(3_599_999_999_999), &first).is_some());
        assert!(tickets.open(at(3600), &first).is_none());
        // The key of the late one has been replaced, but still opens it.
        let opened = tickets.open(at(7198), &late).unwrap();
        tickets.spend(&opened);
        assert!(tickets.open(at(7198), &late).is_none());
        assert_eq!(tickets.next_timeout(), Some(at(7200)));
        tickets.expire(at(7200));
        assert_eq!(tickets.next_timeout(), None);
        assert!(tickets.current.is_none() && tickets.previous.is_none());
    }

    #[test]
    fn the_register_is_bounded_and_never_forgets_a_use() {
        let mut rng = ChaCha12Rng::seed_from_u64(3);
        let mut tickets = Tickets { capacity: 256, ..Tickets::default() };
        let mut kept = Vec::new();
        for number in 0..5 * 256 {
            let ticket = issue(&mut tickets, &mut rng, at(0));
            if number % 16 == 0 {
                let opened = tickets.open(at(0), &ticket).unwrap();
                tickets.spend(&opened);
                kept.push(ticket);
            }
        }
        for epoch in [&tickets.current, &tickets.previous] {
            assert_eq!(epoch.as_ref().unwrap().used.len(), 256 / 64);
        }
        assert_eq!(kept.len(), 80);
        assert!(kept.iter().all(|ticket| tickets.open(at(0), ticket).is_none()));
    }

    #[test]
    fn another_process_opens_nothing() {
        let (mut tickets, mut rng) = (Tickets::default(), ChaCha12Rng::seed_from_u64(4));
        let ticket = issue(&mut tickets, &mut rng, at(0));
        let (mut other, mut rng) = (Tickets::default(), ChaCha12Rng::seed_from_u64(5));
        issue(&mut other, &mut rng, at(0));
        assert!(other.open(at(0), &ticket).is_none());
        assert!(other.open(at(0), &[]).is_none());
    }
}

//! Handshakes that a HELLO began and no proof has finished (PROTOCOL.md section 2). Bounded in
//! number, in bytes and in time.

use std::collections::{BTreeMap, VecDeque};

use slab::Slab;
use stt_crypto::{Aead, Responder};
use stt_wire::PathId;

use crate::path::{Ecn, PathAddress};
use crate::time::Instant;

use super::sources::Source;

/// Sealed datagrams kept for a handshake whose proof has not come yet.
const MAX_HELD: usize = 8;
/// Longest datagram worth keeping: what fits a path that nobody has probed.
const MAX_HELD_LEN: usize = 1500;
/// Bytes kept for all half-open handshakes together.
const MAX_HELD_TOTAL: usize = 1 << 20;

/// See the module.
pub(super) struct HalfOpen {
    /// Index of the shared seed that the HELLO's mac1 holds under.
    pub(super) network: usize,
    pub(super) noise: Responder,
    pub(super) aead: Aead,
    pub(super) ephemeral: [u8; 32],
    /// Stands for the whole HELLO but its cookie.
    pub(super) mac1: [u8; 16],
    pub(super) initiator_id: PathId,
    pub(super) local_id: PathId,
    pub(super) challenge: Box<[u8]>,
    pub(super) created: Instant,
    /// Where the HELLO came from, and the CHALLENGE went.
    path: PathAddress,
    /// The CHALLENGE went to another address as well, so that who answers it need not be at `path`.
    challenged_elsewhere: bool,
    /// How often the CHALLENGE went out.
    pub(super) copies: u32,
    held: Vec<Held>,
}

/// A sealed datagram that came before the proof, and how.
pub(super) struct Held {
    pub(super) path: PathAddress,
    pub(super) ecn: Option<Ecn>,
    pub(super) bytes: Box<[u8]>,
}

impl HalfOpen {
    #[expect(clippy::too_many_arguments, reason = "one field each, built in one place")]
    pub(super) fn new(
        network: usize,
        noise: Responder,
        aead: Aead,
        ephemeral: [u8; 32],
        mac1: [u8; 16],
        initiator_id: PathId,
        local_id: PathId,
        challenge: Box<[u8]>,
        created: Instant,
        path: PathAddress,
    ) -> Self {
        Self {
            network,
            noise,
            aead,
            ephemeral,
            mac1,
            initiator_id,
            local_id,
            challenge,
            created,
            path,
            challenged_elsewhere: false,
            copies: 1,
            held: Vec::new(),
        }
    }

    /// A copy of the HELLO came by `path`: the CHALLENGE, which goes there once more.
    pub(super) fn challenge_again(&mut self, path: &PathAddress) -> &[u8] {
        self.copies += 1;
        self.challenged_elsewhere |= !self.path.same_remote(path);
        &self.challenge
    }

    /// Whether a proof that came by `path` shows that its sender is there.
    pub(super) fn proves(&self, path: &PathAddress) -> bool {
        self.path.same_remote(path) && !self.challenged_elsewhere
    }

    /// The sealed datagrams that came before the proof, oldest first.
    pub(super) fn take_held(&mut self) -> Vec<Held> {
        core::mem::take(&mut self.held)
    }
}

/// The half-open handshakes of an endpoint.
#[derive(Default)]
pub(super) struct HalfOpenTable {
    entries: Slab<HalfOpen>,
    /// By ephemeral key. Strangers choose these, so the map's cost must not depend on the choice.
    by_ephemeral: BTreeMap<[u8; 32], u32>,
    /// How many each source has; sources without any are not in it.
    by_source: BTreeMap<Source, usize>,
    /// In order of creation, which is the order of expiry. May name entries that are gone.
    by_age: VecDeque<(Instant, u32, PathId)>,
    held_bytes: usize,
}

impl HalfOpenTable {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many of them a source has.
    pub(super) fn of_source(&self, source: &Source) -> usize {
        self.by_source.get(source).copied().unwrap_or_default()
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut HalfOpen> {
        self.entries.get_mut(index as usize)
    }

    /// The handshake that this ephemeral key began.
    pub(super) fn by_ephemeral(&mut self, ephemeral: &[u8; 32]) -> Option<&mut HalfOpen> {
        let index = *self.by_ephemeral.get(ephemeral)?;
        self.entries.get_mut(index as usize)
    }

    pub(super) fn insert(&mut self, entry: HalfOpen) -> u32 {
        let (ephemeral, created, id) = (entry.ephemeral, entry.created, entry.local_id);
        *self.by_source.entry(Source::of(&entry.path)).or_default() += 1;
        let index = self.entries.insert(entry) as u32;
        self.by_ephemeral.insert(ephemeral, index);
        self.by_age.push_back((created, index, id));
        index
    }

    pub(super) fn remove(&mut self, index: u32) -> Option<HalfOpen> {
        let entry = self.entries.try_remove(index as usize)?;
        self.by_ephemeral.remove(&entry.ephemeral);
        let source = Source::of(&entry.path);
        if let Some(count) = self.by_source.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.by_source.remove(&source);
            }
        }
        self.held_bytes -= entry.held.iter().map(|held| held.bytes.len()).sum::<usize>();
        // Proofs come long before expiry, so names of the dead would pile up behind a live one.
        if self.by_age.len() > 2 * self.entries.len() + 16 {
            let entries = &self.entries;
            self.by_age.retain(|(_, index, id)| {
                entries.get(*index as usize).is_some_and(|entry| entry.local_id == *id)
            });
        }
        Some(entry)
    }

    /// The oldest entry: when it was made, and which it is.
    pub(super) fn oldest(&mut self) -> Option<(Instant, u32)> {
        while let Some((created, index, id)) = self.by_age.front() {
            if self.entries.get(*index as usize).is_some_and(|entry| entry.local_id == *id) {
                return Some((*created, *index));
            }
            self.by_age.pop_front();
        }
        None
    }

    /// When the oldest was made, and the bytes held, as kept and as counted.
    #[cfg(feature = "inspect")]
    pub(super) fn counted(&self) -> (Option<Instant>, [usize; 2]) {
        let oldest = self.entries.iter().map(|(_, entry)| entry.created).min();
        let held = self.entries.iter().flat_map(|(_, entry)| &entry.held);
        (oldest, [self.held_bytes, held.map(|held| held.bytes.len()).sum()])
    }

    /// Keeps a sealed datagram until the proof comes, if there is room.
    pub(super) fn hold(
        &mut self,
        index: u32,
        path: PathAddress,
        ecn: Option<Ecn>,
        datagram: &[u8],
    ) {
        let Some(entry) = self.entries.get_mut(index as usize) else { return };
        let fits = entry.held.len() < MAX_HELD
            && datagram.len() <= MAX_HELD_LEN
            && self.held_bytes + datagram.len() <= MAX_HELD_TOTAL;
        if fits {
            self.held_bytes += datagram.len();
            entry.held.push(Held { path, ecn, bytes: datagram.into() });
        }
    }
}

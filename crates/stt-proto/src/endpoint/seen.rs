//! Which HELLO ephemerals were served already (PROTOCOL.md section 2): a second use is a replay.

use core::time::Duration;

use rand_core::Rng;
use rustc_hash::FxHashMap;
use stt_crypto::CookieKey;

use crate::path::PathAddress;
use crate::time::Instant;

/// Entries of one generation; two generations are kept, so about 1.5 MiB at most.
const GENERATION: usize = 32_768;

/// What is known of an ephemeral key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sighting {
    /// Never seen.
    Fresh,
    /// Seen, from this very source: a late copy.
    SameSource,
    /// Seen from elsewhere.
    Elsewhere,
}

/// A bounded memory of ephemeral keys. Keys and sources are kept as 64-bit MACs under a secret of
/// this process, so that nobody can aim at a hash bucket or a collision.
pub(crate) struct Seen {
    key: CookieKey,
    current: FxHashMap<u64, u64>,
    previous: FxHashMap<u64, u64>,
    started: Option<Instant>,
    /// A HELLO can be replayed for as long as its timestamp holds: a window before and after.
    span: Option<Duration>,
}

impl Seen {
    /// `window` is the timestamp window; zero leaves only the number of entries as a bound.
    pub(crate) fn new(rng: &mut impl Rng, window: Duration) -> Self {
        let mut secret = [0; 32];
        rng.fill_bytes(&mut secret);
        Self {
            key: CookieKey::new(&secret),
            current: FxHashMap::default(),
            previous: FxHashMap::default(),
            started: None,
            span: (!window.is_zero()).then_some(2 * window),
        }
    }

    /// What is known of `e`, without remembering it.
    pub(crate) fn look(&self, e: &[u8; 32], source: &PathAddress) -> Sighting {
        let key = self.digest(b"e", e);
        match self.current.get(&key).or_else(|| self.previous.get(&key)) {
            None => Sighting::Fresh,
            Some(seen) if *seen == self.digest(b"a", &source.remote_bytes()) => {
                Sighting::SameSource
            }
            Some(_) => Sighting::Elsewhere,
        }
    }

    /// Remembers `e` as served to `source`.
    pub(crate) fn remember(&mut self, now: Instant, e: &[u8; 32], source: &PathAddress) {
        let started = *self.started.get_or_insert(now);
        let aged = self.span.is_some_and(|span| now.saturating_duration_since(started) >= span);
        if aged || self.current.len() >= GENERATION {
            self.previous = core::mem::take(&mut self.current);
            self.started = Some(now);
        }
        let key = self.digest(b"e", e);
        let source = self.digest(b"a", &source.remote_bytes());
        self.current.insert(key, source);
    }

    fn digest(&self, label: &[u8], data: &[u8]) -> u64 {
        let mac = self.key.mac(&[label, data]);
        u64::from_le_bytes([mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], mac[6], mac[7]])
    }
}

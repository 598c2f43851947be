//! A session's keys: one generation to seal with, up to three to open with (PROTOCOL.md section 4).
//!
//! The two directions rotate on their own: a side flips the phase bit of what it sends, the other
//! follows when the first packet of the new phase opens.

use core::time::Duration;

use stt_crypto::{HeaderKey, OpenFailed, OpenKey, OpenKeys, SealKey, SealKeys};

use crate::time::Instant;

/// The longest a key serves, whatever was sealed under it.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// See the module.
pub(crate) struct Keys {
    seal: Sealing,
    open: Opening,
    header_seal: HeaderKey,
    header_open: HeaderKey,
}

struct Sealing {
    key: SealKey,
    phase: bool,
    /// First packet number sealed in this phase.
    first: u64,
    since: Option<Instant>,
    limit: u64,
}

struct Opening {
    current: OpenKey,
    /// Made when the first packet of the other phase comes, and kept: forged phase bits cost one
    /// derivation in all, and a session that never rotates holds no key that it does not use.
    next: Option<OpenKey>,
    previous: Option<(OpenKey, Instant)>,
    phase: bool,
    /// Smallest packet number opened in this phase.
    first: u64,
}

impl Keys {
    /// `limit` is the number of packets after which the sealing key is rotated.
    pub(crate) fn new((seal, open): (SealKeys, OpenKeys), limit: u64) -> Self {
        Self {
            seal: Sealing { key: seal.key, phase: false, first: 0, since: None, limit },
            open: Opening { next: None, current: open.key, previous: None, phase: false, first: 0 },
            header_seal: seal.header,
            header_open: open.header,
        }
    }

    /// The phase bit of packets sealed now.
    pub(crate) fn phase(&self) -> bool {
        self.seal.phase
    }

    /// The phase bit of the newest packets opened.
    pub(crate) fn received_phase(&self) -> bool {
        self.open.phase
    }

    /// Seals `buf`, plaintext followed by room for the tag, in place.
    pub(crate) fn seal(&self, pn: u64, aad: &[u8], buf: &mut [u8]) {
        self.seal.key.seal_in_place(pn, aad, buf);
    }

    /// The mask for a header to send.
    pub(crate) fn mask(&self, sample: &[u8; 16]) -> [u8; 11] {
        self.header_seal.mask(sample)
    }

    /// The masks of headers received.
    pub(crate) fn unmask_batch(&self, samples: &[[u8; 16]], masks: &mut [[u8; 11]]) {
        self.header_open.mask_batch(samples, masks);
    }

    /// Opens `buf`, ciphertext and tag, in place with the key that `phase` and `pn` call for. The
    /// next key is committed only when it opens the packet; the previous one is kept for `keep`.
    /// Returns the length of the plaintext.
    pub(crate) fn open(
        &mut self,
        now: Instant,
        keep: Duration,
        phase: bool,
        pn: u64,
        aad: &[u8],
        buf: &mut [u8],
    ) -> Result<usize, OpenFailed> {
        let open = &mut self.open;
        if phase == open.phase {
            let len = open.current.open_in_place(pn, aad, buf)?;
            open.first = open.first.min(pn);
            return Ok(len);
        }
        if pn < open.first {
            let Some((previous, _)) = &open.previous else { return Err(OpenFailed) };
            let len = previous.open_in_place(pn, aad, buf)?;
            return Ok(len);
        }
        let next = match open.next.take() {
            Some(next) => next,
            None => open.current.next(),
        };
        let len = match next.open_in_place(pn, aad, buf) {
            Ok(len) => len,
            Err(failed) => {
                open.next = Some(next);
                return Err(failed);
            }
        };
        let previous = core::mem::replace(&mut open.current, next);
        open.previous = Some((previous, now + keep));
        open.phase = phase;
        open.first = pn;
        Ok(len)
    }

    /// First packet number sealed with the present key.
    #[cfg(feature = "inspect")]
    pub(crate) fn sealed_first(&self) -> u64 {
        self.seal.first
    }

    /// Rotates the sealing key when it has served its time. `largest_acked` is the largest packet
    /// number that the peer acknowledged: without one of the current phase, and three probe
    /// timeouts (`keep`), no second flip could be told from a late packet.
    pub(crate) fn rotate_if_due(
        &mut self,
        now: Instant,
        keep: Duration,
        next_pn: u64,
        largest_acked: Option<u64>,
    ) -> bool {
        let seal = &mut self.seal;
        let since = *seal.since.get_or_insert(now);
        let age = now.saturating_duration_since(since);
        let due = next_pn - seal.first >= seal.limit || age >= MAX_AGE;
        let confirmed = largest_acked.is_some_and(|acked| acked >= seal.first);
        if !due || !confirmed || age < keep {
            return false;
        }
        seal.key = seal.key.next();
        seal.phase = !seal.phase;
        seal.first = next_pn;
        seal.since = Some(now);
        true
    }

    /// Forgets the previous opening key once its time is over.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.open.previous.take_if(|(_, until)| *until <= now);
    }

    /// When [`Keys::expire`] has something to do.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.open.previous.as_ref().map(|(_, until)| *until)
    }
}

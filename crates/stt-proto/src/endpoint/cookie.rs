//! RETRY's cookies: proof that a source address can be reached, without remembering it
//! (PROTOCOL.md section 3).

use core::time::Duration;

use rand_core::Rng;
use stt_crypto::CookieKey;
use stt_wire::PathId;

use crate::path::PathAddress;
use crate::time::Instant;

/// How long one secret signs; a cookie holds for one to two of these.
const ROTATION: Duration = Duration::from_secs(60);

/// Issues and checks cookies under a secret that rotates.
pub(crate) struct Cookies {
    current: CookieKey,
    previous: CookieKey,
    rotated: Option<Instant>,
}

impl Cookies {
    pub(crate) fn new(rng: &mut impl Rng) -> Self {
        Self { current: fresh(rng), previous: fresh(rng), rotated: None }
    }

    /// A cookie for the HELLO with ephemeral key `e` from `source`.
    pub(crate) fn issue(
        &mut self,
        now: Instant,
        rng: &mut impl Rng,
        source: &PathAddress,
        e: &[u8; 32],
        initiator_id: PathId,
    ) -> [u8; 16] {
        self.rotate(now, rng);
        self.current.mac(&[&source.remote_bytes(), e, &initiator_id.0])
    }

    /// Whether `cookie` is one issued lately for the same HELLO from the same source.
    pub(crate) fn verify(
        &mut self,
        now: Instant,
        rng: &mut impl Rng,
        source: &PathAddress,
        e: &[u8; 32],
        initiator_id: PathId,
        cookie: &[u8; 16],
    ) -> bool {
        self.rotate(now, rng);
        let source = source.remote_bytes();
        let parts: [&[u8]; 3] = [&source, e, &initiator_id.0];
        // Both are computed whatever the first says, so that time tells nothing.
        let current = self.current.verify(&parts, cookie);
        let previous = self.previous.verify(&parts, cookie);
        current | previous
    }

    fn rotate(&mut self, now: Instant, rng: &mut impl Rng) {
        let rotated = *self.rotated.get_or_insert(now);
        let age = now.saturating_duration_since(rotated);
        if age < ROTATION {
            return;
        }
        let next = fresh(rng);
        self.previous = if age < 2 * ROTATION {
            core::mem::replace(&mut self.current, next)
        } else {
            fresh(rng)
        };
        if age >= 2 * ROTATION {
            self.current = fresh(rng);
        }
        self.rotated = Some(now);
    }
}

fn fresh(rng: &mut impl Rng) -> CookieKey {
    let mut secret = [0; 32];
    rng.fill_bytes(&mut secret);
    CookieKey::new(&secret)
}

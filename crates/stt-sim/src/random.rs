//! All chance in a run comes from here.

use core::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// A seeded generator with the few draws that a simulation needs.
#[derive(Clone, Debug)]
pub struct Random(ChaCha8Rng);

impl Random {
    /// The generator of a run, or of one part of it: parts that are named apart do not disturb each
    /// other's draws.
    #[must_use]
    pub fn new(seed: u64, part: &str) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        for (slot, byte) in key[8..].iter_mut().zip(part.bytes()) {
            *slot = byte;
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Any integer.
    pub fn draw(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// An integer below `bound`; 0 where `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.draw() % bound }
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        // 53 bits: all that a double between 0 and 1 can tell apart.
        probability > 0.0 && ((self.draw() >> 11) as f64) < probability * (1_u64 << 53) as f64
    }

    /// A duration up to `longest`.
    pub fn duration(&mut self, longest: Duration) -> Duration {
        Duration::from_nanos(self.below(longest.as_nanos() as u64 + 1))
    }

    /// A duration of the exponential distribution with this mean: how long a state lasts that may
    /// end at any moment. Never zero.
    pub fn exponential(&mut self, mean: Duration) -> Duration {
        // In (0, 1], so that the logarithm is finite.
        let uniform = ((self.draw() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        mean.mul_f64(-uniform.ln()).max(Duration::from_nanos(1))
    }

    /// 32 bytes for a key or a generator.
    pub fn bytes(&mut self) -> [u8; 32] {
        let mut out = [0; 32];
        self.0.fill_bytes(&mut out);
        out
    }
}

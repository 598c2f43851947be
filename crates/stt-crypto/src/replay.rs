//! The replay window (`PROTOCOL.md` section 4): every packet number is accepted once.

#[cfg(test)]
mod tests;

/// Why a packet number is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Replay {
    /// It was accepted before.
    #[error("the packet number was seen before")]
    Duplicate,
    /// It lies below the window, so nobody can tell.
    #[error("the packet number is older than the replay window")]
    TooOld,
}

/// A sliding bitmap over packet numbers.
///
/// It judges the last 2^12 numbers exactly, more after [`resize`](Self::resize), yet stores bits only from the oldest number still
/// missing up to the largest seen. So a session whose packets came in order holds no bits at all, and one with gaps at most 512 bytes
/// at 2^12 (16 KiB at 2^17).
#[derive(Debug, Clone)]
pub struct ReplayWindow {
    /// A ring: the bit of number `n` is `n` modulo its size, a power of two of at least 64 bits; empty until a gap needs it.
    words: Vec<u64>,
    /// Every number below is refused: accepted before, or older than the window.
    base: u64,
    /// One more than the largest number accepted; the ring's bits from `base` to here are valid, all others are not.
    end: u64,
    /// How many numbers, up to the largest, the window spans: a power of two.
    span: u64,
}

impl ReplayWindow {
    /// log2 of the span to start with.
    pub const DEFAULT_BITS: u32 = 12;
    /// log2 of the largest span, for the time of a move, when two paths of very different delay carry one space of numbers.
    pub const MAX_BITS: u32 = 17;
    /// log2 of the smallest span: one word.
    pub const MIN_BITS: u32 = 6;

    /// An empty window of the default span; it allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { words: Vec::new(), base: 0, end: 0, span: 1 << Self::DEFAULT_BITS }
    }

    /// Accepts `number`, once. Call it only for packets whose AEAD holds, else a forger could move the window.
    ///
    /// # Errors
    /// [`Replay`] if it was accepted before or is too old. `u64::MAX` counts as too old: no session lives to send it.
    #[inline]
    pub fn insert(&mut self, number: u64) -> Result<(), Replay> {
        if number == self.end && self.base == self.end && number < u64::MAX {
            // In order with nothing missing: the common case touches no bit.
            self.end += 1;
            self.base = self.end;
            return Ok(());
        }
        self.check(number)?;
        self.accept(number);
        Ok(())
    }

    /// Whether [`insert`](Self::insert) would refuse `number`: to drop a replay before the cost of opening it.
    #[must_use]
    #[inline]
    pub fn contains(&self, number: u64) -> bool {
        self.check(number).is_err()
    }

    /// The largest number accepted so far.
    #[must_use]
    pub fn largest(&self) -> Option<u64> {
        self.end.checked_sub(1)
    }

    /// Sets the span to 2^`bits`, held between [`MIN_BITS`](Self::MIN_BITS) and [`MAX_BITS`](Self::MAX_BITS). Numbers that a smaller
    /// span leaves out are too old from now on; a larger one does not bring forgotten numbers back.
    pub fn resize(&mut self, bits: u32) {
        self.span = 1 << bits.clamp(Self::MIN_BITS, Self::MAX_BITS);
        self.raise_base(self.end.saturating_sub(self.span));
        self.compact();
    }

    /// Gives back the memory that the numbers still missing do not need. Worth a call when a session falls idle.
    pub fn compact(&mut self) {
        let size = Self::ring_words(self.end - self.base);
        if size < self.words.len() {
            self.rebuild(size);
        }
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.words.capacity() * size_of::<u64>()
    }

    fn check(&self, number: u64) -> Result<(), Replay> {
        if number >= self.end {
            if number == u64::MAX { Err(Replay::TooOld) } else { Ok(()) }
        } else if self.end - number > self.span {
            Err(Replay::TooOld)
        } else if number < self.base || self.words[self.word(number)] & bit(number) != 0 {
            Err(Replay::Duplicate)
        } else {
            Ok(())
        }
    }

    /// Sets the bit of a number that [`check`](Self::check) passed.
    fn accept(&mut self, number: u64) {
        if number >= self.end {
            self.extend(number + 1);
        }
        let word = self.word(number);
        self.words[word] |= bit(number);
        if number == self.base {
            self.skip_seen();
        }
    }

    /// Moves the end up to `end`, with the numbers between as yet missing.
    fn extend(&mut self, end: u64) {
        self.raise_base(end.saturating_sub(self.span));
        let size = Self::ring_words(end - self.base);
        if size > self.words.len() {
            self.rebuild(size);
        }
        // Clear word by word: at most once around the ring, as the base was raised first.
        let mut number = self.end;
        while number < end {
            let stop = end.min((number | 63).saturating_add(1));
            let word = self.word(number);
            self.words[word] &= !(ones(stop - number) << (number % 64));
            number = stop;
        }
        self.end = end;
    }

    /// Gives up the numbers below `base`.
    fn raise_base(&mut self, base: u64) {
        if base > self.base {
            self.base = base;
            self.end = self.end.max(base);
            self.skip_seen();
        }
    }

    /// Moves the base over numbers already accepted.
    fn skip_seen(&mut self) {
        while self.base < self.end {
            let offset = self.base % 64;
            let seen = u64::from((self.words[self.word(self.base)] >> offset).trailing_ones());
            // Bits behind the end are not valid: what they add may lie behind the last number there is.
            self.base = self.end.min(self.base.saturating_add(seen));
            if seen < 64 - offset {
                break;
            }
        }
    }

    /// Moves the valid bits into a ring of `size` words.
    fn rebuild(&mut self, size: usize) {
        let old = core::mem::replace(&mut self.words, vec![0; size]);
        let mut number = self.base;
        while number < self.end {
            let stop = self.end.min((number | 63).saturating_add(1));
            let mask = ones(stop - number) << (number % 64);
            let word = self.word(number);
            self.words[word] |= old[ring_index(number, old.len())] & mask;
            number = stop;
        }
    }

    fn word(&self, number: u64) -> usize {
        ring_index(number, self.words.len())
    }

    /// The size of a ring for `count` numbers.
    fn ring_words(count: u64) -> usize {
        match count {
            0 => 0,
            _ => (count.next_power_of_two() / 64).max(1) as usize,
        }
    }
}

impl Default for ReplayWindow {
    fn default() -> Self {
        Self::new()
    }
}

/// The word of a ring of `words` words (a power of two) that holds `number`.
fn ring_index(number: u64, words: usize) -> usize {
    (number / 64) as usize & (words - 1)
}

const fn bit(number: u64) -> u64 {
    1 << (number % 64)
}

/// The lowest `count` bits, 1 to 64.
const fn ones(count: u64) -> u64 {
    u64::MAX >> (64 - count)
}

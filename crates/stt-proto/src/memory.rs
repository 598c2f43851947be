//! What an endpoint holds for its sessions, and the ceiling on it (`docs/adr/0073`).
//!
//! One number for all sessions. What a peer may still send counts as held from the moment it is
//! allowed to: credit cannot be taken back. So that the ceiling holds, credit grows only up to three
//! quarters of it; the rest is for what this side's application writes, and for new sessions and
//! streams. Whoever asks for more than is left is refused with RESOURCE_EXHAUSTED (0x0603) and the
//! numbers, and whatever exists goes on: each session keeps [`Memory::SESSION_FLOOR`] bytes of credit
//! whatever the others hold, so that two endpoints that are both full can still drain each other.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A refusal for want of memory, in numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shortage {
    /// The ceiling, bytes.
    pub limit: u64,
    /// Bytes in use at that time.
    pub used: u64,
    /// Bytes that were asked for.
    pub asked: u64,
}

/// How much more may be held, as of the beginning of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Room {
    /// Bytes to the ceiling.
    pub(crate) all: u64,
    /// Bytes that may be added to what peers are allowed to send.
    pub(crate) credit: u64,
    limit: u64,
}

impl Room {
    /// No ceiling.
    pub(crate) const UNBOUNDED: Self = Self { all: u64::MAX, credit: u64::MAX, limit: u64::MAX };

    /// Takes `bytes`, or says how much is missing.
    pub(crate) fn take(&mut self, bytes: u64) -> Result<(), Shortage> {
        if self.all < bytes {
            return Err(Shortage { limit: self.limit, used: self.limit - self.all, asked: bytes });
        }
        if self.limit != u64::MAX {
            self.all -= bytes;
            self.credit = self.credit.saturating_sub(bytes);
        }
        Ok(())
    }
}

/// See the module. Shared by the core and the driver, whose threads both add to it.
#[derive(Debug)]
pub struct Memory {
    limit: u64,
    used: AtomicU64,
    /// Somebody found no room and waits.
    starved: AtomicBool,
    refused: AtomicU64,
}

impl Memory {
    /// What a session takes beside its credit, its streams and its messages: keys, tables, what loss
    /// recovery remembers.
    pub const SESSION: u64 = 8 * 1024;
    /// Credit that a session has however little is left.
    pub const SESSION_FLOOR: u64 = 16 * 1024;
    /// What a stream takes beside the bytes that credit counts: its state, and the rest of the block
    /// that it fills (`docs/adr/0074`).
    pub const STREAM: u64 = 4 * 1024;
    /// Room from which on those who wait are told.
    const RELIEF: u64 = 16 * 1024;

    /// A ceiling of `limit` bytes; `u64::MAX` for none.
    pub const fn new(limit: u64) -> Self {
        Self {
            limit,
            used: AtomicU64::new(0),
            starved: AtomicBool::new(false),
            refused: AtomicU64::new(0),
        }
    }

    /// The ceiling in bytes; `u64::MAX` when there is none.
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes in use: held, or promised to peers.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::SeqCst)
    }

    /// Bytes to the ceiling.
    pub fn room(&self) -> u64 {
        self.limit.saturating_sub(self.used())
    }

    /// Whether seven eighths or more are in use.
    pub fn is_short(&self) -> bool {
        self.limit != u64::MAX && self.room() <= self.limit / 8
    }

    /// Whether less than half is in use.
    pub fn is_ample(&self) -> bool {
        self.used() < self.limit / 2
    }

    /// Times that something was refused with 0x0603 for the ceiling.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Counts bytes that are held whatever the ceiling says.
    pub fn add(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::SeqCst);
    }

    /// Counts bytes that are held no more.
    pub fn sub(&self, bytes: u64) {
        let used = self.used.fetch_sub(bytes, Ordering::SeqCst);
        debug_assert!(used >= bytes, "{bytes} given back of {used}");
    }

    /// Brings what somebody holds from `before` to `now` bytes.
    pub fn adjust(&self, before: u64, now: u64) {
        if now > before {
            self.add(now - before);
        } else if now < before {
            self.sub(before - now);
        }
    }

    /// Takes as many of `bytes` as there is room for, and counts them. When that is not all, whoever
    /// asked is to be told once [`Self::relieve`] says that there is room.
    pub fn take_up_to(&self, bytes: u64) -> u64 {
        let taken = self.take_part(bytes);
        if taken < bytes {
            self.starved.store(true, Ordering::SeqCst);
            // What was given back before the flag stood told nobody: look again.
            return taken + self.take_part(bytes - taken);
        }
        taken
    }

    /// Takes all of `bytes` or none of them; who got none is to be told as [`Self::take_up_to`] says, and finds
    /// room then if it asked for [`Self::relief`] at most.
    pub fn take_whole(&self, bytes: u64) -> bool {
        if self.try_take(bytes) {
            return true;
        }
        self.starved.store(true, Ordering::SeqCst);
        // As above.
        self.try_take(bytes)
    }

    /// What is worth telling of: so many bytes, or fewer, fit whenever [`Self::relieve`] says that there
    /// is room.
    pub fn relief(&self) -> u64 {
        Self::RELIEF.min(self.limit / 16)
    }

    fn try_take(&self, bytes: u64) -> bool {
        let taken = |used: u64| (self.limit.saturating_sub(used) >= bytes).then_some(used + bytes);
        self.used.fetch_update(Ordering::SeqCst, Ordering::SeqCst, taken).is_ok()
    }

    fn take_part(&self, bytes: u64) -> u64 {
        let mut used = self.used();
        loop {
            let part = self.limit.saturating_sub(used).min(bytes);
            if part == 0 {
                return 0;
            }
            let next =
                self.used.compare_exchange(used, used + part, Ordering::SeqCst, Ordering::SeqCst);
            match next {
                Ok(_) => return part,
                Err(now) => used = now,
            }
        }
    }

    /// Whether somebody waits for room.
    pub fn is_starved(&self) -> bool {
        self.starved.load(Ordering::SeqCst)
    }

    /// True once when somebody waits and there is room: all who wait are to be told.
    pub fn relieve(&self) -> bool {
        self.is_starved()
            && self.room() >= self.relief()
            && self.starved.swap(false, Ordering::SeqCst)
    }

    /// What a refusal of `asked` bytes says, and counts it.
    pub fn refuse(&self, asked: u64) -> Shortage {
        self.refused.fetch_add(1, Ordering::Relaxed);
        Shortage { limit: self.limit, used: self.used(), asked }
    }

    /// Most credit that a session begins with, and tells in its transport parameters; reading fast
    /// raises it.
    pub(crate) fn first_window(&self) -> u64 {
        (self.limit / 256).max(Self::SESSION_FLOOR)
    }

    /// How much more may be held now.
    pub(crate) fn look(&self) -> Room {
        if self.limit == u64::MAX {
            return Room::UNBOUNDED;
        }
        let all = self.room();
        Room { all, credit: all.saturating_sub(self.limit / 4), limit: self.limit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_than_the_ceiling_leaves() {
        let memory = Memory::new(100);
        assert_eq!((memory.take_up_to(60), memory.take_up_to(60)), (60, 40));
        assert_eq!((memory.take_up_to(1), memory.used(), memory.room()), (0, 100, 0));
        // What exists already is counted whatever the ceiling says.
        memory.add(20);
        assert_eq!((memory.take_up_to(1), memory.used()), (0, 120));
    }

    #[test]
    fn all_or_nothing_leaves_what_is_too_little_to_others() {
        let memory = Memory::new(160);
        assert!(memory.take_whole(95) && !memory.is_starved());
        assert!(!memory.take_whole(66) && memory.is_starved());
        assert!(memory.relief() == 10 && memory.relieve());
        assert!(memory.take_whole(65) && memory.take_whole(0) && !memory.take_whole(1));
        assert_eq!(memory.used(), 160);
        assert!(Memory::new(u64::MAX).take_whole(1 << 40));
    }

    #[test]
    fn whoever_waits_is_told_once_and_only_of_room() {
        let memory = Memory::new(1 << 20);
        assert!(!memory.relieve(), "nobody waits");
        assert_eq!(memory.take_up_to(2 << 20), 1 << 20);
        assert!(!memory.relieve(), "no room");
        memory.sub(Memory::RELIEF - 1);
        assert!(!memory.relieve(), "too little to be worth it");
        memory.sub(1);
        assert!(memory.relieve());
        assert!(!memory.relieve(), "told already");
    }

    #[test]
    fn credit_leaves_a_quarter_to_everything_else() {
        let memory = Memory::new(1000);
        memory.add(700);
        assert_eq!((memory.look().all, memory.look().credit), (300, 50));
        memory.add(100);
        assert_eq!((memory.look().all, memory.look().credit), (200, 0));
        let mut room = memory.look();
        assert_eq!(room.take(150), Ok(()));
        assert_eq!(room.take(51), Err(Shortage { limit: 1000, used: 950, asked: 51 }));
        let mut unbounded = Memory::new(u64::MAX).look();
        assert_eq!(unbounded.take(u64::MAX), Ok(()));
        assert_eq!(unbounded, Room::UNBOUNDED);
    }

    #[test]
    fn a_low_ceiling_means_small_first_windows() {
        let first = |limit| Memory::new(limit).first_window();
        assert!(first(u64::MAX) > 1 << 30);
        assert_eq!(first(64 << 20), 256 << 10);
        assert_eq!(first(1 << 20), Memory::SESSION_FLOOR);
    }
}

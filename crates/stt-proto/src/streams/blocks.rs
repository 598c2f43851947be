//! The memory that received bytes are gathered in, which goes round.
//!
//! An [`Assembler`](super::assembler::Assembler) fills blocks, and reading hands out parts of them
//! without a copy. A block that is full is lent: the endpoint keeps a handle that holds none of its
//! bytes, and once that handle is the last, nobody reads in the block any more, and it can be filled
//! anew. So bulk costs no allocation per block, whichever session and thread the bytes went to.

use std::collections::VecDeque;

use core::time::Duration;

use bytes::BytesMut;

use crate::time::Instant;

/// Size of a block.
pub(crate) const BLOCK: usize = 64 * 1024;
/// Lent blocks that one search looks at: those lent first are most often back first, and a search must
/// not cost more than an allocation.
const TRIES: usize = 4;
/// What was not needed for so long is given back to the system.
const PERIOD: Duration = Duration::from_secs(1);

/// The blocks of one endpoint. See the module.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    /// Empty rests of blocks in which others read, the longest lent first.
    lent: VecDeque<BytesMut>,
    /// Those found to be back; the last is used next, so what is not needed stays at the front.
    free: VecDeque<BytesMut>,
    /// Most blocks in both.
    most: usize,
    /// Fewest in `free` since the period began: more were never needed.
    fewest: usize,
    /// Whether any was lent or taken in this period.
    is_used: bool,
    /// The end of the period.
    until: Option<Instant>,
    made: u64,
}

impl Blocks {
    /// Keeps at most `bytes` of memory.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { most: bytes / BLOCK, ..Self::default() }
    }

    /// An empty block with room for [`BLOCK`] bytes: one that came back, or else a new one.
    pub(super) fn take(&mut self) -> BytesMut {
        self.is_used = true;
        self.collect(TRIES);
        let block = self.free.pop_back();
        self.fewest = self.fewest.min(self.free.len());
        block.unwrap_or_else(|| {
            self.made += 1;
            BytesMut::with_capacity(BLOCK)
        })
    }

    /// Looks which of the first `tries` blocks lent are back.
    fn collect(&mut self, tries: usize) {
        for _ in 0..self.lent.len().min(tries) {
            let Some(mut block) = self.lent.pop_front() else { break };
            let is_back = block.try_reclaim(BLOCK);
            if is_back { &mut self.free } else { &mut self.lent }.push_back(block);
        }
    }

    /// Takes the empty rest of a block of which others hold the bytes.
    pub(super) fn lend(&mut self, rest: BytesMut) {
        debug_assert!(rest.is_empty(), "what is lent has no bytes of its own");
        self.is_used = true;
        self.lent.push_back(rest);
        if self.lent.len() + self.free.len() > self.most && self.free.pop_front().is_none() {
            self.lent.pop_front();
        }
    }

    /// Begins a period at `now` if there is something to give back at its end, and none has begun.
    /// Returns the end of one that began.
    pub(crate) fn begin_period(&mut self, now: Instant) -> Option<Instant> {
        if self.until.is_some() || self.held() == 0 {
            return None;
        }
        self.collect(usize::MAX);
        self.fewest = self.free.len();
        self.is_used = false;
        self.until = Some(now + PERIOD);
        self.until
    }

    /// A period may be over: gives back what it did not need, and everything where it needed nothing.
    /// Returns the end of the one that goes on or follows, if any does.
    pub(crate) fn end_period(&mut self, now: Instant) -> Option<Instant> {
        if self.until.is_none_or(|until| until > now) {
            return self.until;
        }
        self.until = None;
        if self.is_used {
            self.free.drain(..self.fewest.min(self.free.len()));
        } else {
            (self.lent, self.free) = (VecDeque::new(), VecDeque::new());
        }
        self.begin_period(now)
    }

    /// Bytes of the blocks that are kept, those still read in included.
    pub(crate) fn held(&self) -> u64 {
        ((self.lent.len() + self.free.len()) * BLOCK) as u64
    }

    /// Bytes of the blocks that are kept and that nobody is known to read in.
    pub(crate) fn kept(&self) -> u64 {
        (self.free.len() * BLOCK) as u64
    }

    /// Gives back what is kept for use again.
    pub(crate) fn give_back(&mut self) {
        self.free = VecDeque::new();
    }

    /// Blocks made because none had come back.
    pub(crate) const fn made(&self) -> u64 {
        self.made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block of which a reader holds the bytes.
    fn lend(blocks: &mut Blocks) -> bytes::Bytes {
        let mut block = blocks.take();
        block.extend_from_slice(&[7; 100]);
        let bytes = block.split().freeze();
        blocks.lend(block);
        bytes
    }

    #[test]
    fn a_block_comes_back_when_its_last_reader_lets_go() {
        let mut blocks = Blocks::new(8 * BLOCK);
        let bytes = lend(&mut blocks);
        let (at, part) = (bytes.as_ptr(), bytes.slice(50..));
        drop(bytes);
        assert_ne!(blocks.take().as_ptr(), at, "a part of it is still read");
        assert_eq!((blocks.made(), &part[..]), (2, &[7; 50][..]));
        drop(part);
        let again = blocks.take();
        assert_eq!((again.as_ptr(), again.capacity()), (at, BLOCK));
        assert_eq!((blocks.made(), blocks.held()), (2, 0));
    }

    #[test]
    fn no_more_is_kept_than_the_bound() {
        let mut blocks = Blocks::new(3 * BLOCK);
        let held: Vec<_> = (0..10).map(|_| lend(&mut blocks)).collect();
        assert_eq!(blocks.held(), 3 * BLOCK as u64);
        drop(held);
        let mut none = Blocks::new(BLOCK - 1);
        lend(&mut none);
        assert_eq!(none.held(), 0);
    }

    #[test]
    fn a_search_passes_over_what_is_still_read() {
        let mut blocks = Blocks::new(8 * BLOCK);
        let slow = lend(&mut blocks);
        for _ in 0..1_000 {
            drop(lend(&mut blocks));
        }
        assert_eq!(blocks.made(), 2);
        assert_eq!(&slow[..], &[7; 100][..]);
    }

    #[test]
    fn what_a_period_did_not_need_goes_back_and_all_of_it_when_nothing_moves() {
        let mut blocks = Blocks::new(64 * BLOCK);
        let mut now = Instant::default();
        drop((0..32).map(|_| lend(&mut blocks)).collect::<Vec<_>>());
        let end = blocks.begin_period(now).unwrap();
        assert_eq!(blocks.begin_period(now), None, "one at a time");
        assert_eq!(blocks.end_period(now), Some(end), "not over yet");
        // Two of the 32 go round.
        for _ in 0..100 {
            drop((lend(&mut blocks), lend(&mut blocks)));
        }
        now = end;
        let end = blocks.end_period(now).unwrap();
        assert!(blocks.held() <= 4 * BLOCK as u64, "{} bytes", blocks.held());
        for _ in 0..100 {
            drop((lend(&mut blocks), lend(&mut blocks)));
        }
        assert_eq!(blocks.made(), 32);
        // A reader that keeps a block for ever keeps no timer alive.
        let _kept = lend(&mut blocks);
        now = end;
        let end = blocks.end_period(now).unwrap();
        assert_eq!(blocks.end_period(end), None);
        assert_eq!((blocks.held(), blocks.lent.capacity() + blocks.free.capacity()), (0, 0));
    }
}

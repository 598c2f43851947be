//! Bytes in any order in, bytes in order out, each exactly once.

use std::collections::{BTreeMap, VecDeque};

use bytes::{BufMut, Bytes, BytesMut};

use super::blocks::{BLOCK, Blocks};

/// Block of a stream of which little has come: short streams stay cheap.
const FIRST_BLOCK: usize = 512;
/// Largest block of a stream whose session has as many larger ones as it may.
pub(super) const SMALL_BLOCK: usize = 4 * 1024;
/// Runs up to this length are copied behind what stands in order; longer ones are handed on whole.
const SMALL_RUN: usize = 4 * 1024;
/// What a skip leaves of a block is copied where it is less than this, so that it does not hold the
/// whole of it.
const SMALL_REST: usize = BLOCK / 4;

/// See the module. It does not judge how much comes: credit does.
///
/// What comes in order is appended to a block, and reading splits pieces off that block without a
/// copy. Once the application has dropped them the block is used again: here, if the reader keeps up,
/// and else where [`Blocks`] finds that it has come back.
///
/// A block is memory that credit does not count, so whoever has many streams has few large ones:
/// [`Assembler::be_frugal`], `docs/adr/0074`.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    /// Full blocks in order, not read.
    ready: VecDeque<Bytes>,
    /// The block that grows, behind `ready`.
    tail: BytesMut,
    /// Whether `tail` is one of [`Blocks`].
    is_tail_lent: bool,
    /// Size of the block that `tail` is a part of.
    tail_size: usize,
    is_frugal: bool,
    /// Runs that came out of order, by offset; they overlap neither each other nor what is in order.
    early: BTreeMap<u64, BytesMut>,
    /// Offset past the last byte read.
    read: u64,
    /// Offset past the last byte in order.
    contiguous: u64,
}

impl Assembler {
    /// Whether blocks are small from now on; frames that are larger then stand alone.
    pub(super) fn be_frugal(&mut self, is_frugal: bool) {
        self.is_frugal = is_frugal;
    }

    /// Whether the block that grows is a large one.
    pub(super) const fn has_large_tail(&self) -> bool {
        self.tail_size > SMALL_BLOCK
    }

    /// Lets go of the block that grows where nothing unread is in it. Returns whether it was a large one.
    pub(super) fn release_tail(&mut self) -> bool {
        if !self.has_large_tail() || !self.tail.is_empty() {
            return false;
        }
        self.tail = BytesMut::new();
        (self.is_tail_lent, self.tail_size) = (false, 0);
        true
    }

    /// Takes bytes. Where some of them are held already, those that came first stay.
    pub(super) fn insert(&mut self, blocks: &mut Blocks, offset: u64, bytes: &[u8]) {
        let known = usize::try_from(self.contiguous.saturating_sub(offset)).unwrap_or(usize::MAX);
        let Some(bytes) = bytes.get(known..).filter(|bytes| !bytes.is_empty()) else { return };
        let offset = offset.max(self.contiguous);
        if self.early.is_empty() && offset == self.contiguous {
            self.append(blocks, bytes);
            return;
        }
        self.insert_missing(blocks, offset, bytes);
        self.join(blocks);
    }

    /// Takes those of `bytes` that no early run has.
    fn insert_missing(&mut self, blocks: &mut Blocks, mut offset: u64, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let before = self.early.range(..=offset).next_back();
            let held = before.map_or(0, |(start, run)| start + run.len() as u64);
            let step = if held > offset {
                usize::try_from(held - offset).unwrap_or(usize::MAX).min(bytes.len())
            } else {
                let next = self.early.range(offset..).next().map_or(u64::MAX, |(start, _)| *start);
                let free = usize::try_from(next - offset).unwrap_or(usize::MAX).min(bytes.len());
                self.keep(blocks, offset, &bytes[..free]);
                free
            };
            offset += step as u64;
            bytes = &bytes[step..];
        }
    }

    fn keep(&mut self, blocks: &mut Blocks, offset: u64, bytes: &[u8]) {
        if offset == self.contiguous {
            self.append(blocks, bytes);
            return;
        }
        if let Some((start, run)) = self.early.range_mut(..offset).next_back()
            && start + run.len() as u64 == offset
            && run.len() + bytes.len() <= BLOCK
        {
            run.put_slice(bytes);
            return;
        }
        let lent = is_block(bytes.len());
        let mut run = if lent { blocks.take() } else { BytesMut::with_capacity(bytes.len()) };
        run.put_slice(bytes);
        self.early.insert(offset, run);
    }

    fn append(&mut self, blocks: &mut Blocks, bytes: &[u8]) {
        if self.tail.capacity() - self.tail.len() < bytes.len() {
            if self.is_frugal && bytes.len() > SMALL_BLOCK {
                // As long as it is, and gone once it is read: no block that grows is kept for it.
                self.close_block();
                self.ready.push_back(Bytes::copy_from_slice(bytes));
                self.contiguous += bytes.len() as u64;
                return;
            }
            self.renew_tail(blocks, bytes.len());
        }
        self.tail.put_slice(bytes);
        self.contiguous += bytes.len() as u64;
    }

    /// Makes room for `needed` bytes.
    fn renew_tail(&mut self, blocks: &mut Blocks, needed: usize) {
        self.close_block();
        let seen = usize::try_from(self.contiguous).unwrap_or(BLOCK);
        let largest = if self.is_frugal { SMALL_BLOCK } else { BLOCK };
        let wanted = seen.clamp(FIRST_BLOCK, largest).max(needed);
        // The same block again when nobody holds a part of it any more.
        if self.tail.try_reclaim(wanted) {
            return;
        }
        let is_lent = is_block(wanted);
        let tail = if is_lent { blocks.take() } else { BytesMut::with_capacity(wanted) };
        self.tail_size = wanted;
        let rest = core::mem::replace(&mut self.tail, tail);
        if core::mem::replace(&mut self.is_tail_lent, is_lent) {
            blocks.lend(rest);
        }
    }

    fn close_block(&mut self) {
        if !self.tail.is_empty() {
            self.ready.push_back(self.tail.split().freeze());
        }
    }

    /// Puts early runs that are in order now where they belong.
    fn join(&mut self, blocks: &mut Blocks) {
        while let Some(entry) = self.early.first_entry() {
            if *entry.key() > self.contiguous {
                return;
            }
            let mut run = entry.remove();
            if run.len() <= SMALL_RUN {
                self.append(blocks, &run);
            } else {
                self.close_block();
                self.contiguous += run.len() as u64;
                let is_lent = run.capacity() == BLOCK;
                self.ready.push_back(run.split().freeze());
                if is_lent {
                    blocks.lend(run);
                }
            }
        }
    }

    /// Takes out the next bytes in order, at most `max`; `None` when there are none.
    pub(super) fn take(&mut self, max: usize) -> Option<Bytes> {
        let bytes = match self.ready.front_mut() {
            Some(block) if block.len() > max => block.split_to(max),
            Some(_) => self.ready.pop_front()?,
            None => self.tail.split_to(max.min(self.tail.len())).freeze(),
        };
        self.read += bytes.len() as u64;
        (!bytes.is_empty()).then_some(bytes)
    }

    /// Drops everything before `offset`, whether it has come or not: reading goes on there.
    pub(super) fn skip_to(&mut self, blocks: &mut Blocks, offset: u64) {
        while let Some(left) = offset.checked_sub(self.read).filter(|left| *left > 0) {
            if self.take(usize::try_from(left).unwrap_or(usize::MAX)).is_none() {
                break;
            }
        }
        if let Some(front) = self.ready.front_mut().filter(|front| front.len() < SMALL_REST) {
            *front = Bytes::copy_from_slice(front);
        }
        if offset <= self.contiguous {
            return;
        }
        (self.read, self.contiguous) = (offset, offset);
        while let Some(entry) = self.early.first_entry().filter(|entry| *entry.key() < offset) {
            let (start, mut run) = entry.remove_entry();
            let known = usize::try_from(offset - start).unwrap_or(usize::MAX);
            if run.len() > known {
                let rest = run.split_off(known);
                let is_small = rest.len() < SMALL_REST;
                self.early.insert(offset, if is_small { BytesMut::from(&rest[..]) } else { rest });
            }
        }
        self.join(blocks);
    }

    /// Offset past the last byte read.
    pub(super) const fn read(&self) -> u64 {
        self.read
    }

    /// Offset past the last byte in order.
    pub(super) const fn contiguous(&self) -> u64 {
        self.contiguous
    }

    /// Runs out of order: what costs memory beside the bytes themselves.
    pub(super) fn runs(&self) -> usize {
        self.early.len()
    }

    /// Bytes that lie in blocks, in order and out of it.
    #[cfg(feature = "inspect")]
    pub(super) fn held(&self) -> u64 {
        let ready: usize = self.ready.iter().map(Bytes::len).sum();
        let early: usize = self.early.values().map(BytesMut::len).sum();
        (ready + self.tail.len() + early) as u64
    }

    /// Bytes that it keeps from being used for anything else, if each block before the one that grows is
    /// as full as blocks become.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        let ready: usize = self.ready.iter().map(Bytes::len).sum();
        ready + self.tail_size + self.early.values().map(BytesMut::capacity).sum::<usize>()
    }

    /// Forgets what is out of order: it can never become readable.
    pub(super) fn discard_early(&mut self) {
        self.early = BTreeMap::new();
    }
}

/// Whether memory for so many bytes is one of [`Blocks`].
fn is_block(bytes: usize) -> bool {
    (BLOCK / 2 + 1..=BLOCK).contains(&bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn take_all(assembler: &mut Assembler, max: usize) -> Vec<u8> {
        core::iter::from_fn(|| assembler.take(max)).flatten().collect()
    }

    #[test]
    fn what_came_first_stays() {
        let mut assembler = Assembler::default();
        assembler.insert(&mut Blocks::default(), 2, b"cd");
        assembler.insert(&mut Blocks::default(), 6, b"gh");
        assembler.insert(&mut Blocks::default(), 0, b"XXXXXXXXXX");
        assembler.insert(&mut Blocks::default(), 0, b"----------");
        assert_eq!(take_all(&mut assembler, 100), b"XXcdXXghXX");
        assert_eq!(assembler.runs(), 0);
    }

    #[test]
    fn a_frugal_stream_keeps_no_large_block_for_a_long_frame() {
        let mut assembler = Assembler::default();
        let bytes: Vec<u8> = (0..4 * SMALL_BLOCK + 300).map(|offset| offset as u8).collect();
        assembler.be_frugal(true);
        let mut at = 0;
        for len in [100, 3 * SMALL_BLOCK, 200, SMALL_BLOCK] {
            assembler.insert(&mut Blocks::default(), at as u64, &bytes[at..at + len]);
            at += len;
            assert!(!assembler.has_large_tail(), "after {at} bytes");
        }
        assert_eq!(take_all(&mut assembler, 5_000), bytes);
    }

    #[test]
    fn neighbours_out_of_order_are_one_run() {
        let mut assembler = Assembler::default();
        for offset in 1..1_000 {
            assembler.insert(&mut Blocks::default(), offset, &[offset as u8]);
        }
        assert_eq!(assembler.runs(), 1);
        assert_eq!(assembler.take(10), None);
        assembler.insert(&mut Blocks::default(), 0, &[0]);
        let expected: Vec<u8> = (0..1_000).map(|offset| offset as u8).collect();
        assert_eq!(take_all(&mut assembler, 7), expected);
    }

    #[test]
    fn a_long_run_is_handed_on_without_a_copy() {
        let mut assembler = Assembler::default();
        assembler.insert(&mut Blocks::default(), 10, &[1; SMALL_RUN + 1]);
        let run = assembler.early[&10].as_ptr();
        assembler.insert(&mut Blocks::default(), 0, &[0; 10]);
        assert_eq!(assembler.take(100).unwrap().len(), 10);
        assert_eq!(assembler.take(usize::MAX).unwrap().as_ptr(), run);
    }

    #[test]
    fn a_reader_that_keeps_up_uses_one_block_again_and_again() {
        let mut assembler = Assembler::default();
        assembler.insert(&mut Blocks::default(), 0, &[0; 2 * BLOCK]);
        while assembler.take(usize::MAX).is_some() {}
        let mut blocks = std::collections::BTreeSet::new();
        for _ in 0..10_000 {
            assembler.insert(&mut Blocks::default(), assembler.contiguous(), &[0; 1_200]);
            let bytes = assembler.take(usize::MAX).unwrap();
            assert_eq!(bytes.len(), 1_200);
            blocks.insert(bytes.as_ptr() as usize / BLOCK);
        }
        assert!(blocks.len() <= 4, "{} blocks", blocks.len());
    }

    #[test]
    fn a_short_stream_takes_little_memory() {
        let mut assembler = Assembler::default();
        assembler.insert(&mut Blocks::default(), 0, &[0; 32]);
        assert!(assembler.tail.capacity() <= 2 * FIRST_BLOCK);
    }

    proptest! {
        /// Frames of any place and length, with reads in between, against the string itself.
        #[test]
        fn the_string_comes_out_once_and_in_order(
            frames in prop::collection::vec((0_usize..400, 0_usize..60), 0..120),
            max in 1_usize..80,
        ) {
            let whole: Vec<u8> = (0..460_u32).map(|at| (at * 7 + at / 256) as u8).collect();
            let mut assembler = Assembler::default();
            let mut out = Vec::new();
            let mut held = vec![false; whole.len()];
            for (index, (start, len)) in frames.into_iter().enumerate() {
                assembler.insert(&mut Blocks::default(), start as u64, &whole[start..start + len]);
                held[start..start + len].fill(true);
                let contiguous = held.iter().take_while(|held| **held).count();
                prop_assert_eq!(assembler.contiguous(), contiguous as u64);
                if index % 3 == 0 {
                    out.extend(take_all(&mut assembler, max));
                    prop_assert_eq!(assembler.read(), contiguous as u64);
                }
            }
            assembler.insert(&mut Blocks::default(), 0, &whole);
            prop_assert_eq!(assembler.runs(), 0);
            out.extend(take_all(&mut assembler, max));
            prop_assert_eq!(out, whole);
        }
    }
}

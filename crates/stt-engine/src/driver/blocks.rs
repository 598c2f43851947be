//! Memory that packets for connections are made in, and that goes round.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use bytes::Bytes;

use crate::sync::{Mutex, PoisonError};

/// Bytes of a block: what a call to the core makes at most.
pub(super) const BLOCK: usize = 64 * 1024;

/// Blocks that wait for their next use: what a connection takes at a time, and some more.
const KEPT: usize = 12;

/// Blocks that nobody uses now. Fresh memory costs more than what is written to it: the allocator gives so large a
/// piece back to the system, which has to clear it the next time.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    free: Arc<Mutex<VecDeque<Box<[u8]>>>>,
}

impl Blocks {
    /// What stands at the start of `filled`, which another block takes the place of.
    pub(super) fn take(&self, filled: &mut Box<[u8]>, len: usize) -> Bytes {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop_back();
        let fresh = free.unwrap_or_else(|| vec![0; BLOCK].into_boxed_slice());
        let block = mem::replace(filled, fresh);
        Bytes::from_owner(Filled { block, len, free: Arc::clone(&self.free) })
    }

    /// Nothing is carried any more: lets go of all of them, and of those that are still read once they are not.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// A block whose start holds a message, until it is dropped, on whatever thread.
struct Filled {
    block: Box<[u8]>,
    len: usize,
    free: Arc<Mutex<VecDeque<Box<[u8]>>>>,
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        self.block.get(..self.len).unwrap_or_default()
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < KEPT && self.block.len() == BLOCK {
            free.push_back(mem::take(&mut self.block));
        }
    }
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests {
    use super::*;

    #[test]
    fn blocks_go_round_and_are_not_hoarded() {
        let mut blocks = Blocks::default();
        let mut current = vec![1; BLOCK].into_boxed_slice();
        let first = current.as_ptr();
        let message = blocks.take(&mut current, 3);
        assert_eq!(&message[..], [1, 1, 1]);
        assert_eq!(message.as_ptr(), first);
        let part = message.slice(1..);
        drop(message);
        let other = blocks.take(&mut current, 5);
        assert_ne!(current.as_ptr(), first, "still read");
        drop(part);
        drop(blocks.take(&mut current, 5));
        assert_eq!((current.as_ptr(), other.len()), (first, 5));
        let many: Vec<_> = (0..2 * KEPT).map(|_| blocks.take(&mut current, BLOCK)).collect();
        drop(many);
        assert_eq!(blocks.free.lock().unwrap().len(), KEPT);
        let late = blocks.take(&mut current, BLOCK);
        blocks.clear();
        drop(late);
        assert_eq!(blocks.free.lock().unwrap().len(), 0);
    }
}

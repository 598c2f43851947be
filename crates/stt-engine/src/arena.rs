//! Where written bytes are copied to on the application's thread.

use std::collections::VecDeque;

use bytes::BytesMut;

/// Size of one step. Small writes share it, so it is freed when the last of them is acknowledged.
const STEP: usize = 256 * 1024;

/// Steps kept for reuse, so that a steady writer does not ask the system for fresh pages all the
/// time. Enough for the default send buffer of 2 MiB.
const KEPT: usize = 9;

/// Cuts owned pieces out of large allocations.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    current: Option<BytesMut>,
    /// Used-up steps; each can be used again once every piece of it is gone.
    retired: VecDeque<BytesMut>,
}

impl Arena {
    /// Copies the start of `bytes`, as much as the current step holds, and returns the copy.
    pub(crate) fn copy(&mut self, bytes: &[u8]) -> BytesMut {
        let retired = self.current.take_if(|step| step.capacity() == 0);
        let step = self.current.get_or_insert_with(|| Self::next_step(&mut self.retired, retired));
        let len = bytes.len().min(step.capacity());
        step.extend_from_slice(&bytes[..len]);
        step.split()
    }

    fn next_step(retired: &mut VecDeque<BytesMut>, used_up: Option<BytesMut>) -> BytesMut {
        retired.extend(used_up);
        let free = retired.front_mut().is_some_and(|oldest| oldest.try_reclaim(STEP));
        let reusable = if free || retired.len() > KEPT { retired.pop_front() } else { None };
        reusable.filter(|_| free).unwrap_or_else(|| BytesMut::with_capacity(STEP))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_one_step_join_without_a_copy() {
        let mut arena = Arena::default();
        let mut first = arena.copy(b"one ");
        let start = first.as_ptr();
        first.unsplit(arena.copy(b"two"));
        assert_eq!(&first[..], b"one two");
        assert_eq!(first.as_ptr(), start);
    }

    #[test]
    fn a_large_write_is_cut_into_steps() {
        let mut arena = Arena::default();
        let bytes: Vec<u8> = (0..STEP + 10).map(|i| i as u8).collect();
        let first = arena.copy(&bytes);
        assert_eq!(first.len(), STEP);
        let second = arena.copy(&bytes[first.len()..]);
        assert_eq!(second.len(), 10);
        assert_eq!([&first[..], &second[..]].concat(), bytes);
    }

    #[test]
    fn steps_are_used_again_once_their_pieces_are_gone() {
        let mut arena = Arena::default();
        let bytes = vec![1; STEP];
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..100 {
            seen.insert(arena.copy(&bytes).freeze().as_ptr() as usize);
        }
        assert!(seen.len() <= 3, "{} allocations", seen.len());
    }
}

//! How many of the packets that came of late were damaged on the way (PROTOCOL.md section 1.3).

/// Packets in each half of the window.
const HALF: u32 = 256;
/// Packets that must have been seen for a judgement.
const SAMPLE: u32 = 100;

/// A window over the newest packets, at most twice [`HALF`] of them, from the first damaged one on. It
/// exists only while it holds one.
#[derive(Default)]
pub(crate) struct Quality {
    older: Counts,
    newer: Counts,
    warned: bool,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    good: u32,
    damaged: u32,
}

impl Quality {
    /// A packet came whole. False when the window holds no damaged one any more.
    pub(crate) fn on_whole(&mut self) -> bool {
        self.newer.good += 1;
        self.turn();
        let (damaged, packets) = self.seen();
        if self.warned && packets >= SAMPLE && damaged * 40 < packets {
            self.warned = false;
        }
        damaged > 0 || self.warned
    }

    /// One came damaged. The damaged ones and all in the window, when it is to be told: more than one
    /// in twenty, for the first time since it was less than one in forty.
    pub(crate) fn on_damaged(&mut self) -> Option<(u32, u32)> {
        self.newer.damaged += 1;
        self.turn();
        let (damaged, packets) = self.seen();
        if self.warned || packets < SAMPLE || damaged * 20 <= packets {
            return None;
        }
        self.warned = true;
        Some((damaged, packets))
    }

    fn seen(&self) -> (u32, u32) {
        let damaged = self.older.damaged + self.newer.damaged;
        (damaged, damaged + self.older.good + self.newer.good)
    }

    fn turn(&mut self) {
        if self.newer.good + self.newer.damaged >= HALF {
            self.older = core::mem::take(&mut self.newer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The warnings that `packets` packets bring of which every `one_in`th is damaged.
    fn run(quality: &mut Quality, packets: u32, one_in: u32) -> Vec<(u32, u32)> {
        let mut told = Vec::new();
        for packet in 1..=packets {
            if packet % one_in == 0 {
                told.extend(quality.on_damaged());
            } else {
                quality.on_whole();
            }
        }
        told
    }

    #[test]
    fn what_was_long_ago_hides_nothing_and_one_spell_is_told_once() {
        let mut quality = Quality::default();
        assert_eq!(run(&mut quality, 1_000_000, 100), [], "one in a hundred is no reason");
        let told = run(&mut quality, 10_000, 5);
        assert_eq!(told.len(), 1, "{told:?}");
        let (damaged, packets) = told[0];
        assert!(damaged * 20 > packets && packets <= 2 * HALF, "{told:?}");
    }

    #[test]
    fn a_warning_passes_by_itself_and_may_come_again() {
        let mut quality = Quality::default();
        assert_eq!(run(&mut quality, 1_000, 5).len(), 1);
        assert!((0..2 * HALF).any(|_| !quality.on_whole()), "the window is of no use any more");
        assert_eq!(run(&mut quality, 1_000, 5).len(), 1);
    }

    #[test]
    fn few_packets_are_no_sample() {
        let mut quality = Quality::default();
        assert_eq!(run(&mut quality, SAMPLE - 1, 1), []);
        assert_eq!(quality.on_damaged(), Some((SAMPLE, SAMPLE)));
    }
}

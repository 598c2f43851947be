//! What becomes of the packets that are larger than every path must carry: a path that stops
//! carrying them (a black hole, RFC 8899 section 4.3) loses them all while smaller ones arrive.

/// The fates of one path's large packets. Places are those of [`super::sent`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LargePackets {
    /// One more than the latest place of a large packet that arrived, and that was lost.
    arrived: u64,
    lost: u64,
    in_a_row: u32,
}

impl LargePackets {
    /// The large packet at `place` arrived.
    pub(crate) fn on_arrived(&mut self, place: u64) {
        self.arrived = self.arrived.max(place + 1);
        if self.arrived > self.lost {
            self.in_a_row = 0;
        }
    }

    /// The large packet at `place` was lost, which a later one that arrived has shown.
    pub(crate) fn on_lost(&mut self, place: u64) {
        if place >= self.arrived {
            self.lost = self.lost.max(place + 1);
            self.in_a_row = self.in_a_row.saturating_add(1);
        }
    }

    /// Packets lost since the latest that arrived. As a loss shows by a later packet that did
    /// arrive, more than none means that smaller ones come through.
    pub(crate) fn lost_in_a_row(&self) -> u32 {
        self.in_a_row
    }

    /// Begins anew: the size was proven, or is another.
    pub(crate) fn reset(&mut self) {
        self.in_a_row = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_arrival_after_the_losses_clears_them() {
        let mut large = LargePackets::default();
        large.on_arrived(3);
        [4, 5, 6].into_iter().for_each(|place| large.on_lost(place));
        assert_eq!(large.lost_in_a_row(), 3);
        large.on_arrived(2);
        assert_eq!(large.lost_in_a_row(), 3, "sent before them");
        large.on_arrived(7);
        assert_eq!(large.lost_in_a_row(), 0);
        large.on_lost(5);
        assert_eq!(large.lost_in_a_row(), 0, "a later one had arrived");
    }
}

//! A small set of numbers, kept as ranges.

use core::ops::Range;

/// Disjoint half-open ranges in ascending order that do not touch. Empty, or a few long, except while
/// much is lost or reordered: hence a plain vector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RangeSet(Vec<Range<u64>>);

impl RangeSet {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of separate ranges.
    #[cfg(any(test, feature = "inspect"))]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The lowest range.
    pub(super) fn first(&self) -> Option<Range<u64>> {
        self.0.first().cloned()
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        let index = self.0.partition_point(|range| range.end <= number);
        self.0.get(index).is_some_and(|range| range.start <= number)
    }

    /// Adds `range`, joining it with those that it overlaps or touches.
    pub(super) fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.0.partition_point(|other| other.end < range.start);
        let after = first + self.0[first..].partition_point(|other| other.start <= range.end);
        match self.0[first..after] {
            [] => self.0.insert(first, range),
            [ref mut only] => *only = only.start.min(range.start)..only.end.max(range.end),
            [ref lowest, .., ref highest] => {
                let joined = lowest.start.min(range.start)..highest.end.max(range.end);
                self.0[first] = joined;
                self.0.drain(first + 1..after);
            }
        }
    }

    /// Takes `range` out.
    pub(super) fn remove(&mut self, range: &Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.0.partition_point(|other| other.end <= range.start);
        let after = first + self.0[first..].partition_point(|other| other.start < range.end);
        let (Some(lowest), Some(highest)) =
            (self.0[first..after].first(), self.0[first..after].last())
        else {
            return;
        };
        let below = lowest.start..range.start;
        let above = range.end..highest.end;
        let kept = [below, above].into_iter().filter(|rest| rest.start < rest.end);
        self.0.splice(first..after, kept);
    }

    /// The parts of `range` that are not in the set, ascending.
    pub(super) fn gaps_in(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let first = self.0.partition_point(|other| other.end <= range.start);
        let mut held = self.0[first..].iter();
        let mut at = range.start;
        core::iter::from_fn(move || {
            while at < range.end {
                let next = held.next().map_or(range.end..range.end, Range::clone);
                let gap = at..next.start.min(range.end);
                at = next.end.max(at);
                if !gap.is_empty() {
                    return Some(gap);
                }
            }
            None
        })
    }

    /// Numbers in the set.
    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }

    /// Forgets everything and its memory.
    pub(super) fn clear(&mut self) {
        self.0 = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: u64 = 7;

    /// The set that has the numbers of `bits`, built range by range.
    fn set_of(bits: u32) -> RangeSet {
        let mut set = RangeSet::default();
        for number in (0..WIDTH).filter(|number| bits >> number & 1 == 1) {
            set.insert(number..number + 1);
        }
        set
    }

    fn bits_of(set: &RangeSet) -> u32 {
        assert!(set.0.windows(2).all(|pair| pair[0].end < pair[1].start), "{set:?}");
        assert!(set.0.iter().all(|range| !range.is_empty()), "{set:?}");
        set.0.iter().cloned().flatten().fold(0, |bits, number| bits | 1 << number)
    }

    fn mask(range: &Range<u64>) -> u32 {
        range.clone().fold(0, |bits, number| bits | 1 << number)
    }

    /// Every set of seven numbers against every range over them.
    #[test]
    fn every_small_set_behaves_as_bits_do() {
        for bits in 0..1_u32 << WIDTH {
            let set = set_of(bits);
            assert_eq!(bits_of(&set), bits);
            assert_eq!(set.count(), u64::from(bits.count_ones()));
            for number in 0..WIDTH {
                assert_eq!(set.contains(number), bits >> number & 1 == 1);
            }
            for start in 0..=WIDTH {
                for end in start..=WIDTH {
                    let range = start..end;
                    let mut grown = set.clone();
                    grown.insert(range.clone());
                    assert_eq!(bits_of(&grown), bits | mask(&range));
                    let mut shrunk = set.clone();
                    shrunk.remove(&range);
                    assert_eq!(bits_of(&shrunk), bits & !mask(&range));
                    let gaps = set.gaps_in(range.clone()).fold(0, |all, gap| {
                        assert!(!gap.is_empty());
                        all | mask(&gap)
                    });
                    assert_eq!(gaps, mask(&range) & !bits);
                }
            }
        }
    }
}

//! A small set of byte ranges.

use core::ops::Range;
use std::collections::VecDeque;

/// Disjoint ranges that do not touch, in ascending order. Nearly always empty or a few long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RangeSet(VecDeque<Range<u64>>);

impl RangeSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lowest range.
    pub(crate) fn first(&self) -> Option<Range<u64>> {
        self.0.front().cloned()
    }

    /// Adds a range, joining it with those that it overlaps or touches.
    pub(crate) fn insert(&mut self, mut range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let from = self.0.partition_point(|other| other.end < range.start);
        let to = self.0.partition_point(|other| other.start <= range.end);
        if let (Some(first), Some(last)) = (self.0.get(from), self.0.get(to.wrapping_sub(1)))
            && from < to
        {
            range = range.start.min(first.start)..range.end.max(last.end);
        }
        self.0.drain(from..to);
        self.0.insert(from, range);
    }

    /// Takes a range out.
    pub(crate) fn remove(&mut self, range: &Range<u64>) {
        if range.is_empty() {
            return;
        }
        let mut index = self.0.partition_point(|other| other.end <= range.start);
        while let Some(other) = self.0.get(index).filter(|other| other.start < range.end).cloned() {
            self.0.remove(index);
            for rest in [range.end..other.end, other.start..range.start] {
                if !rest.is_empty() {
                    self.0.insert(index, rest);
                }
            }
            index = self.0.partition_point(|other| other.end <= range.start);
        }
    }

    /// Takes out what lies below `end` and says up to where the set is contiguous from `start`.
    pub(crate) fn advance(&mut self, start: u64) -> u64 {
        match self.first() {
            Some(first) if first.start <= start => {
                self.0.pop_front();
                first.end.max(start)
            }
            _ => start,
        }
    }

    /// The ranges that share bytes with `range`.
    pub(crate) fn overlapping<'a>(
        &'a self,
        range: &Range<u64>,
    ) -> impl Iterator<Item = Range<u64>> + use<'a> {
        let from = self.0.partition_point(|other| other.end <= range.start);
        let end = range.end;
        self.0.range(from..).take_while(move |other| other.start < end).cloned()
    }

    /// The ranges, lowest first.
    pub(crate) fn into_iter(self) -> impl Iterator<Item = Range<u64>> {
        self.0.into_iter()
    }

    pub(crate) fn clear(&mut self) {
        self.0 = VecDeque::new();
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Range<u64>> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn equals_a_set_of_numbers(steps in prop::collection::vec((any::<bool>(), 0_u64..60, 0_u64..12), 1..60)) {
            let (mut ranges, mut model) = (RangeSet::default(), BTreeSet::new());
            for (insert, start, len) in steps {
                let range = start..start + len;
                if insert {
                    ranges.insert(range.clone());
                    model.extend(range);
                } else {
                    ranges.remove(&range);
                    model.retain(|number| !range.contains(number));
                }
                let numbers: Vec<u64> = ranges.iter().cloned().flatten().collect();
                prop_assert_eq!(&numbers, &model.iter().copied().collect::<Vec<_>>());
                prop_assert!(ranges.iter().zip(ranges.iter().skip(1)).all(|(a, b)| a.end < b.start));
            }
        }
    }
}

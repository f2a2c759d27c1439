//! Sets of byte positions, stored as ranges.

use alloc::collections::BTreeMap;
use core::ops::Range;

/// A set of byte positions as disjoint ranges that do not touch: its memory grows with the number of gaps
/// and not with the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet {
    /// Start to end.
    ranges: BTreeMap<u64, u64>,
    total: u64,
}

impl RangeSet {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self { ranges: BTreeMap::new(), total: 0 }
    }

    /// Adds a range.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        // From the last one that starts at or before the end, back to the first that touches.
        while let Some((&from, &to)) = self.ranges.range(..=end).next_back() {
            if to < start {
                break;
            }
            self.ranges.remove(&from);
            self.total -= to - from;
            start = start.min(from);
            end = end.max(to);
        }
        self.ranges.insert(start, end);
        self.total += end - start;
    }

    /// Removes a range.
    pub fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        while let Some((&from, &to)) = self.ranges.range(..range.end).next_back() {
            if to <= range.start {
                break;
            }
            self.ranges.remove(&from);
            self.total -= to - from;
            for (from, to) in [(from, range.start.min(to)), (range.end.max(from), to)] {
                if from < to {
                    self.ranges.insert(from, to);
                    self.total += to - from;
                }
            }
        }
    }

    /// Whether all of a range is in the set. The empty range always is.
    #[must_use]
    pub fn contains(&self, range: &Range<u64>) -> bool {
        range.is_empty() || self.contiguous_end(range.start) >= range.end
    }

    /// How many bytes of a range are in the set.
    #[must_use]
    pub fn covered(&self, range: &Range<u64>) -> u64 {
        let first = self.ranges.range(..=range.start).next_back();
        let rest = self.ranges.range(range.start.saturating_add(1)..range.end.max(range.start + 1));
        first
            .into_iter()
            .chain(rest)
            .map(|(from, to)| to.min(&range.end).saturating_sub(*from.max(&range.start)))
            .sum()
    }

    /// The end of the range that contains `at`; `at` itself when none does.
    #[must_use]
    pub fn contiguous_end(&self, at: u64) -> u64 {
        self.ranges.range(..=at).next_back().map_or(at, |(_, end)| at.max(*end))
    }

    /// How many bytes are in the set.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// How many ranges there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether nothing is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The ranges in order.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.ranges.iter().map(|(from, to)| *from..*to)
    }
}

#[cfg(any(test, feature = "testing"))]
impl RangeSet {
    /// Checks the structure.
    ///
    /// # Panics
    ///
    /// When ranges are empty, overlap or touch, or the total is not their sum.
    pub(in crate::chunk) fn validate(&self) {
        let mut end = None;
        for range in self.iter() {
            assert!(!range.is_empty() && end.is_none_or(|end| end < range.start), "{range:?}");
            end = Some(range.end);
        }
        assert_eq!(self.iter().map(|range| range.end - range.start).sum::<u64>(), self.total);
    }
}

impl FromIterator<Range<u64>> for RangeSet {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        let mut set = Self::new();
        for range in ranges {
            set.insert(range);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    const SIZE: u64 = 24;

    proptest! {
        #[test]
        fn a_range_set_is_a_set_of_positions(
            ops in proptest::collection::vec((any::<bool>(), 0..SIZE, 0..SIZE), 0..40),
        ) {
            let mut ranges = RangeSet::new();
            let mut model = [false; SIZE as usize];
            for (add, from, to) in ops {
                let range = from..to;
                if add { ranges.insert(range.clone()) } else { ranges.remove(range.clone()) }
                for at in range {
                    model[at as usize] = add;
                }
                let has = |at: u64| model[at as usize];
                prop_assert_eq!(ranges.total(), (0..SIZE).filter(|at| has(*at)).count() as u64);
                for from in 0..SIZE {
                    for to in from..SIZE {
                        let count = (from..to).filter(|at| has(*at)).count() as u64;
                        prop_assert_eq!(ranges.covered(&(from..to)), count);
                        prop_assert_eq!(ranges.contains(&(from..to)), count == to - from);
                    }
                    let end = (from..SIZE).find(|at| !has(*at)).unwrap_or(SIZE);
                    prop_assert_eq!(ranges.contiguous_end(from), end);
                }
                let list: Vec<_> = ranges.iter().collect();
                prop_assert!(list.windows(2).all(|pair| pair[0].end < pair[1].start));
                prop_assert_eq!(list.into_iter().collect::<RangeSet>(), ranges.clone());
            }
        }
    }
}

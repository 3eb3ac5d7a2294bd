//! Sets of byte ranges: sorted, never empty, never touching each other.
//!
//! Two ranges that overlap or touch are one range, so equal sets have equal representations.

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of byte positions, kept as sorted, merged, half-open ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet {
    /// Start to end.
    ranges: BTreeMap<u64, u64>,
}

impl RangeSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a range; an empty or reversed one changes nothing.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let Range { mut start, mut end } = range;
        while let Some((&low, &high)) = self.ranges.range(..=end).next_back() {
            if high < start {
                break;
            }
            start = start.min(low);
            end = end.max(high);
            self.ranges.remove(&low);
        }
        self.ranges.insert(start, end);
    }

    /// Adds every range of another set.
    pub fn union(&mut self, other: &Self) {
        for range in other.iter() {
            self.insert(range);
        }
    }

    /// The positions that are in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut both = Self::new();
        let (mut left, mut right) = (self.iter().peekable(), other.iter().peekable());
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            both.insert(a.start.max(b.start)..a.end.min(b.end));
            if a.end <= b.end {
                left.next();
            } else {
                right.next();
            }
        }
        both
    }

    /// Whether every position of the range is in the set.
    pub fn contains(&self, range: &Range<u64>) -> bool {
        range.is_empty()
            || self
                .ranges
                .range(..=range.start)
                .next_back()
                .is_some_and(|(_, &end)| end >= range.end)
    }

    /// The ranges in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.ranges.iter().map(|(&start, &end)| start..end)
    }

    /// How many bytes the set covers.
    pub fn total(&self) -> u64 {
        self.iter().map(|range| range.end - range.start).sum()
    }

    /// Whether the set covers nothing.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

impl FromIterator<Range<u64>> for RangeSet {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        let mut set = Self::new();
        set.extend(ranges);
        set
    }
}

impl Extend<Range<u64>> for RangeSet {
    fn extend<I: IntoIterator<Item = Range<u64>>>(&mut self, ranges: I) {
        for range in ranges {
            self.insert(range);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RangeSet;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::ops::Range;

    fn points(set: &RangeSet) -> BTreeSet<u64> {
        set.iter().flatten().collect()
    }

    fn some_ranges() -> impl Strategy<Value = Vec<Range<u64>>> {
        prop::collection::vec((0u64..60, 0u64..12).prop_map(|(at, len)| at..at + len), 0..20)
    }

    proptest! {
        #[test]
        fn behaves_as_a_set_of_positions(a in some_ranges(), b in some_ranges()) {
            let (left, right): (RangeSet, RangeSet) =
                (a.iter().cloned().collect(), b.iter().cloned().collect());
            let model: BTreeSet<u64> = a.into_iter().flatten().collect();
            let other: BTreeSet<u64> = b.into_iter().flatten().collect();
            prop_assert_eq!(points(&left), model.clone());
            prop_assert_eq!(left.total(), model.len() as u64);
            let merged: Vec<_> = left.iter().collect();
            prop_assert!(merged.windows(2).all(|pair| pair[0].end < pair[1].start));
            let mut both = left.clone();
            both.union(&right);
            prop_assert_eq!(points(&both), model.union(&other).copied().collect());
            let common = left.intersection(&right);
            prop_assert_eq!(points(&common), model.intersection(&other).copied().collect());
            for at in 0..70 {
                let probe = at..at + 3;
                let inside = probe.clone().all(|point| model.contains(&point));
                prop_assert_eq!(left.contains(&probe), inside);
            }
        }
    }
}

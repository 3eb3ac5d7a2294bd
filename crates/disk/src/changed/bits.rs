//! A sparse set of numbers, kept as groups of 256 bits.
//!
//! No group is kept empty, so equal sets have equal representations.

use std::collections::BTreeMap;
use std::ops::Range;

/// Bits of one group; one window has as many units.
pub(crate) const GROUP: u64 = 256;

/// The bits of one group, lowest first.
pub(crate) type Group = [u64; 4];

/// Every bit of a group.
pub(crate) const FULL: Group = [u64::MAX; 4];

/// A sparse set of numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bits {
    groups: BTreeMap<u64, Group>,
}

impl Bits {
    /// Adds every number of a range.
    pub(crate) fn insert(&mut self, range: Range<u64>) {
        for (group, mask) in masks(range) {
            self.insert_group(group, mask);
        }
    }

    /// Adds the numbers of a group.
    pub(crate) fn insert_group(&mut self, group: u64, mask: Group) {
        if mask != Group::default() {
            let words = self.groups.entry(group).or_default();
            for (word, bits) in words.iter_mut().zip(mask) {
                *word |= bits;
            }
        }
    }

    /// Takes every number of a range out.
    pub(crate) fn remove(&mut self, range: Range<u64>) {
        for (group, mask) in masks(range) {
            let Some(words) = self.groups.get_mut(&group) else {
                continue;
            };
            for (word, bits) in words.iter_mut().zip(mask) {
                *word &= !bits;
            }
            if *words == Group::default() {
                self.groups.remove(&group);
            }
        }
    }

    /// Adds every number of another set.
    pub(crate) fn union(&mut self, other: &Self) {
        for (&group, &mask) in &other.groups {
            self.insert_group(group, mask);
        }
    }

    /// Whether a number is in the set.
    pub(crate) fn contains(&self, number: u64) -> bool {
        let word = usize::try_from(number % GROUP / 64).unwrap_or_default();
        let words = self.groups.get(&(number / GROUP));
        words.and_then(|words| words.get(word)).is_some_and(|bits| bits >> (number % 64) & 1 == 1)
    }

    /// The bits of one group.
    pub(crate) fn group(&self, group: u64) -> Group {
        self.groups.get(&group).copied().unwrap_or_default()
    }

    /// The groups that are not empty, in ascending order.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (u64, Group)> + '_ {
        self.groups.iter().map(|(&group, &mask)| (group, mask))
    }

    /// The numbers in ascending order, as maximal runs.
    pub(crate) fn runs(&self) -> Vec<Range<u64>> {
        let mut runs: Vec<Range<u64>> = Vec::new();
        for (group, words) in self.groups() {
            for (word, mut bits) in (0u64..).zip(words) {
                let mut base = group * GROUP + word * 64;
                let end = base + 64;
                while base < end && bits != 0 {
                    let skip = u64::from(bits.trailing_zeros());
                    bits >>= skip;
                    let length = u64::from(bits.trailing_ones());
                    bits = bits.checked_shr(bits.trailing_ones()).unwrap_or(0);
                    push(&mut runs, base + skip..base + skip + length);
                    base += skip + length;
                }
            }
        }
        runs
    }

    /// The runs of numbers of a range that are not in the set.
    pub(crate) fn gaps(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut gaps = Vec::new();
        for number in range {
            if !self.contains(number) {
                push(&mut gaps, number..number + 1);
            }
        }
        gaps
    }

    /// The runs of numbers of a range that are in the set.
    pub(crate) fn runs_in(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut runs = Vec::new();
        for number in range {
            if self.contains(number) {
                push(&mut runs, number..number + 1);
            }
        }
        runs
    }
}

/// Adds a run behind the others, joined with the last where they touch.
fn push(runs: &mut Vec<Range<u64>>, run: Range<u64>) {
    match runs.last_mut() {
        Some(last) if last.end == run.start => last.end = run.end,
        _ => runs.push(run),
    }
}

/// A range as masks of the groups that it touches.
fn masks(range: Range<u64>) -> impl Iterator<Item = (u64, Group)> {
    let groups = range.start / GROUP..range.end.div_ceil(GROUP);
    groups.map(move |group| {
        let mut mask = Group::default();
        for (word, bits) in (0u64..).zip(mask.iter_mut()) {
            let base = group * GROUP + word * 64;
            let low = range.start.clamp(base, base + 64) - base;
            let high = range.end.clamp(base, base + 64) - base;
            *bits = ones(high) & !ones(low);
        }
        (group, mask)
    })
}

/// A word whose lowest bits are set.
fn ones(count: u64) -> u64 {
    if count >= 64 { u64::MAX } else { (1 << count) - 1 }
}

#[cfg(test)]
mod tests {
    use super::Bits;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_as_a_set_of_numbers(
            steps in prop::collection::vec((any::<bool>(), 0u64..900, 0u64..400), 0..12),
            probe in 0u64..1000,
        ) {
            let (mut bits, mut model) = (Bits::default(), BTreeSet::new());
            for (add, at, len) in steps {
                if add {
                    bits.insert(at..at + len);
                    model.extend(at..at + len);
                } else {
                    bits.remove(at..at + len);
                    model.retain(|number| !(at..at + len).contains(number));
                }
            }
            let runs = bits.runs();
            prop_assert!(runs.windows(2).all(|pair| pair[0].end < pair[1].start));
            let numbers: BTreeSet<u64> = runs.clone().into_iter().flatten().collect();
            prop_assert_eq!(&numbers, &model);
            prop_assert_eq!(bits.contains(probe), model.contains(&probe));
            prop_assert_eq!(bits.runs_in(0..2000), runs);
            let gaps: BTreeSet<u64> = bits.gaps(100..700).into_iter().flatten().collect();
            prop_assert_eq!(gaps, (100..700).filter(|number| !model.contains(number)).collect());
            let mut twice = Bits::default();
            twice.union(&bits);
            prop_assert_eq!(twice, bits);
        }
    }
}

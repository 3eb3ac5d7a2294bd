//! When local segments are merged, and how many there can be.
//!
//! Segments of similar size are a *tier*; once a tier has `SEGMENT_FAN` of them they become one,
//! together with everything smaller. So an entry is written again once a tier, that is at most
//! `log4(entries / TIER_ENTRIES) + 1` times, however many runs it came in, and a look-up asks at
//! most three segments a tier. What a merge makes is bounded, because the memory of a merge grows
//! with it: segments that are more than half of that bound are left alone.

use crate::margins::{SEGMENT_ENTRIES, SEGMENT_FAN, STORE_RUN_ENTRIES, STORE_RUNS, TIER_ENTRIES};

/// Positions of the segments to be merged now, given the entries of each; empty if none.
pub(super) fn due(sizes: &[u64]) -> Vec<usize> {
    let mut small: Vec<(u64, usize)> =
        sizes.iter().copied().zip(0..).filter(|(size, _)| !is_full(*size)).collect();
    small.sort_unstable();
    let crowded = |tier: u32| {
        let many = small.iter().filter(|(size, _)| of(*size) == tier).count();
        many >= SEGMENT_FAN
    };
    let highest = small.last().map_or(0, |(size, _)| of(*size));
    // The highest crowded tier: what is below goes with it, instead of being merged twice.
    let Some(tier) = (0..=highest).rev().find(|tier| crowded(*tier)) else {
        return Vec::new();
    };
    let mut sum = 0u64;
    let fits = |(size, _): &&(u64, usize)| {
        sum = sum.saturating_add(*size);
        of(*size) <= tier && sum <= SEGMENT_ENTRIES
    };
    let chosen: Vec<usize> = small.iter().take_while(fits).map(|(_, place)| *place).collect();
    if chosen.len() < 2 { Vec::new() } else { chosen }
}

/// Whether a store has too many runs for its entries.
pub(super) fn crowded(runs: u64, entries: u64) -> bool {
    runs > STORE_RUNS + entries / STORE_RUN_ENTRIES
}

/// Most segments that an index of `entries` entries has once nothing is due.
#[cfg(test)]
pub(super) fn most(entries: u64) -> usize {
    let full = entries.div_ceil(SEGMENT_ENTRIES / 2) as usize;
    let tiers = of(entries.min(SEGMENT_ENTRIES / 2)) as usize + 1;
    full + tiers * (SEGMENT_FAN - 1)
}

fn is_full(size: u64) -> bool {
    size > SEGMENT_ENTRIES / 2
}

fn of(size: u64) -> u32 {
    match size / TIER_ENTRIES {
        0 => 0,
        times => times.ilog(SEGMENT_FAN as u64) + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds runs one by one and merges what is due; returns the segments, the entries that were
    /// written by merges, and the largest merge.
    fn grow(runs: impl Iterator<Item = u64>) -> (Vec<u64>, u64, u64) {
        let (mut sizes, mut written, mut largest, mut total) = (Vec::new(), 0, 0, 0);
        for run in runs {
            sizes.push(run);
            total += run;
            loop {
                let due = due(&sizes);
                if due.is_empty() {
                    break;
                }
                let sum = due.iter().map(|place| sizes[*place]).sum::<u64>();
                let mut place = 0;
                sizes.retain(|_| {
                    place += 1;
                    !due.contains(&(place - 1))
                });
                sizes.push(sum);
                written += sum;
                largest = largest.max(sum);
            }
            assert!(sizes.len() <= most(total), "{} segments for {total}", sizes.len());
        }
        assert_eq!(sizes.iter().sum::<u64>(), total);
        (sizes, written, largest)
    }

    #[test]
    fn many_small_runs_are_worth_merging_and_few_are_not() {
        assert!(!crowded(64, 100) && crowded(65, 100), "a small store");
        assert!(crowded(10_000, 1 << 24), "ten thousand small backups");
        assert!(crowded(2048, 1 << 24), "one first backup of a tebibyte");
        assert!(!crowded((1 << 24) / 131_072, 1 << 24), "what merging leaves");
    }

    #[test]
    fn entries_are_written_few_times_into_few_segments_of_bounded_size() {
        let tib = 1u64 << 24;
        for run in [1000, 8192, 20_000, 131_072] {
            let (sizes, written, largest) = grow((0..tib / run).map(|_| run));
            assert!(sizes.len() <= 24, "{run}: {} segments", sizes.len());
            assert!(written / tib <= 8, "{run}: each is written {} times", written / tib);
            assert!(largest <= SEGMENT_ENTRIES);
        }
        let (sizes, written, largest) = grow((0..16 * tib / 100_000).map(|_| 100_000));
        assert!(sizes.len() <= 40, "{} segments", sizes.len());
        assert!(written / (16 * tib) <= 8 && largest <= SEGMENT_ENTRIES, "{largest}");
        // A year of hourly backups with little in them beside one large run.
        let hourly = (0..9000u64).map(|hour| if hour == 0 { tib } else { 30 + hour % 500 });
        let (sizes, written, _) = grow(hourly);
        assert!(sizes.len() <= 20 && written < 60_000_000, "{sizes:?} {written}");
    }
}

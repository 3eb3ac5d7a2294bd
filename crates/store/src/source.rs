//! What a store reads from and writes to: disks, seen from far enough away that the store knows
//! nothing about them.

use std::io;
use std::ops::Range;

/// The bytes of a disk at one instant.
pub trait Source: Send + Sync {
    /// Bytes of the disk.
    fn len(&self) -> u64;

    /// Whether the disk has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `buf` from `offset`; never less than all of it.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// The parts of `range` that may be other than zero.
    fn allocated(&self, range: Range<u64>) -> io::Result<Vec<Range<u64>>> {
        Ok(vec![range])
    }

    /// Told that `range` will be read soon: a source whose bytes take time to come can begin to
    /// fetch them. It is only advice, so it returns at once and cannot fail.
    fn prefetch(&self, _range: Range<u64>) {}
}

/// The target of a restore. It starts as zeros: nothing is written where zeros belong.
pub trait Sink: Send + Sync {
    /// Told before any of it is written: all of `range` will be, piece by piece and in any
    /// order. A sink can lay it out at one go, and find out early that there is no room. (Not
    /// provided: a sink that hands on to another one must not forget to hand on this.)
    fn reserve(&self, range: Range<u64>) -> io::Result<()>;

    /// Writes all of `data` at `offset`. Calls come from several threads and never overlap.
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()>;
}

/// Somebody who watches a long call and may end it.
pub trait Watch: Send + Sync {
    /// Told once, before the work: the sum that `bytes` of [`Watch::advance`] will reach.
    fn expect(&self, _bytes: u64) {}

    /// More work was done: `bytes` of the disk, and `stored` bytes written to the store.
    fn advance(&self, bytes: u64, stored: u64);

    /// Whether to stop.
    fn cancelled(&self) -> bool;
}

/// Nobody.
impl Watch for () {
    fn advance(&self, _bytes: u64, _stored: u64) {}

    fn cancelled(&self) -> bool {
        false
    }
}

/// Sorts ranges, merges those that touch and cuts off what is behind `end`.
pub(crate) fn tidy(ranges: &[Range<u64>], end: u64) -> Vec<Range<u64>> {
    let clipped = ranges.iter().map(|r| r.start.min(end)..r.end.min(end));
    let mut sorted: Vec<_> = clipped.filter(|r| r.start < r.end).collect();
    sorted.sort_unstable_by_key(|r| r.start);
    let mut out: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match out.last_mut().filter(|last| last.end >= range.start) {
            Some(last) => last.end = last.end.max(range.end),
            None => out.push(range),
        }
    }
    out
}

/// Whether one of the tidy `ranges` has all of `range`.
pub(crate) fn covers(ranges: &[Range<u64>], range: &Range<u64>) -> bool {
    let place = ranges.partition_point(|r| r.end < range.end);
    ranges.get(place).is_some_and(|r| r.start <= range.start)
}

/// The parts of tidy `ranges` that lie in `within`.
pub(crate) fn clip(ranges: &[Range<u64>], within: Range<u64>) -> Vec<Range<u64>> {
    let first = ranges.partition_point(|r| r.end <= within.start);
    let rest = ranges.get(first..).unwrap_or_default();
    rest.iter()
        .take_while(|r| r.start < within.end)
        .map(|r| r.start.max(within.start)..r.end.min(within.end))
        .collect()
}

/// The parts of `within` that lie in none of the tidy `ranges`.
pub(crate) fn except(ranges: &[Range<u64>], within: Range<u64>) -> Vec<Range<u64>> {
    let mut out = Vec::new();
    let mut at = within.start;
    for range in clip(ranges, within.clone()) {
        if at < range.start {
            out.push(at..range.start);
        }
        at = range.end;
    }
    if at < within.end {
        out.push(at..within.end);
    }
    out
}

//! The change map: which 64 KiB units may differ from the base.
//!
//! The map covers: a unit that differs is marked, in memory at once and on disk by the intent of
//! its window before the first byte is written. It may mark too much, never too little.
//!
//! On disk it is one small file beside the disk's data:
//!
//! ```text
//! 0      header slot A   4096 bytes  (the valid slot with the higher sequence counts)
//! 4096   header slot B   4096 bytes
//! 8192   record of window 0, 64 bytes; record of window 1; ...      (sparse)
//! ```
//!
//! Header and records change in place, each change one small write and one fdatasync, so that a
//! full file system stops no volume that is in use. A new base replaces the whole file by rename.
//! A record that does not check out counts as its whole window.

mod bits;
mod file;
mod header;

pub(crate) use bits::Bits;
pub(crate) use file::{MapFile, Mark};
pub(crate) use header::{Base, Header, Identity, Stamp};

use std::ops::Range;

/// Bytes of one unit, the grain of the change map.
pub const UNIT: u64 = 64 * 1024;

/// Bytes of one window, the grain of intents.
pub const WINDOW: u64 = UNIT * bits::GROUP;

/// The units that a byte range touches.
pub(crate) fn units(range: &Range<u64>) -> Range<u64> {
    range.start / UNIT..range.end.div_ceil(UNIT)
}

/// The windows that a byte range touches.
pub(crate) fn windows(range: &Range<u64>) -> Range<u64> {
    range.start / WINDOW..range.end.div_ceil(WINDOW)
}

/// The bytes of a range of units on a disk of a size.
pub(crate) fn bytes(units: &Range<u64>, size: u64) -> Range<u64> {
    (units.start * UNIT).min(size)..(units.end * UNIT).min(size)
}

//! Where a file or device holds data: `SEEK_DATA` and `SEEK_HOLE`; and what of it is read soon.
//!
//! The answer is a superset of the bytes that are not zero. The position of the handle moves,
//! which is harmless to whoever reads and writes by offset only.

use crate::error::{Error, Result};
use rustix::fs::{Advice, SeekFrom, fadvise, seek};
use rustix::io::Errno;
use std::fs::File;
use std::num::NonZeroU64;
use std::ops::Range;

/// Bytes of one piece of advice: the kernel follows it only as far as it would read ahead.
const ADVICE: usize = 512 << 10;

/// The data extents inside a range, in ascending order.
///
/// # Errors
/// A device or file system that does not know holes fails: all of it may be data.
pub fn data(file: &File, range: &Range<u64>) -> Result<Vec<Range<u64>>> {
    let mut extents = Vec::new();
    let mut at = range.start;
    while let Some(extent) = next(file, &(at..range.end))? {
        at = extent.end;
        extents.push(extent);
    }
    Ok(extents)
}

/// The first data extent inside a range.
pub(crate) fn next(file: &File, range: &Range<u64>) -> Result<Option<Range<u64>>> {
    if range.is_empty() {
        return Ok(None);
    }
    let failed = |error| Error::io("cannot ask where a file has data", error);
    let start = match seek(file, SeekFrom::Data(range.start)) {
        Ok(start) if start < range.end => start,
        Ok(_) | Err(Errno::NXIO) => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let end = match seek(file, SeekFrom::Hole(start)) {
        Ok(end) => end.min(range.end),
        // Punched or cut off since the question before: it reads as zeros from here on.
        Err(Errno::NXIO) => range.end,
        Err(error) => return Err(failed(error)),
    };
    // A hole may have been punched in between; claim at least the byte that was data.
    Ok(Some(start..end.max(start + 1)))
}

/// Lets the operating system begin to fetch a range that will be read soon. Only advice: without
/// it the kernel reads ahead in small steps, and not at all between places.
pub fn prefetch(file: &File, range: Range<u64>) {
    for start in range.clone().step_by(ADVICE) {
        let len = NonZeroU64::new(range.end.saturating_sub(start).min(ADVICE as u64));
        let _ = fadvise(file, start, len, Advice::WillNeed);
    }
}

//! Reading and writing past the page cache.
//!
//! Nobody reads soon again what a backup has read or written once: a copy of it in the cache costs
//! time and takes the memory of others; and whoever checks a pack wants to know what the disk has,
//! not what the memory has. Not every file system can do that; bytes then go the common way.

use std::fs::File;
use std::io;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// What offsets, lengths and memory must be aligned to.
pub(crate) const GRAIN: usize = 4096;

/// Whether memory begins where it must.
pub(crate) fn is_aligned(memory: &[u8]) -> bool {
    memory.as_ptr().align_offset(GRAIN) == 0
}

/// Runs `action` while what is read from and written to `file` goes past the page cache. Nothing
/// where the file system refuses, before or in the middle of it.
pub(crate) fn past_cache<T>(
    file: &File,
    action: impl FnOnce() -> io::Result<T>,
) -> io::Result<Option<T>> {
    let flags = fcntl_getfl(file)?;
    if fcntl_setfl(file, flags | OFlags::DIRECT).is_err() {
        return Ok(None);
    }
    let done = action();
    fcntl_setfl(file, flags)?;
    match done {
        Err(e) if is_refusal(&e) => Ok(None),
        other => other.map(Some),
    }
}

/// Whether an error says that this cannot be done past the page cache.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}

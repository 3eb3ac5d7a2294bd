//! Reading parts of files.
//!
//! Large parts come past the page cache: nobody reads them soon again, so a copy of them there
//! costs time and takes the memory of others; and whoever checks a pack wants to know what the
//! disk has, not what the memory has. Where the file system cannot do that, bytes come the common
//! way.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::margins;
use crate::memory::{Lent, Pool};

/// What offsets, lengths and memory must be aligned to for reading past the page cache.
const GRAIN: u64 = 4096;

/// Reads with memory that is used again and again.
#[derive(Debug)]
pub(super) struct Reading {
    pool: Arc<Pool>,
}

impl Default for Reading {
    fn default() -> Self {
        Self { pool: Pool::new(margins::READ_POOL) }
    }
}

impl Reading {
    /// Exactly `range` of a file that nobody else has open through this handle.
    pub(super) fn read(&self, file: &File, range: Range<u64>) -> io::Result<Bytes> {
        let len = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        if range.end - range.start >= margins::DIRECT_READ
            && let Some(bytes) = self.read_direct(file, range.clone())?
        {
            return Ok(bytes);
        }
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, range.start)?;
        Ok(Bytes::from(bytes))
    }

    /// The same past the page cache; nothing where that cannot be done.
    fn read_direct(&self, file: &File, range: Range<u64>) -> io::Result<Option<Bytes>> {
        let flags = fcntl_getfl(file)?;
        if fcntl_setfl(file, flags | OFlags::DIRECT).is_err() {
            return Ok(None);
        }
        let read = self.read_blocks(file, &range);
        fcntl_setfl(file, flags)?;
        let skip = (range.start % GRAIN) as usize;
        let len = (range.end - range.start) as usize;
        match read {
            Ok(lent) => Ok(Some(Bytes::from_owner(lent).slice(skip..skip + len))),
            Err(e) if e.kind() == io::ErrorKind::InvalidInput => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The whole blocks that have `range`; what lies behind the end of the file is not filled.
    fn read_blocks(&self, file: &File, range: &Range<u64>) -> io::Result<Lent> {
        let start = range.start / GRAIN * GRAIN;
        let blocks = range.end.next_multiple_of(GRAIN) - start;
        let mut lent = self.pool.lend(blocks as usize).map_err(io::Error::other)?;
        let (mut done, needed) = (0, (range.end - start) as usize);
        while done < needed {
            let rest = lent.get_mut(done..).unwrap_or_default();
            match file.read_at(rest, start + done as u64) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                // An odd end that is not the file's is refused as the beginning of the next.
                Ok(count) => done += count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(lent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_file_is_read_as_it_is() {
        let file = tempfile::tempfile().unwrap();
        let least = margins::DIRECT_READ;
        let len = 3 * least + 777;
        let all: Vec<u8> = (0..len).map(|i| (i / 7 + i) as u8).collect();
        file.write_all_at(&all, 0).unwrap();
        let reading = Reading::default();
        let starts = [0, 1, 4095, 4096, least, least + 5];
        for (start, count) in starts.into_iter().flat_map(|start| {
            [0, 1, least - 1, least, least + 1, len - start].map(|count| (start, count))
        }) {
            let found = reading.read(&file, start..start + count).unwrap();
            assert!(found == all[start as usize..(start + count) as usize], "{start} {count}");
        }
        let beyond = reading.read(&file, 0..len + 1).unwrap_err();
        assert_eq!(beyond.kind(), io::ErrorKind::UnexpectedEof);
        let beyond = reading.read(&file, len..len + least).unwrap_err();
        assert_eq!(beyond.kind(), io::ErrorKind::UnexpectedEof);
    }
}

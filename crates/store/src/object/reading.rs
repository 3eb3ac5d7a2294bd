//! Reading parts of files: large ones past the page cache, with memory that is used again.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;

use crate::direct::{self, GRAIN};
use crate::margins;
use crate::memory::{Lent, Pool};

/// Reads parts of files.
#[derive(Debug)]
pub(super) struct Reading {
    pool: Arc<Pool>,
}

impl Default for Reading {
    fn default() -> Self {
        Self { pool: Pool::new(margins::READS_KEPT, margins::FETCH_ROOM) }
    }
}

impl Reading {
    /// Exactly `range` of a file that nobody else has open through this handle.
    pub(super) fn read(&self, file: &File, range: Range<u64>) -> io::Result<Bytes> {
        let len = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        if range.end - range.start >= margins::DIRECT_READ
            && let Some(lent) = direct::past_cache(file, || self.blocks(file, &range))?
        {
            let skip = (range.start % GRAIN as u64) as usize;
            return Ok(Bytes::from_owner(lent).slice(skip..skip + len));
        }
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, range.start)?;
        Ok(Bytes::from(bytes))
    }

    /// The whole blocks that have `range`; what lies behind the end of the file is not filled.
    fn blocks(&self, file: &File, range: &Range<u64>) -> io::Result<Lent> {
        let grain = GRAIN as u64;
        let start = range.start / grain * grain;
        let blocks = range.end.next_multiple_of(grain) - start;
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

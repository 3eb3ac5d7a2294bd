//! A recovery point as a stream: all its bytes in order, zeros included, in bounded memory.

use std::io::{self, Write};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use tresor_store::{Reader, Sink, Watch};

/// Bytes that are put together in memory before they are written.
const PIECE: u64 = 16 << 20;

/// Writes a part of the point to `out`.
pub(in super::super) fn stream(
    reader: &Reader,
    range: Range<u64>,
    out: &mut dyn Write,
    watch: &dyn Watch,
) -> Result<()> {
    watch.expect(range.end - range.start);
    let mut buf = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let end = (at + PIECE).min(range.end);
        buf.clear();
        buf.resize((end - at) as usize, 0);
        let piece = Piece { start: at, buf: Mutex::new(&mut buf) };
        reader.restore_range(&piece, at..end, &Cancel(watch))?;
        out.write_all(&buf).context("standard output was closed")?;
        watch.advance(end - at, 0);
        at = end;
    }
    out.flush().context("standard output was closed")
}

/// Hands on the wish to stop only: what was read is not yet written.
struct Cancel<'a>(&'a dyn Watch);

impl Watch for Cancel<'_> {
    fn advance(&self, _bytes: u64, _stored: u64) {}

    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }
}

/// A part of the disk in memory.
struct Piece<'a> {
    start: u64,
    buf: Mutex<&'a mut Vec<u8>>,
}

impl Sink for Piece<'_> {
    fn reserve(&self, _range: Range<u64>) -> io::Result<()> {
        Ok(())
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let start = offset.checked_sub(self.start).ok_or(io::ErrorKind::InvalidInput)? as usize;
        let mut buf = self.buf.lock().unwrap_or_else(PoisonError::into_inner);
        let place = buf.get_mut(start..start + data.len()).ok_or(io::ErrorKind::InvalidInput)?;
        place.copy_from_slice(data);
        Ok(())
    }
}

//! A recovery point as a stream: all its bytes in order, zeros included, in bounded memory.

use std::io::Write;
use std::ops::Range;

use anyhow::{Context, Result};
use tresor_store::{Reader, Watch};

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
        buf.resize((end - at) as usize, 0);
        reader.fill(&mut buf, at, &Cancel(watch))?;
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

//! The disk that the demo protects: a real image, and a change to it that costs nothing to keep.
//!
//! The file is never written to once it is made, and an image of the user's never at all. The
//! change is computed where it is read: which blocks differ and what they hold are functions of
//! the image and a generation number, so the disk after the change can be read at any size
//! without a second copy.

mod files;
mod make;

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};

use crate::client::transfer::Source;
pub(super) use make::{SMALLEST_MIB, check, make};

/// The unit of a file system, and of the change.
pub(super) const BLOCK: u64 = 4096;
/// Blocks that change together.
const RUN: u64 = 16;
/// Blocks of the image that begin so belong to the database file that [`make`] put into it.
const MAGIC: &[u8; 16] = b"tresor demo row\n";

/// An image, with the changed blocks laid over it.
pub(super) struct Image {
    file: File,
    file_len: u64,
    /// Offsets of the changed blocks, ascending.
    changed: Vec<u64>,
}

impl Image {
    /// Opens an image file as it is.
    pub(super) fn open(path: &Path) -> Result<Image> {
        let open = || -> io::Result<Image> {
            let file = File::open(path)?;
            let file_len = file.metadata()?.len();
            Ok(Image { file, file_len, changed: Vec::new() })
        };
        let image = open().with_context(|| format!("cannot read {}", path.display()))?;
        anyhow::ensure!(image.file_len > 0, "{} is empty", path.display());
        Ok(image)
    }

    /// The disk as it is now, for readers that must not see a later change.
    pub(super) fn snapshot(&self) -> Result<Image> {
        let file = self.file.try_clone().context("cannot read the image")?;
        Ok(Image { file, file_len: self.file_len, changed: self.changed.clone() })
    }

    /// Changes about a hundredth of the disk; returns what changed, coalesced and ascending.
    ///
    /// Rows of the demo's database file change when the image has it, so that its file system stays
    /// whole; blocks all over the disk otherwise.
    pub(super) fn change(&mut self) -> Result<Vec<Range<u64>>> {
        let wanted = (self.len() / 100 / BLOCK).max(1);
        let rows = self.rows()?;
        self.changed = if rows.is_empty() {
            spread((self.file_len / BLOCK).max(1), wanted).map(|index| index * BLOCK).collect()
        } else {
            let chosen = spread(rows.len() as u64, wanted);
            chosen.filter_map(|index| rows.get(usize::try_from(index).ok()?).copied()).collect()
        };
        // A file shorter than one block has no whole block to change.
        self.changed.retain(|block| block + BLOCK <= self.file_len);
        Ok(coalesce(&self.changed))
    }

    /// The blocks of the database file.
    fn rows(&self) -> Result<Vec<u64>> {
        let mut found = Vec::new();
        let mut buf = vec![0; 1 << 20];
        let mut offset = 0;
        while offset < self.len() {
            let len = (self.len() - offset).min(buf.len() as u64) as usize;
            let part = buf.get_mut(..len).unwrap_or_default();
            self.read_at(part, offset)?;
            let blocks = part.chunks_exact(BLOCK as usize).zip((offset..).step_by(BLOCK as usize));
            found.extend(blocks.filter(|(block, _)| block.starts_with(MAGIC)).map(|(_, at)| at));
            offset += len as u64;
        }
        Ok(found)
    }
}

impl Source for Image {
    fn len(&self) -> u64 {
        self.file_len.next_multiple_of(512)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let within = self.file_len.saturating_sub(offset).min(buf.len() as u64) as usize;
        let (from_file, beyond) = buf.split_at_mut(within);
        self.file.read_exact_at(from_file, offset)?;
        beyond.fill(0);
        let end = offset + buf.len() as u64;
        let first = self.changed.partition_point(|block| block + BLOCK <= offset);
        for &block in self.changed.iter().skip(first).take_while(|block| **block < end) {
            overlay(buf, offset, block);
        }
        Ok(())
    }
}

/// `wanted` of `total` indexes, in runs that lie evenly over the whole.
fn spread(total: u64, wanted: u64) -> impl Iterator<Item = u64> {
    let runs = wanted.div_ceil(RUN).min(total.div_ceil(RUN)).max(1);
    let stride = (total / runs).max(RUN);
    (0..runs)
        .flat_map(move |run| (0..RUN).map(move |index| run * stride + index))
        .filter(move |index| *index < total)
        .take(usize::try_from(wanted).unwrap_or(usize::MAX))
}

fn coalesce(blocks: &[u64]) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for &block in blocks {
        match ranges.last_mut() {
            Some(last) if last.end == block => last.end += BLOCK,
            _ => ranges.push(block..block + BLOCK),
        }
    }
    ranges
}

/// Lays the changed block at `block` over the part of it that `buf`, read at `offset`, holds.
fn overlay(buf: &mut [u8], offset: u64, block: u64) {
    let content = row(block, 1);
    let from = offset.max(block);
    let to = (offset + buf.len() as u64).min(block + BLOCK);
    let within = |base: u64| (from - base) as usize..(to - base) as usize;
    if let (Some(target), Some(source)) = (buf.get_mut(within(offset)), content.get(within(block)))
    {
        target.copy_from_slice(source);
    }
}

/// One block of the database file: half of it cannot be compressed, half of it can, as rows are.
fn row(number: u64, generation: u64) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&number.to_le_bytes()).update(&generation.to_le_bytes());
    let mut block = MAGIC.to_vec();
    let mut noise = [0; BLOCK as usize / 2];
    hasher.finalize_xof().fill(&mut noise);
    block.extend_from_slice(&noise);
    let text = format!("row {number:016} generation {generation:04} balance 000000000.00 open\n");
    let rest = BLOCK as usize - block.len();
    block.extend(text.bytes().cycle().take(rest));
    block
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "lists of one range are meant")]
mod tests;

//! Comparing files: which parts of an image changed, and whether a restore is the image.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use rustix::fs::SeekFrom;
use serde::Serialize;

use super::layout::BLOCK;
use super::open;

/// Names of the lists.
pub(super) const LINES: &str = "changed.txt";
pub(super) const HINTS: &str = "changed.json";

/// What is compared at once.
const WINDOW: usize = 4 << 20;

/// The grain of the lists.
const GRAIN: usize = 64 << 10;

/// How much of D1 differs from D0.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(in super::super) struct Changes {
    /// Bytes of D0 in blocks of 4 KiB that are not zero.
    pub(in super::super) used: u64,
    /// Changed bytes counted in whole blocks of three sizes.
    pub(in super::super) in_4k: u64,
    pub(in super::super) in_64k: u64,
    pub(in super::super) in_4m: u64,
}

/// Finds where `after` differs from `before` and writes the lists into a folder.
pub(super) fn find(before: &Path, after: &Path, folder: &Path) -> anyhow::Result<Changes> {
    let files = (open(before)?, open(after)?);
    let size = files.0.metadata()?.len();
    ensure!(size == files.1.metadata()?.len(), "D0 and D1 are not of the same size");
    let mut changes = Changes::default();
    let mut lines = create(&folder.join(LINES))?;
    let mut hints = create(&folder.join(HINTS))?;
    let mut separator = "[";
    let mut run: Option<(u64, u64)> = None;
    let mut write = |(start, end): (u64, u64)| -> anyhow::Result<()> {
        writeln!(lines, "{start} {}", end - start)?;
        write!(hints, "{separator}{{\"offset\":{start},\"length\":{}", end - start)?;
        write!(hints, ",\"exists\":\"true\"}}")?;
        separator = ",";
        Ok(())
    };
    windows(&files.0, &files.1, size, |at, left, right| {
        let block = usize::try_from(BLOCK).unwrap_or(1);
        changes.used += count(left.chunks(block).filter(|block| !is_zero(block)));
        if left == right {
            return Ok(());
        }
        let pairs = |grain| left.chunks(grain).zip(right.chunks(grain));
        let differ = |grain| pairs(grain).filter(|(old, new)| old != new).map(|(_, new)| new);
        changes.in_4k += count(differ(block));
        changes.in_64k += count(differ(GRAIN));
        changes.in_4m += right.len() as u64;
        for (number, (old, new)) in (0..).zip(pairs(GRAIN)) {
            if old != new {
                let start = at + number * (GRAIN as u64);
                let end = start + new.len() as u64;
                match &mut run {
                    Some((_, last)) if *last == start => *last = end,
                    _ => run.replace((start, end)).map_or(Ok(()), &mut write)?,
                }
            }
        }
        Ok(())
    })?;
    run.map_or(Ok(()), &mut write)?;
    hints.write_all(if separator == "[" { b"[]" } else { b"]" })?;
    lines.flush()?;
    hints.flush()?;
    Ok(changes)
}

fn create(path: &Path) -> anyhow::Result<std::io::BufWriter<File>> {
    let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
    Ok(std::io::BufWriter::new(file))
}

fn count<'a>(parts: impl Iterator<Item = &'a [u8]>) -> u64 {
    parts.map(|part| part.len() as u64).sum()
}

/// True for nothing but zeros.
fn is_zero(bytes: &[u8]) -> bool {
    let (head, words, tail) = (bytes.first(), bytes.get(1..), bytes.get(..bytes.len() - 1));
    head.is_none_or(|byte| *byte == 0) && words == tail
}

/// Calls `each` with both files' bytes window by window, leaving out what is a hole in both.
fn windows(
    left: &File,
    right: &File,
    size: u64,
    mut each: impl FnMut(u64, &[u8], &[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut buffers = (vec![0; WINDOW], vec![0; WINDOW]);
    let mut at = 0_u64;
    while at < size {
        let next = data(left, at, size)?.min(data(right, at, size)?);
        at = next / (WINDOW as u64) * (WINDOW as u64);
        let length = usize::try_from((size - at).min(WINDOW as u64))?;
        if next >= size {
            return Ok(());
        }
        let old = buffers.0.get_mut(..length).unwrap_or_default();
        let new = buffers.1.get_mut(..length).unwrap_or_default();
        left.read_exact_at(old, at)?;
        right.read_exact_at(new, at)?;
        each(at, old, new)?;
        at += length as u64;
    }
    Ok(())
}

/// Where the next byte is that is not in a hole.
fn data(file: &File, from: u64, size: u64) -> anyhow::Result<u64> {
    match rustix::fs::seek(file, SeekFrom::Data(from)) {
        Ok(at) => Ok(at),
        Err(rustix::io::Errno::NXIO) => Ok(size),
        // A file system that knows no holes.
        Err(rustix::io::Errno::INVAL) => Ok(from),
        Err(error) => Err(error).context("look for data"),
    }
}

/// Copies what is not a hole.
pub(super) fn copy_sparse(from: &File, to: &File) -> anyhow::Result<()> {
    windows(from, to, from.metadata()?.len(), |at, bytes, _| {
        for (number, part) in (0..).zip(bytes.chunks(GRAIN)) {
            if !is_zero(part) {
                to.write_all_at(part, at + number * (GRAIN as u64))?;
            }
        }
        Ok(())
    })
}

/// Fails unless both files hold the same bytes.
pub(in super::super) fn compare(left: &Path, right: &Path) -> anyhow::Result<()> {
    let files = (open(left)?, open(right)?);
    let sizes = (files.0.metadata()?.len(), files.1.metadata()?.len());
    let names = || format!("{} and {}", left.display(), right.display());
    ensure!(sizes.0 == sizes.1, "{} differ in length: {} and {}", names(), sizes.0, sizes.1);
    windows(&files.0, &files.1, sizes.0, |at, old, new| {
        if old == new {
            return Ok(());
        }
        let same = old.iter().zip(new).take_while(|(old, new)| old == new).count();
        anyhow::bail!("{} differ from byte {} on", names(), at + same as u64)
    })
}

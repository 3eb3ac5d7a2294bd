//! Image files as the store reads and writes them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{Advice, FallocateFlags, SeekFrom as Find};
use rustix::io::Errno;
use tresor_store::{Sink, Source};

use crate::usage::Usage;

/// An image that is read: a file or a block device.
pub(super) struct ImageFile {
    file: File,
    size: u64,
}

impl ImageFile {
    /// Opens an image.
    pub(super) fn open(path: &Path) -> Result<ImageFile> {
        let open = || -> io::Result<ImageFile> {
            let mut file = File::open(path)?;
            // Not the metadata's length: that of a block device is zero.
            let size = file.seek(SeekFrom::End(0))?;
            Ok(ImageFile { file, size })
        };
        open().with_context(|| Usage(format!("cannot read the image {}", path.display())))
    }

    /// Bytes of the image.
    pub(super) fn size(&self) -> u64 {
        self.size
    }
}

impl Source for ImageFile {
    fn len(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn allocated(&self, range: Range<u64>) -> io::Result<Vec<Range<u64>>> {
        let mut found = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let data = match rustix::fs::seek(&self.file, Find::Data(at)) {
                Ok(data) => data,
                // No data up to the end of the file.
                Err(Errno::NXIO) => break,
                // A device or file system that does not know holes.
                Err(_) => return Ok(vec![range]),
            };
            if data >= range.end {
                break;
            }
            let hole = rustix::fs::seek(&self.file, Find::Hole(data))?.min(range.end);
            found.push(data..hole);
            at = hole;
        }
        Ok(found)
    }
}

/// A file that is being restored to; gone again unless it is kept.
pub(super) struct OutputFile {
    file: File,
    path: PathBuf,
    kept: bool,
}

impl OutputFile {
    /// Makes a file of `size` zeros that takes no space yet.
    pub(super) fn create(path: &Path, size: u64) -> Result<OutputFile> {
        let context = || Usage(format!("cannot make {}", path.display()));
        let opened = OpenOptions::new().write(true).create_new(true).open(path);
        let out = OutputFile {
            file: opened.with_context(context)?,
            path: path.to_path_buf(),
            kept: false,
        };
        out.file.set_len(size).with_context(context)?;
        Ok(out)
    }

    /// The file is whole: make it durable.
    pub(super) fn keep(mut self) -> Result<()> {
        let sync = || -> io::Result<()> {
            self.file.sync_all()?;
            let folder = match self.path.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder,
                _ => Path::new("."),
            };
            File::open(folder)?.sync_all()
        };
        sync().with_context(|| format!("cannot write {}", self.path.display()))?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Sink for OutputFile {
    fn reserve(&self, range: Range<u64>) -> io::Result<()> {
        let len = range.end.saturating_sub(range.start);
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), range.start, len) {
            // A file system that cannot: space is then found as bytes come.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            other => Ok(other?),
        }
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(data, offset)?;
        // Written to the disk from now on and not only at the flush in the end, which would wait
        // for all of it; and the memory of these pages is at once free for the next ones. It is
        // only advice: what is not followed costs time.
        let len = NonZeroU64::new(data.len() as u64);
        let _ = rustix::fs::fadvise(&self.file, offset, len, Advice::DontNeed);
        Ok(())
    }
}

/// Reads a list of lines `offset length` as ascending, disjoint ranges within `size`.
pub(super) fn changed_ranges(path: &Path, size: u64) -> Result<Vec<Range<u64>>> {
    let text = fs::read_to_string(path)
        .with_context(|| Usage(format!("cannot read {}", path.display())))?;
    let mut ranges = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let range = parse(line, size).ok_or_else(|| {
            let place = format!("{}:{}", path.display(), index + 1);
            Usage::error(format!("{place}: not `offset length` within {size} bytes: {line}"))
        })?;
        if !range.is_empty() {
            ranges.push(range);
        }
    }
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    Ok(merged)
}

fn parse(line: &str, size: u64) -> Option<Range<u64>> {
    let mut numbers = line.split_whitespace().map(str::parse::<u64>);
    let (offset, length) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    let end = offset.checked_add(length).filter(|end| *end <= size)?;
    numbers.next().is_none().then_some(offset..end)
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "lists of one range are meant")]
mod tests {
    use std::io::Write;

    use super::*;

    fn list(text: &str) -> Result<Vec<Range<u64>>> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        changed_ranges(file.path(), 1000)
    }

    #[test]
    fn lists_are_sorted_and_merged() {
        assert_eq!(list("").unwrap(), []);
        assert_eq!(list("500 100\n0 10\n\n10 5\n550 60\n3 0\n").unwrap(), [0..15, 500..610]);
    }

    #[test]
    fn a_wrong_line_is_named() {
        for wrong in ["x 1", "1", "1 2 3", "999 2", "18446744073709551615 2", "-1 2"] {
            let error = list(&format!("0 1\n{wrong}\n")).unwrap_err().to_string();
            assert!(error.contains(":2:"), "{wrong}: {error}");
        }
    }

    #[test]
    fn holes_are_left_out() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(8 << 20).unwrap();
        file.seek(SeekFrom::Start(4 << 20)).unwrap();
        file.write_all(&[1; 4096]).unwrap();
        let image = ImageFile::open(file.path()).unwrap();
        assert_eq!(image.len(), 8 << 20);
        let found = image.allocated(0..8 << 20).unwrap();
        assert_eq!(found, [4 << 20..(4 << 20) + 4096]);
        assert_eq!(image.allocated(0..1 << 20).unwrap(), []);
        assert_eq!(image.allocated(4 << 20..(4 << 20) + 10).unwrap(), [4 << 20..(4 << 20) + 10]);
    }

    #[test]
    fn an_output_is_gone_unless_it_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let out = OutputFile::create(&path, 4096).unwrap();
        out.write_at(b"x", 10).unwrap();
        assert!(OutputFile::create(&path, 1).is_err(), "an existing file is not taken");
        drop(out);
        assert!(!path.exists());
        OutputFile::create(&path, 4096).unwrap().keep().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 4096);
    }
}

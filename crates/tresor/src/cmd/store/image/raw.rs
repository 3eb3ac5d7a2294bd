//! Raw images: the bytes of the disk, one after another.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{Advice, FallocateFlags, fallocate};
use rustix::io::{Errno, retry_on_intr};
use tresor_disk::extent;
use tresor_store::{Sink, Source};

use super::Output;
use super::direct::Direct;
use super::nameless::Nameless;
use crate::usage::Usage;

/// Bytes from which on a write goes past the page cache.
const DIRECT: usize = 64 << 10;

/// An image that is read: a file or a block device.
pub(in super::super) struct RawImage {
    file: File,
    direct: Direct,
    size: u64,
    /// A file, and no device.
    regular: bool,
}

impl RawImage {
    /// Opens an image. A file may have no bytes, a device may not.
    pub(in super::super) fn open(path: &Path) -> Result<RawImage> {
        let open = || -> io::Result<RawImage> {
            let mut file = File::open(path)?;
            // Not the metadata's length: that of a block device is zero.
            let size = file.seek(SeekFrom::End(0))?;
            let regular = file.metadata()?.is_file();
            if size == 0 && !regular {
                let text = "it has no bytes; is nothing attached to the device?";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            let direct = Direct::of(&file, OpenOptions::new().read(true));
            Ok(RawImage { file, direct, size, regular })
        };
        open().with_context(|| Usage(format!("cannot read the image {}", path.display())))
    }
}

impl Source for RawImage {
    fn len(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        if Direct::fits(buf, offset) && self.direct.take(|file| file.read_exact_at(buf, offset))? {
            return Ok(());
        }
        self.file.read_exact_at(buf, offset)
    }

    fn allocated(&self, range: Range<u64>) -> io::Result<Vec<Range<u64>>> {
        let end = range.end;
        // What does not know holes may have data everywhere.
        let found = extent::data(&self.file, &range).unwrap_or_else(|_| vec![range]);
        // Asked last: behind the end of a file that was cut off there seem to be holes.
        if self.regular && self.file.metadata()?.len() < end {
            let text = "the image has become shorter while it was read";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        Ok(found)
    }

    fn prefetch(&self, range: Range<u64>) {
        if self.direct.is_there() {
            return;
        }
        extent::prefetch(&self.file, range);
    }
}

/// A new file that is written to; gone again unless it is kept.
pub(in super::super) struct RawOutput {
    out: Nameless,
    direct: Direct,
    path: PathBuf,
}

impl RawOutput {
    /// Makes a file of `size` zeros that takes no space yet.
    pub(in super::super) fn create(path: &Path, size: u64) -> Result<RawOutput> {
        let context = || Usage(format!("cannot make {}", path.display()));
        let out = Nameless::create(path).with_context(context)?;
        out.file().set_len(size).with_context(context)?;
        let direct = Direct::of(out.file(), OpenOptions::new().write(true));
        Ok(RawOutput { out, direct, path: path.to_path_buf() })
    }
}

impl Output for RawOutput {
    fn keep(mut self: Box<Self>) -> Result<()> {
        self.out.keep().with_context(|| format!("cannot write {}", self.path.display()))
    }
}

impl Sink for RawOutput {
    fn reserve(&self, range: Range<u64>) -> io::Result<()> {
        let len = range.end.saturating_sub(range.start);
        let reserve = || fallocate(self.out.file(), FallocateFlags::empty(), range.start, len);
        match retry_on_intr(reserve) {
            // A file system that cannot: space is then found as bytes come.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            other => Ok(other?),
        }
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let fits = data.len() >= DIRECT && Direct::fits(data, offset);
        if fits && self.direct.take(|file| file.write_all_at(data, offset))? {
            return Ok(());
        }
        self.out.file().write_all_at(data, offset)?;
        // Written to the disk from now on and not only at the flush in the end, which would wait
        // for all of it; and the memory of these pages is at once free for the next ones. It is
        // only advice: what is not followed costs time.
        let len = NonZeroU64::new(data.len() as u64);
        let _ = rustix::fs::fadvise(self.out.file(), offset, len, Advice::DontNeed);
        Ok(())
    }
}

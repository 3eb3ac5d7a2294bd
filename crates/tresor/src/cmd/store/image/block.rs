//! Block devices, and files that are there already, as targets of a restore.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{FallocateFlags, OFlags};
use tresor_store::Sink;

use super::Output;
use super::file::{self, Kind};
use crate::usage::Usage;

/// Zeros are written in pieces of this size where the device cannot make them by itself.
static ZEROS: [u8; 1 << 20] = [0; 1 << 20];

/// A target whose bytes are overwritten. It stays, whatever becomes of the restore.
pub(in super::super) struct BlockDevice {
    file: File,
    path: PathBuf,
}

impl BlockDevice {
    /// Opens a target of at least `size` bytes and makes these bytes zeros.
    pub(in super::super) fn open(path: &Path, size: u64) -> Result<BlockDevice> {
        let shown = path.display();
        let context = || Usage(format!("cannot write to {shown}"));
        let kind = file::kind(path).with_context(context)?;
        let mut options = OpenOptions::new();
        options.write(true);
        if kind == Kind::Device {
            // Refused while it is mounted, swapped to, or part of another device.
            options.custom_flags(OFlags::EXCL.bits() as i32);
        }
        let mut file = options.open(path).map_err(|e| {
            let text = match e.kind() {
                io::ErrorKind::ResourceBusy => {
                    format!("{shown} is in use: unmount it first, or take it out of what it is in")
                }
                _ => format!("cannot write to {shown}"),
            };
            anyhow::Error::new(e).context(Usage(text))
        })?;
        if kind == Kind::File {
            file.set_len(0).and_then(|()| file.set_len(size)).with_context(context)?;
        } else {
            let room = file.seek(SeekFrom::End(0)).with_context(context)?;
            if room < size {
                let text = format!("{shown} has {room} bytes, the recovery point {size}");
                return Err(Usage::error(text));
            }
            clear(&file, size).with_context(|| format!("cannot clear {shown}"))?;
        }
        Ok(BlockDevice { file, path: path.to_path_buf() })
    }
}

/// Makes the first `size` bytes zeros.
fn clear(file: &File, size: u64) -> io::Result<()> {
    let flags = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
    if size == 0 || rustix::fs::fallocate(file, flags, 0, size).is_ok() {
        return Ok(());
    }
    let mut at = 0;
    while at < size {
        let len = (size - at).min(ZEROS.len() as u64);
        file.write_all_at(ZEROS.get(..len as usize).unwrap_or_default(), at)?;
        at += len;
    }
    Ok(())
}

impl Output for BlockDevice {
    fn keep(self: Box<Self>) -> Result<()> {
        self.file.sync_all().with_context(|| format!("cannot write {}", self.path.display()))
    }
}

impl Sink for BlockDevice {
    fn reserve(&self, _range: Range<u64>) -> io::Result<()> {
        Ok(())
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }
}

//! Raw images on the host, to import from.
//!
//! Only regular files inside allowed folders are opened. The path is resolved first, and then
//! opened below the allowed folder with the kernel refusing every symbolic link on the way, so that
//! a link put there in between is an error and not a way out. Of files elsewhere a refusal tells
//! nothing, not even whether they are there.

use crate::error::{Error, ErrorKind, Result};
use crate::extent;
use crate::volume::{check_range, read_exact};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use std::fs::File;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

/// A raw image, open for reading.
#[derive(Debug)]
pub struct RawImage {
    file: File,
    size: u64,
}

impl RawImage {
    /// Opens an image that lies in one of the allowed folders.
    ///
    /// # Errors
    /// `Denied` when it is in no allowed folder, reached through a link or no regular file;
    /// `NotFound` when there is none in an allowed folder; `Io` when it cannot be opened.
    pub fn open(path: &Path, allowed: &[PathBuf]) -> Result<Self> {
        let shown = path.display();
        let failed = |error| Error::io(format!("cannot open image {shown}"), error);
        let denied = |why: &str| Error::new(ErrorKind::Denied, format!("image {shown} {why}"));
        let folders: Vec<(&PathBuf, PathBuf)> = allowed
            .iter()
            .filter_map(|folder| Some((folder, folder.canonicalize().ok()?)))
            .collect();
        let named =
            folders.iter().any(|(folder, real)| path.starts_with(folder) || path.starts_with(real));
        if !named || path.components().any(|part| part == Component::ParentDir) {
            return Err(denied("is in no allowed folder"));
        }
        let resolved = path.canonicalize().map_err(failed)?;
        let inside = folders
            .into_iter()
            .filter_map(|(_, folder)| {
                let rest = resolved.strip_prefix(&folder).ok()?.to_owned();
                (!rest.as_os_str().is_empty()).then_some((folder, rest))
            })
            .next();
        let Some((folder, rest)) = inside else {
            return Err(denied("is in no allowed folder"));
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(&folder, flags, Mode::empty())
            .map_err(|error| failed(error.into()))?;
        // Without waiting: opening a pipe must not hang before its kind is known.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let file =
            openat2(&folder, &rest, flags, Mode::empty(), how).map_err(|error| match error {
                rustix::io::Errno::LOOP | rustix::io::Errno::XDEV => {
                    denied("is reached through a link")
                }
                other => failed(other.into()),
            })?;
        let file = File::from(file);
        let data = file.metadata().map_err(failed)?;
        if !data.is_file() {
            return Err(denied("is no regular file"));
        }
        Ok(Self { file, size: data.len() })
    }

    /// The size in bytes when the image was opened, which may be no multiple of a sector.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Fills a buffer with the bytes at an offset.
    ///
    /// # Errors
    /// `OutOfRange` when the range leaves the image; `Io` when it cannot be read.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        check_range(offset, buffer.len() as u64, self.size)?;
        read_exact(&self.file, buffer, offset)
    }

    /// The data extents inside a range: a superset of the bytes that are not zero.
    ///
    /// # Errors
    /// `Io` when the file system does not tell.
    pub fn extents(&self, range: Range<u64>) -> Result<Vec<Range<u64>>> {
        extent::data(&self.file, &(range.start..range.end.min(self.size)))
    }
}

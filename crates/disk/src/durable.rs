//! The only place where this crate changes files that are kept.
//!
//! Names are resolved below an open directory, so that what a handle does can never land in a
//! folder that has meanwhile taken its place. A failed fsync, and a rename of unknown outcome,
//! come back as [`ErrorKind::Poisoned`](crate::ErrorKind::Poisoned): they are never tried again.

#[cfg(test)]
pub(crate) mod power;

use crate::error::{Error, ErrorKind, Result};
use rustix::fs::{AtFlags, Dir, FallocateFlags, FlockOperation, Mode, OFlags, RawMode};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Zeros are written in pieces of this size where holes cannot be punched.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

const FILE_MODE: RawMode = 0o600;
const FOLDER_MODE: RawMode = 0o700;

/// An open folder.
#[derive(Debug)]
pub(crate) struct Directory {
    handle: File,
    path: PathBuf,
}

impl Directory {
    /// Opens a folder and makes it, with its parents and durably, where it is missing.
    pub(crate) fn open_or_create(path: &Path) -> Result<Self> {
        let failed = |error| Error::io(format!("cannot make folder {}", path.display()), error);
        let full = std::path::absolute(path).map_err(failed)?;
        let missing = full.ancestors().take_while(|folder| !folder.is_dir()).count();
        std::fs::create_dir_all(&full).map_err(failed)?;
        for parent in full.ancestors().skip(1).take(missing) {
            Self::open(parent)?.sync()?;
        }
        Self::open(&full)
    }

    fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|error| Error::io(format!("cannot open folder {}", path.display()), error))?;
        Ok(Self { handle: File::from(handle), path: path.to_owned() })
    }

    fn failed(&self, action: &str, name: &str, error: rustix::io::Errno) -> Error {
        Error::io(format!("cannot {action} {}", self.path.join(name).display()), error)
    }

    /// Opens a folder inside this one.
    pub(crate) fn folder(&self, name: &str) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = rustix::fs::openat(&self.handle, name, flags, Mode::empty())
            .map_err(|error| self.failed("open folder", name, error))?;
        Ok(Self { handle: File::from(handle), path: self.path.join(name) })
    }

    /// Makes a folder inside this one.
    pub(crate) fn create_folder(&self, name: &str) -> Result<Self> {
        rustix::fs::mkdirat(&self.handle, name, Mode::from_raw_mode(FOLDER_MODE))
            .map_err(|error| self.failed("make folder", name, error))?;
        self.folder(name)
    }

    /// Opens a file for reading and writing.
    pub(crate) fn file(&self, name: &str) -> Result<File> {
        self.open_file(name, OFlags::empty())
    }

    /// Makes a new file.
    pub(crate) fn create(&self, name: &str) -> Result<File> {
        self.open_file(name, OFlags::CREATE | OFlags::EXCL)
    }

    /// Makes a file that has no name any more and goes with its last handle.
    pub(crate) fn create_unnamed(&self, name: &str) -> Result<File> {
        let file = self.create(name)?;
        self.remove_file(name)?;
        Ok(file)
    }

    fn open_file(&self, name: &str, extra: OFlags) -> Result<File> {
        before_step()?;
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | extra;
        rustix::fs::openat(&self.handle, name, flags, Mode::from_raw_mode(FILE_MODE))
            .map(File::from)
            .map_err(|error| self.failed("open", name, error))
    }

    /// Removes a file; one that is not there is removed already.
    pub(crate) fn remove_file(&self, name: &str) -> Result<()> {
        self.unlink(name, AtFlags::empty())
    }

    /// Removes a folder and the files in it; a missing one is removed already.
    pub(crate) fn remove_folder(&self, name: &str) -> Result<()> {
        let folder = match self.folder(name) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        for file in folder.names()? {
            folder.remove_file(&file)?;
        }
        self.unlink(name, AtFlags::REMOVEDIR)
    }

    fn unlink(&self, name: &str, flags: AtFlags) -> Result<()> {
        before_step()?;
        match rustix::fs::unlinkat(&self.handle, name, flags) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(self.failed("remove", name, error)),
        }
    }

    /// Renames inside this folder and makes the renaming durable.
    ///
    /// A file of the new name is replaced; the outcome of a failure is unknown.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<()> {
        before_step()?;
        #[cfg(test)]
        power::renaming(&self.path.join(to));
        rustix::fs::renameat(&self.handle, from, &self.handle, to).map_err(|error| {
            Error::poisoned(format!("cannot rename {}", self.path.join(from).display()), error)
        })?;
        self.sync()
    }

    /// Makes the names in this folder durable.
    pub(crate) fn sync(&self) -> Result<()> {
        before_step()?;
        self.handle.sync_all().map_err(|error| {
            Error::poisoned(format!("cannot sync folder {}", self.path.display()), error)
        })?;
        #[cfg(test)]
        power::folder_synced();
        Ok(())
    }

    /// The names in this folder that are UTF-8, in no order.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        let failed = |error| self.failed("list", "", error);
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.handle).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            match entry.file_name().to_str() {
                Ok("." | "..") | Err(_) => {}
                Ok(name) => names.push(name.to_owned()),
            }
        }
        Ok(names)
    }

    /// Where the folder is, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Locks a file for this handle; somebody else's lock is `Busy`.
pub(crate) fn lock(file: &File, what: &str) -> Result<()> {
    rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|error| Error::io(format!("{what} is in use by another process"), error))
}

/// Writes all bytes; they are durable after the next sync.
pub(crate) fn write_at(file: &File, bytes: &[u8], offset: u64) -> Result<()> {
    before_step()?;
    file.write_all_at(bytes, offset).map_err(|error| {
        Error::io(format!("cannot write {} bytes at {offset}", bytes.len()), error)
    })
}

/// Makes a range read as zeros and gives its space back where the file system can.
pub(crate) fn punch(file: &File, offset: u64, length: u64) -> Result<()> {
    before_step()?;
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match rustix::fs::fallocate(file, flags, offset, length) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
            write_zeros(file, offset, length)
        }
        Err(error) => Err(Error::io(format!("cannot clear {length} bytes at {offset}"), error)),
    }
}

fn write_zeros(file: &File, offset: u64, length: u64) -> Result<()> {
    let mut done = 0;
    while done < length {
        let piece = (length - done).min(ZEROS.len() as u64);
        let zeros = usize::try_from(piece).ok().and_then(|len| ZEROS.get(..len));
        write_at(file, zeros.unwrap_or_default(), offset + done)?;
        done += piece;
    }
    Ok(())
}

/// Gives a file its length; new bytes are a hole.
pub(crate) fn set_len(file: &File, length: u64) -> Result<()> {
    before_step()?;
    file.set_len(length)
        .map_err(|error| Error::io(format!("cannot set the length {length}"), error))
}

/// Makes the bytes of a file durable.
pub(crate) fn sync_data(file: &File) -> Result<()> {
    before_step()?;
    file.sync_data().map_err(unsynced)?;
    #[cfg(test)]
    power::synced(file, true);
    Ok(())
}

/// Makes the bytes, the length and the times of a file durable.
pub(crate) fn sync_all(file: &File) -> Result<()> {
    before_step()?;
    file.sync_all().map_err(unsynced)?;
    #[cfg(test)]
    power::synced(file, false);
    Ok(())
}

fn unsynced(error: io::Error) -> Error {
    Error::poisoned("an fsync failed", error)
}

/// Where tests let the power fail: before each step that changes what is kept.
#[cfg(test)]
fn before_step() -> Result<()> {
    power::step()
}

#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "it fails in tests")]
#[inline]
fn before_step() -> Result<()> {
    Ok(())
}

//! A file that gets its name when it is whole.
//!
//! Until then it has none (`O_TMPFILE`): a command that is killed leaves nothing behind, and nobody
//! takes a half for the whole. On a file system without such files it has its name from the
//! beginning, and loses it again where the command ends by itself.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, OFlags, linkat};
use rustix::io::Errno;

use crate::durable;

/// A new file that is gone again unless it is kept.
pub(super) struct Nameless {
    file: File,
    path: PathBuf,
    /// Whether it has its name.
    named: bool,
    kept: bool,
}

impl Nameless {
    /// Makes an empty file that will be `path`, where nothing may be.
    pub(super) fn create(path: &Path) -> io::Result<Nameless> {
        if path.symlink_metadata().is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let (file, named) = match without_name(path)? {
            Some(file) => (file, false),
            None => (OpenOptions::new().read(true).write(true).create_new(true).open(path)?, true),
        };
        Ok(Nameless { file, path: path.to_path_buf(), named, kept: false })
    }

    /// The file.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// By what name this process can open it once more.
    pub(super) fn address(&self) -> PathBuf {
        address(&self.file)
    }

    /// All is written: makes it durable and gives it its name, which nothing may have got
    /// meanwhile.
    pub(super) fn keep(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        if !self.named {
            linkat(CWD, self.address(), CWD, &self.path, AtFlags::SYMLINK_FOLLOW)?;
            self.named = true;
        }
        durable::sync_folder(&self.path)?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Nameless {
    fn drop(&mut self) {
        if self.named && !self.kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn address(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// A file without a name in the folder of `path`; `None` where there is no such thing.
fn without_name(path: &Path) -> io::Result<Option<File>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let flags = OFlags::TMPFILE.bits() as i32;
    match OpenOptions::new().read(true).write(true).custom_flags(flags).open(folder) {
        // Its name is given by this address, which needs /proc.
        Ok(file) => Ok(address(&file).exists().then_some(file)),
        Err(e) => match Errno::from_io_error(&e) {
            // A kernel or a file system that does not know them.
            Some(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => Ok(None),
            _ => Err(e),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tempfile::TempDir;

    use super::*;

    /// A folder of a file system that knows files without names.
    fn folder() -> TempDir {
        TempDir::new_in("/dev/shm").unwrap()
    }

    #[test]
    fn it_appears_whole_or_not_at_all() {
        let folder = folder();
        let path = folder.path().join("out");
        let mut out = Nameless::create(&path).unwrap();
        out.file().write_all(b"half").unwrap();
        assert!(!path.exists(), "no name before it is whole");
        drop(out);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        out = Nameless::create(&path).unwrap();
        out.file().write_all(b"whole").unwrap();
        out.keep().unwrap();
        drop(out);
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        let again = Nameless::create(&path).err().unwrap();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn what_appears_meanwhile_is_not_replaced() {
        let folder = folder();
        let path = folder.path().join("out");
        let mut out = Nameless::create(&path).unwrap();
        fs::write(&path, b"other").unwrap();
        assert_eq!(out.keep().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        drop(out);
        assert_eq!(fs::read(&path).unwrap(), b"other");
    }
}

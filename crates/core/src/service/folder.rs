//! The data folder: one owner at a time, and the keys that belong to it.
//!
//! The folder is owned by whoever holds the lock on `lock`; the kernel gives it back when the owner
//! dies, so no stale lock can be left. Keys are files readable by their owner alone, made once and
//! durable before they are used.

use crate::error::{Error, Fault, FaultKind, Result};
use rustix::fs::{FlockOperation, Mode, OFlags};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tresor_store::durable::{Disk, Durable, Files, Volatile};
use zeroize::Zeroizing;

/// Longest key file that is read, in bytes.
const KEY_BYTES_MAX: u64 = 64 * 1024;

/// Name of the note that a store was begun.
const UNFINISHED: &str = "store.unfinished";

/// An owned data folder.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    durable: Durable,
    _lock: OwnedFd,
}

impl Folder {
    /// Makes the folder if need be and takes its lock.
    pub(crate) fn own(path: &Path, volatile: bool) -> Result<Self> {
        let durable = Durable::new(files(volatile));
        let fail = |cause: std::io::Error| Error::internal("opening the data folder", cause);
        let is_new = !path.try_exists().map_err(fail)?;
        durable.make_dir(path).map_err(fail)?;
        if is_new {
            private(path).map_err(fail)?;
        }
        durable.make_dir(&path.join("keys")).map_err(fail)?;
        private(&path.join("keys")).map_err(fail)?;
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC;
        let lock = rustix::fs::open(path.join("lock"), flags, Mode::RUSR | Mode::WUSR)
            .map_err(|e| fail(e.into()))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path: path.to_owned(), durable, _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Fault::new(
                FaultKind::Conflict,
                format!("The data folder '{}' is in use by another process.", path.display()),
            )
            .advise("Stop the other tresor, or choose another folder with --data.")
            .into()),
            Err(e) => Err(fail(e.into())),
        }
    }

    /// Notes that a store is being made for this folder; true when that was noted before and
    /// never finished.
    pub(crate) fn begin_store(&self) -> Result<bool> {
        let fail = |cause: std::io::Error| Error::internal("marking an unfinished store", cause);
        let mark = self.path.join(UNFINISHED);
        if mark.try_exists().map_err(fail)? {
            return Ok(true);
        }
        let draft = self.path.join("store.unfinished.new");
        self.durable.remove(&draft).map_err(fail)?;
        self.durable.create(&draft, &mark, &[]).map_err(fail)?;
        Ok(false)
    }

    /// Takes that note away.
    pub(crate) fn finish_store(&self) -> Result<()> {
        let fail = |cause: std::io::Error| Error::internal("unmarking a finished store", cause);
        self.durable.remove(&self.path.join(UNFINISHED)).map_err(fail)
    }

    /// Leaves a file of the folder to its owner alone.
    pub(crate) fn keep_private(&self, name: &str) -> Result<()> {
        let fail = |cause: std::io::Error| Error::internal("closing a file to others", cause);
        private(&self.path.join(name)).map_err(fail)
    }

    /// A folder inside, for its owner alone.
    pub(crate) fn private_dir(&self, name: &str) -> Result<PathBuf> {
        let fail = |cause: std::io::Error| Error::internal("making a folder of data", cause);
        let path = self.path.join(name);
        self.durable.make_dir(&path).map_err(fail)?;
        private(&path).map_err(fail)?;
        Ok(path)
    }

    /// What files of the folder are written with; all its copies stop after one failed flush.
    pub(crate) fn durable(&self) -> Durable {
        self.durable.clone()
    }

    /// A path inside the folder.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Names of the key files that begin so.
    pub(crate) fn key_names(&self, prefix: &str) -> Result<Vec<String>> {
        let fail = |cause: std::io::Error| Error::internal("listing the key files", cause);
        let mut names = vec![];
        for entry in std::fs::read_dir(self.path.join("keys")).map_err(fail)? {
            let name = entry.map_err(fail)?.file_name().to_string_lossy().into_owned();
            // Left behind by a crash while a key was made.
            if name.starts_with(prefix) && !name.ends_with(".new") {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Removes a key file durably; absent is fine.
    pub(crate) fn forget_key(&self, name: &str) -> Result<()> {
        let fail = |cause: std::io::Error| Error::internal("removing a key file", cause);
        self.durable.remove(&self.path.join("keys").join(name)).map_err(fail)
    }

    /// Reads the key file of this name, or makes it first.
    pub(crate) fn key(
        &self,
        name: &str,
        make: impl FnOnce() -> Zeroizing<Vec<u8>>,
    ) -> Result<Zeroizing<Vec<u8>>> {
        let fail = |cause: std::io::Error| Error::internal("reading a key file", cause);
        let path = self.path.join("keys").join(name);
        if !path.try_exists().map_err(fail)? {
            let key = make();
            let draft = self.path.join("keys").join(format!("{name}.new"));
            self.durable.remove(&draft).map_err(fail)?;
            self.durable.create(&draft, &path, &[&key]).map_err(fail)?;
            private(&path).map_err(fail)?;
        }
        if std::fs::metadata(&path).map_err(fail)?.len() > KEY_BYTES_MAX {
            return Err(fail(std::io::Error::other("a key file is too long")));
        }
        Ok(Zeroizing::new(std::fs::read(&path).map_err(fail)?))
    }
}

/// The files of a folder that is kept, or of one that is thrown away.
pub(super) fn files(volatile: bool) -> Arc<dyn Files> {
    if volatile { Arc::new(Volatile) } else { Arc::new(Disk) }
}

/// Leaves a file or folder to its owner alone.
fn private(path: &Path) -> std::io::Result<()> {
    let mode = if path.is_dir() { Mode::RWXU } else { Mode::RUSR | Mode::WUSR };
    Ok(rustix::fs::chmod(path, mode)?)
}

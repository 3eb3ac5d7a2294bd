//! File writes that survive.
//!
//! Nothing kept is written in any other way than through [`Durable`], and `Durable` touches the
//! file system through the trait [`Files`] only, so that a test can put a file system under it
//! that loses power.
//!
//! Rules that must always hold:
//! - A name appears only after the bytes behind it are on stable storage: write a temporary file,
//!   flush it, link it to its name, flush the folder.
//! - The first flush that fails poisons the handle. A flush is never retried: the kernel may
//!   have dropped the dirty pages and would report success the second time. (A folder that is
//!   only looked at and cannot be opened is an error like any other.)

mod disk;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

pub use disk::{Disk, Volatile};

/// The file operations that durable writing needs.
pub trait Files: Send + Sync + fmt::Debug {
    /// Makes a folder; one that exists already is no error.
    fn make_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Creates a file that must not exist.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Written>>;
    /// Gives a file a second name, which must not exist.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Moves a file over whatever has the name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a name.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// A file being written.
pub trait Written: Send {
    /// Appends bytes.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes the bytes durable.
    fn sync(&mut self) -> io::Result<()>;
}

/// The marker inside an error that says: a flush failed, nothing is written any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Poisoned;

impl fmt::Display for Poisoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a flush to stable storage failed")
    }
}

impl std::error::Error for Poisoned {}

/// Durable writes on a file system.
#[derive(Debug, Clone)]
pub struct Durable {
    files: Arc<dyn Files>,
    poisoned: Arc<AtomicBool>,
}

impl Durable {
    /// Durable writes through `files`.
    pub fn new(files: Arc<dyn Files>) -> Self {
        Self { files, poisoned: Arc::new(AtomicBool::new(false)) }
    }

    /// Makes `dir`, a direct child of a folder that is durable already, durable.
    pub fn make_dir(&self, dir: &Path) -> io::Result<()> {
        self.healthy()?;
        self.files.make_dir(dir)?;
        self.sync_parent(dir)
    }

    /// Puts `parts` at `path`, which must not exist; `temporary` is on the same file system.
    pub fn create(&self, temporary: &Path, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
        let mut named = false;
        let done = self.place(temporary, path, parts, |files| {
            files.link(temporary, path)?;
            named = true;
            Ok(())
        });
        if done.is_err() && named {
            // Nobody may find a name that a power loss can take away: its maker was told that it
            // failed, and whoever sees it would take it for done.
            let _ = self.files.remove(path);
        }
        // Left behind, the temporary name is only something to sweep.
        let _ = self.files.remove(temporary);
        done
    }

    /// Puts `parts` at `path`, over whatever is there.
    pub fn replace(&self, temporary: &Path, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
        let done = self.place(temporary, path, parts, |files| files.rename(temporary, path));
        if done.is_err() {
            let _ = self.files.remove(temporary);
        }
        done
    }

    /// Starts a file whose bytes come one after another; it has no durable name until it is
    /// finished.
    pub fn begin(&self, temporary: &Path) -> io::Result<Draft> {
        self.healthy()?;
        let file = self.files.create(temporary)?;
        Ok(Draft { durable: self.clone(), file, temporary: temporary.to_path_buf() })
    }

    /// Removes a name durably; a name that is gone already is no error.
    pub fn remove(&self, path: &Path) -> io::Result<()> {
        self.healthy()?;
        match self.files.remove(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        self.sync_parent(path)
    }

    fn place(
        &self,
        temporary: &Path,
        path: &Path,
        parts: &[&[u8]],
        name: impl FnOnce(&dyn Files) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut draft = self.begin(temporary)?;
        parts.iter().try_for_each(|part| draft.write_all(part))?;
        self.guard(draft.file.sync())?;
        match name(self.files.as_ref()) {
            // Whoever is told that a name is taken may rely on it: it is made durable first,
            // in case that whoever made it has not come so far or was killed before.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                self.sync_parent(path)?;
                Err(e)
            }
            Err(e) => Err(e),
            Ok(()) => self.sync_parent(path),
        }
    }

    /// Makes the names in `dir` durable, whoever gave them.
    pub fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.healthy()?;
        match self.files.sync_dir(dir) {
            // It was not flushed: no page was dropped, and the next try tells the truth.
            Err(e) if is_unopened(&e) => Err(e),
            other => self.guard(other),
        }
    }

    /// The same for somebody who only reads: through a poisoned handle nothing is flushed, and
    /// nothing that is read through it can be built upon.
    pub fn settle_dir(&self, dir: &Path) -> io::Result<()> {
        if self.is_healthy() { self.sync_dir(dir) } else { Ok(()) }
    }

    /// Whether no flush has failed yet.
    pub fn is_healthy(&self) -> bool {
        !self.poisoned.load(Ordering::Acquire)
    }

    fn sync_parent(&self, path: &Path) -> io::Result<()> {
        let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        match self.files.sync_dir(parent) {
            // Nothing can be lost in a folder that does not exist.
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            // Also where it could not be opened: the name is visible and not durable, and whoever
            // reads it back would take it for kept.
            other => self.guard(other),
        }
    }

    fn healthy(&self) -> io::Result<()> {
        if !self.is_healthy() {
            return Err(io::Error::other(Poisoned));
        }
        Ok(())
    }

    /// Poisons the handle if a flush failed. The failure carries the marker too: bytes and names
    /// may be visible now and gone after a crash, so nobody may take them for durable.
    fn guard(&self, flushed: io::Result<()>) -> io::Result<()> {
        flushed.map_err(|e| {
            self.poisoned.store(true, Ordering::Release);
            tracing::error!(error = %e, "a flush to stable storage failed");
            io::Error::other(Poisoned)
        })
    }
}

/// Whether this is a failure to open something, and none that a flush has.
fn is_unopened(error: &io::Error) -> bool {
    let unopened = [Errno::NOENT, Errno::ACCESS, Errno::MFILE, Errno::NFILE];
    Errno::from_io_error(error).is_some_and(|error| unopened.contains(&error))
}

/// A file that is being written and has only a temporary name.
pub struct Draft {
    durable: Durable,
    file: Box<dyn Written>,
    temporary: std::path::PathBuf,
}

impl Draft {
    /// Appends bytes.
    pub fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Makes the bytes durable and gives them their name, over whatever has it.
    pub fn finish(mut self, path: &Path) -> io::Result<()> {
        self.durable.guard(self.file.sync())?;
        self.durable.files.rename(&self.temporary, path)?;
        self.durable.sync_parent(path)
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft").field("temporary", &self.temporary).finish_non_exhaustive()
    }
}

//! Files that fail on purpose.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tresor_store::durable::{Disk, Files, Written};

/// What a file system was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileOperation {
    /// Make a folder.
    MakeDir,
    /// Flush a folder.
    SyncDir,
    /// Create a file.
    Create,
    /// Write to a file.
    Write,
    /// Flush a file.
    Sync,
    /// Give a file a name.
    Name,
    /// Remove a name.
    Remove,
}

impl FileOperation {
    /// Whether it is one that needs room.
    pub fn takes_room(self) -> bool {
        matches!(self, Self::MakeDir | Self::Create | Self::Write | Self::Name)
    }
}

type Plan = dyn Fn(FileOperation, u64) -> Option<io::ErrorKind> + Send + Sync;

/// Files on which a plan decides about each operation: it is asked with the operation and the
/// number of operations before it, and may name an error. What fails does not happen.
#[derive(Clone)]
pub struct FaultyFiles {
    plan: Arc<Plan>,
    count: Arc<AtomicU64>,
}

impl FaultyFiles {
    /// `plan` decides about everything.
    pub fn new(
        plan: impl Fn(FileOperation, u64) -> Option<io::ErrorKind> + Send + Sync + 'static,
    ) -> Self {
        Self { plan: Arc::new(plan), count: Arc::default() }
    }

    /// Operations asked for so far.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    fn step(&self, operation: FileOperation) -> io::Result<()> {
        let before = self.count.fetch_add(1, Ordering::SeqCst);
        (self.plan)(operation, before).map_or(Ok(()), |kind| Err(kind.into()))
    }
}

impl fmt::Debug for FaultyFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyFiles({})", self.count())
    }
}

impl Files for FaultyFiles {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        match self.step(FileOperation::MakeDir) {
            // It takes no room if it is there.
            Err(e) if e.kind() == io::ErrorKind::StorageFull && dir.is_dir() => {}
            other => other?,
        }
        Disk.make_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.step(FileOperation::SyncDir)?;
        Disk.sync_dir(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Written>> {
        self.step(FileOperation::Create)?;
        Ok(Box::new(FaultyFile { files: self.clone(), inner: Disk.create(path)? }))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(FileOperation::Name)?;
        Disk.link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(FileOperation::Name)?;
        Disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step(FileOperation::Remove)?;
        Disk.remove(path)
    }
}

struct FaultyFile {
    files: FaultyFiles,
    inner: Box<dyn Written>,
}

impl Written for FaultyFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.files.step(FileOperation::Write)?;
        self.inner.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.files.step(FileOperation::Sync)?;
        self.inner.sync()
    }
}

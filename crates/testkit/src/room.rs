//! A file system with little room.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tresor_store::durable::{Disk, Files, Written};

const BLOCK: u64 = 4096;

/// Files that share so many bytes. Each file and each folder takes a block, and a file one more
/// for every block of its bytes, begun ones included; removing gives them back. Two users of one
/// disk share a clone.
#[derive(Clone)]
pub struct Room {
    limit: Arc<AtomicU64>,
    used: Arc<AtomicU64>,
}

impl Room {
    /// Room for `bytes`.
    pub fn new(bytes: u64) -> Self {
        Self { limit: Arc::new(AtomicU64::new(bytes)), used: Arc::default() }
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::SeqCst)
    }

    /// From now on there is room for so many bytes in all.
    pub fn resize(&self, bytes: u64) {
        self.limit.store(bytes, Ordering::SeqCst);
    }

    fn take(&self, bytes: u64) -> io::Result<()> {
        let limit = self.limit.load(Ordering::SeqCst);
        let fits = |used: u64| Some(used + bytes).filter(|used| bytes == 0 || *used <= limit);
        let taken = self.used.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fits);
        taken.map(drop).map_err(|_| io::ErrorKind::StorageFull.into())
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::SeqCst);
    }
}

/// What a file of so many bytes takes.
fn taken(len: u64) -> u64 {
    BLOCK + len.div_ceil(BLOCK) * BLOCK
}

/// What goes with the last name of a file.
fn behind(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |meta| if meta.nlink() == 1 { taken(meta.len()) } else { 0 })
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Room({} of {:?})", self.used(), self.limit)
    }
}

impl Files for Room {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        if !dir.is_dir() {
            self.take(BLOCK)?;
        }
        Disk.make_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        Disk.sync_dir(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Written>> {
        self.take(BLOCK)?;
        Ok(Box::new(Roomy { room: self.clone(), inner: Disk.create(path)?, len: 0 }))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let gone = behind(to);
        Disk.rename(from, to)?;
        self.give_back(gone);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let gone = behind(path);
        Disk.remove(path)?;
        self.give_back(gone);
        Ok(())
    }
}

struct Roomy {
    room: Room,
    inner: Box<dyn Written>,
    len: u64,
}

impl Written for Roomy {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let len = self.len + bytes.len() as u64;
        self.room.take(taken(len) - taken(self.len))?;
        self.len = len;
        self.inner.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.inner.sync()
    }
}

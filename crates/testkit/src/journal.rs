//! A file system that writes down what it is asked to do, and every state that a machine may
//! find after its power was lost in the middle of it.
//!
//! The assumptions are those of POSIX: what was flushed is there; of what was not, any part may
//! be there. A name is durable once its folder was flushed, bytes once their file was. Names
//! that were given or taken since may have reached the disk or not, each for itself and in any
//! order; of bytes written since, nothing may be there, a part, zeros in their place, or all.

mod replay;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use tresor_store::durable::{Disk, Files, Written};

pub use self::replay::{Image, Replay};

/// A flush, by what it is for. Each is one place in the shipped code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sync {
    /// Of the bytes of a file.
    Bytes,
    /// Of a folder in which a folder was made, or found.
    Made,
    /// Of a folder in which a file got a name.
    Named,
    /// Of a folder in which a name was already taken by somebody else.
    Taken,
    /// Of a folder from which a name was removed.
    Removed,
    /// Of a folder that was found when the handle was opened.
    Found,
}

impl Sync {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Bytes, Self::Made, Self::Named, Self::Taken, Self::Removed, Self::Found];
}

#[derive(Debug, Clone)]
enum Step {
    Folder(PathBuf),
    File(PathBuf, usize),
    Write(usize, Arc<[u8]>),
    SyncFile(usize),
    SyncFolder(PathBuf, Sync),
    Link(PathBuf, PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

/// The address of its counter.
type Process = usize;

#[derive(Debug, Default)]
struct Log {
    steps: Vec<Step>,
    files: usize,
    /// What the next flush of a folder by a thread of a process is for.
    last: HashMap<(Process, ThreadId, PathBuf), Sync>,
}

/// The file system. Clones write to one journal; each can be killed alone.
#[derive(Debug, Clone)]
pub struct Journal {
    root: PathBuf,
    log: Arc<Mutex<Log>>,
    /// Operations that are left before everything fails.
    left: Arc<AtomicU64>,
    /// Once an object in this folder got its name, everything fails.
    fatal: Arc<Mutex<Option<PathBuf>>>,
}

impl Journal {
    /// An empty journal of what happens in `root`, an empty folder whose own name is safe.
    pub fn new(root: &Path) -> Self {
        let left = Arc::new(AtomicU64::new(u64::MAX));
        let fatal = Arc::default();
        Self { root: root.to_path_buf(), log: Arc::default(), left, fatal }
    }

    /// Another process on the same disk.
    #[must_use]
    pub fn beside(&self) -> Self {
        let left = Arc::new(AtomicU64::new(u64::MAX));
        Self { left, fatal: Arc::default(), ..self.clone() }
    }

    /// The process dies after so many more operations.
    pub fn kill_after(&self, operations: u64) {
        self.left.store(operations, Ordering::SeqCst);
    }

    /// The process dies right after it next gives an object in `folder` its name: the object
    /// is seen and not durable.
    pub fn kill_after_naming(&self, folder: &str) {
        *self.fatal.lock().unwrap_or_else(PoisonError::into_inner) = Some(folder.into());
    }

    /// Whether the process is dead.
    pub fn killed(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }

    /// Steps so far: a place in the journal.
    pub fn len(&self) -> usize {
        self.log().steps.len()
    }

    /// Whether nothing happened yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What stable storage holds after each step, with `omit` never carried out.
    pub fn replay(&self, omit: Option<Sync>) -> Replay {
        Replay::new(self.log().steps.clone(), omit)
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an operation; fails once the process is dead.
    fn step(&self) -> io::Result<MutexGuard<'_, Log>> {
        let log = self.log();
        let left = self.left.load(Ordering::SeqCst);
        if left == 0 {
            return Err(io::Error::other("the process is dead"));
        }
        if left != u64::MAX {
            self.left.store(left - 1, Ordering::SeqCst);
        }
        Ok(log)
    }

    fn process(&self) -> Process {
        Arc::as_ptr(&self.left) as usize
    }

    fn inner(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).unwrap_or(path).to_path_buf()
    }
}

impl Log {
    fn note(&mut self, process: Process, path: &Path, purpose: Sync) {
        let folder = path.parent().unwrap_or(path).to_path_buf();
        self.last.insert((process, thread::current().id(), folder), purpose);
    }
}

impl Files for Journal {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        let mut log = self.step()?;
        let new = dir != self.root && !dir.exists();
        Disk.make_dir(dir)?;
        log.note(self.process(), dir, Sync::Made);
        // A folder that was made behind the journal's back is as good as one made now.
        let inner = self.inner(dir);
        if new || !log.steps.iter().any(|step| matches!(step, Step::Folder(f) if *f == inner)) {
            log.steps.push(Step::Folder(inner));
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut log = self.step()?;
        if !dir.is_dir() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let place = (self.process(), thread::current().id(), dir.to_path_buf());
        let purpose = log.last.remove(&place);
        let step = Step::SyncFolder(self.inner(dir), purpose.unwrap_or(Sync::Found));
        log.steps.push(step);
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Written>> {
        let mut log = self.step()?;
        let inner = Disk.create(path)?;
        let number = log.files;
        log.files += 1;
        log.steps.push(Step::File(self.inner(path), number));
        Ok(Box::new(JournalFile { journal: self.clone(), number, inner }))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut log = self.step()?;
        let done = Disk.link(from, to);
        let taken = matches!(&done, Err(e) if e.kind() == io::ErrorKind::AlreadyExists);
        log.note(self.process(), to, if taken { Sync::Taken } else { Sync::Named });
        done?;
        log.steps.push(Step::Link(self.inner(from), self.inner(to)));
        let fatal = self.fatal.lock().unwrap_or_else(PoisonError::into_inner);
        if fatal.as_ref().is_some_and(|folder| self.inner(to).starts_with(folder)) {
            self.left.store(0, Ordering::SeqCst);
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut log = self.step()?;
        Disk.rename(from, to)?;
        log.note(self.process(), to, Sync::Named);
        log.steps.push(Step::Rename(self.inner(from), self.inner(to)));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut log = self.step()?;
        // Also the flush after a removal that found nothing is a promise that it is gone.
        log.note(self.process(), path, Sync::Removed);
        Disk.remove(path)?;
        log.steps.push(Step::Remove(self.inner(path)));
        Ok(())
    }
}

struct JournalFile {
    journal: Journal,
    number: usize,
    inner: Box<dyn Written>,
}

impl Written for JournalFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut log = self.journal.step()?;
        self.inner.write_all(bytes)?;
        log.steps.push(Step::Write(self.number, bytes.into()));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut log = self.journal.step()?;
        log.steps.push(Step::SyncFile(self.number));
        Ok(())
    }
}

//! A file system that writes down what it is asked to do, and every state that a machine may
//! find after its power was lost in the middle of it.
//!
//! The assumptions are those of POSIX: what was flushed is there; of what was not, any part may
//! be there. A name is durable once its folder was flushed, bytes once their file was. Names
//! that were given or taken since may have reached the disk or not, each for itself and in any
//! order; of bytes written since, nothing may be there, a part, zeros in their place, or all.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use tresor_store::durable::{Disk, Files, Written};

use crate::Rng;

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
        let steps = self.log().steps.clone();
        let mut storage = Storage::default();
        storage.folders.insert(PathBuf::new(), Names::default());
        Replay { steps, next: 0, omit, storage }
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    File(usize),
    Folder,
}

type Names = BTreeMap<String, Entry>;

/// Names that were given or taken and not flushed; all of one change or none.
#[derive(Debug, Clone)]
struct Change(Vec<(PathBuf, String, Option<Entry>)>);

impl Change {
    /// Whether no object's name is among them.
    fn hidden(&self) -> bool {
        self.0.iter().all(|(folder, _, _)| folder.to_string_lossy().starts_with('.'))
    }
}

#[derive(Debug, Clone, Default)]
struct Bytes {
    written: Arc<Vec<u8>>,
    flushed: usize,
}

#[derive(Debug, Clone, Default)]
struct Storage {
    files: BTreeMap<usize, Bytes>,
    /// Flushed names of each folder that was ever made.
    folders: BTreeMap<PathBuf, Names>,
    pending: Vec<Change>,
}

fn split(path: &Path) -> (PathBuf, String) {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    (path.parent().unwrap_or(Path::new("")).to_path_buf(), name.unwrap_or_default())
}

impl Storage {
    fn change(&mut self, names: Vec<(&Path, Option<Entry>)>) {
        let placed = names.into_iter().map(|(path, entry)| {
            let (folder, name) = split(path);
            (folder, name, entry)
        });
        self.pending.push(Change(placed.collect()));
    }

    /// What is seen under a name while the machine runs.
    fn seen(&self, path: &Path) -> Option<Entry> {
        let (folder, name) = split(path);
        let newest = self.pending.iter().rev().flat_map(|change| change.0.iter().rev());
        let mut found = newest.filter(|(f, n, _)| *f == folder && *n == name);
        let flushed = || self.folders.get(&folder).and_then(|names| names.get(&name)).copied();
        found.next().map_or_else(flushed, |(_, _, entry)| *entry)
    }

    fn apply(&mut self, change: Change) {
        for (folder, name, entry) in change.0 {
            let names = self.folders.entry(folder).or_default();
            match entry {
                Some(entry) => names.insert(name, entry),
                None => names.remove(&name),
            };
        }
    }

    fn step(&mut self, step: &Step, omit: Option<Sync>) {
        match step {
            Step::Folder(path) => {
                self.folders.entry(path.clone()).or_default();
                if !path.as_os_str().is_empty() {
                    self.change(vec![(path, Some(Entry::Folder))]);
                }
            }
            Step::File(path, number) => {
                self.files.insert(*number, Bytes::default());
                self.change(vec![(path, Some(Entry::File(*number)))]);
            }
            Step::Write(number, bytes) => {
                let file = self.files.entry(*number).or_default();
                Arc::make_mut(&mut file.written).extend_from_slice(bytes);
            }
            Step::SyncFile(number) => {
                let file = self.files.entry(*number).or_default();
                if omit != Some(Sync::Bytes) {
                    file.flushed = file.written.len();
                }
            }
            Step::SyncFolder(path, purpose) => {
                if omit != Some(*purpose) {
                    let flushed = |change: &Change| change.0.iter().any(|(f, _, _)| f == path);
                    let (now, later) = self.pending.drain(..).partition(flushed);
                    self.pending = later;
                    let now: Vec<Change> = now;
                    now.into_iter().for_each(|change| self.apply(change));
                }
            }
            Step::Link(from, to) => {
                let entry = self.seen(from);
                self.change(vec![(to, entry)]);
            }
            Step::Rename(from, to) => {
                let entry = self.seen(from);
                self.change(vec![(from, None), (to, entry)]);
            }
            Step::Remove(path) => self.change(vec![(path, None)]),
        }
    }
}

/// A journal being played back.
#[derive(Debug)]
pub struct Replay {
    steps: Vec<Step>,
    next: usize,
    omit: Option<Sync>,
    storage: Storage,
}

/// What becomes of bytes that were written and not flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Torn {
    Lost,
    Half,
    Zeros,
    Kept,
}

/// One state that a machine may find.
#[derive(Debug, Clone)]
pub struct Image {
    folders: BTreeMap<PathBuf, Names>,
    files: BTreeMap<usize, Bytes>,
    torn: Torn,
}

/// Newest changes of names of which every subset is tried.
const FREE: usize = 5;

impl Replay {
    /// How many steps were played back.
    pub fn place(&self) -> usize {
        self.next
    }

    /// Plays one step; false at the end of the journal.
    pub fn advance(&mut self) -> bool {
        let Some(step) = self.steps.get(self.next) else { return false };
        self.storage.step(step, self.omit);
        self.next += 1;
        true
    }

    /// States that may be found here, at most `most`: only what was flushed, everything that was
    /// done, and chosen by `rng` of all others: each subset of the newest changes of names, on
    /// top of none or all of the older ones, with each fate of the bytes.
    pub fn images(&self, most: usize, rng: &mut Rng) -> Vec<Image> {
        let free = self.storage.pending.len().min(FREE);
        let older = self.storage.pending.len() - free;
        let mut plans = Vec::new();
        for torn in [Torn::Lost, Torn::Kept, Torn::Half, Torn::Zeros] {
            for old in [false, true].into_iter().take(if older > 0 { 2 } else { 1 }) {
                plans.extend((0..1_u64 << free).map(|subset| (torn, old, subset)));
            }
        }
        let all = (1_u64 << free) - 1;
        let extreme = |plan: &(Torn, bool, u64)| {
            *plan == (Torn::Lost, false, 0)
                || plan.0 == Torn::Kept && plan.1 == (older > 0) && plan.2 == all
                || plan.0 == Torn::Lost && plan.1 == (older > 0) && plan.2 == all
        };
        let (mut chosen, mut rest): (Vec<_>, Vec<_>) = plans.into_iter().partition(extreme);
        while chosen.len() < most && !rest.is_empty() {
            chosen.push(rest.swap_remove(rng.below(rest.len() as u64) as usize));
        }
        chosen.into_iter().map(|(torn, old, subset)| self.image(torn, old, subset)).collect()
    }

    fn image(&self, torn: Torn, old: bool, subset: u64) -> Image {
        let mut storage = self.storage.clone();
        let pending = std::mem::take(&mut storage.pending);
        // Names of objects matter more than those of files that have no object's name yet.
        let (mut pending, named): (Vec<_>, _) = pending.into_iter().partition(Change::hidden);
        pending.extend(named);
        let older = pending.len() - pending.len().min(FREE);
        for (number, change) in pending.into_iter().enumerate() {
            let kept = match number.checked_sub(older) {
                None => old,
                Some(bit) => subset >> bit & 1 == 1,
            };
            if kept {
                storage.apply(change);
            }
        }
        Image { folders: storage.folders, files: storage.files, torn }
    }
}

impl Bytes {
    fn after(&self, torn: Torn) -> Vec<u8> {
        let (mut bytes, flushed) = (self.written.to_vec(), self.flushed);
        let open = bytes.len() - flushed;
        match torn {
            Torn::Lost => bytes.truncate(flushed),
            Torn::Half => bytes.truncate(flushed + open / 2),
            Torn::Zeros => bytes.iter_mut().skip(flushed).for_each(|byte| *byte = 0),
            Torn::Kept => {}
        }
        bytes
    }
}

impl Image {
    /// Hands every file to `each`, folders before what is in them. A folder whose own name was
    /// lost takes everything in it along.
    fn visit(
        &self,
        mut each: impl FnMut(&Path, Option<&[u8]>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut waiting = vec![PathBuf::new()];
        while let Some(folder) = waiting.pop() {
            for (name, entry) in self.folders.get(&folder).into_iter().flatten() {
                let path = folder.join(name);
                match entry {
                    Entry::Folder => {
                        each(&path, None)?;
                        waiting.push(path);
                    }
                    Entry::File(number) => {
                        let bytes = self.files.get(number).map(|file| file.after(self.torn));
                        each(&path, Some(&bytes.unwrap_or_default()))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes the state to the folder `to`, which is empty.
    pub fn write(&self, to: &Path) -> io::Result<()> {
        self.visit(|path, bytes| match bytes {
            None => fs::create_dir(to.join(path)),
            Some(bytes) => fs::write(to.join(path), bytes),
        })
    }

    /// Equal for equal states: of everything, and of everything below names without a dot.
    pub fn digests(&self) -> io::Result<([u8; 32], [u8; 32])> {
        let (mut all, mut named) = (blake3::Hasher::new(), blake3::Hasher::new());
        self.visit(|path, bytes| {
            let hidden = path.to_string_lossy().starts_with('.');
            for hasher in [Some(&mut all), (!hidden).then_some(&mut named)].into_iter().flatten() {
                let (name, len) = (path.to_string_lossy(), bytes.map_or(0, <[u8]>::len));
                hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
                hasher.update(&(len as u64).to_le_bytes()).update(bytes.unwrap_or_default());
            }
            Ok(())
        })?;
        Ok((*all.finalize().as_bytes(), *named.finalize().as_bytes()))
    }

    /// How the unflushed bytes ended, for messages.
    pub fn fate(&self) -> String {
        format!("unflushed bytes: {:?}", self.torn)
    }
}

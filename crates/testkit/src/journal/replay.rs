//! A journal played back: what stable storage holds after each step, and the states that a
//! machine may find there.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Step, Sync};
use crate::Rng;

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
    /// A replay from the start, on a disk with nothing but the root.
    pub(super) fn new(steps: Vec<Step>, omit: Option<Sync>) -> Self {
        let mut storage = Storage::default();
        storage.folders.insert(PathBuf::new(), Names::default());
        Self { steps, next: 0, omit, storage }
    }

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

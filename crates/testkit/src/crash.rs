//! A file system that loses power.
//!
//! Every operation is carried out on a real folder, so that readers see it, and on a model of
//! what stable storage holds. After the power is lost nothing works any more; what a machine
//! finds when it comes back can be written to another folder: in the worst case only what was
//! flushed, in the best case everything.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tresor_store::durable::{Disk, Files, Written};

/// A flush, by what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// Of the bytes of a file.
    Bytes,
    /// Of a folder in which a folder was made.
    Made,
    /// Of a folder in which a file got a name.
    Named,
    /// Of a folder in which a name was removed.
    Removed,
}

/// What is found after the power was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Luck {
    /// Only what was flushed.
    Worst,
    /// All that was ever written.
    Best,
    /// All names, but only the bytes that were flushed.
    Names,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    File(usize),
    Folder,
}

type Names = BTreeMap<String, Entry>;

#[derive(Debug, Default)]
struct Model {
    /// Bytes written and bytes flushed of each file ever made.
    files: Vec<(Vec<u8>, Vec<u8>)>,
    /// Names seen and names flushed of each folder.
    folders: BTreeMap<PathBuf, (Names, Names)>,
    /// What the next flush of a folder is for.
    last: BTreeMap<PathBuf, Flush>,
    operations: u64,
    stop: Option<u64>,
    omit: Option<Flush>,
}

/// The file system.
#[derive(Debug, Clone)]
pub struct CrashFiles {
    root: PathBuf,
    model: Arc<Mutex<Model>>,
}

impl CrashFiles {
    /// A file system below `root`, an empty folder whose own name is safe. The power is lost
    /// before operation number `stop`; flushes of the kind `omit` do nothing.
    pub fn new(root: &Path, stop: Option<u64>, omit: Option<Flush>) -> Self {
        let mut model = Model { stop, omit, ..Model::default() };
        model.folders.insert(root.to_path_buf(), Default::default());
        Self { root: root.to_path_buf(), model: Arc::new(Mutex::new(model)) }
    }

    /// Operations asked for so far.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Whether the power was lost.
    pub fn lost(&self) -> bool {
        let model = self.lock();
        model.stop.is_some_and(|stop| model.operations >= stop)
    }

    /// The power never went, only the process did: everything works again and all that was
    /// written is still seen.
    pub fn revive(&self) {
        self.lock().stop = None;
    }

    /// Writes what stable storage holds now to the folder `to`.
    pub fn image(&self, to: &Path, luck: Luck) -> io::Result<()> {
        let model = self.lock();
        for (folder, (seen, flushed)) in &model.folders {
            let inner = folder.strip_prefix(&self.root).map_err(io::Error::other)?;
            let place = to.join(inner);
            // A folder whose own name was lost takes everything in it along.
            if !place.is_dir() {
                continue;
            }
            for (name, entry) in if luck == Luck::Worst { flushed } else { seen } {
                match entry {
                    Entry::Folder => fs::create_dir(place.join(name))?,
                    Entry::File(number) => {
                        let file = model.files.get(*number).ok_or(io::ErrorKind::NotFound)?;
                        let bytes = if luck == Luck::Best { &file.0 } else { &file.1 };
                        fs::write(place.join(name), bytes)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an operation; fails once the power is lost.
    fn step(&self) -> io::Result<MutexGuard<'_, Model>> {
        let mut model = self.lock();
        if model.stop.is_some_and(|stop| model.operations >= stop) {
            return Err(io::Error::other("the power is lost"));
        }
        model.operations += 1;
        Ok(model)
    }
}

impl Model {
    fn split(path: &Path) -> io::Result<(PathBuf, String)> {
        let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let name = path.file_name().and_then(|name| name.to_str());
        Ok((folder.to_path_buf(), name.ok_or(io::ErrorKind::InvalidInput)?.to_owned()))
    }

    fn name(&mut self, path: &Path, entry: Entry, flush: Flush) -> io::Result<()> {
        let (folder, name) = Self::split(path)?;
        let known = self.folders.get_mut(&folder).ok_or(io::ErrorKind::NotFound)?;
        known.0.insert(name, entry);
        self.last.insert(folder, flush);
        Ok(())
    }

    fn unname(&mut self, path: &Path) -> io::Result<Entry> {
        let (folder, name) = Self::split(path)?;
        let known = self.folders.get_mut(&folder).ok_or(io::ErrorKind::NotFound)?;
        let entry = known.0.remove(&name).ok_or(io::ErrorKind::NotFound)?;
        // A name that was given a moment ago is what the next flush is for, not one that went.
        self.last.entry(folder).or_insert(Flush::Removed);
        Ok(entry)
    }

    fn entry(&self, path: &Path) -> io::Result<Entry> {
        let (folder, name) = Self::split(path)?;
        let known = self.folders.get(&folder).and_then(|known| known.0.get(&name));
        known.cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Files for CrashFiles {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        let mut model = self.step()?;
        Disk.make_dir(dir)?;
        if dir != self.root && !model.folders.contains_key(dir) {
            model.name(dir, Entry::Folder, Flush::Made)?;
            model.folders.insert(dir.to_path_buf(), Default::default());
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut model = self.step()?;
        if !dir.is_dir() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let purpose = model.last.remove(dir);
        if (purpose.is_none() || model.omit != purpose)
            && let Some((seen, flushed)) = model.folders.get_mut(dir)
        {
            flushed.clone_from(seen);
        }
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Written>> {
        let mut model = self.step()?;
        let inner = Disk.create(path)?;
        let number = model.files.len();
        model.files.push(Default::default());
        model.name(path, Entry::File(number), Flush::Named)?;
        Ok(Box::new(CrashFile { files: self.clone(), number, inner }))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut model = self.step()?;
        Disk.link(from, to)?;
        let entry = model.entry(from)?;
        model.name(to, entry, Flush::Named)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut model = self.step()?;
        Disk.rename(from, to)?;
        let entry = model.unname(from)?;
        model.name(to, entry, Flush::Named)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut model = self.step()?;
        Disk.remove(path)?;
        model.unname(path).map(|_| ())
    }
}

struct CrashFile {
    files: CrashFiles,
    number: usize,
    inner: Box<dyn Written>,
}

impl Written for CrashFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut model = self.files.step()?;
        self.inner.write_all(bytes)?;
        if let Some((written, _)) = model.files.get_mut(self.number) {
            written.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut model = self.files.step()?;
        if model.omit != Some(Flush::Bytes)
            && let Some((written, flushed)) = model.files.get_mut(self.number)
        {
            flushed.clone_from(written);
        }
        Ok(())
    }
}

//! A pool: a folder that holds volumes, each in a folder of its own.
//!
//! A volume appears and disappears by one rename, so a crash leaves it whole or not at all; what
//! is half made or half removed starts with a dot and is swept when the pool is opened. A pool
//! hands out one shared handle for each open volume; a second process is kept out by a lock.

use crate::durable::Directory;
use crate::error::{Error, ErrorKind, Result};
use crate::volume::{Volume, check_size, data_name, locked};
use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};

const NEW_PREFIX: &str = ".new-";
const GONE_PREFIX: &str = ".gone-";

/// The name of a volume: 1 to 64 of `a-z`, `0-9` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeName(String);

impl VolumeName {
    /// Checks a name.
    ///
    /// # Errors
    /// `Denied` when it is anything but 1 to 64 of `a-z`, `0-9` and `-`.
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=64).contains(&name.len()) && name.bytes().all(fits) {
            return Ok(Self(name));
        }
        let text = format!("{name:?} is no volume name: 1 to 64 of a-z, 0-9 and -");
        Err(Error::new(ErrorKind::Denied, text))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VolumeName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl FromStr for VolumeName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::new(name)
    }
}

/// A folder of volumes.
#[derive(Debug)]
pub struct Pool {
    folder: Directory,
    registry: Arc<Registry>,
}

/// Which volumes are open.
#[derive(Debug, Default)]
struct Registry {
    open: Mutex<Open>,
    closed: Condvar,
}

#[derive(Debug, Default)]
struct Open {
    handles: HashMap<VolumeName, Entry>,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    volume: Weak<Volume>,
}

/// The place of an open volume in the registry, until it is dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    registry: Arc<Registry>,
    name: VolumeName,
    number: u64,
}

impl Registration {
    pub(crate) fn name(&self) -> &VolumeName {
        &self.name
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut open = locked(&self.registry.open);
        // A volume that was removed has lost its place, perhaps to a new one of its name.
        if open.handles.get(&self.name).is_some_and(|entry| entry.number == self.number) {
            open.handles.remove(&self.name);
        }
        self.registry.closed.notify_all();
    }
}

impl Pool {
    /// Opens a pool, makes its folder where it is missing, and sweeps what a crash left.
    ///
    /// # Errors
    /// `Poisoned` when a new folder could not be made durable; `Denied`, `Full` or `Io` when the
    /// folder cannot be made, entered or swept.
    pub fn open(folder: &Path) -> Result<Self> {
        let folder = Directory::open_or_create(folder)?;
        for name in folder.names()? {
            if name.starts_with(NEW_PREFIX) || name.starts_with(GONE_PREFIX) {
                folder.remove_folder(&name)?;
            }
        }
        Ok(Self { folder, registry: Arc::default() })
    }

    /// Makes a volume that reads as zeros, durable on return, and opens it.
    ///
    /// `generation` tells this volume from earlier ones of its name; it should be random.
    ///
    /// # Errors
    /// `Exists` when there is a volume of this name; `OutOfRange` or `Unaligned` for a size that no
    /// volume can have, `TooLarge` for one that the file system cannot hold; `Poisoned` when the
    /// volume could not be made durable; `Denied`, `Full` or `Io` when its files cannot be made.
    pub fn create(
        &self,
        name: &VolumeName,
        size: u64,
        generation: [u8; 16],
    ) -> Result<Arc<Volume>> {
        check_size(size)?;
        {
            let _open = locked(&self.registry.open);
            match self.folder.folder(name.as_str()) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
                Ok(_) => {
                    let text = format!("volume {name} exists already");
                    return Err(Error::new(ErrorKind::Exists, text));
                }
            }
            let new = format!("{NEW_PREFIX}{name}");
            self.folder.remove_folder(&new)?;
            Volume::make(&self.folder.create_folder(&new)?, size, generation)?;
            self.folder.rename(&new, name.as_str())?;
        }
        self.open_volume(name)
    }

    /// Opens a volume; while a handle exists, everybody gets the same one.
    ///
    /// # Errors
    /// `NotFound` when there is none of this name; `Busy` while another process has it open;
    /// `Corrupt` when its files contradict each other; `Poisoned` when its change map could not be
    /// made durable; `Denied`, `Full` or `Io` when its files cannot be read or brought up to date.
    pub fn open_volume(&self, name: &VolumeName) -> Result<Arc<Volume>> {
        let mut open = locked(&self.registry.open);
        while let Some(entry) = open.handles.get(name) {
            if let Some(volume) = entry.volume.upgrade() {
                return Ok(volume);
            }
            // The last handle is being closed by another thread.
            open = self.registry.closed.wait(open).unwrap_or_else(PoisonError::into_inner);
        }
        let folder = self.folder.folder(name.as_str())?;
        open.next += 1;
        let number = open.next;
        // The place is taken first and filled below, so that a failure gives it back by drop,
        // after the lock on the registry has gone.
        let entry = Entry { number, volume: Weak::new() };
        open.handles.insert(name.clone(), entry);
        let registry = Arc::clone(&self.registry);
        let registration = Registration { registry, name: name.clone(), number };
        drop(open);
        let volume = Arc::new(Volume::open(folder, registration)?);
        let mut open = locked(&self.registry.open);
        if let Some(entry) = open.handles.get_mut(name).filter(|entry| entry.number == number) {
            entry.volume = Arc::downgrade(&volume);
        }
        self.registry.closed.notify_all();
        drop(open);
        Ok(volume)
    }

    /// Removes a volume, durably; one that does not exist is removed already.
    ///
    /// Handles and views that are open stay usable until they are dropped, as an unlinked file
    /// does; they keep nothing. A new volume may take the name at once.
    ///
    /// # Errors
    /// `Poisoned` when it is unknown whether the volume is still there after a crash; `Denied` or
    /// `Io` when its files cannot be removed. What is left then goes when the pool is opened again,
    /// or when this is called again.
    pub fn remove(&self, name: &VolumeName) -> Result<()> {
        let mut open = locked(&self.registry.open);
        let gone = format!("{GONE_PREFIX}{name}");
        self.folder.remove_folder(&gone)?;
        match self.folder.folder(name.as_str()) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            other => drop(other?),
        }
        self.folder.rename(name.as_str(), &gone)?;
        let entry = open.handles.remove(name);
        let volume = entry.and_then(|entry| entry.volume.upgrade());
        if let Some(volume) = &volume {
            volume.detach();
        }
        let removed = self.folder.remove_folder(&gone);
        // The last handle may go here, and its drop takes the registry's lock.
        drop(open);
        drop(volume);
        removed
    }

    /// The names of the volumes, sorted.
    ///
    /// # Errors
    /// `Io` when the folder cannot be listed.
    pub fn names(&self) -> Result<Vec<VolumeName>> {
        let names = self.folder.names()?;
        let mut names: Vec<_> = names.into_iter().filter_map(|n| VolumeName::new(n).ok()).collect();
        names.sort();
        Ok(names)
    }

    /// Where the data of a volume is, for tools that read it while it is closed.
    pub fn data_path(&self, volume: &Volume) -> std::path::PathBuf {
        let folder = self.folder.path().join(volume.name().as_str());
        folder.join(data_name(&volume.generation()))
    }
}

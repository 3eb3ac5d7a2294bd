//! The local folder of segments: a disposable copy of the store's runs.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};
use uuid::Uuid;

use super::State;
use super::run::{MERGED, Run};
use crate::durable::{Disk, Durable};
use crate::error::{Error, ErrorKind, Result};
use crate::keys::KeyRing;
use crate::margins;

/// The local folder of one handle.
pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) durable: Durable,
    /// Held for life: no other handle uses the folder.
    _lock: File,
}

impl Folder {
    /// Takes the first folder below `cache` that no other handle uses.
    pub(super) fn claim(cache: &Path, store: Uuid) -> Result<Self> {
        let fail = |e| Error::io("the local index folder cannot be used", e);
        let durable = Durable::new(Arc::new(Disk));
        let top = cache.join(store.simple().to_string());
        for dir in [cache, &top] {
            durable.make_dir(dir).map_err(fail)?;
        }
        for slot in 0..margins::CACHE_SLOTS {
            let path = top.join(slot.to_string());
            durable.make_dir(&path).map_err(fail)?;
            let lock = File::open(&path).map_err(fail)?;
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    let folder = Self { path, durable, _lock: lock };
                    folder.clear_others(&top, slot);
                    return Ok(folder);
                }
                Err(e) if io::Error::from(e).kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(fail(e.into())),
            }
        }
        Err(Error::new(ErrorKind::Invalid, "too many handles share one cache folder"))
    }

    /// Empties the folders that other handles left when they were closed: the cache holds one
    /// copy for each handle that is open now, not for each that ever was.
    fn clear_others(&self, top: &Path, own: u32) {
        for slot in (0..margins::CACHE_SLOTS).filter(|slot| *slot != own) {
            let path = top.join(slot.to_string());
            let Ok(lock) = File::open(&path) else { continue };
            if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
                continue;
            }
            for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
                self.discard(&entry.path());
            }
        }
    }

    /// Removes a file that is of no use. One that stays only takes room.
    fn discard(&self, path: &Path) {
        if let Err(e) = self.durable.remove(path) {
            tracing::warn!(path = %path.display(), error = %e, "a cached file stays");
        }
    }

    /// Opens the segments that an earlier handle left. What cannot be opened is removed: the
    /// folder is only a cache.
    pub(super) fn load(&self, ring: &KeyRing) -> Result<State> {
        let fail = |e| Error::io("the local index folder cannot be read", e);
        let mut state = State::default();
        for entry in fs::read_dir(&self.path).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            let run = (path.extension().is_some_and(|e| e == "run" || e == MERGED))
                .then(|| Run::open(ring, &path).ok())
                .flatten();
            match run {
                Some(run) => {
                    state.known.extend(run.names());
                    state.segments.push(Arc::new(run));
                }
                None => self.discard(&path),
            }
        }
        Ok(state)
    }

    pub(super) fn path(&self, name: Uuid, suffix: &str) -> PathBuf {
        self.path.join(format!("{}.{suffix}", name.simple()))
    }

    pub(super) fn add(
        &self,
        ring: &KeyRing,
        name: Uuid,
        suffix: &str,
        bytes: &[u8],
    ) -> Result<Run> {
        let (temporary, path) = (self.path(name, "tmp"), self.path(name, suffix));
        self.durable
            .replace(&temporary, &path, &[bytes])
            .map_err(|e| Error::io("a segment of the local index cannot be written", e))?;
        self.check(ring, &path)
    }

    /// Opens a new local copy, which goes again if any page of it is damaged.
    pub(super) fn check(&self, ring: &KeyRing, path: &Path) -> Result<Run> {
        let checked = Run::open(ring, path).and_then(|run| run.check().map(|()| run));
        if checked.is_err() {
            // What is left over is removed at the next open.
            let _ = self.durable.remove(path);
        }
        checked
    }

    pub(super) fn forget(&self, run: &Run) -> Result<()> {
        self.durable
            .remove(run.path())
            .map_err(|e| Error::io("a segment of the local index cannot be removed", e))
    }
}

//! The folder of a service that is thrown away.
//!
//! It lies among the machine's temporary files and goes with its handle. A service that was killed
//! leaves it behind; whoever starts the next one removes such folders: those whose lock nobody
//! holds. A folder without a lock file is left alone, because its maker may be about to lock it.

use std::fs::{self, DirEntry, File, Permissions, TryLockError};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

const PREFIX: &str = "tresor-ephemeral-";
const LOCK: &str = "ephemeral.lock";
/// Left folders that one start removes at most.
const SWEPT_MAX: usize = 16;

/// A locked temporary folder.
#[derive(Debug)]
pub(super) struct Folder {
    folder: TempDir,
    _lock: File,
}

impl Folder {
    /// Makes a folder that only its owner can enter.
    pub(super) fn new() -> Result<Folder> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX).permissions(Permissions::from_mode(0o700));
        let folder = builder.tempdir();
        let folder = folder.context("cannot make a temporary folder (see TMPDIR)")?;
        let lock = File::create_new(folder.path().join(LOCK)).context("cannot make a lock file")?;
        lock.try_lock().context("cannot lock the temporary folder")?;
        Ok(Folder { folder, _lock: lock })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Removes it now. What cannot be removed is told and left to the next start.
    pub(super) fn remove(self) {
        let path = self.path().to_owned();
        if let Err(error) = self.folder.close() {
            tracing::warn!(folder = %path.display(), %error, "the folder could not be removed");
        }
    }
}

/// Removes the folders that killed services have left in the machine's temporary folder.
pub(super) fn sweep() {
    sweep_in(&std::env::temp_dir());
}

fn sweep_in(place: &Path) {
    let Ok(entries) = fs::read_dir(place) else { return };
    let left = entries.filter_map(Result::ok).filter_map(|entry| left_behind(&entry));
    for (path, lock) in left.take(SWEPT_MAX) {
        match fs::remove_dir_all(&path) {
            Ok(()) => tracing::info!(folder = %path.display(), "left by a killed service; removed"),
            Err(error) => tracing::debug!(folder = %path.display(), %error, "not removed"),
        }
        drop(lock);
    }
}

/// The folder, locked for whoever removes it, when it is ours and its owner is dead.
fn left_behind(entry: &DirEntry) -> Option<(PathBuf, File)> {
    let name = entry.file_name();
    name.to_str().filter(|name| name.starts_with(PREFIX))?;
    let metadata = entry.metadata().ok()?;
    let ours = metadata.uid() == rustix::process::geteuid().as_raw();
    if !metadata.is_dir() || !ours {
        return None;
    }
    let path = entry.path();
    let lock = File::open(path.join(LOCK)).ok()?;
    match lock.try_lock() {
        Ok(()) => Some((path, lock)),
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => None,
    }
}

/// Copies a data folder that nobody writes to: not what belongs to the process that has it open.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    const OPEN: [&str; 2] = ["lock", "catalogue.db-shm"];
    crate::durable::folder(to)?;
    let failed = || format!("cannot copy {}", from.display());
    for entry in fs::read_dir(from).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        let (name, kind) = (entry.file_name(), entry.file_type().with_context(failed)?);
        if kind.is_dir() {
            copy(&entry.path(), &to.join(&name))?;
        } else if kind.is_file() && !OPEN.iter().any(|open| name == *open) {
            fs::copy(entry.path(), to.join(&name)).with_context(failed)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made_in(place: &Path, name: &str) -> PathBuf {
        let path = place.join(name);
        fs::create_dir(&path).unwrap();
        fs::write(path.join("data"), b"x").unwrap();
        path
    }

    #[test]
    fn only_folders_whose_owner_is_dead_are_swept() {
        let place = tempfile::tempdir().unwrap();
        let dead = made_in(place.path(), "tresor-ephemeral-dead");
        File::create_new(dead.join(LOCK)).unwrap();
        let alive = made_in(place.path(), "tresor-ephemeral-alive");
        let held = File::create_new(alive.join(LOCK)).unwrap();
        held.try_lock().unwrap();
        let unlocked = made_in(place.path(), "tresor-ephemeral-new");
        let other = made_in(place.path(), "somebody-elses");
        File::create_new(other.join(LOCK)).unwrap();
        let link = place.path().join("tresor-ephemeral-link");
        std::os::unix::fs::symlink(&other, &link).unwrap();
        sweep_in(place.path());
        assert!(!dead.exists());
        for kept in [alive, unlocked, other.join("data"), link] {
            assert!(kept.exists(), "{}", kept.display());
        }
    }

    #[test]
    fn a_folder_goes_with_its_handle() {
        let folder = Folder::new().unwrap();
        let path = folder.path().to_owned();
        fs::write(path.join("data"), b"x").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        let locked = File::open(path.join(LOCK)).unwrap();
        assert!(matches!(locked.try_lock(), Err(TryLockError::WouldBlock)));
        folder.remove();
        assert!(!path.exists());
    }

    #[test]
    fn a_copy_has_everything_but_what_is_open() {
        let place = tempfile::tempdir().unwrap();
        let from = made_in(place.path(), "from");
        made_in(&from, "inner");
        fs::write(from.join("lock"), b"").unwrap();
        fs::write(from.join("catalogue.db-shm"), b"").unwrap();
        let to = place.path().join("to");
        copy(&from, &to).unwrap();
        assert!(to.join("data").exists() && to.join("inner/data").exists());
        assert!(!to.join("lock").exists() && !to.join("catalogue.db-shm").exists());
    }
}

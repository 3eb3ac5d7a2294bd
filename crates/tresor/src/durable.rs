//! Small files that must be whole or absent after any crash, and private while they exist.
//!
//! Write to a temporary file beside the target, fsync it, rename it over the target, fsync the
//! folder. A file that holds a secret is created with its final mode (0600): there is no instant
//! at which another user could open it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result};

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// The owner only (0600).
    Private,
    /// Everybody (0644).
    Public,
}

impl Access {
    fn mode(self) -> u32 {
        match self {
            Access::Private => 0o600,
            Access::Public => 0o644,
        }
    }
}

/// Makes a folder that only its owner can enter (0700), with its parents; an existing one is left
/// as it is.
pub(crate) fn folder(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot make the folder {}", path.display()))
}

/// Puts `bytes` at `path`, replacing what was there; durable when this returns.
pub(crate) fn write(path: &Path, bytes: &[u8], access: Access) -> Result<()> {
    replace(path, bytes, access).with_context(|| format!("cannot write {}", path.display()))
}

fn replace(path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"));
    };
    let mut temporary = name.to_owned();
    temporary.push(".new");
    let temporary = path.with_file_name(temporary);
    // A temporary file of an interrupted attempt may have any mode: never reuse it.
    remove_if_there(&temporary)?;
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(access.mode()).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_folder(path)
}

/// Makes the name of a file durable: that it is there, or that it is not any more.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

/// Removes a file durably; one that is not there is no error.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let removed = remove_if_there(path).and_then(|()| sync_folder(path));
    removed.with_context(|| format!("cannot remove {}", path.display()))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_private_file_is_private_even_over_a_public_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        write(&path, b"old", Access::Public).unwrap();
        assert_eq!(mode(&path), 0o644);
        write(&path, b"new", Access::Private).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn a_stale_temporary_file_is_not_reused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(folder.path().join("secret.new"), b"half").unwrap();
        write(&path, b"whole", Access::Private).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert!(!folder.path().join("secret.new").exists());
    }

    #[test]
    fn removing_is_idempotent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gone");
        write(&path, b"x", Access::Public).unwrap();
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn folders_are_private() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        folder(&path).unwrap();
        folder(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
    }
}

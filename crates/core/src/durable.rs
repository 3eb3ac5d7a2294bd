//! File changes of the data folder that the store's durable files do not offer.

mod log;

pub(crate) use log::{LogFile, older};

use std::fs::File;
use std::io;
use std::path::Path;

/// Removes a folder and what is in it; absent is fine. Durable when it returns.
pub(crate) fn discard(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    sync_folder(folder)
}

/// Makes what happened to a name durable: flushes the folder that the path lies in.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

/// The folder that a path lies in; that of a bare name is the working folder.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_lies_in_a_folder_that_can_be_flushed() {
        for (path, folder) in [("a", "."), ("a/b", "a"), ("./a", "."), ("/a", "/"), ("/", "/")] {
            assert_eq!(folder_of(Path::new(path)), Path::new(folder), "{path}");
        }
        sync_folder(Path::new("a")).unwrap();
    }
}

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
    match folder.parent().filter(|p| !p.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

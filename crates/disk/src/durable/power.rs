//! A power supply for tests: it can fail before any step, and it knows what was durable.
//!
//! State belongs to the thread, so that tests run beside each other.

use crate::error::{Error, Result};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Files up to this size are remembered as of their last sync.
const SMALL: u64 = 1 << 20;

/// Syncs that a test can leave out, to see that they are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Omit {
    Nothing,
    /// Syncs of files larger than the small ones: the data.
    Data,
    /// Full syncs of small files: a new map.
    Map,
    /// Syncs of the bytes of small files: what changes in the map.
    Mark,
    /// Syncs of folders.
    Folder,
}

struct Supply {
    /// How many steps are left; `None`: no end.
    left: Option<u64>,
    omit: Omit,
    /// Inode to content at the last sync, for small files; empty for others.
    synced: HashMap<u64, Vec<u8>>,
    /// A renaming that is not durable yet: the path, and what was there before.
    renamed: Option<(PathBuf, Vec<u8>)>,
}

impl Supply {
    fn new() -> Self {
        Self { left: None, omit: Omit::Nothing, synced: HashMap::new(), renamed: None }
    }
}

thread_local! {
    static SUPPLY: RefCell<Supply> = RefCell::new(Supply::new());
}

fn with<T>(action: impl FnOnce(&mut Supply) -> T) -> T {
    SUPPLY.with_borrow_mut(action)
}

/// Starts from the beginning.
pub(crate) fn reset() {
    with(|supply| *supply = Supply::new());
}

/// Lets the power fail after some steps.
pub(crate) fn cut_after(steps: Option<u64>) {
    with(|supply| supply.left = steps);
}

/// Leaves syncs out, though they seem to succeed.
pub(crate) fn omit(omit: Omit) {
    with(|supply| supply.omit = omit);
}

/// Forgets whether a file was synced.
pub(crate) fn forget_data(inode: u64) {
    with(|supply| supply.synced.remove(&inode));
}

/// Whether a file was synced, since it was forgotten last.
pub(crate) fn was_synced(inode: u64) -> bool {
    with(|supply| supply.synced.contains_key(&inode))
}

/// What a small file held when it was synced last: nothing, if it never was.
pub(crate) fn durable_content(inode: u64) -> Vec<u8> {
    with(|supply| supply.synced.get(&inode).cloned().unwrap_or_default())
}

/// The renaming that a power loss may take back.
pub(crate) fn take_renamed() -> Option<(PathBuf, Vec<u8>)> {
    with(|supply| supply.renamed.take())
}

/// Fails once the power is off.
pub(super) fn step() -> Result<()> {
    with(|supply| match &mut supply.left {
        Some(0) => Err(Error::io("the power is off", std::io::Error::other("test"))),
        Some(left) => {
            *left -= 1;
            Ok(())
        }
        None => Ok(()),
    })
}

/// A file has been synced.
pub(super) fn synced(file: &File, bytes_only: bool) {
    let data = file.metadata().unwrap();
    let small = data.len() <= SMALL;
    let mut content = Vec::new();
    if small {
        content.resize(data.len() as usize, 0);
        file.read_exact_at(&mut content, 0).unwrap();
    }
    let kind = match (small, bytes_only) {
        (false, _) => Omit::Data,
        (true, false) => Omit::Map,
        (true, true) => Omit::Mark,
    };
    with(|supply| {
        if supply.omit != kind {
            supply.synced.insert(data.ino(), content);
        }
    });
}

/// A file is about to be replaced.
pub(super) fn renaming(to: &Path) {
    if let Ok(before) = std::fs::read(to) {
        with(|supply| supply.renamed = Some((to.to_owned(), before)));
    }
}

/// A folder has been synced.
pub(super) fn folder_synced() {
    with(|supply| {
        if supply.omit != Omit::Folder {
            supply.renamed = None;
        }
    });
}

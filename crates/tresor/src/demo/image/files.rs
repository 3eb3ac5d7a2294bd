//! Real files of this machine, to fill a file system with.
//!
//! Real files, because made-up ones flatter a deduplicating and compressing store. Bounded, in a
//! fixed order, and only what anybody may read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Folders to take from, and their shares of the whole in percent.
const ROOTS: [(&str, u64); 3] = [("/usr/bin", 30), ("/usr/lib", 45), ("/usr/share", 25)];
/// Larger files would crowd out everything else.
const LARGEST: u64 = 16 << 20;
/// Entries looked at at most, whatever the machine holds.
const MOST: usize = 50_000;

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Copied {
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

/// Copies files into `folder` until they would take `budget` bytes of a file system.
pub(super) fn copy(folder: &Path, budget: u64, mut watch: impl FnMut(u64)) -> io::Result<Copied> {
    let mut copied = Copied::default();
    for (root, share) in ROOTS {
        let part = copy_root(Path::new(root), folder, budget / 100 * share, &mut watch)?;
        copied.entries += part.entries;
        copied.bytes += part.bytes;
    }
    Ok(copied)
}

fn copy_root(
    root: &Path,
    folder: &Path,
    budget: u64,
    watch: &mut impl FnMut(u64),
) -> io::Result<Copied> {
    let mut copied = Copied::default();
    let mut taken = 0;
    let mut pending = vec![root.to_path_buf()];
    let mut seen = 0;
    while let Some(path) = pending.pop() {
        seen += 1;
        if seen > MOST || taken >= budget {
            break;
        }
        // Files come and go on a living machine, and some are not ours to read.
        let Ok(about) = fs::symlink_metadata(&path) else {
            continue;
        };
        if about.is_dir() {
            pending.extend(entries(&path));
        } else if about.is_file() && about.len() <= LARGEST && taken + cost(about.len()) <= budget {
            let target = folder.join(path.strip_prefix("/").unwrap_or(&path));
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent)?;
            }
            if !copy_file(&path, &target)? {
                continue;
            }
            copied.entries += 2;
            copied.bytes += about.len();
            taken += cost(about.len());
            watch(cost(about.len()));
        }
    }
    Ok(copied)
}

/// Whether the file could be read; failing to write is an error.
fn copy_file(from: &Path, to: &Path) -> io::Result<bool> {
    match fs::File::open(from) {
        Ok(mut source) => {
            io::copy(&mut source, &mut fs::File::create(to)?)?;
            Ok(true)
        }
        Err(_) => Ok(false),
    }
}

/// The entries of a folder, last name first, because they are taken from the end.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(listing) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = listing.flatten().map(|entry| entry.path()).collect();
    found.sort();
    found.reverse();
    found
}

/// What a file takes of a file system: whole blocks, and a little for its name and inode.
fn cost(len: u64) -> u64 {
    len.next_multiple_of(super::BLOCK) + 512
}

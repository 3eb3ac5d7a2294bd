//! The same state of the page cache before each step, for every tool.

use std::fs::File;
use std::path::Path;

use anyhow::Context as _;
use rustix::fs::Advice;
use walkdir::WalkDir;

const DROP: &str = "/proc/sys/vm/drop_caches";

/// How the cache is emptied on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Cold {
    /// The whole cache is dropped, as only root may.
    Dropped,
    /// The kernel is told file by file that nothing is needed any more.
    Advised,
}

impl Cold {
    /// What this machine allows.
    pub(super) fn find() -> Self {
        match std::fs::write(DROP, "1") {
            Ok(()) => Self::Dropped,
            Err(_) => Self::Advised,
        }
    }

    /// Writes back what is dirty and empties the cache: all of it, or of these files and folders.
    pub(super) fn make(self, paths: &[&Path]) -> anyhow::Result<()> {
        rustix::fs::sync();
        match self {
            Self::Dropped => std::fs::write(DROP, "3").context("drop the page cache"),
            Self::Advised => {
                for entry in paths.iter().flat_map(WalkDir::new) {
                    let entry = entry?;
                    if entry.file_type().is_file() {
                        let file = File::open(entry.path())?;
                        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
                    }
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_taken_for_files_and_folders() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "x").unwrap();
        Cold::Advised.make(&[folder.path()]).unwrap();
        assert!(Cold::Advised.make(&[Path::new("/nowhere/at/all")]).is_err());
    }
}

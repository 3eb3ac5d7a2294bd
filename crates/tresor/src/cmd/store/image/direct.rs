//! An image past the page cache.
//!
//! A disk is read or written once and is larger than the cache: what others have there would go for
//! nothing, and memory for it costs time.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::OFlags;

/// What offsets, lengths and memory must be aligned to.
const GRAIN: usize = 4096;

/// An open file, opened once more for reads or writes past the page cache.
pub(super) struct Direct {
    /// Nothing where the file system has no such way.
    file: Option<File>,
    /// It was refused all the same.
    refused: AtomicBool,
}

impl Direct {
    /// Opened by its descriptor: another file may have got its name.
    pub(super) fn of(file: &File, options: &mut OpenOptions) -> Direct {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let file = options.custom_flags(OFlags::DIRECT.bits() as i32).open(path).ok();
        Direct { file, refused: AtomicBool::new(false) }
    }

    /// Whether there is such a way.
    pub(super) fn is_there(&self) -> bool {
        self.file.is_some() && !self.refused.load(Ordering::Relaxed)
    }

    /// Whether a request can go this way.
    pub(super) fn fits(memory: &[u8], offset: u64) -> bool {
        memory.len().is_multiple_of(GRAIN)
            && offset.is_multiple_of(GRAIN as u64)
            && memory.as_ptr().align_offset(GRAIN) == 0
    }

    /// Goes this way if it is there; tells whether it did. After a refusal it is gone.
    pub(super) fn take(&self, act: impl FnOnce(&File) -> io::Result<()>) -> io::Result<bool> {
        let Some(file) = self.file.as_ref().filter(|_| self.is_there()) else {
            return Ok(false);
        };
        match act(file) {
            Err(e) if is_refusal(&e) => {
                self.refused.store(true, Ordering::Relaxed);
                Ok(false)
            }
            other => other.map(|()| true),
        }
    }
}

fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_ends_the_way_and_a_failure_is_told() {
        let file = Some(tempfile::tempfile().unwrap());
        let direct = Direct { file, refused: AtomicBool::new(false) };
        let fail = |kind: io::ErrorKind| move |_: &File| Err(io::Error::from(kind));
        assert!(direct.take(|_| Ok(())).unwrap());
        let failed = direct.take(fail(io::ErrorKind::StorageFull)).unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::StorageFull);
        assert!(direct.is_there());
        assert!(!direct.take(fail(io::ErrorKind::InvalidInput)).unwrap());
        assert!(!direct.is_there());
        assert!(!direct.take(|_| panic!("the way is gone")).unwrap());
    }

    #[test]
    fn what_is_not_aligned_does_not_fit() {
        let memory = vec![0u8; 3 * GRAIN];
        let start = memory.as_ptr().align_offset(GRAIN);
        assert!(Direct::fits(&memory[start..start + GRAIN], 4096));
        assert!(!Direct::fits(&memory[start..start + GRAIN], 512));
        assert!(!Direct::fits(&memory[start..start + 512], 4096));
        assert!(!Direct::fits(&memory[start + 512..start + 512 + GRAIN], 4096));
    }
}

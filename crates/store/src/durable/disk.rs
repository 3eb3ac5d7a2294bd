//! The real file system.
//!
//! Large files are written past the page cache: nobody reads a pack soon after it was written,
//! and a copy of its bytes in the cache costs more than encrypting them, takes memory from
//! others, and has to be written anyway before the flush returns. Where the file system cannot
//! do that, or for what is left behind the last whole block, bytes go the common way. A flush
//! covers both.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use super::{Files, Written};
use crate::direct::{self, GRAIN};
use crate::margins;
use crate::memory::Memory;

/// The operating system's own files.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Files for Disk {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        match fs::create_dir(dir) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Written>> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        Ok(Box::new(Fresh { file, len: 0 }))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

/// The same without any flush: for folders that nobody wants back after a loss of power, such as
/// those of a service that is thrown away after a test.
#[derive(Debug, Clone, Copy, Default)]
pub struct Volatile;

impl Files for Volatile {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        Disk.make_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        // What a flush of a missing folder answers is part of what callers rely on.
        fs::metadata(dir).map(|_| ())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Written>> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        Ok(Box::new(Unflushed(file)))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Disk.remove(path)
    }
}

/// A file that is left to the page cache.
struct Unflushed(File);

impl Written for Unflushed {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        Write::write_all(&mut self.0, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file that only grows.
struct Fresh {
    file: File,
    /// Bytes written so far.
    len: usize,
}

impl Written for Fresh {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        if bytes.len() >= margins::DIRECT_LEAST && self.len.is_multiple_of(GRAIN) {
            rest = self.write_direct(bytes)?;
        }
        Write::write_all(&mut self.file, rest)?;
        self.len += bytes.len();
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_all()
    }
}

impl Fresh {
    /// Writes whole blocks past the page cache; returns what is left to be written.
    fn write_direct<'a>(&mut self, bytes: &'a [u8]) -> io::Result<&'a [u8]> {
        // A refusal in the middle ends what is written so, and is none of the whole.
        let mut file = &self.file;
        let left = direct::past_cache(&self.file, || write_blocks(&mut file, bytes))?;
        Ok(left.unwrap_or(bytes))
    }
}

/// Writes whole blocks; returns what is left to be written.
fn write_blocks<'a>(file: &mut &File, bytes: &'a [u8]) -> io::Result<&'a [u8]> {
    // What does not begin where it must is copied to where it does.
    let aligned = direct::is_aligned(bytes);
    let mut copy = Memory::default();
    let mut left = bytes;
    while left.len() >= GRAIN {
        let len = left.len().min(margins::DIRECT_PIECE) / GRAIN * GRAIN;
        let (now, _) = left.split_at(len);
        let piece = if aligned {
            now
        } else {
            copy.clear();
            copy.extend(now).map_err(io::Error::other)?;
            &copy
        };
        let done = match file.write(piece) {
            Err(e) if direct::is_refusal(&e) => break,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        left = left.get(done..).unwrap_or_default();
        if done != len {
            // Where this ended need not be aligned; if it was an error, it comes again.
            break;
        }
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volatile_files_keep_the_same_rules_about_names() {
        let folder = tempfile::tempdir().unwrap();
        let durable = super::super::Durable::new(std::sync::Arc::new(Volatile));
        let (temporary, path) = (folder.path().join("t"), folder.path().join("p"));
        durable.create(&temporary, &path, &[b"one", b" two"]).unwrap();
        let taken = durable.create(&temporary, &path, &[b"three"]).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one two");
        durable.replace(&temporary, &path, &[b"four"]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"four");
        durable.remove(&path).unwrap();
        durable.remove(&path).unwrap();
        assert!(folder.path().read_dir().unwrap().next().is_none(), "something was left");
        let missing = folder.path().join("missing");
        assert_eq!(Volatile.sync_dir(&missing).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn large_files_are_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let least = margins::DIRECT_LEAST;
        let piece = margins::DIRECT_PIECE;
        let cases: [&[usize]; 7] = [
            &[least],
            &[least - 1, least],
            &[4096, least + 1],
            &[1, least, least],
            &[2 * piece, 7, 3 * piece + 4095],
            &[piece + 4096, piece - 4096],
            &[0, least + 4097],
        ];
        for (number, parts) in cases.iter().enumerate() {
            let path = folder.path().join(number.to_string());
            let mut file = Disk.create(&path).unwrap();
            let mut expected = Vec::new();
            for len in *parts {
                let part: Vec<u8> = (0..*len).map(|i| (i / 7 + i + number) as u8).collect();
                file.write_all(&part).unwrap();
                expected.extend_from_slice(&part);
            }
            file.sync().unwrap();
            assert!(fs::read(&path).unwrap() == expected, "{parts:?}");
        }
    }
}

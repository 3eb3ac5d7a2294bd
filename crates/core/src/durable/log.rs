//! A file of lines that only grows, and makes room for a new one when it is full.
//!
//! The file is its owner's alone. `NAME` is written to; `NAME.1` is the one before it, up to the
//! number that is kept; the oldest goes. Lines are whole or absent: what a crash left of the last
//! one is closed off when the file is opened again. After a write or a synchronisation that failed
//! nothing more is taken: what the kernel still holds of the file is not known then.

use super::sync_folder;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// An open file of lines.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    limit: u64,
    keep: usize,
    /// Nothing is made durable.
    volatile: bool,
    broken: bool,
}

impl LogFile {
    /// Opens the file, or makes it. It is full at `limit` bytes; `keep` older ones are kept.
    pub(crate) fn open(path: &Path, limit: u64, keep: usize, volatile: bool) -> io::Result<Self> {
        let is_new = !path.try_exists()?;
        let mut file =
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        if is_new && !volatile {
            sync_folder(path)?;
        }
        let mut bytes = file.metadata()?.len();
        if bytes > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
                bytes += 1;
            }
        }
        Ok(Self { path: path.to_owned(), file, bytes, limit, keep, volatile, broken: false })
    }

    /// Whether the next lines belong into a new file.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= self.limit
    }

    /// Adds lines; the kernel has them when this returns, the disk after [`LogFile::sync`].
    pub(crate) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.healthy()?;
        let written = self.file.write_all(lines);
        self.bytes = self.bytes.saturating_add(lines.len() as u64);
        self.note(written)
    }

    /// Makes everything that was added durable.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.healthy()?;
        let synced = if self.volatile { Ok(()) } else { self.file.sync_data() };
        self.note(synced)
    }

    /// Begins a new file with these lines.
    pub(crate) fn turn(&mut self, first: &[u8]) -> io::Result<()> {
        self.sync()?;
        let turned = self.renew();
        self.note(turned)?;
        self.append(first)
    }

    fn renew(&mut self) -> io::Result<()> {
        absent_is_fine(fs::remove_file(older(&self.path, self.keep)))?;
        for number in (0..self.keep).rev() {
            let (from, to) = (older(&self.path, number), older(&self.path, number + 1));
            absent_is_fine(fs::rename(from, to))?;
        }
        let mut options = OpenOptions::new();
        self.file = options.append(true).create_new(true).mode(0o600).open(&self.path)?;
        self.bytes = 0;
        if self.volatile { Ok(()) } else { sync_folder(&self.path) }
    }

    fn healthy(&self) -> io::Result<()> {
        if self.broken { Err(io::Error::other("an earlier write failed")) } else { Ok(()) }
    }

    fn note(&mut self, done: io::Result<()>) -> io::Result<()> {
        self.broken |= done.is_err();
        done
    }
}

/// The name of the file that is `number` files old.
pub(crate) fn older(path: &Path, number: usize) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

fn absent_is_fine(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn lines_are_private_and_a_torn_one_is_closed_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut log = LogFile::open(&path, 1000, 2, false).unwrap();
        log.append(b"one\ntw").unwrap();
        log.sync().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut log = LogFile::open(&path, 1000, 2, false).unwrap();
        log.append(b"three\n").unwrap();
        assert_eq!(text(&path), "one\ntw\nthree\n");
    }

    #[test]
    fn files_are_bounded_in_size_and_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut log = LogFile::open(&path, 4, 2, false).unwrap();
        for line in ["1111\n", "2222\n", "3333\n", "4444\n"] {
            if log.is_full() {
                log.turn(b"open\n").unwrap();
            }
            log.append(line.as_bytes()).unwrap();
        }
        assert_eq!(text(&path), "open\n4444\n");
        assert_eq!(text(&older(&path, 1)), "open\n3333\n");
        assert_eq!(text(&older(&path, 2)), "open\n2222\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
        let mode = fs::metadata(older(&path, 2)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn nothing_is_taken_after_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut log = LogFile::open(&path, 4, 2, false).unwrap();
        log.append(b"1111\n").unwrap();
        // A folder where the oldest file would go cannot be removed as a file.
        fs::create_dir(older(&path, 2)).unwrap();
        assert!(log.turn(b"").is_err());
        assert!(log.append(b"2222\n").is_err() && log.sync().is_err());
        assert_eq!(text(&path), "1111\n");
    }
}

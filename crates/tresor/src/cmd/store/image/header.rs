//! What the header of a qcow2 image says that the crate `imago` does not look at.
//!
//! The crate gives the bytes of an encrypted image for those of the disk. So every file that is to
//! be read as qcow2 is looked at here before.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The header up to the features, which only version 3 has.
const LEN: usize = 80;

/// Incompatible features, by their bits, and what can be done.
const UNREADABLE: [(u32, &str); 5] = [
    (0, "was not closed, or a machine runs from it; `qemu-img check -r all` mends it"),
    (1, "is marked as corrupt; `qemu-img check -r all` mends what can be mended"),
    (2, "has its data in an external file; `qemu-img convert` makes a whole one of it"),
    (3, "is not compressed with zlib; `qemu-img convert` makes one that can be read"),
    (4, "has extended L2 entries; `qemu-img convert` makes one without"),
];

/// What is needed of a header.
pub(super) struct Header {
    version: u32,
    /// Bytes of a cluster, as a power of two.
    bits: u32,
    /// Bytes of the disk.
    pub(super) size: u64,
    encryption: u32,
    /// How many entries the table of the first level has.
    pub(super) entries: u64,
    /// Where it is in the file.
    pub(super) table: u64,
    /// Where the table of reference counts is.
    pub(super) counts: u64,
    features: u64,
}

impl Header {
    /// Reads the header of a file.
    pub(super) fn read(file: &File) -> io::Result<Header> {
        let mut bytes = [0; LEN];
        file.read_exact_at(&mut bytes, 0).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => unreadable("is no qcow2 image: it is too short"),
            _ => e,
        })?;
        if !bytes.starts_with(super::QCOW2_MAGIC) {
            return Err(unreadable("is no qcow2 image"));
        }
        let word = |at| number(&bytes, at, 4) as u32;
        let long = |at| number(&bytes, at, 8);
        let version = word(4);
        Ok(Header {
            version,
            bits: word(20),
            size: long(24),
            encryption: word(32),
            entries: word(36).into(),
            table: long(40),
            counts: long(48),
            features: if version < 3 { 0 } else { long(72) },
        })
    }

    /// Bytes of a cluster.
    pub(super) fn cluster(&self) -> u64 {
        1 << self.bits
    }

    /// The two numbers of an entry about compressed data: how many sectors it goes on into, and
    /// where in the file it begins.
    pub(super) fn split_compressed(&self, numbers: u64) -> (u64, u64) {
        let bits = 70 - self.bits;
        (numbers >> bits, numbers & ((1 << bits) - 1))
    }

    /// Refuses what the crate would misread or refuse with less of an explanation.
    pub(super) fn readable(&self) -> io::Result<()> {
        if !(2..=3).contains(&self.version) {
            return Err(unreadable(&format!("has version {}, not 2 or 3", self.version)));
        }
        if !(9..=21).contains(&self.bits) {
            return Err(unreadable("has clusters that are too small or too large"));
        }
        if self.encryption != 0 {
            return Err(unreadable("is encrypted: --format raw keeps the file itself as it is"));
        }
        let known = UNREADABLE.iter().find(|(bit, _)| self.features >> bit & 1 == 1);
        known.map_or(Ok(()), |(_, what)| Err(unreadable(what)))
    }
}

/// A number of `len` bytes, the highest first.
fn number(bytes: &[u8; LEN], at: usize, len: usize) -> u64 {
    let digits = bytes.iter().skip(at).take(len);
    digits.fold(0, |number, digit| number << 8 | u64::from(*digit))
}

/// An image that is refused.
pub(super) fn unreadable(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the image {what}"))
}

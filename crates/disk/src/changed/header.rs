//! The header of a change map: what the map belongs to and what it is relative to.
//!
//! Little-endian, version 1:
//!
//! ```text
//! 0    magic "TRESRMAP"           8
//! 8    version                    4    reserved 4
//! 16   sequence                   8
//! 24   generation of the volume  16
//! 40   inode of the data          8    birth of the data: seconds 8, nanoseconds 8
//! 64   size                       8    size that a growth is under way to (0: none) 8
//! 80   flags (1 base, 2 clean)    8
//! 88   root of the base          32    size of the base 8
//! 128  data at the clean close:  mtime seconds 8, nanoseconds 8, ctime seconds 8, nanoseconds 8
//! 160  reserved, zero
//! 508  CRC-32 of the bytes before  4
//! ```

use crate::error::{Error, Result};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::time::UNIX_EPOCH;

/// Bytes of an encoded header.
pub(crate) const LENGTH: usize = 512;

const MAGIC: [u8; 8] = *b"TRESRMAP";
const VERSION: u32 = 1;
const BODY: usize = LENGTH - 4;
const HAS_BASE: u64 = 1;
const CLEAN: u64 = 2;

/// Which file the data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) inode: u64,
    /// Birth time, or zeros where the file system keeps none: inode numbers are used again.
    pub(crate) birth: [u64; 2],
}

/// The times of the data when it was closed cleanly; any later change moves them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    modified: [i64; 2],
    changed: [i64; 2],
}

/// What the marks are relative to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) root: [u8; 32],
    pub(crate) size: u64,
}

/// The header of a change map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) sequence: u64,
    pub(crate) generation: [u8; 16],
    pub(crate) identity: Identity,
    pub(crate) size: u64,
    /// The size that a growth is under way to.
    pub(crate) target: Option<u64>,
    pub(crate) base: Option<Base>,
    /// Present as long as nothing was written since the clean close.
    pub(crate) clean: Option<Stamp>,
}

impl Identity {
    /// The identity of an open file.
    pub(crate) fn of(file: &File) -> Result<Self> {
        let data = file.metadata().map_err(|error| Error::io("cannot stat a volume", error))?;
        let birth = data.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let birth = birth.map(|at| [at.as_secs(), u64::from(at.subsec_nanos())]);
        Ok(Self { inode: data.ino(), birth: birth.unwrap_or_default() })
    }
}

impl Stamp {
    /// The times of an open file.
    pub(crate) fn of(file: &File) -> Result<Self> {
        let data = file.metadata().map_err(|error| Error::io("cannot stat a volume", error))?;
        Ok(Self {
            modified: [data.mtime(), data.mtime_nsec()],
            changed: [data.ctime(), data.ctime_nsec()],
        })
    }
}

/// What a header slot holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// A header that checks out.
    Valid(Header),
    /// Nothing, or a torn or damaged header.
    Invalid,
    /// A sound header of a version that this build does not know.
    Unknown(u32),
}

impl Header {
    /// The bytes of the header.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(self.sequence.to_le_bytes());
        bytes.extend(self.generation);
        bytes.extend(self.identity.inode.to_le_bytes());
        for part in self.identity.birth {
            bytes.extend(part.to_le_bytes());
        }
        bytes.extend(self.size.to_le_bytes());
        bytes.extend(self.target.unwrap_or(0).to_le_bytes());
        let flags = if self.base.is_some() { HAS_BASE } else { 0 }
            | if self.clean.is_some() { CLEAN } else { 0 };
        bytes.extend(flags.to_le_bytes());
        let base = self.base.unwrap_or(Base { root: [0; 32], size: 0 });
        bytes.extend(base.root);
        bytes.extend(base.size.to_le_bytes());
        let clean = self.clean.unwrap_or(Stamp { modified: [0; 2], changed: [0; 2] });
        for part in clean.modified.into_iter().chain(clean.changed) {
            bytes.extend(part.to_le_bytes());
        }
        bytes.resize(BODY, 0);
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// Reads a header slot.
    pub(crate) fn decode(slot: &[u8; LENGTH]) -> Slot {
        let Some((body, check)) = slot.split_last_chunk::<4>() else {
            return Slot::Invalid;
        };
        if crc32fast::hash(body) != u32::from_le_bytes(*check) {
            return Slot::Invalid;
        }
        let mut rest = body;
        if take(&mut rest) != Some(MAGIC) {
            return Slot::Invalid;
        }
        match take(&mut rest).map(u32::from_le_bytes) {
            Some(VERSION) => Self::fields(rest).map_or(Slot::Invalid, Slot::Valid),
            Some(version) => Slot::Unknown(version),
            None => Slot::Invalid,
        }
    }

    fn fields(mut rest: &[u8]) -> Option<Self> {
        let rest = &mut rest;
        take::<4>(rest)?;
        let sequence = number(rest)?;
        let generation = take(rest)?;
        let identity = Identity { inode: number(rest)?, birth: [number(rest)?, number(rest)?] };
        let size = number(rest)?;
        let target = Some(number(rest)?).filter(|&target| target != 0);
        let flags = number(rest)?;
        let base = Base { root: take(rest)?, size: number(rest)? };
        let modified = [i64::from_le_bytes(take(rest)?), i64::from_le_bytes(take(rest)?)];
        let changed = [i64::from_le_bytes(take(rest)?), i64::from_le_bytes(take(rest)?)];
        Some(Self {
            sequence,
            generation,
            identity,
            size,
            target,
            base: (flags & HAS_BASE != 0).then_some(base),
            clean: (flags & CLEAN != 0).then_some(Stamp { modified, changed }),
        })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(*first)
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    take(rest).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::{Base, Header, Identity, LENGTH, Slot, Stamp};
    use proptest::prelude::*;

    fn some_header() -> impl Strategy<Value = Header> {
        let base = prop::option::of((any::<[u8; 32]>(), any::<u64>()));
        let clean = prop::option::of((any::<[i64; 2]>(), any::<[i64; 2]>()));
        let target = prop::option::of(1u64..);
        let first = (any::<u64>(), any::<[u8; 16]>(), any::<u64>(), any::<[u64; 2]>());
        (first, any::<u64>(), target, base, clean).prop_map(|(first, size, target, base, clean)| {
            Header {
                sequence: first.0,
                generation: first.1,
                identity: Identity { inode: first.2, birth: first.3 },
                size,
                target,
                base: base.map(|(root, size)| Base { root, size }),
                clean: clean.map(|(modified, changed)| Stamp { modified, changed }),
            }
        })
    }

    fn slot(bytes: &[u8]) -> [u8; LENGTH] {
        bytes.try_into().unwrap()
    }

    proptest! {
        #[test]
        fn reads_back_what_was_written(header in some_header()) {
            prop_assert_eq!(Header::decode(&slot(&header.encode())), Slot::Valid(header));
        }

        #[test]
        fn a_changed_bit_is_noticed(header in some_header(), bit in 0..LENGTH * 8) {
            let mut bytes = header.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Header::decode(&slot(&bytes)), Slot::Invalid);
        }
    }

    #[test]
    fn the_layout_is_fixed() {
        let header = Header {
            sequence: 7,
            generation: [0xaa; 16],
            identity: Identity { inode: 9, birth: [1, 2] },
            size: 512,
            target: Some(1024),
            base: Some(Base { root: [0xbb; 32], size: 512 }),
            clean: Some(Stamp { modified: [3, 4], changed: [5, 6] }),
        };
        let bytes = header.encode();
        assert_eq!(bytes.len(), LENGTH);
        assert_eq!(&bytes[..12], b"TRESRMAP\x01\0\0\0");
        for (at, value) in [(16, 7u8), (40, 9), (48, 1), (56, 2), (72, 0), (73, 4), (80, 3)] {
            assert_eq!(bytes[at], value, "byte {at}");
        }
        assert_eq!(bytes[24..40], [0xaa; 16]);
        assert_eq!(bytes[88..120], [0xbb; 32]);
        assert_eq!([bytes[128], bytes[136], bytes[144], bytes[152]], [3, 4, 5, 6]);
        assert!(bytes[160..508].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn a_newer_version_is_not_taken_for_damage() {
        let header = Header {
            sequence: 0,
            generation: [0; 16],
            identity: Identity { inode: 0, birth: [0; 2] },
            size: 0,
            target: None,
            base: None,
            clean: None,
        };
        let mut bytes = header.encode();
        bytes[8] = 2;
        let check = crc32fast::hash(&bytes[..508]).to_le_bytes();
        bytes[508..].copy_from_slice(&check);
        assert_eq!(Header::decode(&slot(&bytes)), Slot::Unknown(2));
    }
}

//! Packs: many chunks, or many map nodes, in one object.
//!
//! A pack is made in memory, put once under a random name and never changed. Each frame says
//! what it is, so an index can be rebuilt from packs alone and reading can start again after
//! damage. A frame's head is authenticated with its bytes, together with the pack's salt and the
//! store: a frame moved to another place does not open.
//!
//! ```text
//! pack head                         frame head
//! 0   magic "TRSRPACK"    8         0   magic "TFRM"               4
//! 8   format version      2         4   kind (1 chunk, 2 node)     1
//! 10  kind                2         5   encoding (0 raw, 1 zstd)   1
//! 12  epoch               4         6   zero                       2
//! 16  store              16         8   number in the pack         4
//! 32  salt               32         12  stored bytes with tag      4
//! 64  crc32 of 0..64      4         16  raw bytes                  4
//!                                   20  id                        32
//!                                   52  crc32 of 0..52             4
//!                                   56  ciphertext and tag
//! ```

mod open;
mod scan;
mod writer;

use uuid::Uuid;

use crate::codec::Encoding;
use crate::config::FORMAT;
use crate::error::{Error, ErrorKind, Result};
use crate::field::Fields;
use crate::id::{Id, Kind};
use crate::keys::{KeyRing, ObjectKey};

pub(crate) use open::{Keys, Opener};
pub(crate) use scan::{Scan, Scanned};
pub(crate) use writer::{Closed, Writer};

pub(crate) const PACK_HEAD: usize = 68;
pub(crate) const FRAME_HEAD: usize = 56;
pub(crate) const PURPOSE: &str = "tresor 0 pack";

const PACK_MAGIC: &[u8; 8] = b"TRSRPACK";
const FRAME_MAGIC: &[u8; 4] = b"TFRM";

/// A pack, as the index knows it: enough to read a frame without reading the pack's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pack {
    pub(crate) name: Uuid,
    pub(crate) salt: [u8; 32],
    pub(crate) epoch: u32,
    /// Bytes of the whole object.
    pub(crate) size: u32,
}

/// The name of the object of the pack `name`; packs are spread over 256 folders.
pub(crate) fn object(name: &Uuid) -> String {
    format!("{}/{}", folder(folder_of(name)), name.simple())
}

impl Pack {
    /// The name of the object.
    pub(crate) fn object(&self) -> String {
        object(&self.name)
    }

    /// What frames are authenticated with, besides their heads.
    pub(crate) fn aad(&self, store: Uuid, head: &[u8]) -> [u8; 48 + FRAME_HEAD] {
        let mut out = [0; 48 + FRAME_HEAD];
        let bytes = store.as_bytes().iter().chain(&self.salt).chain(head);
        for (to, from) in out.iter_mut().zip(bytes) {
            *to = *from;
        }
        out
    }

    /// The key of all frames of the pack.
    pub(crate) fn key(&self, ring: &KeyRing) -> Result<ObjectKey> {
        ring.object(PURPOSE, self.epoch, &self.salt)
    }
}

/// Where all packs are, each in a folder of this one.
pub(crate) const PACKS: &str = "packs";

/// Folders that packs are spread over.
pub(crate) const FOLDERS: usize = 256;

/// The name of a folder of packs.
pub(crate) fn folder(number: usize) -> String {
    format!("{PACKS}/{number:02x}")
}

/// The number of the folder that a pack is in.
pub(crate) fn folder_of(pack: &Uuid) -> usize {
    pack.as_bytes().first().copied().map_or(0, usize::from)
}

/// Where a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) pack: Pack,
    /// Offset of the frame's head in the pack.
    pub(crate) offset: u32,
    /// Bytes of the frame: head, ciphertext and tag.
    pub(crate) len: u32,
}

pub(crate) fn encode_pack_head(store: Uuid, kind: Kind, epoch: u32, salt: &[u8; 32]) -> Vec<u8> {
    let mut out = Vec::with_capacity(PACK_HEAD);
    out.extend_from_slice(PACK_MAGIC);
    out.extend_from_slice(&FORMAT.to_le_bytes());
    out.extend_from_slice(&u16::from(kind.code()).to_le_bytes());
    out.extend_from_slice(&epoch.to_le_bytes());
    out.extend_from_slice(store.as_bytes());
    out.extend_from_slice(salt);
    out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
    out
}

/// The kind, the epoch and the salt in the head of a pack of `store`.
fn decode_pack_head(store: Uuid, bytes: &[u8]) -> Result<(Kind, u32, [u8; 32])> {
    let damaged = || Error::corrupt("the pack's head is damaged");
    let (body, sum) = bytes.split_last_chunk::<4>().ok_or_else(damaged)?;
    if crc32fast::hash(body).to_le_bytes() != *sum {
        return Err(damaged());
    }
    let mut fields = Fields::new("a pack's head", body);
    fields.magic(PACK_MAGIC)?;
    let (version, kind, epoch) = (fields.u16()?, fields.u16()?, fields.u32()?);
    if version != FORMAT {
        return Err(Error::new(ErrorKind::Unsupported, format!("a pack has format {version}")));
    }
    if Uuid::from_bytes(fields.array()?) != store {
        return Err(Error::corrupt("the pack belongs to another store"));
    }
    let salt = fields.array()?;
    fields.end()?;
    let kind = Kind::from_code(u8::try_from(kind).unwrap_or(u8::MAX))?;
    Ok((kind, epoch, salt))
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHead {
    pub(crate) kind: Kind,
    pub(crate) encoding: Encoding,
    pub(crate) number: u32,
    pub(crate) stored: u32,
    pub(crate) raw: u32,
    pub(crate) id: Id,
}

impl FrameHead {
    pub(crate) fn encode(&self) -> [u8; FRAME_HEAD] {
        let numbers = [self.number, self.stored, self.raw].map(u32::to_le_bytes);
        let kinds = [self.kind.code(), self.encoding.code(), 0, 0];
        let fields = [FRAME_MAGIC.as_slice(), &kinds, numbers.as_flattened(), &self.id.0];
        let mut out = [0; FRAME_HEAD];
        for (to, from) in out.iter_mut().zip(fields.into_iter().flatten()) {
            *to = *from;
        }
        if let Some((body, sum)) = out.split_last_chunk_mut::<4>() {
            *sum = crc32fast::hash(body).to_le_bytes();
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let damaged = || Error::corrupt("a frame's head is damaged");
        let (body, sum) = bytes.split_last_chunk::<4>().ok_or_else(damaged)?;
        let mut fields = Fields::new("a frame's head", body);
        if &fields.array::<4>()? != FRAME_MAGIC || crc32fast::hash(body) != u32::from_le_bytes(*sum)
        {
            return Err(damaged());
        }
        let [kind, encoding, _, _] = fields.array()?;
        let (number, stored, raw) = (fields.u32()?, fields.u32()?, fields.u32()?);
        let id = Id(fields.array()?);
        fields.end()?;
        let (kind, encoding) = (Kind::from_code(kind)?, Encoding::from_code(encoding)?);
        Ok(Self { kind, encoding, number, stored, raw, id })
    }
}

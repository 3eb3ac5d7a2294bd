//! Pages: the unit of reading, caching and authentication of a run.
//!
//! ```text
//! run head                         then pages of 4096 bytes:
//! 0   magic "TRSRINDX"   8           entries   44 bytes each, sorted by id
//! 8   format version     2           filter    a small Bloom filter of its own a page
//! 10  zero               2           fences    8 bytes for each page of entries
//! 12  epoch              4           packs     56 bytes each
//! 16  store             16           covers    16 bytes each: runs whose entries are here
//! 32  salt              32           tail      how many of each
//! 64  crc32 of 0..64     4
//! ```
//! A page is 4080 bytes and a tag. Its number is its nonce, so pages cannot change places; the
//! tail has a number of its own.

use std::sync::Arc;

use uuid::Uuid;

use crate::cache::Cache;
use crate::config::FORMAT;
use crate::error::{Error, ErrorKind, Result};
use crate::field::Fields;
use crate::id::Id;
use crate::keys::TAG;

pub(super) const MAGIC: &[u8; 8] = b"TRSRINDX";
pub(super) const PURPOSE: &str = "tresor 0 index";
pub(super) const HEAD: usize = 68;

/// Bytes of a page in the object.
pub(super) const PAGE: usize = 4096;

/// Usable bytes of a page.
pub(super) const BODY: usize = PAGE - TAG;

/// Bytes of an entry: id, number of its pack, offset, length.
pub(super) const ENTRY: usize = 44;
pub(super) const ENTRIES: usize = BODY / ENTRY;
pub(super) const PACK: usize = 56;
pub(super) const PACKS: usize = BODY / PACK;
pub(super) const FENCES: usize = BODY / 8;
pub(super) const COVERS: usize = BODY / 16;

/// Entries for which a page of the filter is made: about ten bits each.
pub(super) const FILTERED: u64 = 3264;
const FILTER_BITS: u16 = (BODY * 8) as u16;

/// The nonce of the tail.
pub(super) const TAIL: u64 = 1 << 40;

/// Pages of all segments, by segment and number.
pub(crate) type Pages = Cache<(u64, u32), Arc<Vec<u8>>>;

/// How many of each there are in a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) entries: u64,
    pub(super) filters: u32,
    pub(super) packs: u32,
    pub(super) covers: u32,
}

impl Tail {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = self.entries.to_le_bytes().to_vec();
        for count in [self.filters, self.packs, self.covers] {
            out.extend_from_slice(&count.to_le_bytes());
        }
        out
    }

    pub(super) fn decode(body: &[u8]) -> Result<Self> {
        let mut fields = Fields::new("the tail of an index run", body);
        let entries = fields.u64()?;
        let (filters, packs, covers) = (fields.u32()?, fields.u32()?, fields.u32()?);
        Ok(Self { entries, filters, packs, covers })
    }

    pub(super) fn entry_pages(&self) -> u64 {
        self.entries.div_ceil(ENTRIES as u64)
    }

    pub(super) fn fence_pages(&self) -> u64 {
        self.entry_pages().div_ceil(FENCES as u64)
    }

    pub(super) fn first_fence(&self) -> u64 {
        self.entry_pages() + u64::from(self.filters)
    }

    pub(super) fn first_pack(&self) -> u64 {
        self.first_fence() + self.fence_pages()
    }

    pub(super) fn first_cover(&self) -> u64 {
        self.first_pack() + u64::from(self.packs).div_ceil(PACKS as u64)
    }

    /// All pages but the tail.
    pub(super) fn pages(&self) -> u64 {
        self.first_cover() + u64::from(self.covers).div_ceil(COVERS as u64)
    }
}

pub(super) fn encode_head(store: Uuid, epoch: u32, salt: &[u8; 32]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&FORMAT.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&epoch.to_le_bytes());
    out.extend_from_slice(store.as_bytes());
    out.extend_from_slice(salt);
    out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
    out
}

/// The epoch and the salt of a run of `store`.
pub(super) fn decode_head(store: Uuid, head: &[u8]) -> Result<(u32, [u8; 32])> {
    let damaged = || Error::corrupt("the head of an index run is damaged");
    let (body, sum) = head.split_last_chunk::<4>().ok_or_else(damaged)?;
    if crc32fast::hash(body).to_le_bytes() != *sum {
        return Err(damaged());
    }
    let mut fields = Fields::new("the head of an index run", body);
    fields.magic(MAGIC)?;
    let version = fields.u16()?;
    if version != FORMAT {
        let context = format!("an index run has format {version}");
        return Err(Error::new(ErrorKind::Unsupported, context));
    }
    fields.u16()?;
    let epoch = fields.u32()?;
    if Uuid::from_bytes(fields.array()?) != store {
        return Err(Error::corrupt("an index run belongs to another store"));
    }
    let salt = fields.array()?;
    fields.end()?;
    Ok((epoch, salt))
}

/// Which page of a filter of `pages` pages is asked for `id`.
pub(super) fn filter_page(id: &Id, pages: u32) -> u32 {
    ((u128::from(id.prefix()) * u128::from(pages)) >> 64) as u32
}

/// The bits of `id` in its page of the filter.
pub(super) fn filter_bits(id: &Id) -> impl Iterator<Item = (usize, u8)> {
    let [.., a0, a1, b0, b1, c0, c1, d0, d1, e0, e1, f0, f1, g0, g1] = id.0;
    let pairs = [[a0, a1], [b0, b1], [c0, c1], [d0, d1], [e0, e1], [f0, f1], [g0, g1]];
    pairs.into_iter().map(|pair| {
        let bit = u16::from_le_bytes(pair) % FILTER_BITS;
        (usize::from(bit / 8), 1 << (bit % 8))
    })
}

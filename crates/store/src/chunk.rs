//! Where chunks begin and end.
//!
//! File systems place data on block boundaries, so cuts lie on a grid of 4 KiB blocks and are
//! decided by a hash of one whole block: data that moves by whole blocks is found again, at a
//! fraction of the cost of a byte-wise rolling hash. Only blocks at which a chunk may end are
//! hashed.
//!
//! The cuts of a window are a pure function of its bytes and the seed. In one window
//! - a *hole* is a maximal run of zero blocks that has at least `zero_run_blocks` blocks or
//!   touches the window's end; holes are not stored;
//! - between holes a chunk ends after a block that is not zero, whose hash is below a threshold,
//!   once the chunk has `chunk_min` bytes; or when it has `chunk_max` bytes; or where the next
//!   hole or the window's end is.
//!
//! Two consequences let an incremental backup cut again only around a change. Let `H` be
//! `zero_run_blocks`, which is at most the blocks of `chunk_min`. (1) A chunk that ends at a cut
//! is longer than any run of zeros that is no hole, so a changed block that is at least `H`
//! blocks behind the start of its item cannot move that start; a closer one can move it, but not
//! the start of the item before. (2) If old and new cutting both have a boundary behind a change
//! and the next `H` blocks are unchanged, they agree from there to the next change.
//!
//! # What cuts give away
//!
//! Whoever sees the store sees about how long chunks are. The hash of a block is therefore a
//! secret function: the tag of AES-256-GCM over the block as associated data, with nothing to
//! encrypt and always the same nonce, and of that tag keyed BLAKE3, both keys from the domain's
//! seed. With a fixed nonce the tag is GHASH plus a constant, a universal hash: two different
//! blocks of at most 4096 bytes have the same tag with a probability of at most 257 / 2^128 over
//! the key. (The rule that a nonce is never used twice guards tags that are shown and texts that
//! are encrypted; here is no text, and no tag leaves this module.) A pseudo-random function of
//! an almost universal hash is a pseudo-random function (Carter and Wegman, Shoup): after `q`
//! different blocks, cuts differ from coins that were thrown once for each block by no more than
//! `q^2 * 257 / 2^129` beside the distance of AES and BLAKE3 from random functions.
//!
//! So lengths tell nothing about the bytes of a block, and nothing about the seed, also to
//! somebody who chose what is backed up. What they do tell, as with all cuts by content: that
//! contents are equal where long rows of lengths are equal; and somebody who can have files of
//! his choice backed up into the same domain learns where those are cut, and can look for the
//! same row of lengths in what others back up. Compression and duplicates say as much.

use std::ops::Range;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::config::StoreConfig;
use crate::error::{Error, Result};

/// Bytes of a block: the grid of all cuts.
pub const BLOCK: usize = 4096;

/// What cutting needs to know about each block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Block {
    /// All bytes are zero.
    Zero,
    /// Some byte is not.
    Data,
}

impl Block {
    /// Looks at the bytes of one block.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        if is_zero(bytes) { Self::Zero } else { Self::Data }
    }
}

/// The blocks of one window, looked at one by one so that a caller can read them late.
pub(crate) trait Blocks {
    /// The block with this number.
    fn block(&mut self, number: u32) -> Result<Block>;

    /// The bytes of a block that was looked at and is not zero.
    fn data(&mut self, number: u32) -> Result<&[u8]>;

    /// The bytes of blocks before this one will not be asked for.
    fn forget(&mut self, _before: u32) {}
}

/// A stretch of a window: a chunk or a hole. The range counts blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) blocks: Range<u32>,
    pub(crate) hole: bool,
}

/// The cutting rule of a store. Its seed is secret.
pub(crate) struct Rule {
    min: u32,
    max: u32,
    pub(crate) hole: u32,
    threshold: u64,
    /// Makes the tag of a block.
    universal: LessSafeKey,
    /// Key of the function of the tag.
    random: Zeroizing<[u8; 32]>,
}

impl Rule {
    /// The rule for a configuration and a domain's seed.
    pub(crate) fn new(config: &StoreConfig, seed: &[u8; 16]) -> Result<Self> {
        let block = BLOCK as u32;
        // A cut is tried at each block once the minimum is reached: on average this many tries.
        let tries = u64::from(((config.chunk_mean - config.chunk_min) / block).max(1));
        let [universal, random] = ["tresor 0 cut universal", "tresor 0 cut random"]
            .map(|context| Zeroizing::new(blake3::derive_key(context, seed)));
        let universal = UnboundKey::new(&AES_256_GCM, universal.as_slice())
            .map_err(|_| Error::internal("key length"))?;
        Ok(Self {
            min: config.chunk_min / block,
            max: config.chunk_max / block,
            hole: config.zero_run_blocks,
            threshold: u64::MAX / tries,
            universal: LessSafeKey::new(universal),
            random,
        })
    }

    /// The hash of one block; `bytes` is shorter than a block only at the end of a disk.
    pub(crate) fn hash(&self, bytes: &[u8]) -> Result<u64> {
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        let tag = self
            .universal
            .seal_in_place_separate_tag(nonce, Aad::from(bytes), &mut [])
            .map_err(|_| Error::internal("a block has no tag"))?;
        let hash = blake3::keyed_hash(&self.random, tag.as_ref());
        let (first, _) = hash.as_bytes().as_chunks::<8>();
        Ok(first.first().map_or(0, |bytes| u64::from_le_bytes(*bytes)))
    }

    /// The stretch that begins at block `start`, a boundary, of a window of `end` blocks.
    pub(crate) fn next(&self, blocks: &mut impl Blocks, start: u32, end: u32) -> Result<Stretch> {
        self.stretch(blocks, start, end, |blocks, at| self.cuts(blocks, at))
    }

    /// Whether a chunk of another cutting of this window, which has its boundary `chunk.start`,
    /// is a chunk here too, provided that its bytes are the same: nothing inside it was a cut
    /// there, so only its end is hashed.
    pub(crate) fn repeats(
        &self,
        blocks: &mut impl Blocks,
        chunk: &Range<u32>,
        end: u32,
    ) -> Result<bool> {
        let found = self.stretch(blocks, chunk.start, end, |blocks, at| {
            Ok(at == chunk.end && self.cuts(blocks, at)?)
        })?;
        Ok(!found.hole && found.blocks == *chunk)
    }

    /// Whether the content says that a chunk ends before block `at`.
    fn cuts(&self, blocks: &mut impl Blocks, at: u32) -> Result<bool> {
        Ok(self.hash(blocks.data(at - 1)?)? < self.threshold)
    }

    fn stretch<B: Blocks>(
        &self,
        blocks: &mut B,
        start: u32,
        end: u32,
        cuts: impl Fn(&mut B, u32) -> Result<bool>,
    ) -> Result<Stretch> {
        let lead = self.zeros(blocks, start, end)?;
        if lead >= self.hole || start + lead == end {
            let mut at = start + lead;
            while at < end && blocks.block(at)? == Block::Zero {
                at += 1;
            }
            return Ok(Stretch { blocks: start..at, hole: true });
        }
        // Zero blocks before this one are known to be in runs that are no holes.
        let mut short = start + lead;
        let mut at = start;
        while at < end {
            let block = blocks.block(at)?;
            if block == Block::Zero && at >= short {
                let run = self.zeros(blocks, at, end)?;
                if run >= self.hole || at + run == end {
                    break;
                }
                short = at + run;
            }
            at += 1;
            let len = at - start;
            if len == self.max {
                break;
            }
            let may = len >= self.min && block == Block::Data;
            if may && cuts(blocks, at)? {
                break;
            }
        }
        Ok(Stretch { blocks: start..at, hole: false })
    }

    /// How many zero blocks follow, counting no further than decides whether they are a hole.
    fn zeros(&self, blocks: &mut impl Blocks, start: u32, end: u32) -> Result<u32> {
        let mut run = 0;
        while run < self.hole && start + run < end && blocks.block(start + run)? == Block::Zero {
            run += 1;
        }
        Ok(run)
    }
}

/// Whether all bytes are zero, at the speed of memory.
fn is_zero(bytes: &[u8]) -> bool {
    let (rows, rest) = bytes.as_chunks::<256>();
    rows.iter().all(|row| {
        let (words, _) = row.as_chunks::<16>();
        words.iter().fold(0, |acc, word| acc | u128::from_ne_bytes(*word)) == 0
    }) && rest.iter().all(|b| *b == 0)
}

//! Where chunks begin and end.
//!
//! File systems place data on block boundaries, so cuts lie on a grid of 4 KiB blocks and are
//! decided by a hash of one whole block: data that moves by whole blocks is found again, at a
//! fraction of the cost of a byte-wise rolling hash.
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

use std::ops::Range;

use crate::config::StoreConfig;
use crate::error::Result;

/// Bytes of a block: the grid of all cuts.
pub const BLOCK: usize = 4096;

/// What cutting needs to know about one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Block {
    /// All bytes are zero.
    Zero,
    /// The seeded hash of the block.
    Data(u64),
}

/// The blocks of one window, looked at one by one so that a caller can read them late.
pub(crate) trait Blocks {
    /// The block with this number.
    fn block(&mut self, number: u32) -> Result<Block>;

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
    seed: (u64, u64),
}

impl Rule {
    /// The rule for a configuration and a domain's seed.
    pub(crate) fn new(config: &StoreConfig, seed: &[u8; 16]) -> Self {
        let block = BLOCK as u32;
        // A cut is tried at each block once the minimum is reached: on average this many tries.
        let tries = u64::from(((config.chunk_mean - config.chunk_min) / block).max(1));
        let seed = u128::from_le_bytes(*seed);
        Self {
            min: config.chunk_min / block,
            max: config.chunk_max / block,
            hole: config.zero_run_blocks,
            threshold: u64::MAX / tries,
            // Odd factors are invertible: no two checksums are thrown together.
            seed: (seed as u64 | 1, (seed >> 64) as u64),
        }
    }

    /// Classifies one block; `bytes` is shorter than a block only at the end of a disk.
    ///
    /// The checksum finds equal blocks fast; the secret multiplication makes it impossible to
    /// tell from the lengths of chunks where a known file was cut.
    pub(crate) fn classify(&self, bytes: &[u8]) -> Block {
        if is_zero(bytes) {
            return Block::Zero;
        }
        let sum = u64::from(crc32fast::hash(bytes)) << 32 | bytes.len() as u64;
        let wide = u128::from(sum ^ self.seed.1) * u128::from(self.seed.0);
        let folded = (wide as u64) ^ (wide >> 64) as u64;
        let again = u128::from(folded ^ self.seed.0) * u128::from(self.seed.1 | 1);
        Block::Data((again as u64) ^ (again >> 64) as u64)
    }

    /// The stretch that begins at block `start`, a boundary, of a window of `end` blocks.
    pub(crate) fn next(&self, blocks: &mut impl Blocks, start: u32, end: u32) -> Result<Stretch> {
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
            let cut = match block {
                Block::Data(hash) => len >= self.min && hash < self.threshold,
                Block::Zero => false,
            };
            if cut || len == self.max {
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

impl Drop for Rule {
    fn drop(&mut self) {
        use zeroize::Zeroize;
        self.seed.zeroize();
    }
}

/// Whether all bytes are zero, at the speed of memory.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    let (rows, rest) = bytes.as_chunks::<256>();
    rows.iter().all(|row| {
        let (words, _) = row.as_chunks::<16>();
        words.iter().fold(0, |acc, word| acc | u128::from_ne_bytes(*word)) == 0
    }) && rest.iter().all(|b| *b == 0)
}

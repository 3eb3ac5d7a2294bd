//! Maps: which bytes a disk had at one point, as a Merkle tree.
//!
//! A leaf lists the chunks and holes of one window, in order; an inner node has 256 children. A
//! subtree of zeros has no node at all. Equal subtrees have equal ids: a point shares all nodes
//! that did not change with the points before it, and comparing two points skips what they
//! share. Every point stands alone; there are no chains.
//!
//! ```text
//! leaf                                    inner node
//! 0   0                       1           0   level, 1 or more        1
//! 1   items:                              1   one bit for each child 32
//!     length, top bit: hole   4           33  ids of the children that are there
//!     id, unless a hole      32
//! ```
//! Lengths are bytes, so a disk need not end on a block. The lengths of a leaf add up to its
//! window. The height of a map follows from its size, and its root hashes both.

mod compare;
mod update;
mod walk;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::field::Fields;
use crate::id::{Hasher, Id, Root};

pub(crate) use compare::{Compare, Difference, Seen};
pub(crate) use update::{Leaves, Update};
pub(crate) use walk::{Side, leaf, seek};

/// Children of an inner node.
pub(crate) const FANOUT: u64 = 256;

const HOLE: u32 = 1 << 31;

/// A part of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Item {
    /// Stored bytes.
    Chunk { id: Id, len: u32 },
    /// Zeros.
    Hole { len: u32 },
}

impl Item {
    pub(crate) fn len(&self) -> u32 {
        match self {
            Self::Chunk { len, .. } | Self::Hole { len } => *len,
        }
    }
}

/// A decoded node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Leaf(Vec<Item>),
    Inner { level: u8, children: Vec<Option<Id>> },
}

impl Node {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Leaf(items) => {
                let mut out = Vec::with_capacity(1 + items.len() * 36);
                out.push(0);
                for item in items {
                    match item {
                        Item::Hole { len } => out.extend_from_slice(&(len | HOLE).to_le_bytes()),
                        Item::Chunk { id, len } => {
                            out.extend_from_slice(&len.to_le_bytes());
                            out.extend_from_slice(&id.0);
                        }
                    }
                }
                out
            }
            Self::Inner { level, children } => {
                let mut bits = [0u8; 32];
                for (bits, children) in bits.iter_mut().zip(children.chunks(8)) {
                    for (place, child) in children.iter().enumerate() {
                        *bits |= u8::from(child.is_some()) << place;
                    }
                }
                let mut out = vec![*level];
                out.extend_from_slice(&bits);
                children.iter().flatten().for_each(|id| out.extend_from_slice(&id.0));
                out
            }
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Fields::new("a map node", bytes);
        let level = fields.u8()?;
        if level == 0 {
            let mut items = Vec::with_capacity(fields.left() / 36);
            while fields.left() > 0 {
                let len = fields.u32()?;
                items.push(if len & HOLE == 0 {
                    Item::Chunk { id: Id(fields.array()?), len }
                } else {
                    Item::Hole { len: len & !HOLE }
                });
            }
            return Ok(Self::Leaf(items));
        }
        let bits: [u8; 32] = fields.array()?;
        let mut children = Vec::with_capacity(FANOUT as usize);
        for bits in bits {
            for place in 0..8 {
                let there = bits >> place & 1 == 1;
                children.push(if there { Some(Id(fields.array()?)) } else { None });
            }
        }
        fields.end()?;
        Ok(Self::Inner { level, children })
    }

    /// The items of a leaf of `len` bytes.
    pub(crate) fn items(&self, len: u32) -> Result<&[Item]> {
        let Self::Leaf(items) = self else {
            return Err(Error::corrupt("an inner node is where a leaf belongs"));
        };
        let sum: u64 = items.iter().map(|item| u64::from(item.len())).sum();
        if sum != u64::from(len) {
            return Err(Error::corrupt("a leaf does not cover its window"));
        }
        Ok(items)
    }

    /// The children of an inner node of this level.
    pub(crate) fn children(&self, expected: u8) -> Result<&[Option<Id>]> {
        match self {
            Self::Inner { level, children } if *level == expected => Ok(children),
            _ => Err(Error::corrupt("a map node has the wrong level")),
        }
    }
}

/// The map of one point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tree {
    pub(crate) size: u64,
    pub(crate) window: u32,
    pub(crate) height: u8,
    /// The topmost node, or nothing if all bytes are zero.
    pub(crate) top: Option<Id>,
}

impl Tree {
    /// A map of zeros.
    pub(crate) fn zero(size: u64, window: u32) -> Self {
        let mut tree = Self { size, window, height: 0, top: None };
        let mut reach = 1u64;
        while reach < tree.windows() {
            reach = reach.saturating_mul(FANOUT);
            tree.height += 1;
        }
        tree
    }

    /// Whether height and window are what the size asks for.
    pub(crate) fn is_sound(&self) -> bool {
        self.window > 0 && self.height == Self::zero(self.size, self.window).height
    }

    pub(crate) fn windows(&self) -> u64 {
        self.size.div_ceil(u64::from(self.window.max(1)))
    }

    /// Where a window begins.
    pub(crate) fn start(&self, window: u64) -> u64 {
        window.saturating_mul(u64::from(self.window))
    }

    /// Bytes of a window; 0 behind the end.
    pub(crate) fn len(&self, window: u64) -> u32 {
        let left = self.size.saturating_sub(self.start(window));
        u32::try_from(left).unwrap_or(u32::MAX).min(self.window)
    }

    pub(crate) fn root(&self, hasher: &Hasher) -> Root {
        hasher.root(self.size, self.window, self.height, self.top)
    }
}

/// Windows below a node of this level.
pub(crate) fn span(level: u8) -> u64 {
    FANOUT.saturating_pow(u32::from(level))
}

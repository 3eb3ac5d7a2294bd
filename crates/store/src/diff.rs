//! What differs between two points.
//!
//! Equal subtrees are skipped by their ids, so the cost follows the difference. The answer is
//! exact to chunks: it names every byte that differs, and at most the rest of the chunks that
//! hold such bytes.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::load::Loader;
use crate::map::{FANOUT, Item, Side, Tree, span};
use crate::point::PointKey;
use crate::vault::Store;

/// What a range of the newer point holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiffKind {
    /// Bytes.
    Data,
    /// Zeros.
    Zero,
}

/// A range in which the newer point differs from the older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiffRange {
    /// Where it begins.
    pub offset: u64,
    /// Its bytes.
    pub len: u64,
    /// What the newer point has there.
    pub kind: DiffKind,
}

impl Store {
    /// The ranges of `newer` that differ from `older`, in order, merged where they touch. What
    /// lies behind the end of `older` counts as zeros there; what lies behind the end of `newer`
    /// is not reported.
    pub fn diff(&self, older: &PointKey, newer: &PointKey) -> Result<Vec<DiffRange>> {
        let old = self.find_or_pinned(older)?.map;
        let new = self.find_or_pinned(newer)?.map;
        let loader = &self.inner().loader;
        let mut walk = Walk { loader, old, new, out: Vec::new() };
        let height = new.height;
        let side = Side::of(&old, height, loader)?;
        walk.subtree(height, 0, side, Side::Node(new.top))?;
        Ok(walk.out)
    }
}

struct Walk<'a> {
    loader: &'a Loader,
    old: Tree,
    new: Tree,
    out: Vec<DiffRange>,
}

impl Walk<'_> {
    fn subtree(&mut self, level: u8, first: u64, old: Side, new: Side) -> Result<()> {
        if old == new || first >= self.new.windows() {
            return Ok(());
        }
        if level == 0 {
            return self.window(first, old, new);
        }
        let olds = old.children(level, &self.old, self.loader)?;
        let news = new.children(level, &self.new, self.loader)?;
        let child = |of: &Option<Vec<Side>>, place: u64| {
            let side = of.as_ref().and_then(|all| all.get(place as usize)).copied();
            side.unwrap_or(Side::Node(None))
        };
        let below = span(level - 1);
        for place in 0..FANOUT {
            let begin = first + place * below;
            self.subtree(level - 1, begin, child(&olds, place), child(&news, place))?;
        }
        Ok(())
    }

    fn window(&mut self, window: u64, old: Side, new: Side) -> Result<()> {
        let start = self.new.start(window);
        let old = self.items(&self.old, window, old)?;
        let new = self.items(&self.new, window, new)?;
        let known: HashMap<u64, Item> = old.iter().copied().collect();
        for (at, item) in new {
            match item {
                Item::Chunk { len, .. } => {
                    if known.get(&at) != Some(&item) {
                        self.add(start + at, u64::from(len), DiffKind::Data);
                    }
                }
                Item::Hole { len } => {
                    let end = at + u64::from(len);
                    for (from, was) in &old {
                        let to = (from + u64::from(was.len())).min(end);
                        let from = (*from).max(at);
                        if matches!(was, Item::Chunk { .. }) && from < to {
                            self.add(start + from, to - from, DiffKind::Zero);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// The items of a window with their offsets in it.
    fn items(&self, tree: &Tree, window: u64, side: Side) -> Result<Vec<(u64, Item)>> {
        let len = tree.len(window);
        let items = match side {
            Side::Node(Some(id)) => self.loader.node(&id)?.items(len)?.to_vec(),
            Side::Above => return Err(Error::internal("a window lies above its map")),
            Side::Node(None) => vec![Item::Hole { len }],
        };
        let mut at = 0;
        let place = |item: Item| {
            let here = (at, item);
            at += u64::from(item.len());
            here
        };
        Ok(items.into_iter().map(place).collect())
    }

    fn add(&mut self, offset: u64, len: u64, kind: DiffKind) {
        let touches = |last: &&mut DiffRange| last.kind == kind && last.offset + last.len == offset;
        match self.out.last_mut().filter(touches) {
            Some(last) => last.len += len,
            None => self.out.push(DiffRange { offset, len, kind }),
        }
    }
}

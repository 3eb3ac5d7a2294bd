//! What differs between two points.
//!
//! Equal subtrees are skipped by their ids, so the cost follows the difference. The answer is
//! exact to chunks: it names every byte that differs, and besides at most the rest of the chunks
//! that hold such bytes and those behind them that were cut in another way. It comes window by
//! window: memory does not follow the size of the difference.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use crate::error::Result;
use crate::id::Id;
use crate::map::{Compare, Difference, Item, Seen, Tree};
use crate::point::PointKey;
use crate::store::Store;

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

impl DiffRange {
    /// Behind its last byte.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }
}

impl Store {
    /// What lies in `within` and differs between `older` and `newer`. What lies behind the end of
    /// `older` counts as zeros there; what lies behind the end of `newer` is not reported.
    pub fn diff(&self, older: &PointKey, newer: &PointKey, within: Range<u64>) -> Result<Diff<'_>> {
        let old = self.find_or_pinned(older)?.map;
        let new = self.find_or_pinned(newer)?.map;
        let within = within.start..within.end.min(new.size);
        let loader = &self.inner().loader;
        let seen = |tree| Seen { tree, loader };
        let first = within.start / u64::from(new.window.max(1));
        let compare = Compare::new(seen(old), seen(new), first)?;
        Ok(Diff { store: self, compare, old, new, within, found: VecDeque::new(), over: false })
    }
}

/// The ranges that differ, in order, merged where they touch. After an error it ends.
pub struct Diff<'a> {
    store: &'a Store,
    compare: Compare<'a>,
    old: Tree,
    new: Tree,
    within: Range<u64>,
    /// Ranges of windows that were looked at; the last one may go on in the next window.
    found: VecDeque<DiffRange>,
    over: bool,
}

impl std::fmt::Debug for Diff<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Diff").field("within", &self.within).finish_non_exhaustive()
    }
}

impl Iterator for Diff<'_> {
    type Item = Result<DiffRange>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.found.len() < 2 && !self.over {
            if let Err(e) = self.advance() {
                self.over = true;
                self.found.clear();
                return Some(Err(e));
            }
        }
        self.found.pop_front().map(Ok)
    }
}

impl Diff<'_> {
    /// Looks at the next window that differs.
    fn advance(&mut self) -> Result<()> {
        loop {
            let Some(difference) = self.compare.next()? else {
                self.over = true;
                return Ok(());
            };
            let Difference::Leaf { window, old, new } = difference else { continue };
            if self.new.start(window) >= self.within.end {
                self.over = true;
                return Ok(());
            }
            return self.window(window, old, new);
        }
    }

    fn window(&mut self, window: u64, old: Option<Id>, new: Option<Id>) -> Result<()> {
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
    fn items(&self, tree: &Tree, window: u64, leaf: Option<Id>) -> Result<Vec<(u64, Item)>> {
        let len = tree.len(window);
        let items = match leaf {
            Some(id) => self.store.inner().loader.node(&id)?.items(len)?.to_vec(),
            None => vec![Item::Hole { len }],
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
        let (start, end) = (offset.max(self.within.start), (offset + len).min(self.within.end));
        if start >= end {
            return;
        }
        let range = DiffRange { offset: start, len: end - start, kind };
        match self.found.back_mut().filter(|last| last.kind == kind && last.end() == start) {
            Some(last) => last.len += range.len,
            None => self.found.push_back(range),
        }
    }
}

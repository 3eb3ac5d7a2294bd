//! Where two maps differ.
//!
//! Equal subtrees are skipped by their ids, so the cost follows the difference. Memory is one
//! node of either map for each level. The maps may lie in different stores of one domain.

use super::{FANOUT, Side, Tree, span};
use crate::error::Result;
use crate::id::Id;
use crate::load::Loader;

/// A subtree of the newer map that the older one does not have in this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Difference {
    /// An inner node of the newer map; what differs below it follows.
    Inner(Id),
    /// A window, and its leaf in either map.
    Leaf { window: u64, old: Option<Id>, new: Option<Id> },
}

/// A map and what its nodes are read with.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) tree: Tree,
    pub(crate) loader: &'a Loader,
}

/// The differences of two maps of equal windows, in the order of the disk.
pub(crate) struct Compare<'a> {
    old: Seen<'a>,
    new: Seen<'a>,
    /// Windows before this one are of no interest.
    from: u64,
    stack: Vec<Pair>,
    /// Two subtrees that are to be looked at next.
    next: Option<(u8, u64, Side, Side)>,
}

/// The children of two inner nodes, and which of them come next.
struct Pair {
    /// The level of the children.
    level: u8,
    /// The first window below the nodes.
    first: u64,
    olds: Option<Vec<Side>>,
    news: Option<Vec<Side>>,
    place: u64,
}

impl<'a> Compare<'a> {
    /// What differs in the window `from` and behind it.
    pub(crate) fn new(old: Seen<'a>, new: Seen<'a>, from: u64) -> Result<Self> {
        let height = new.tree.height;
        let side = Side::of(&old.tree, height, old.loader)?;
        let next = Some((height, 0, side, Side::Node(new.tree.top)));
        Ok(Self { old, new, from, stack: Vec::new(), next })
    }

    /// The next difference.
    pub(crate) fn next(&mut self) -> Result<Option<Difference>> {
        loop {
            let (level, first, old, new) = match self.next.take() {
                Some(next) => next,
                None => match self.child() {
                    Some(next) => next,
                    None => return Ok(None),
                },
            };
            let end = first.saturating_add(span(level));
            if old == new || first >= self.new.tree.windows() || end <= self.from {
                continue;
            }
            let id = |side: Side| match side {
                Side::Node(id) => id,
                Side::Above => None,
            };
            if level == 0 {
                return Ok(Some(Difference::Leaf { window: first, old: id(old), new: id(new) }));
            }
            let olds = old.children(level, &self.old.tree, self.old.loader)?;
            let news = new.children(level, &self.new.tree, self.new.loader)?;
            self.stack.push(Pair { level: level - 1, first, olds, news, place: 0 });
            if let Some(id) = id(new) {
                return Ok(Some(Difference::Inner(id)));
            }
        }
    }

    fn child(&mut self) -> Option<(u8, u64, Side, Side)> {
        loop {
            let pair = self.stack.last_mut()?;
            if pair.place == FANOUT {
                self.stack.pop();
                continue;
            }
            let of = |all: &Option<Vec<Side>>| {
                let side = all.as_ref().and_then(|all| all.get(pair.place as usize));
                side.copied().unwrap_or(Side::Node(None))
            };
            let (old, new) = (of(&pair.olds), of(&pair.news));
            let first = pair.first.saturating_add(pair.place.saturating_mul(span(pair.level)));
            pair.place += 1;
            return Some((pair.level, first, old, new));
        }
    }
}

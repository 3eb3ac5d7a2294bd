//! Making a map out of an older one and the leaves that are new.
//!
//! Memory is one node for each level. Only the paths to new leaves are made anew; everything
//! beside them is taken over by its id, unread.

use std::ops::Range;

use super::{FANOUT, Node, Side, Tree, span};
use crate::damage;
use crate::error::{Error, Result};
use crate::id::Id;
use crate::load::Loader;
use crate::source::covers;

/// New leaves, in the order of their windows.
pub(crate) trait Leaves {
    /// The window of the next leaf.
    fn peek(&mut self) -> Result<Option<u64>>;
    /// The next leaf: its id, or `None` for zeros.
    fn take(&mut self) -> Result<Option<Id>>;
}

/// One making of a map.
pub(crate) struct Update<'a> {
    pub(crate) loader: &'a Loader,
    /// The older map; windows without a new leaf are taken from it.
    pub(crate) old: Tree,
    /// Tidy ranges of the older map that cannot be read. Where one covers a whole subtree, all
    /// leaves of that subtree are among the new ones.
    pub(crate) wounds: &'a [Range<u64>],
    pub(crate) leaves: &'a mut dyn Leaves,
    /// Stores a node.
    pub(crate) put: &'a mut dyn FnMut(&[u8]) -> Result<Id>,
}

impl Update<'_> {
    /// The new map, of `size` bytes. If the sizes differ, the last window and each window whose
    /// length changed must be among the leaves.
    pub(crate) fn run(mut self, size: u64) -> Result<Tree> {
        let mut tree = Tree::zero(size, self.old.window);
        let side = match Side::of(&self.old, tree.height, self.loader) {
            Err(e) if self.is_lost(&tree, tree.height, 0, &e) => Side::Node(None),
            other => other?,
        };
        tree.top = self.subtree(&tree, tree.height, 0, side)?;
        if self.leaves.peek()?.is_some() {
            return Err(Error::internal("a leaf lies outside its map"));
        }
        Ok(tree)
    }

    /// Whether an error is that of a subtree which is known to be lost, and made anew as a whole.
    fn is_lost(&self, tree: &Tree, level: u8, first: u64, error: &Error) -> bool {
        let end = tree.start(first.saturating_add(span(level)));
        let range = tree.start(first)..end.min(tree.size).min(self.old.size);
        damage::is_damage(error) && covers(self.wounds, &range)
    }

    fn subtree(&mut self, tree: &Tree, level: u8, first: u64, old: Side) -> Result<Option<Id>> {
        let dirty = self.leaves.peek()?.is_some_and(|window| window < first + span(level));
        match old {
            Side::Node(id) if !dirty => return Ok(id),
            _ if level == 0 => return self.leaves.take(),
            _ => {}
        }
        let below = span(level - 1);
        let olds = match old.children(level, &self.old, self.loader) {
            Err(e) if self.is_lost(tree, level, first, &e) => None,
            other => other?,
        };
        let mut children = vec![None; FANOUT as usize];
        for (place, child) in children.iter_mut().enumerate() {
            let begin = first + place as u64 * below;
            if begin >= tree.windows() {
                break;
            }
            let old = olds.as_ref().and_then(|olds| olds.get(place)).copied();
            *child = self.subtree(tree, level - 1, begin, old.unwrap_or(Side::Node(None)))?;
        }
        if children.iter().all(Option::is_none) {
            return Ok(None);
        }
        (self.put)(&Node::Inner { level, children }.encode()).map(Some)
    }
}

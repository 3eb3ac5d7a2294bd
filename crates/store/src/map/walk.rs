//! Finding the way down a map.

use std::sync::Arc;

use super::{FANOUT, Node, Tree, span};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::load::Loader;

/// A subtree of a map, which may lie above the map's own top: a map seen as if it were higher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// A node of the map, or zeros.
    Node(Option<Id>),
    /// The leftmost subtree of a level above the top.
    Above,
}

impl Side {
    /// The whole of `tree`, seen as if it had this height. Where the height is less than the
    /// map's own, only the left part is seen.
    pub(crate) fn of(tree: &Tree, height: u8, loader: &Loader) -> Result<Self> {
        if height > tree.height {
            return Ok(Self::Above);
        }
        let mut at = tree.top;
        for level in (height + 1..=tree.height).rev() {
            let Some(id) = at else { break };
            at = loader.node(&id)?.children(level)?.first().copied().flatten();
        }
        Ok(Self::Node(at))
    }

    /// The children of this subtree, whose top has `level`; `None` if all are zeros.
    pub(crate) fn children(
        self,
        level: u8,
        tree: &Tree,
        loader: &Loader,
    ) -> Result<Option<Vec<Self>>> {
        let mut out = vec![Self::Node(None); FANOUT as usize];
        match self {
            Self::Node(None) => return Ok(None),
            Self::Node(Some(id)) => {
                let node = loader.node(&id)?;
                for (to, from) in out.iter_mut().zip(node.children(level)?) {
                    *to = Self::Node(*from);
                }
            }
            Self::Above => {
                let below = level.saturating_sub(1);
                let left = if below > tree.height { Self::Above } else { Self::Node(tree.top) };
                if let Some(first) = out.first_mut() {
                    *first = left;
                }
            }
        }
        Ok(Some(out))
    }
}

/// The leaf of a window; `None` if it is all zeros.
pub(crate) fn leaf(tree: &Tree, loader: &Loader, window: u64) -> Result<Option<(Id, Arc<Node>)>> {
    let mut at = tree.top;
    for level in (1..=tree.height).rev() {
        let Some(id) = at else { return Ok(None) };
        let place = window / span(level - 1) % FANOUT;
        let node = loader.node(&id)?;
        at = node.children(level)?.get(place as usize).copied().flatten();
    }
    match at {
        None => Ok(None),
        Some(_) if window >= tree.windows() => Err(Error::corrupt("a map is too wide")),
        Some(id) => Ok(Some((id, loader.node(&id)?))),
    }
}

/// The first window at or after `from` that is not all zeros.
pub(crate) fn seek(tree: &Tree, loader: &Loader, from: u64) -> Result<Option<u64>> {
    let Some(top) = tree.top else { return Ok(None) };
    down(top, tree.height, 0, from, loader)
}

fn down(id: Id, level: u8, first: u64, from: u64, loader: &Loader) -> Result<Option<u64>> {
    if level == 0 {
        return Ok((first >= from).then_some(first));
    }
    let below = span(level - 1);
    let node = loader.node(&id)?;
    for (place, child) in node.children(level)?.iter().enumerate() {
        let begin = first + place as u64 * below;
        let Some(child) = child.filter(|_| begin + below > from) else {
            continue;
        };
        if let Some(found) = down(child, level - 1, begin, from, loader)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

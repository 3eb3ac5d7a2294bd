//! What is reachable.
//!
//! Roots are the points that are listed, the copies of points in pins, and the parents in the
//! announcements of writers: in this order, so that whatever moves from one to the next is seen.
//! Marking only ever adds: what was reachable at any time of a run counts as reachable in all of
//! it. That errs on the safe side, and a second mark has to walk only roots that are new.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::sort::{Sorted, Sorter};
use crate::damage;
use crate::error::{Error, ErrorKind, Result, chain};
use crate::id::Id;
use crate::load::Loader;
use crate::map::{Item, Node, Tree};
use crate::margins;
use crate::pin::WriterRecord;
use crate::point::PointKey;
use crate::source::Watch;
use crate::standing::Held;
use crate::store::Store;

/// Everything reachable that was seen so far.
pub(super) struct Reach {
    sorter: Sorter,
    /// Whole maps that were walked, by their tops.
    pub(super) maps: HashSet<(Id, u8)>,
    /// Nodes that were walked, as far as they are remembered.
    nodes: HashSet<Id>,
    /// Points with a map that cannot be walked, and the reason of the first.
    pub(super) broken: BTreeSet<PointKey>,
    pub(super) points: u64,
    pub(super) roots: u64,
}

impl Reach {
    pub(super) fn new(store: &Store, limit: usize) -> Self {
        Self {
            sorter: Sorter::new(Arc::clone(&store.inner().index), limit),
            maps: HashSet::new(),
            nodes: HashSet::new(),
            broken: BTreeSet::new(),
            points: 0,
            roots: 0,
        }
    }

    /// Bytes of memory in use.
    pub(super) fn held(&self) -> usize {
        // A hash table fills seven places of eight, and has a byte more for each.
        let table = |places: usize, size: usize| places * 8 / 7 * (size + 1);
        self.sorter.held()
            + table(self.nodes.capacity(), size_of::<Id>())
            + table(self.maps.capacity(), size_of::<(Id, u8)>())
    }

    /// Lists all roots, walks those that are new, and returns the writers.
    pub(super) fn add(&mut self, store: &Store, watch: &dyn Watch) -> Result<Vec<WriterRecord>> {
        (self.points, self.roots) = (0, 0);
        let mut trees = Vec::new();
        // First: a mark that a repair drops after this has its point among the roots, and the
        // point of one that was dropped before is listed.
        self.doubtful(store, &mut trees)?;
        store.visit_points(&mut |found| {
            let record = found.map_err(|damaged| {
                let context = format!(
                    "{} is damaged: what it reaches cannot be known, so nothing is collected; \
                     remove the point, or bring the object back",
                    damaged.object
                );
                Error::corrupt(context).because(damaged.why)
            })?;
            self.points += 1;
            self.root(&record.key, record.map, &mut trees);
            Ok(())
        })?;
        let writers = store.writers()?;
        for parent in writers.iter().filter_map(|writer| writer.parent.as_ref()) {
            self.root(&parent.key, parent.map, &mut trees);
        }
        for pin in store.pins()? {
            self.root(&pin.point.key, pin.point.map, &mut trees);
        }
        // After the roots: the runs of a point are durable before the point is.
        let inner = store.inner();
        inner.index.refresh()?;
        if let Some(damaged) = inner.index.damaged().into_iter().next() {
            let context = format!("{} is damaged: repair the index first", damaged.object);
            return Err(Error::corrupt(context).because(damaged.why));
        }
        for (key, tree) in trees {
            self.walk(&inner.loader, &key, tree, watch)?;
        }
        Ok(writers)
    }

    /// Points that are hidden by a mark of removal which cannot be read: whether they were removed
    /// is not known, so what they reach stays.
    fn doubtful(&mut self, store: &Store, trees: &mut Vec<(PointKey, Tree)>) -> Result<()> {
        for (object, error) in store.removals()?.damaged {
            tracing::warn!(object, error = chain(&error), "a point stays: its removal is in doubt");
            let key = object.rsplit('/').next().and_then(|key| key.parse().ok());
            let held = key.map(|key| store.held(&key)).transpose()?.flatten();
            if let Some(Held::Point(record)) = held {
                self.root(&record.key, record.map, trees);
            }
        }
        Ok(())
    }

    fn root(&mut self, key: &PointKey, map: Tree, trees: &mut Vec<(PointKey, Tree)>) {
        self.roots += 1;
        if map.top.is_some_and(|top| self.maps.insert((top, map.height))) {
            trees.push((*key, map));
        }
    }

    fn walk(
        &mut self,
        loader: &Loader,
        key: &PointKey,
        tree: Tree,
        watch: &dyn Watch,
    ) -> Result<()> {
        let mut todo = Vec::from_iter(tree.top.map(|top| (top, tree.height)));
        while let Some((id, level)) = todo.pop() {
            if watch.cancelled() {
                return Err(Error::new(ErrorKind::Cancelled, "the collection was cancelled"));
            }
            if self.nodes.contains(&id) {
                continue;
            }
            if self.nodes.len() >= margins::WALKED_NODES {
                self.nodes.clear();
            }
            self.nodes.insert(id);
            self.sorter.add(id)?;
            let node = match loader.node(&id) {
                Err(e) if damage::is_damage(&e) => {
                    tracing::error!(point = %key, error = chain(&e), "a map is broken");
                    self.broken.insert(*key);
                    continue;
                }
                node => node?,
            };
            match node.as_ref() {
                Node::Leaf(items) => {
                    for item in items {
                        if let Item::Chunk { id, .. } = item {
                            self.sorter.add(*id)?;
                        }
                    }
                }
                Node::Inner { children, .. } => {
                    let below = level.saturating_sub(1);
                    todo.extend(children.iter().flatten().map(|child| (*child, below)));
                }
            }
        }
        Ok(())
    }

    /// All reachable ids in order.
    pub(super) fn sorted(&mut self) -> Result<Sorted<'_>> {
        self.sorter.sorted()
    }
}

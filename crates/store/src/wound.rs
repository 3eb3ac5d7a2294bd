//! Which bytes of a point cannot be read.
//!
//! A *wound* is a range of a point whose chunk, or a node of the map above it, has no usable
//! place: it is in no index run, or every place of it is damaged or in a pack that is gone. Walking
//! a map finds its wounds
//! exactly; subtrees that were found whole are remembered and not walked again, in this point or
//! in another.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::cache::Cache;
use crate::damage;
use crate::error::{Error, ErrorKind, Result, chain};
use crate::id::{Id, Kind};
use crate::map::{Item, Node, Tree, span};
use crate::margins;
use crate::point::PointKey;
use crate::present::Present;
use crate::source::{Watch, tidy};
use crate::store::{Inner, Store};

/// A part of a point that cannot be read.
pub(crate) struct Wound {
    /// What has no usable place.
    pub(crate) id: Id,
    pub(crate) kind: Kind,
    /// The bytes of the disk that depend on it.
    pub(crate) range: Range<u64>,
    /// Why, where it was read in vain.
    pub(crate) why: Option<String>,
}

/// Whether an id can be read, as far as is known without reading it.
pub(crate) type Usable<'a> = dyn Fn(&Id) -> Result<bool> + 'a;

/// A walk through the maps of points.
pub(crate) struct Walk<'a> {
    inner: &'a Inner,
    usable: &'a Usable<'a>,
    watch: &'a dyn Watch,
    /// Subtrees that are whole.
    whole: Cache<Id, ()>,
    /// Nodes read and chunks looked for.
    pub(crate) nodes: u64,
    pub(crate) chunks: u64,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(inner: &'a Inner, usable: &'a Usable<'a>, watch: &'a dyn Watch) -> Self {
        let whole = Cache::new(margins::WALKED);
        Self { inner, usable, watch, whole, nodes: 0, chunks: 0 }
    }

    /// Tells `visit` of all wounds of a map, in order.
    pub(crate) fn map(
        &mut self,
        tree: &Tree,
        visit: &mut dyn FnMut(Wound) -> Result<()>,
    ) -> Result<()> {
        match tree.top {
            None => Ok(()),
            Some(top) => self.subtree(tree, tree.height, 0, top, visit).map(|_| ()),
        }
    }

    fn subtree(
        &mut self,
        tree: &Tree,
        level: u8,
        first: u64,
        id: Id,
        visit: &mut dyn FnMut(Wound) -> Result<()>,
    ) -> Result<bool> {
        if self.whole.get(&id).is_some() {
            return Ok(true);
        }
        if self.watch.cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "the check was cancelled"));
        }
        let end = first.saturating_add(span(level));
        let range = tree.start(first)..tree.start(end).min(tree.size);
        let wound = |why| Wound { id, kind: Kind::Node, range, why };
        if !(self.usable)(&id)? {
            visit(wound(None))?;
            return Ok(false);
        }
        let node = match self.inner.loader.node(&id) {
            Err(e) if damage::is_damage(&e) => {
                visit(wound(Some(chain(&e))))?;
                return Ok(false);
            }
            other => other?,
        };
        self.nodes += 1;
        let inside = match node.as_ref() {
            Node::Leaf(_) if level == 0 => self.leaf(tree, first, &node, visit),
            _ => self.children(tree, level, first, &node, visit),
        };
        let whole = match inside {
            Err(e) if e.kind() == ErrorKind::Corrupt => {
                visit(wound(Some(chain(&e))))?;
                false
            }
            other => other?,
        };
        if whole {
            self.whole.put(id, (), 1);
        }
        Ok(whole)
    }

    fn children(
        &mut self,
        tree: &Tree,
        level: u8,
        first: u64,
        node: &Node,
        visit: &mut dyn FnMut(Wound) -> Result<()>,
    ) -> Result<bool> {
        let children = node.children(level)?;
        let below = level.checked_sub(1).ok_or_else(|| Error::corrupt("a map is too deep"))?;
        let mut whole = true;
        for (place, child) in children.iter().enumerate() {
            let begin = first.saturating_add((place as u64).saturating_mul(span(below)));
            if let Some(child) = child {
                if begin >= tree.windows() {
                    return Err(Error::corrupt("a map is too wide"));
                }
                whole &= self.subtree(tree, below, begin, *child, visit)?;
            }
        }
        Ok(whole)
    }

    fn leaf(
        &mut self,
        tree: &Tree,
        window: u64,
        node: &Node,
        visit: &mut dyn FnMut(Wound) -> Result<()>,
    ) -> Result<bool> {
        let (mut at, mut whole) = (tree.start(window), true);
        for item in node.items(tree.len(window))? {
            let end = at + u64::from(item.len());
            if let Item::Chunk { id, .. } = *item {
                self.chunks += 1;
                if !(self.usable)(&id)? {
                    visit(Wound { id, kind: Kind::Chunk, range: at..end, why: None })?;
                    whole = false;
                }
            }
            at = end;
        }
        Ok(whole)
    }
}

/// Ranges that stay few: what is over the bound is told as one range with gaps filled.
#[derive(Default)]
pub(crate) struct Ranges(pub(crate) Vec<Range<u64>>);

impl Ranges {
    /// Adds a range that lies behind all others or touches the last one.
    pub(crate) fn add(&mut self, range: Range<u64>, most: usize) {
        let full = self.0.len() >= most;
        match self.0.last_mut().filter(|last| full || last.end >= range.start) {
            Some(last) => last.end = last.end.max(range.end),
            None => self.0.push(range),
        }
    }
}

impl Store {
    /// The byte ranges of a point that cannot be read now, as far as is known without reading
    /// chunks: those whose content was found damaged (see [`Store::verify`]), is in no index run,
    /// or lay in packs that are gone. In order; beyond 16,384 ranges the last one takes in what
    /// lies between.
    ///
    /// The next incremental backup with this point for a parent reads them again by itself.
    pub fn wounds(&self, point: &PointKey) -> Result<Vec<Range<u64>>> {
        let inner = self.inner();
        inner.learn_quarantine()?;
        inner.index.refresh()?;
        let map = self.find_or_pinned(point)?.map;
        let there = There::new(inner);
        inner.gather(&map, &|id| there.holds(id), &())
    }
}

/// Which contents are in packs that are there.
pub(crate) struct There<'a> {
    inner: &'a Inner,
    present: Present,
    refreshed: std::cell::Cell<bool>,
}

impl<'a> There<'a> {
    pub(crate) fn new(inner: &'a Inner) -> Self {
        let present = Present::new(inner.objects.clone(), BTreeSet::new());
        Self { inner, present, refreshed: false.into() }
    }

    /// Whether a usable place of `id` is in a pack that is there.
    pub(crate) fn holds(&self, id: &Id) -> Result<bool> {
        if self.look(id)? {
            return Ok(true);
        }
        if self.refreshed.replace(true) {
            return Ok(false);
        }
        // Collection may have moved it meanwhile.
        self.inner.index.refresh()?;
        self.look(id)
    }

    fn look(&self, id: &Id) -> Result<bool> {
        self.present.holds(&self.inner.index, id)
    }
}

impl Inner {
    /// The wounds of a map, as far as this handle knows without looking for packs.
    pub(crate) fn wounds(&self, map: &Tree, watch: &dyn Watch) -> Result<Vec<Range<u64>>> {
        self.gather(map, &|id| Ok(self.index.find(id)?.is_some()), watch)
    }

    fn gather(
        &self,
        map: &Tree,
        usable: &Usable<'_>,
        watch: &dyn Watch,
    ) -> Result<Vec<Range<u64>>> {
        let mut ranges = Ranges::default();
        Walk::new(self, usable, watch).map(map, &mut |wound| {
            ranges.add(wound.range, margins::WOUNDS);
            Ok(())
        })?;
        Ok(tidy(&ranges.0, map.size))
    }
}

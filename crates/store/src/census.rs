//! What a store and its points consist of, for people who look after them.

use std::collections::BTreeMap;

use crate::config::StoreConfig;
use crate::error::{Error, Result};
use crate::map::{Compare, Difference, Item, Seen, Tree};
use crate::read::Reader;
use crate::store::Store;

/// Objects of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// How many there are.
    pub objects: u64,
    /// Their bytes in all.
    pub bytes: u64,
}

/// What a store consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Census {
    /// The store's parameters.
    pub config: StoreConfig,
    /// The epoch that new objects belong to.
    pub epoch: u32,
    /// All objects, by the folder they lie in; what lies in none is listed under its own name.
    pub folders: BTreeMap<String, Count>,
}

/// What a point consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shape {
    /// Bytes of a window.
    pub window: u32,
    /// Levels of the map above its leaves.
    pub height: u8,
    /// Inner nodes of the map, shared ones included.
    pub inner_nodes: u64,
    /// Leaves of the map: windows that are not all zeros.
    pub leaves: u64,
    /// Chunks, repeated ones included.
    pub chunks: u64,
    /// Bytes of the disk that lie in chunks; all others are zero.
    pub data_bytes: u64,
}

impl Store {
    /// Counts the store's objects. Nothing is read but lists; memory is one number for each kind.
    pub fn census(&self) -> Result<Census> {
        let inner = self.inner();
        let folders = inner.objects.count()?;
        let folders =
            folders.into_iter().map(|(name, (objects, bytes))| (name, Count { objects, bytes }));
        Ok(Census {
            config: inner.config.clone(),
            epoch: inner.ring.epoch(),
            folders: folders.collect(),
        })
    }
}

impl Reader {
    /// Walks the map of the point.
    pub fn shape(&self) -> Result<Shape> {
        let (tree, loader) = (self.record.map, &self.store.inner().loader);
        let mut shape = Shape { window: tree.window, height: tree.height, ..Shape::default() };
        let seen = |tree| Seen { tree, loader };
        let mut all = Compare::new(seen(Tree::zero(0, tree.window)), seen(tree), 0)?;
        while let Some(difference) = all.next()? {
            let Difference::Leaf { window, new, .. } = difference else {
                shape.inner_nodes += 1;
                continue;
            };
            let id = new.ok_or_else(|| Error::internal("zeros differ from zeros"))?;
            shape.leaves += 1;
            for item in loader.node(&id)?.items(tree.len(window))? {
                if let Item::Chunk { len, .. } = item {
                    shape.chunks += 1;
                    shape.data_bytes += u64::from(*len);
                }
            }
        }
        Ok(shape)
    }
}

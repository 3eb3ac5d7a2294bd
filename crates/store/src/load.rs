//! Getting chunks and nodes back: find, fetch, decrypt, decode, check.
//!
//! Whatever leaves this module has been hashed and compared with the id that was asked for.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use uuid::Uuid;

use crate::cache::Cache;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{Hasher, Id, Kind};
use crate::index::Index;
use crate::keys::{KeyRing, ObjectKey};
use crate::map::Node;
use crate::margins;
use crate::object::Objects;
use crate::pack::{Keys, Location, Opener, Pack};

/// Reads from packs.
pub(crate) struct Loader {
    objects: Objects,
    ring: Arc<KeyRing>,
    index: Arc<Index>,
    pub(crate) hasher: Hasher,
    nodes: Cache<Id, Arc<Node>>,
    chunks: Cache<Id, Arc<Vec<u8>>>,
    keys: Cache<Uuid, Arc<ObjectKey>>,
    openers: Mutex<Vec<Opener>>,
}

impl Loader {
    pub(crate) fn new(objects: Objects, ring: Arc<KeyRing>, index: Arc<Index>) -> Self {
        let hasher = Hasher::new(&ring.domain.id_key);
        Self {
            objects,
            ring,
            index,
            hasher,
            nodes: Cache::new(margins::NODE_CACHE),
            chunks: Cache::new(margins::CHUNK_CACHE),
            keys: Cache::new(margins::PACK_KEYS),
            openers: Mutex::new(Vec::new()),
        }
    }

    /// A map node.
    pub(crate) fn node(&self, id: &Id) -> Result<Arc<Node>> {
        if let Some(node) = self.nodes.get(id) {
            return Ok(node);
        }
        let node = self.read(Kind::Node, id, |raw| {
            Node::decode(raw).map(|node| (Arc::new(node), raw.len() * 2))
        })?;
        let (node, weight) = node;
        self.nodes.put(*id, Arc::clone(&node), weight);
        Ok(node)
    }

    /// A chunk.
    pub(crate) fn chunk(&self, id: &Id) -> Result<Arc<Vec<u8>>> {
        if let Some(chunk) = self.chunks.get(id) {
            return Ok(chunk);
        }
        let chunk = self.read(Kind::Chunk, id, |raw| Ok(Arc::new(raw.to_vec())))?;
        self.chunks.put(*id, Arc::clone(&chunk), chunk.len());
        Ok(chunk)
    }

    /// Where `id` is; asks the store for new index runs, and for packs that were gone, before it
    /// gives up.
    pub(crate) fn locate(&self, id: &Id) -> Result<Location> {
        if let Some(at) = self.index.find(id)? {
            return Ok(at);
        }
        self.index.refresh()?;
        let found = match self.index.find(id)? {
            None if self.index.recall(id)? => self.index.find(id)?,
            found => found,
        };
        found.ok_or_else(|| Error::corrupt(format!("{id} is in no index run of the store")))
    }

    /// Bytes of a pack.
    pub(crate) fn fetch(&self, pack: &Pack, range: std::ops::Range<u64>) -> Result<Bytes> {
        self.objects.get_range(&pack.object(), range)
    }

    /// Opens one frame and hands what it holds to `then`.
    pub(crate) fn open<T>(
        &self,
        at: &Location,
        what: (Kind, Id),
        frame: &[u8],
        then: impl FnOnce(&[u8]) -> Result<T>,
    ) -> Result<T> {
        let mut opener = self.opener()?;
        let key = self.key(&at.pack)?;
        let out = then(opener.open(self.keys(&key), at, what, frame)?)?;
        let mut openers = self.openers.lock().unwrap_or_else(PoisonError::into_inner);
        if openers.len() < margins::OPENERS_KEPT {
            openers.push(opener);
        }
        Ok(out)
    }

    /// Opens the frame of a chunk into memory of exactly its size.
    pub(crate) fn open_into(
        &self,
        at: &Location,
        id: Id,
        frame: &[u8],
        (opener, out): (&mut Opener, &mut [u8]),
    ) -> Result<()> {
        let key = self.key(&at.pack)?;
        opener.open_into(self.keys(&key), at, (Kind::Chunk, id), frame, out)
    }

    /// Reads `id` from the first of its places that is whole.
    pub(crate) fn read<T>(
        &self,
        kind: Kind,
        id: &Id,
        then: impl Fn(&[u8]) -> Result<T>,
    ) -> Result<T> {
        let mut missing = None;
        for _ in 0..margins::PLACES {
            let at = match (self.locate(id), missing.take()) {
                (Err(e), Some(cause)) if e.kind() == ErrorKind::Corrupt => {
                    return Err(lost(id).because(cause));
                }
                (at, _) => at?,
            };
            match self.read_at(&at, kind, id, &then) {
                // Collected, and moved to another pack if it is needed: look again elsewhere.
                Err(e) if e.kind() == ErrorKind::NotFound => {
                    self.index.gone(at.pack.name);
                    self.index.refresh()?;
                    missing = Some(e);
                }
                Err(e) if e.kind() == ErrorKind::Corrupt => {
                    return self.read_elsewhere(&at, kind, id, &then, e);
                }
                done => return done,
            }
        }
        Err(lost(id))
    }

    /// Tries all places but the one that was found damaged; also those that others have made
    /// known since, because they healed it.
    fn read_elsewhere<T>(
        &self,
        damaged: &Location,
        kind: Kind,
        id: &Id,
        then: &impl Fn(&[u8]) -> Result<T>,
        error: Error,
    ) -> Result<T> {
        let mut tried = vec![*damaged];
        for last in [false, true] {
            for other in self.index.locations(id)? {
                if tried.contains(&other) {
                    continue;
                }
                match self.read_at(&other, kind, id, then) {
                    Err(e) if matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {}
                    done => return done,
                }
                tried.push(other);
            }
            if !last {
                self.index.refresh()?;
            }
        }
        Err(error)
    }

    fn read_at<T>(
        &self,
        at: &Location,
        kind: Kind,
        id: &Id,
        then: &impl Fn(&[u8]) -> Result<T>,
    ) -> Result<T> {
        self.open(at, (kind, *id), &self.frame(at)?, then)
    }

    fn frame(&self, at: &Location) -> Result<Bytes> {
        let start = u64::from(at.offset);
        self.fetch(&at.pack, start..start + u64::from(at.len))
    }

    fn key(&self, pack: &Pack) -> Result<Arc<ObjectKey>> {
        if let Some(key) = self.keys.get(&pack.name) {
            return Ok(key);
        }
        let key = Arc::new(pack.key(&self.ring)?);
        self.keys.put(pack.name, Arc::clone(&key), 1);
        Ok(key)
    }

    fn keys<'a>(&'a self, key: &'a ObjectKey) -> Keys<'a> {
        Keys { ring: &self.ring, hasher: &self.hasher, key }
    }

    fn opener(&self) -> Result<Opener> {
        let free = self.openers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.map_or_else(Opener::new, Ok)
    }
}

fn lost(id: &Id) -> Error {
    Error::corrupt(format!("the pack that held {id} is gone"))
}

//! Which packs are there, and which of them an attempt may rely on.
//!
//! The index says where an id was stored, not that it still is: a run can name packs that were
//! collected since, and a writer that was lost or a collector that was paused can publish such a
//! run at any time. So before an attempt relies on a pack it makes sure, *after* it announced
//! itself, that the pack is there and is not condemned. Whoever condemns the pack later sees the
//! announcement and waits; whoever condemned it before has its record in the way until the pack
//! is gone.
//!
//! What lies behind the end of a pack that has become shorter is not relied on either.
//!
//! Packs are looked up a folder at a time: at most 256 listings an attempt, and 24 bytes a pack.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

use crate::error::{ErrorKind, Result};
use crate::id::Id;
use crate::index::Index;
use crate::object::Objects;
use crate::pack::{Location, Pack, folder, folder_of};

/// What one attempt, or one look at maps, knows about packs.
pub(crate) struct Present {
    objects: Objects,
    barred: BTreeSet<Uuid>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Names with their sizes, by the number of their folder.
    folders: HashMap<usize, HashMap<Uuid, u64>>,
    /// Packs of folders that were listed, but not in the listing: their sizes if they are there.
    others: HashMap<Uuid, Option<u64>>,
}

impl Present {
    /// An attempt that must not rely on `barred` packs.
    pub(crate) fn new(objects: Objects, barred: BTreeSet<Uuid>) -> Self {
        Self { objects, barred, seen: Mutex::default() }
    }

    /// Whether the attempt may rely on this place: its pack is there, long enough, and not
    /// condemned.
    pub(crate) fn accepts(&self, at: &Location) -> Result<bool> {
        let name = at.pack.name;
        if self.barred.contains(&name) {
            return Ok(false);
        }
        let number = folder_of(&name);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = |size: u64| u64::from(at.offset) + u64::from(at.len) <= size;
        if let Some(there) = seen.others.get(&name) {
            return Ok(there.is_some_and(whole));
        }
        let listed = match seen.folders.entry(number) {
            Entry::Occupied(names) => names.into_mut(),
            Entry::Vacant(place) => {
                let listed = self.objects.sizes(&folder(number))?;
                let pack = |(name, size): (String, u64)| Some((Uuid::try_parse(&name).ok()?, size));
                place.insert(listed.into_iter().filter_map(pack).collect())
            }
        };
        if let Some(size) = listed.get(&name) {
            return Ok(whole(*size));
        }
        // Stored by somebody since the folder was listed, or collected.
        let there = match self.objects.size(&at.pack.object()) {
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            size => Some(size?),
        };
        seen.others.insert(name, there);
        Ok(there.is_some_and(whole))
    }

    /// Whether a place of `id` that is not known to be damaged is in a pack to rely on.
    pub(crate) fn holds(&self, index: &Index, id: &Id) -> Result<bool> {
        match index.find(id)? {
            None => return Ok(false),
            Some(at) if self.accepts(&at)? => return Ok(true),
            Some(_) => {}
        }
        for at in index.locations(id)? {
            if !index.is_shunned(&at) && self.accepts(&at)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A pack that this attempt has stored itself.
    pub(crate) fn add(&self, pack: &Pack) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.others.insert(pack.name, Some(u64::from(pack.size)));
    }
}

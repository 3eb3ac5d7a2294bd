//! Which packs are there, and which of them an attempt may rely on.
//!
//! The index says where an id was stored, not that it still is: a run can name packs that were
//! collected since, and a writer that was lost or a collector that was paused can publish such a
//! run at any time. So before an attempt relies on a pack it makes sure, *after* it announced
//! itself, that the pack is there and is not condemned. Whoever condemns the pack later sees the
//! announcement and waits; whoever condemned it before has its record in the way until the pack
//! is gone.
//!
//! Packs are looked up a folder at a time: at most 256 listings an attempt, and 16 bytes a pack.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

use crate::error::Result;
use crate::id::Id;
use crate::index::Index;
use crate::object::Objects;
use crate::pack::{Pack, folder, folder_of};

/// What one attempt, or one look at maps, knows about packs.
pub(crate) struct Present {
    objects: Objects,
    barred: BTreeSet<Uuid>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Names by the number of their folder.
    folders: HashMap<usize, HashSet<Uuid>>,
    /// Packs of folders that were listed, but not in the listing: are they there?
    others: HashMap<Uuid, bool>,
}

impl Present {
    /// An attempt that must not rely on `barred` packs.
    pub(crate) fn new(objects: Objects, barred: BTreeSet<Uuid>) -> Self {
        Self { objects, barred, seen: Mutex::default() }
    }

    /// Whether the attempt may rely on `pack`.
    pub(crate) fn accepts(&self, pack: &Pack) -> Result<bool> {
        let name = pack.name;
        if self.barred.contains(&name) {
            return Ok(false);
        }
        let number = folder_of(&name);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = seen.others.get(&name) {
            return Ok(*there);
        }
        let listed = match seen.folders.entry(number) {
            Entry::Occupied(names) => names.into_mut(),
            Entry::Vacant(place) => {
                let listed = self.objects.list(&folder(number))?;
                let names = listed.iter().filter_map(|name| Uuid::try_parse(name).ok());
                place.insert(names.collect())
            }
        };
        if listed.contains(&name) {
            return Ok(true);
        }
        // Stored by somebody since the folder was listed, or collected.
        let there = self.objects.exists(&pack.object())?;
        seen.others.insert(name, there);
        Ok(there)
    }

    /// Whether a place of `id` that is not known to be damaged is in a pack to rely on.
    pub(crate) fn holds(&self, index: &Index, id: &Id) -> Result<bool> {
        match index.find(id)? {
            None => return Ok(false),
            Some(at) if self.accepts(&at.pack)? => return Ok(true),
            Some(_) => {}
        }
        for at in index.locations(id)? {
            if !index.is_shunned(&at) && self.accepts(&at.pack)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A pack that this attempt has stored itself.
    pub(crate) fn add(&self, pack: &Pack) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.others.insert(pack.name, true);
    }
}

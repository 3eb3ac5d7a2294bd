//! The packs of the store and what of them is needed.
//!
//! One pass over the reachable ids and over the index, both in the order of ids, says for each
//! reachable id which of its places counts. Memory is one row for each pack: 40 bytes, which is
//! 2.5 MiB for a tebibyte in packs of 16 MiB.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::mark::Reach;
use crate::error::{ErrorKind, Result};
use crate::id::Id;
use crate::index::Snapshot;
use crate::margins;
use crate::object::Objects;
use crate::pack::{self, Location};
use crate::source::Watch;

/// One pack.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) name: Uuid,
    /// Bytes of the object.
    pub(super) size: u64,
    /// Bytes of the frames that count.
    pub(super) live: u64,
    /// How many they are.
    pub(super) frames: u32,
    /// Whether a run names it.
    pub(super) indexed: bool,
    /// Whether somebody wants to delete it.
    pub(super) condemned: bool,
}

/// The packs of the store.
pub(super) struct Table {
    objects: Objects,
    /// Those that were listed, by name.
    rows: Vec<Row>,
    /// Packs that were not listed and asked for one by one: stored since, or gone.
    newer: BTreeMap<Uuid, Option<Row>>,
    barred: BTreeSet<Uuid>,
}

impl Table {
    /// The packs that are there. Whoever needs to know which of them are condemned has listed
    /// those *before*.
    pub(super) fn list(objects: &Objects, barred: BTreeSet<Uuid>) -> Result<Self> {
        let mut rows = objects.list_with(pack::PACKS, |meta| {
            let name = Uuid::try_parse(meta.location.filename()?).ok()?;
            Some(Row::new(name, meta.size, &barred))
        })?;
        rows.shrink_to_fit();
        rows.sort_unstable_by_key(|row| row.name);
        Ok(Self { objects: objects.clone(), rows, newer: BTreeMap::new(), barred })
    }

    /// Bytes of memory in use.
    pub(super) fn held(&self) -> usize {
        // A tree fills at least half of its nodes.
        self.rows.capacity() * size_of::<Row>()
            + self.newer.len() * 2 * size_of::<(Uuid, Option<Row>)>()
            + self.barred.len() * 2 * size_of::<Uuid>()
    }

    /// From now on these packs are no copy of anything: they are about to go, or gone.
    pub(super) fn bar(&mut self, packs: &[Uuid]) {
        for pack in packs {
            if let Some(row) = self.row(pack) {
                row.condemned = true;
            }
        }
    }

    /// The packs that were listed.
    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    fn row(&mut self, pack: &Uuid) -> Option<&mut Row> {
        let place = self.rows.binary_search_by_key(pack, |row| row.name).ok()?;
        self.rows.get_mut(place)
    }

    pub(super) fn get(&self, pack: &Uuid) -> Option<&Row> {
        match self.rows.binary_search_by_key(pack, |row| row.name) {
            Ok(place) => self.rows.get(place),
            Err(_) => self.newer.get(pack).and_then(Option::as_ref),
        }
    }

    /// Asks for the packs of `places` that were not listed: a point that was made after the
    /// listing may need them. That is as good as a later listing.
    pub(super) fn learn(&mut self, places: &[Location]) -> Result<()> {
        for Location { pack, .. } in places {
            if self.get(&pack.name).is_some() || self.newer.contains_key(&pack.name) {
                continue;
            }
            let row = match self.objects.size(&pack.object()) {
                Ok(size) => Some(Row::new(pack.name, size, &self.barred)),
                Err(e) if e.kind() == ErrorKind::NotFound => None,
                Err(e) => return Err(e),
            };
            self.newer.insert(pack.name, row);
        }
        Ok(())
    }

    /// Whether `at` can be relied on: its pack is there, whole enough, and nobody wants it gone.
    pub(super) fn usable(&self, at: &Location) -> bool {
        self.get(&at.pack.name).is_some_and(|row| holds(row, at) && !row.condemned)
    }

    /// Whether `at` can be read: its pack is there and whole enough.
    pub(super) fn holds(&self, at: &Location) -> bool {
        self.get(&at.pack.name).is_some_and(|row| holds(row, at))
    }

    /// The place of `places` that counts: in the largest pack, so that what was copied out of
    /// small packs is not needed in them any more.
    pub(super) fn choose<'a>(&self, places: &'a [Location]) -> Option<&'a Location> {
        let usable = places.iter().filter(|at| self.usable(at));
        usable.max_by_key(|at| (self.get(&at.pack.name).map(|row| row.size), at.pack.name))
    }

    /// Counts what is needed of each pack. Returns the ids that are nowhere.
    pub(super) fn count(
        &mut self,
        reach: &mut Reach,
        index: &Snapshot,
        watch: &dyn Watch,
    ) -> Result<Lost> {
        let mut lost = Lost::default();
        join(reach, index, watch, &mut |id, places, reachable| {
            for at in places {
                if let Some(row) = self.row(&at.pack.name) {
                    row.indexed = true;
                }
            }
            if !reachable {
                return Ok(());
            }
            if !places.iter().any(|at| self.holds(at)) {
                self.learn(places)?;
            }
            let there = |at: &&Location| self.holds(at);
            let counts = self.choose(places).or_else(|| places.iter().find(there)).copied();
            match counts {
                None => lost.add(id),
                Some(at) => {
                    if let Some(row) = self.row(&at.pack.name) {
                        row.live += u64::from(at.len);
                        row.frames += 1;
                    }
                }
            }
            Ok(())
        })?;
        Ok(lost)
    }
}

impl Row {
    fn new(name: Uuid, size: u64, barred: &BTreeSet<Uuid>) -> Self {
        let condemned = barred.contains(&name);
        Self { name, size, live: 0, frames: 0, indexed: false, condemned }
    }

    /// The name of the object.
    pub(super) fn object(&self) -> String {
        pack::object(&self.name)
    }
}

fn holds(row: &Row, at: &Location) -> bool {
    u64::from(at.offset) + u64::from(at.len) <= row.size
}

/// Reachable ids that are nowhere.
#[derive(Debug, Default)]
pub(super) struct Lost {
    pub(super) count: u64,
    /// Some of them.
    pub(super) named: Vec<Id>,
}

impl Lost {
    pub(super) fn add(&mut self, id: &Id) {
        self.count += 1;
        if self.named.len() < margins::NAMED {
            self.named.push(*id);
        }
    }
}

/// What is done with an id, all its places, and whether it is reachable.
type Visit<'a> = dyn FnMut(&Id, &[Location], bool) -> Result<()> + 'a;

/// Goes through all ids in order: those of the index with their places, and reachable ones that
/// the index does not know with none.
pub(super) fn join(
    reach: &mut Reach,
    index: &Snapshot,
    watch: &dyn Watch,
    visit: &mut Visit<'_>,
) -> Result<()> {
    let (mut wanted, mut entries) = (reach.sorted()?, index.entries()?);
    let (mut want, mut entry) = (wanted.next()?, entries.next()?);
    let mut places: Vec<Location> = Vec::new();
    loop {
        let id = match (want, &entry) {
            (None, None) => return Ok(()),
            (Some(want), Some((id, _))) => want.min(*id),
            (Some(want), None) => want,
            (None, Some((id, _))) => *id,
        };
        places.clear();
        while let Some((_, at)) = entry.filter(|(found, _)| *found == id) {
            if places.last() != Some(&at) && !index.is_shunned(&at) {
                places.push(at);
            }
            entry = entries.next()?;
        }
        let reachable = want == Some(id);
        if reachable {
            want = wanted.next()?;
        }
        if watch.cancelled() {
            return Err(super::cancelled());
        }
        visit(&id, &places, reachable)?;
    }
}

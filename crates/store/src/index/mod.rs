//! Where everything is: id to location.
//!
//! The store keeps the index as write-once sorted runs, objects `index/<point>-<run>`. Each
//! handle copies them into a local, disposable folder as *segments* of the same format, and
//! merges small segments so that a look-up asks few of them (see `tier`).
//!
//! # What it costs
//!
//! - On disk, here and in the store, at most 48 bytes an entry, all pages counted (46.2 with 256
//!   chunks in a pack).
//! - In memory 25 MiB of pages in one cache, whatever the size, and beside it 200 bytes per
//!   million chunks and 100 bytes per run of the store: 8 KiB per million chunks if no run was
//!   ever merged. Filters, fences, entries and packs are read page by page.
//! - A merge holds 2 bytes for each entry that it makes, at most 64 MiB; a fetch one piece.
//! - A look-up of what is not there reads one page a segment that is not in the cache, and two
//!   more for each false positive (1 in 100); of what is there three more.
//!
//! All of it is measured by the test `capacity`.
//!
//! The folder is only a cache: deleted while no handle uses it, stale, damaged or full of foreign
//! files it is made anew from the store. It never holds more than the index itself and one merge;
//! while runs of the store are replaced, twice that if the disk has the room (see `refresh`).
//!
//! An index is never the truth. It can be rebuilt from packs, and a location that lies leads to
//! a frame that does not authenticate, never to wrong bytes.

mod attempt;
mod build;
#[cfg(test)]
mod capacity;
mod doubt;
mod folder;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;
mod inspect;
mod merge;
mod page;
mod refresh;
mod rewrite;
mod run;
#[cfg(test)]
mod tests;
mod tier;
#[cfg(test)]
mod upkeep;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use uuid::Uuid;

use crate::cache::Cache;
use crate::damage::{self, Damaged};
use crate::env::Env;
use crate::error::{ErrorKind, Result, chain};
use crate::id::{Id, Root};
use crate::keys::KeyRing;
use crate::margins;
use crate::object::Objects;
use crate::pack::Location;
use crate::point::PointKey;
use crate::quarantine::Shunned;

pub(crate) use attempt::Attempt;
pub(crate) use doubt::Disowned;
use folder::Folder;
pub(crate) use inspect::Named;
pub(crate) use page::Pages;
pub(crate) use rewrite::Snapshot;
use run::Run;

const FOLDER: &str = "index";

/// The index of one opened store.
pub(crate) struct Index {
    objects: Objects,
    ring: Arc<KeyRing>,
    env: Env,
    folder: Folder,
    pages: Pages,
    state: RwLock<State>,
    /// Packs that were found to be gone: what is said to be there is elsewhere or lost.
    gone: RwLock<BTreeSet<Uuid>>,
    /// Held while segments are added or merged, so that a run is never fetched twice.
    growing: Mutex<()>,
}

#[derive(Default)]
struct State {
    segments: Vec<Arc<Run>>,
    /// Runs of the store whose entries are in some segment.
    known: BTreeSet<Uuid>,
    /// Runs of the store that are damaged: as good as absent, and not fetched again.
    bad: BTreeMap<Uuid, Damaged>,
    /// Runs that were replaced or are about to be: what has entries of them goes soon, and is
    /// not merged with what stays.
    leaving: BTreeSet<Uuid>,
    /// Whether entries went whose runs are in the store and not fetched again yet: until then
    /// nobody is answered.
    torn: bool,
    /// Places that count as absent.
    shunned: Arc<Shunned>,
    /// How often damage was learnt of.
    lessons: u64,
    /// Points that reach nothing damaged, as far as was known at the last lesson, by their roots.
    whole: BTreeSet<Root>,
}

impl State {
    /// What was whole may be so no more.
    fn learn(&mut self) {
        self.lessons += 1;
        self.whole.clear();
    }
}

impl Index {
    /// Opens the index, taking over from `cache` what an earlier handle left there.
    pub(crate) fn open(
        objects: Objects,
        ring: Arc<KeyRing>,
        env: Env,
        cache: &Path,
    ) -> Result<Self> {
        let folder = Folder::claim(cache, ring.store)?;
        let pages = Cache::new(margins::INDEX_PAGES);
        let state = RwLock::new(folder.load(&ring)?);
        let (growing, gone) = (Mutex::new(()), RwLock::default());
        let index = Self { objects, ring, env, folder, pages, state, gone, growing };
        index.refresh()?;
        Ok(index)
    }

    /// Where `id` is, as far as this handle knows; a place in quarantine is none.
    pub(crate) fn find(&self, id: &Id) -> Result<Option<Location>> {
        self.find_where(id, &|_| true)
    }

    /// The same, for a place that `accept` takes.
    pub(crate) fn find_where(
        &self,
        id: &Id,
        accept: &dyn Fn(&Location) -> bool,
    ) -> Result<Option<Location>> {
        self.mended(|| self.ask(id, accept))
    }

    fn ask(&self, id: &Id, accept: &dyn Fn(&Location) -> bool) -> Result<Option<Location>> {
        let state = self.whole()?;
        for run in state.segments.iter().rev() {
            let usable = &mut |at: &Location| {
                !self.is_gone(&at.pack.name) && !state.shunned.contains(at) && accept(at)
            };
            if let Some(location) = run.find(id, &self.pages, usable)? {
                return Ok(Some(location));
            }
        }
        Ok(None)
    }

    /// Lets look-ups pass over these places, instead of those named before.
    pub(crate) fn shun(&self, shunned: Shunned) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.shunned = Arc::new(shunned);
        state.learn();
    }

    /// Whether anything is known to be damaged.
    pub(crate) fn is_wounded(&self) -> bool {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.shunned.any || !state.bad.is_empty()
    }

    /// Whether this place of an id is passed over.
    pub(crate) fn is_shunned(&self, at: &Location) -> bool {
        self.state.read().unwrap_or_else(PoisonError::into_inner).shunned.contains(at)
    }

    /// Remembers that a pack is gone; names of packs are never used again.
    pub(crate) fn gone(&self, pack: Uuid) {
        let mut gone = self.gone.write().unwrap_or_else(PoisonError::into_inner);
        if gone.len() >= margins::GONE_PACKS {
            gone.clear();
        }
        gone.insert(pack);
    }

    /// Asks again for the packs of `id` that were found gone. Says whether one is there: an object
    /// store can deny what it has, for a while.
    pub(crate) fn recall(&self, id: &Id) -> Result<bool> {
        let mut hidden = self.locations(id)?;
        hidden.retain(|at| self.is_gone(&at.pack.name));
        let mut back = false;
        for at in hidden.iter().take(margins::PLACES) {
            if self.objects.exists(&at.pack.object())? {
                let mut gone = self.gone.write().unwrap_or_else(PoisonError::into_inner);
                back |= gone.remove(&at.pack.name);
            }
        }
        Ok(back)
    }

    fn is_gone(&self, pack: &Uuid) -> bool {
        self.gone.read().unwrap_or_else(PoisonError::into_inner).contains(pack)
    }

    /// All places where `id` is said to be, as far as this handle knows: usable or not.
    pub(crate) fn locations(&self, id: &Id) -> Result<Vec<Location>> {
        self.mended(|| {
            let mut out = Vec::new();
            for run in &self.whole()?.segments {
                run.find(id, &self.pages, &mut |at| {
                    if !out.contains(at) {
                        out.push(*at);
                    }
                    false
                })?;
            }
            Ok(out)
        })
    }

    /// The runs of the store that this handle found damaged and does without.
    pub(crate) fn damaged(&self) -> Vec<Damaged> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.bad.values().cloned().collect()
    }

    /// Whether the store has so many runs for its entries that they are worth replacing by fewer:
    /// each costs a request when a cache is filled, and memory. Many small backups leave such
    /// runs; only a collection replaces them, because it alone knows which are settled.
    pub(crate) fn crowded(&self) -> bool {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let entries: u64 = state.segments.iter().map(|run| run.entries()).sum();
        tier::crowded(state.known.len() as u64, entries)
    }

    /// Writes a run of `entries`, durable when this returns, and returns its name.
    pub(crate) fn publish(&self, point: &PointKey, entries: &[(Id, Location)]) -> Result<Uuid> {
        let (name, bytes) = self.encode(entries)?;
        fail::fail_point!("store.index.put", |_| Err(crate::error::Error::new(
            ErrorKind::Transient,
            "fail point store.index.put"
        )));
        self.objects.create_unique(&object(point, &name), bytes.clone())?;
        let _growing = self.grow();
        if self.knows(name) {
            // A refresh has met it meanwhile.
            return Ok(name);
        }
        let copy = self.folder.add(&self.ring, name, "run", &bytes);
        if let Err(e) = copy.and_then(|copy| self.install(name, copy)) {
            // The run is durable in the store; the local copy is fetched when it is missed.
            tracing::warn!(error = chain(&e), "a run has no local copy");
        }
        Ok(name)
    }

    /// A new run: its name and its bytes.
    fn encode(&self, entries: &[(Id, Location)]) -> Result<(Uuid, Bytes)> {
        // References: the entries themselves are many times as large.
        let mut sorted: Vec<&(Id, Location)> = entries.iter().collect();
        sorted.sort_unstable_by_key(|(id, at)| (*id, at.pack.name, at.offset));
        let name = self.env.uuid();
        let mut bytes = Vec::new();
        let mut sink = |page: &[u8]| {
            bytes.extend_from_slice(page);
            Ok(())
        };
        let count = sorted.len() as u64;
        let mut builder = build::Builder::new(&self.ring, &self.env, count, &mut sink)?;
        sorted.iter().try_for_each(|(id, at)| builder.add(id, at))?;
        builder.finish(&BTreeSet::from([name]))?;
        Ok((name, Bytes::from(bytes)))
    }

    /// What an earlier attempt to write `point` made findable.
    pub(crate) fn attempt(&self, point: &PointKey) -> Result<Attempt> {
        let mut names = self.objects.list(FOLDER)?;
        names.retain(|name| parse(name).is_some_and(|(owner, _)| owner == *point));
        let mut attempt = Attempt::default();
        for name in names {
            let fetched = match self.fetch(&name, self.env.uuid(), "attempt") {
                // Replaced since it was listed.
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                other => other,
            };
            match fetched {
                Ok(run) => attempt.push(run, self)?,
                // Less is found again.
                Err(e) if damage::is_damage(&e) => {
                    tracing::warn!(error = chain(&e), "an earlier run is passed over");
                }
                Err(e) => return Err(e),
            }
        }
        Ok(attempt)
    }
}

/// The name of a run's object.
fn object(point: &PointKey, run: &Uuid) -> String {
    format!("{FOLDER}/{point}-{}", run.simple())
}

/// The point and the run in the last part of a run's name.
fn parse(name: &str) -> Option<(PointKey, Uuid)> {
    let (point, run) = name.split_once('-')?;
    Some((point.parse().ok()?, Uuid::try_parse(run).ok()?))
}

//! Finding frames again that no index run names.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use uuid::Uuid;

use super::Repaired;
use crate::damage;
use crate::error::{Error, ErrorKind, Result, chain};
use crate::id::Id;
use crate::index::Disowned;
use crate::margins;
use crate::pack::{FOLDERS, Location, PACK_HEAD, Pack, Scan};
use crate::point::PointKey;
use crate::present::Present;
use crate::source::Watch;
use crate::store::Inner;

/// A pack to scan: as the index knows it, or by its name alone.
struct Candidate {
    pack: Pack,
    known: bool,
    size: u64,
}

/// A search for frames.
pub(super) struct Salvage<'a> {
    inner: &'a Inner,
    /// The owner of new runs; without one, only this handle learns of what is found.
    owner: Option<PointKey>,
    watch: &'a dyn Watch,
    out: &'a mut Repaired,
    found: Vec<(Id, Location)>,
}

impl Inner {
    /// Tells `visit` of the packs that may hold frames which the index does not name, or of `all`,
    /// but for the `doomed` ones; it says whether to go on. A pack holds no others where it has
    /// the size that the index says and where the frames that are named fill it. Many packs come
    /// at once, as many as memory shall hold.
    fn each_unnamed(
        &self,
        doomed: &BTreeSet<Uuid>,
        all: bool,
        watch: &dyn Watch,
        visit: &mut dyn FnMut(Vec<Candidate>) -> Result<bool>,
    ) -> Result<()> {
        let mut sizes = BTreeMap::new();
        for number in 0..FOLDERS {
            go_on(watch)?;
            sizes.extend(self.pack_sizes(number..number + 1, &|pack| !doomed.contains(pack))?);
            if sizes.len() < margins::SALVAGE_PACKS && number + 1 < FOLDERS {
                continue;
            }
            let some = self.unnamed(&std::mem::take(&mut sizes), all, watch)?;
            if !some.is_empty() && !visit(some)? {
                break;
            }
        }
        Ok(())
    }

    fn unnamed(
        &self,
        sizes: &BTreeMap<Uuid, u64>,
        all: bool,
        watch: &dyn Watch,
    ) -> Result<Vec<Candidate>> {
        let named = self.index.packs(&|pack| sizes.contains_key(pack))?;
        let filled = match all {
            true => HashMap::new(),
            false => {
                self.index.named_bytes(&|pack| go_on(watch).map(|()| sizes.contains_key(pack)))?
            }
        };
        let candidate = |(name, size): (&Uuid, &u64)| {
            let known = named.get(name).copied();
            let frames = filled.get(name).copied().unwrap_or(0);
            let full = PACK_HEAD as u64 + frames == *size;
            if !all && full && known.is_some_and(|named| named.fits(*size)) {
                return None;
            }
            let unknown = Pack { name: *name, salt: [0; 32], epoch: 0, size: 0 };
            let pack = known.map_or(unknown, |named| named.pack);
            Some(Candidate { pack, known: known.is_some(), size: *size })
        };
        Ok(sizes.iter().filter_map(candidate).collect())
    }

    /// Whether there is any pack that the index does not name wholly and rightly.
    pub(super) fn has_unnamed_packs(
        &self,
        doomed: &BTreeSet<Uuid>,
        watch: &dyn Watch,
    ) -> Result<bool> {
        let mut found = false;
        self.each_unnamed(doomed, false, watch, &mut |_| {
            found = true;
            Ok(false)
        })?;
        Ok(found)
    }
}

fn go_on(watch: &dyn Watch) -> Result<()> {
    match watch.cancelled() {
        true => Err(Error::new(ErrorKind::Cancelled, "the repair was cancelled")),
        false => Ok(()),
    }
}

/// What a local copy says, up to where it is damaged: the rest is found in packs.
fn told<T>(next: Result<Option<T>>) -> Result<Option<T>> {
    match next {
        Err(e) if damage::is_damage(&e) => {
            tracing::warn!(error = chain(&e), "the local copy of a damaged run is damaged too");
            Ok(None)
        }
        other => other,
    }
}

impl<'a> Salvage<'a> {
    pub(super) fn new(
        inner: &'a Inner,
        owner: Option<PointKey>,
        watch: &'a dyn Watch,
        out: &'a mut Repaired,
    ) -> Self {
        Self { inner, owner, watch, out, found: Vec::new() }
    }

    /// Names again what good local copies of damaged runs say of packs that are there. That
    /// spares scanning these; whether it is all shows when packs are looked at.
    pub(super) fn recall(&mut self, copies: &Disowned, doomed: &BTreeSet<Uuid>) -> Result<()> {
        let present = Present::new(self.inner.objects.clone(), doomed.clone());
        let Some(mut entries) = told(copies.entries().map(Some))? else {
            return Ok(());
        };
        let mut last = None;
        while let Some(entry) = told(entries.next())? {
            go_on(self.watch)?;
            if last != Some(entry) && present.accepts(&entry.1)? {
                self.name(entry.0, entry.1)?;
            }
            last = Some(entry);
            self.publish_many()?;
        }
        self.publish()
    }

    /// Scans the packs that may hold frames which no run names, and names those that open.
    pub(super) fn packs(&mut self, doomed: &BTreeSet<Uuid>, all: bool) -> Result<()> {
        let (inner, watch) = (self.inner, self.watch);
        let before = |_| go_on(watch);
        let mut scan = Scan::new(inner, &before)?;
        inner.each_unnamed(doomed, all, watch, &mut |candidates| {
            for candidate in candidates {
                self.pack(&candidate, &mut scan)?;
                self.publish_many()?;
            }
            Ok(true)
        })?;
        self.publish()
    }

    fn pack(&mut self, candidate: &Candidate, scan: &mut Scan<'_>) -> Result<()> {
        let Candidate { pack, known, size } = candidate;
        let object = pack.object();
        let scanned = match scan.pack(*pack, *size, *known) {
            Ok(scanned) => scanned,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            Err(e) if damage::is_damage(&e) || e.kind() == ErrorKind::Transient => {
                self.out.unreadable += 1;
                self.out.blame(object, e.kind(), chain(&e));
                return Ok(());
            }
            Err(e) => return Err(e),
        };
        self.out.packs_scanned += 1;
        self.out.bytes_scanned += size;
        if let Some(why) = scanned.why {
            self.out.blame(object, ErrorKind::Corrupt, why);
        }
        let Some(pack) = scanned.pack else {
            return Ok(());
        };
        for frame in &scan.frames {
            let at = Location { pack, offset: frame.offset, len: frame.len };
            self.name(frame.id, at)?;
        }
        Ok(())
    }

    /// Takes a frame for the next run, unless a good one names it.
    fn name(&mut self, id: Id, at: Location) -> Result<()> {
        let named = |known: &Location| {
            (known.pack.name, known.offset, known.len) == (at.pack.name, at.offset, at.len)
        };
        if !self.inner.index.locations(&id)?.iter().any(named) {
            self.found.push((id, at));
            self.out.frames_found += 1;
        }
        Ok(())
    }

    /// Makes what was found findable: durably, or for this handle.
    fn publish(&mut self) -> Result<()> {
        let found = std::mem::take(&mut self.found);
        if found.is_empty() {
            return Ok(());
        }
        match &self.owner {
            Some(owner) => drop(self.inner.index.publish(owner, &found)?),
            None => self.inner.index.suppose(&found)?,
        }
        self.out.runs_written += 1;
        Ok(())
    }

    /// The same once so much was found that memory shall not hold more.
    fn publish_many(&mut self) -> Result<()> {
        match self.found.len() >= margins::CHECKPOINT_ENTRIES {
            true => self.publish(),
            false => Ok(()),
        }
    }
}

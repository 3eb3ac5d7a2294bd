//! Finding frames again that no index run names.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::Repaired;
use crate::damage;
use crate::error::{Error, ErrorKind, Result, chain};
use crate::id::Id;
use crate::index::Named;
use crate::margins;
use crate::pack::{FOLDERS, Location, Pack, Scan};
use crate::point::PointKey;
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
    /// The packs of one folder that the index does not name, or names with another size.
    fn unnamed_packs(
        &self,
        number: usize,
        dying: &BTreeSet<Uuid>,
        all: bool,
    ) -> Result<Vec<Candidate>> {
        let sizes = self.pack_sizes(number..number + 1, &|_| true)?;
        if sizes.is_empty() {
            return Ok(Vec::new());
        }
        let named = self.index.packs(&|pack| sizes.contains_key(pack))?;
        Ok(candidates(sizes, &named, dying, all).collect())
    }

    /// Whether there is any pack that the index does not name rightly.
    pub(super) fn has_unnamed_packs(&self, dying: &BTreeSet<Uuid>) -> Result<bool> {
        for number in 0..FOLDERS {
            if !self.unnamed_packs(number, dying, false)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn candidates<'a>(
    sizes: BTreeMap<Uuid, u64>,
    named: &'a BTreeMap<Uuid, Named>,
    dying: &'a BTreeSet<Uuid>,
    all: bool,
) -> impl Iterator<Item = Candidate> + 'a {
    sizes.into_iter().filter_map(move |(name, size)| {
        let known = named.get(&name).copied();
        let whole = known.is_some_and(|named| named.fits(size));
        if whole && !all || dying.contains(&name) {
            return None;
        }
        let unknown = Pack { name, salt: [0; 32], epoch: 0, size: 0 };
        let pack = known.map_or(unknown, |named| named.pack);
        Some(Candidate { pack, known: known.is_some(), size })
    })
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

    /// Scans packs, one folder after another, and names the frames that open and that no run
    /// names.
    pub(super) fn packs(&mut self, dying: &BTreeSet<Uuid>, all: bool) -> Result<()> {
        let watch = self.watch;
        let before = |_| match watch.cancelled() {
            true => Err(Error::new(ErrorKind::Cancelled, "the repair was cancelled")),
            false => Ok(()),
        };
        let mut scan = Scan::new(self.inner, &before)?;
        for number in 0..FOLDERS {
            for candidate in self.inner.unnamed_packs(number, dying, all)? {
                self.pack(&candidate, &mut scan)?;
                if self.found.len() >= margins::CHECKPOINT_ENTRIES {
                    self.publish()?;
                }
            }
        }
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
            let named = |known: &Location| {
                (known.pack.name, known.offset, known.len) == (pack.name, at.offset, at.len)
            };
            if !self.inner.index.locations(&frame.id)?.iter().any(named) {
                self.found.push((frame.id, at));
                self.out.frames_found += 1;
            }
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
}

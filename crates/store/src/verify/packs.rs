//! The packs: are they there, and do their frames open?

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use uuid::Uuid;

use super::{Check, Depth, FindingKind, Pace, VerifyMark};
use crate::damage;
use crate::error::{Error, ErrorKind, Result, chain};
use crate::id::Id;
use crate::index::Named;
use crate::margins;
use crate::pack::{FOLDERS, Location, PACKS, Pack, Scan, Scanned, folder, folder_of};
use crate::source::Watch;
use crate::store::Inner;

/// A pack to look at: as the index knows it, and the size of its object if there is one.
struct Item {
    pack: Pack,
    /// Whether its size is what the index says.
    fits: bool,
    size: Option<u64>,
    /// Whether its bytes are read.
    read: bool,
}

/// A pack with which something is wrong.
struct Suspect {
    pack: Pack,
    kind: FindingKind,
    why: String,
    damage: Vec<std::ops::Range<u32>>,
    /// Offset and id prefix of each frame that is good.
    good: HashSet<(u32, u64)>,
}

/// What the workers found so far.
#[derive(Default)]
struct Found {
    suspects: Vec<Suspect>,
    good_frames: usize,
    well: Vec<(Uuid, u32)>,
    frames: u64,
    bytes: u64,
    unreadable: Vec<(Pack, Error)>,
    failed: Option<Error>,
    /// Items that are done, beyond the first `low`, which all are.
    done: BTreeSet<usize>,
    low: usize,
}

/// What the workers share.
struct Work<'a> {
    inner: &'a Inner,
    items: &'a [Item],
    pace: &'a Pace<'a>,
    watch: &'a dyn Watch,
    next: AtomicUsize,
    stop: AtomicBool,
    found: Mutex<Found>,
}

impl Check<'_> {
    /// Looks at the packs, some folders of them at once so that memory stays bounded.
    pub(super) fn packs(&mut self) -> Result<()> {
        let reached = self.reached()?;
        self.inner.index.refresh()?;
        let takes = |pack: &Uuid| {
            let asked = reached.as_ref().is_none_or(|packs| packs.contains(pack));
            asked && self.wanted.takes(pack)
        };
        let step = step(self.inner.index.pack_count());
        let parts = || (0..FOLDERS).step_by(step).map(|first| first..first + step);
        let inside = |part: &std::ops::Range<usize>, pack: &Uuid| part.contains(&folder_of(pack));
        if self.wanted.depth == Depth::Deep {
            let mut total = 0;
            for part in parts() {
                let packs = self.inner.index.packs(&|pack| inside(&part, pack) && takes(pack))?;
                total += packs.values().map(|named| u64::from(named.pack.size)).sum::<u64>();
            }
            self.watch.expect(total);
        }
        let (inner, watch) = (self.inner, self.watch);
        let pace = Pace::new(&inner.env, watch, self.wanted.rate);
        for part in parts() {
            let packs = inner.index.packs(&|pack| inside(&part, pack) && takes(pack))?;
            if !packs.is_empty() {
                let sizes = inner.pack_sizes(part, &|pack| packs.contains_key(pack))?;
                self.part(packs, &sizes, &pace)?;
            }
        }
        Ok(())
    }

    fn part(
        &mut self,
        packs: BTreeMap<Uuid, Named>,
        sizes: &BTreeMap<Uuid, u64>,
        pace: &Pace<'_>,
    ) -> Result<()> {
        let deep = self.wanted.depth == Depth::Deep;
        let item = |named: Named| {
            let size = sizes.get(&named.pack.name).copied();
            let fits = size.is_some_and(|size| named.fits(size));
            let read = size.is_some() && (deep || !fits);
            Item { pack: named.pack, fits, size, read }
        };
        let items: Vec<Item> = packs.into_values().map(item).collect();
        let (inner, watch) = (self.inner, self.watch);
        let work = Work {
            inner,
            items: &items,
            pace,
            watch,
            next: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            found: Mutex::default(),
        };
        let before = self.report.borrow().done.packs;
        loop {
            thread::scope(|scope| {
                for _ in 0..margins::VERIFY_WORKERS {
                    scope.spawn(|| work.run());
                }
            });
            let (low, failed) = self.settle(&work)?;
            let last = low.checked_sub(1).and_then(|last| items.get(last));
            if let Some(last) = last {
                let done = &mut self.report.borrow_mut().done;
                done.mark = Some(VerifyMark { pack: last.pack.name });
                done.packs = before + low as u64;
            }
            if let Some(e) = failed {
                return Err(e);
            }
            if work.next.load(Ordering::Acquire) >= items.len() {
                return Ok(());
            }
            work.stop.store(false, Ordering::Release);
        }
    }

    /// Takes over what the workers found; returns how many items are done, and why they stopped.
    fn settle(&mut self, work: &Work<'_>) -> Result<(usize, Option<Error>)> {
        let mut found = work.found();
        let suspects = std::mem::take(&mut found.suspects);
        self.well.extend(found.well.drain(..));
        found.good_frames = 0;
        let unreadable = std::mem::take(&mut found.unreadable);
        let (low, failed) = (found.low, found.failed.take());
        {
            let done = &mut self.report.borrow_mut().done;
            done.frames += std::mem::take(&mut found.frames);
            done.bytes_read += std::mem::take(&mut found.bytes);
        }
        drop(found);
        for (pack, e) in unreadable {
            let (object, why) = (pack.object(), chain(&e));
            self.report.borrow_mut().add(FindingKind::UnreadablePack, &object, &why);
        }
        self.charge(suspects)?;
        Ok((low, failed))
    }

    /// Finds the index entries that lead to what is damaged in these packs.
    fn charge(&mut self, mut suspects: Vec<Suspect>) -> Result<()> {
        if suspects.is_empty() {
            return Ok(());
        }
        // What another has removed rightly is condemned or, once that is cleared away, not named
        // any more: in this order, or a pack of which both end in between would seem lost.
        let dying = match self.store.condemned() {
            // The damaged record is a finding of its own.
            Err(e) if damage::is_damage(&e) => BTreeSet::new(),
            dying => dying?,
        };
        self.inner.index.refresh()?;
        let names: HashSet<Uuid> = suspects.iter().map(|s| s.pack.name).collect();
        let named = self.inner.index.packs(&|pack| names.contains(pack))?;
        suspects.retain(|suspect| {
            let name = &suspect.pack.name;
            named.contains_key(name)
                && !(suspect.kind == FindingKind::MissingPack && dying.contains(name))
        });
        for Suspect { pack, kind, why, .. } in &suspects {
            self.report.borrow_mut().of_pack(pack.name, &pack.object(), *kind, why);
        }
        let by_name: HashMap<Uuid, usize> =
            suspects.iter().enumerate().map(|(number, s)| (s.pack.name, number)).collect();
        // Whether all that the index names in each suspect's damage is in quarantine. What it
        // does not name is of no use to anybody; only the pack's head is, for repair.
        let mut known = vec![true; suspects.len()];
        let mut explained: Vec<Vec<bool>> =
            suspects.iter().map(|s| vec![false; s.damage.len()]).collect();
        self.inner.index.for_each(&mut |id: Id, at: Location| {
            let Some(number) = by_name.get(&at.pack.name).copied() else {
                return Ok(());
            };
            let Some(suspect) = suspects.get(number) else {
                return Ok(());
            };
            if suspect.good.contains(&(at.offset, id.prefix())) {
                return Ok(());
            }
            let shunned = self.inner.index.is_shunned(&at);
            if let Some(known) = known.get_mut(number) {
                *known &= shunned;
            }
            let end = at.offset.saturating_add(at.len);
            let seen = explained.get_mut(number).into_iter().flatten();
            for (range, seen) in suspect.damage.iter().zip(seen) {
                *seen |= at.offset < range.end && range.start < end;
            }
            self.spoil(id, &at);
            Ok(())
        })?;
        for ((suspect, known), explained) in suspects.iter().zip(known).zip(explained) {
            let name = suspect.pack.name;
            let salvaged = named.get(&name).is_some_and(|named| named.disputed);
            let seen = explained.iter().any(|seen| *seen);
            let sized = suspect.kind != FindingKind::ShortPack || seen || salvaged;
            let head = suspect.damage.first().is_some_and(|range| range.start == 0);
            let headless = head && !explained.first().is_some_and(|seen| *seen);
            if known && sized && !headless {
                self.report.borrow_mut().known(name);
            }
        }
        Ok(())
    }
}

impl Work<'_> {
    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One worker: items until there are no more or enough was found.
    fn run(&self) {
        if let Err(e) = self.items() {
            self.stop.store(true, Ordering::Release);
            self.found().failed.get_or_insert(e);
        }
    }

    fn items(&self) -> Result<()> {
        let before = |bytes: u64| self.pace.take(bytes);
        let mut scan = Scan::new(self.inner, &before)?;
        while !self.stop.load(Ordering::Acquire) {
            if self.watch.cancelled() {
                return Err(Error::new(ErrorKind::Cancelled, "the check was cancelled"));
            }
            let number = self.next.fetch_add(1, Ordering::AcqRel);
            let Some(item) = self.items.get(number) else {
                return Ok(());
            };
            self.item(item, &mut scan)?;
            let mut found = self.found();
            found.done.insert(number);
            while found.done.first() == Some(&found.low) {
                found.done.pop_first();
                found.low += 1;
            }
        }
        Ok(())
    }

    fn item(&self, item: &Item, scan: &mut Scan<'_>) -> Result<()> {
        let pack = item.pack;
        let Some(size) = item.size else {
            self.suspect(pack, FindingKind::MissingPack, "the pack is not there", Vec::new(), &[]);
            return Ok(());
        };
        if !item.read {
            return Ok(());
        }
        match scan.pack(pack, size, true) {
            Ok(scanned) => self.scanned(item, size, scanned, scan),
            Err(e) if e.kind() == ErrorKind::NotFound => {
                let why = "the pack went while it was read";
                self.suspect(pack, FindingKind::MissingPack, why, Vec::new(), &[]);
            }
            // The object ends before the size that was listed.
            Err(e) if damage::is_damage(&e) => {
                let good = good(scan);
                let why = chain(&e);
                let all = std::iter::once(0..pack.size).collect();
                self.suspect(pack, FindingKind::ShortPack, &why, all, &good);
            }
            Err(e) if matches!(e.kind(), ErrorKind::Transient | ErrorKind::Denied) => {
                let mut found = self.found();
                if found.unreadable.len() as u64 >= margins::UNREADABLE {
                    return Err(e);
                }
                found.unreadable.push((pack, e));
            }
            Err(e) => return Err(e),
        }
        self.watch.advance(u64::from(pack.size), 0);
        Ok(())
    }

    fn scanned(&self, item: &Item, size: u64, scanned: Scanned, scan: &Scan<'_>) {
        let pack = item.pack;
        let places = scan.frames.iter().map(|frame| (pack.name, frame.offset));
        let shunned = places.filter(|(_, offset)| {
            self.inner.index.is_shunned(&Location { pack, offset: *offset, len: 0 })
        });
        let well: Vec<_> = shunned.collect();
        {
            let mut found = self.found();
            found.frames += scan.frames.len() as u64;
            found.bytes += size;
            found.well.extend(well);
        }
        let why = scanned.why.unwrap_or_default();
        let kind = if !item.fits {
            FindingKind::ShortPack
        } else if scanned.damage.iter().any(|range| range.start == 0) {
            FindingKind::DamagedPack
        } else {
            FindingKind::DamagedFrame
        };
        if kind == FindingKind::ShortPack || !scanned.damage.is_empty() {
            let why = if why.is_empty() { "the pack has the wrong size" } else { &why };
            self.suspect(pack, kind, why, scanned.damage, &good(scan));
        }
    }

    fn suspect(
        &self,
        pack: Pack,
        kind: FindingKind,
        why: &str,
        damage: Vec<std::ops::Range<u32>>,
        good: &[(u32, u64)],
    ) {
        let mut found = self.found();
        found.good_frames += good.len() + 1;
        if found.good_frames > margins::VERIFY_FRAMES {
            // Enough for once: the workers end and are sent again when this is settled.
            self.stop.store(true, Ordering::Release);
        }
        let (why, good) = (why.to_owned(), good.iter().copied().collect());
        found.suspects.push(Suspect { pack, kind, why, damage, good });
    }
}

fn good(scan: &Scan<'_>) -> Vec<(u32, u64)> {
    scan.frames.iter().map(|frame| (frame.offset, frame.id.prefix())).collect()
}

/// How many of the folders of packs are looked at together.
fn step(packs: u64) -> usize {
    let parts = packs.div_ceil(margins::VERIFY_PACKS).clamp(1, FOLDERS as u64);
    (FOLDERS / (parts as usize).next_power_of_two()).max(1)
}

impl Inner {
    /// The sizes of the packs in some folders that `wanted` takes.
    pub(crate) fn pack_sizes(
        &self,
        folders: std::ops::Range<usize>,
        wanted: &dyn Fn(&Uuid) -> bool,
    ) -> Result<BTreeMap<Uuid, u64>> {
        let mut out = BTreeMap::new();
        let all = folders.len() >= FOLDERS;
        let names: Vec<String> =
            if all { vec![PACKS.to_owned()] } else { folders.map(folder).collect() };
        for name in names {
            for (leaf, size) in self.objects.sizes(&name)? {
                if let Ok(pack) = Uuid::try_parse(&leaf)
                    && wanted(&pack)
                {
                    out.insert(pack, size);
                }
            }
        }
        Ok(out)
    }
}

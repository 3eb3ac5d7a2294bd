//! One collection.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use uuid::Uuid;

use super::mark::Reach;
use super::record::Sentences;
use super::table::{Lost, Row, Table, join};
use super::{Collect, Collected};
use crate::error::{Error, ErrorKind, Result};
use crate::id::Id;
use crate::margins;
use crate::pin::WriterRecord;
use crate::point::PointKey;
use crate::source::Watch;
use crate::store::Store;

/// The packs of sentences.
pub(super) type Decisions = BTreeMap<Uuid, BTreeSet<Uuid>>;

/// A collection under way.
pub(super) struct Run<'a> {
    pub(super) store: &'a Store,
    pub(super) how: &'a Collect,
    pub(super) watch: &'a dyn Watch,
    pub(super) reach: Reach,
    pub(super) out: Collected,
    /// Sentences that are carried out, but for what the index says of their packs.
    swept: Decisions,
    /// Bytes of the table that waits while others are made.
    planned: usize,
    /// Whether rewriting was cut short because there was no room.
    pub(super) cut_short: bool,
    /// The maps of the last mark that missed something.
    doubted: Option<HashSet<(Id, u8)>>,
}

/// What a mark found.
pub(super) struct Plan {
    /// Every pack that is there, with what is needed of it.
    pub(super) table: Table,
    /// Packs in which nothing is needed.
    pub(super) dead: Vec<Uuid>,
}

impl<'a> Run<'a> {
    pub(super) fn new(store: &'a Store, how: &'a Collect, watch: &'a dyn Watch) -> Self {
        let reach = Reach::new(store, how.sort_ids);
        let (out, swept) = Default::default();
        Self { store, how, watch, reach, out, swept, planned: 0, cut_short: false, doubted: None }
    }

    /// The whole of it, again and again while a full disk lets it go on a little further.
    pub(super) fn all(mut self) -> Result<Collected> {
        for round in 1.. {
            let before = self.out.freed_bytes;
            let done = self.once();
            let last = round >= margins::ROUNDS || self.how.dry_run;
            let further = match &done {
                // Nothing that is decided needs to be decided again.
                Err(e) if e.kind() == ErrorKind::Full && !last => {
                    self.store.inner().spend_reserve()? || self.out.freed_bytes > before
                }
                Ok(()) => self.cut_short && !last && self.out.freed_bytes > before,
                Err(_) => false,
            };
            if !further {
                done?;
                break;
            }
            self.again();
        }
        self.out.short_of_room |= self.cut_short;
        if !self.how.dry_run
            && self.store.inner().keep_reserve().is_err_and(|e| e.kind() == ErrorKind::Full)
        {
            tracing::warn!("there is no room for the reserve: no point is made until there is");
            self.out.short_of_room = true;
        }
        Ok(self.out)
    }

    /// Forgets what was reached, and keeps the figures of what was done.
    fn again(&mut self) {
        self.reach = Reach::new(self.store, self.how.sort_ids);
        (self.swept, self.doubted, self.cut_short, self.planned) = Default::default();
        self.out.short_of_room = false;
    }

    /// Each step leaves the store in order, whoever goes on from there.
    fn once(&mut self) -> Result<()> {
        if self.how.dry_run {
            return self.forecast();
        }
        self.store.inner().probe()?;
        let done = self.free();
        // On a full disk the index can still become smaller, or at least no larger.
        if done.as_ref().is_err_and(|e| e.kind() != ErrorKind::Full) {
            return done.map(|_| ());
        }
        let cleared = self.clear();
        let whole = done?;
        cleared?;
        match whole {
            true => self.tidy()?,
            // What is lost may be lost to an announcement alone, which goes in its time.
            false => self.tidy_writers()?,
        }
        self.out.entries_after = self.store.inner().index.snapshot().len();
        Ok(())
    }

    /// Frees packs: first those that were decided about, then dead ones, then those that are
    /// worth rewriting. False: something is lost.
    fn free(&mut self) -> Result<bool> {
        self.finish()?;
        self.give_up_lost_writers()?;
        if !self.decide()? {
            return Ok(false);
        }
        let Some(mut plan) = self.plan()? else {
            return Ok(false);
        };
        self.planned = plan.table.held();
        self.store.condemn(&plan.dead)?;
        if !self.decide()? {
            return Ok(false);
        }
        // Only now: what was dead has made room, and is no copy of anything any more.
        plan.table.bar(&plan.dead);
        let packs = self.worthwhile(&plan);
        if packs.is_empty() {
            return Ok(true);
        }
        self.rewrite(&plan, packs)?;
        self.decide()
    }

    /// Replaces the index runs that name packs which are gone, all at once, and clears their
    /// sentences away. Where there is no room for that, both stay: a later run does it.
    fn clear(&mut self) -> Result<()> {
        let index = &self.store.inner().index;
        let dead: BTreeSet<Uuid> = self.swept.values().flatten().copied().collect();
        if !dead.is_empty() || index.crowded() {
            let open = self.open_points(&self.store.writers()?)?;
            match index.rewrite(&dead, &open, self.how.run_entries) {
                Err(e) if e.kind() == ErrorKind::Full => {
                    tracing::warn!("there is no room to make the index smaller");
                    self.out.short_of_room = true;
                    return Ok(());
                }
                other => other?,
            };
        }
        std::mem::take(&mut self.swept).into_keys().try_for_each(|id| self.store.close(id))
    }

    /// Ends what earlier runs have decided, and clears away what means nothing any more.
    fn finish(&mut self) -> Result<()> {
        let found = self.store.sentences()?;
        let mut over: BTreeMap<Uuid, BTreeSet<Uuid>> = BTreeMap::new();
        for id in found.awaited.iter().chain(found.confirmed.keys()) {
            if !found.condemned.contains_key(id) {
                self.store.close(*id)?;
            }
        }
        for (id, packs) in &found.condemned {
            let dead = match (found.confirmed.get(id), packs) {
                (Some(Some(dead)), _) => Some(dead.clone()),
                // Nobody can tell what was decided: its packs stay as they are.
                (Some(None), _) => None,
                // Nobody can tell which packs it names: it is decided that none are dead.
                (None, None) => self.store.confirm(*id, BTreeSet::new())?,
                (None, Some(_)) => None,
            };
            over.extend(dead.map(|dead| (*id, dead)));
        }
        if over.is_empty() {
            return Ok(());
        }
        let table = Table::list(&self.store.inner().objects, BTreeSet::new())?;
        self.sweep(&table, over)
    }

    /// Marks, and says which packs are dead; nothing where something needed is lost.
    pub(super) fn plan(&mut self) -> Result<Option<Plan>> {
        for _ in 0..margins::LISTINGS {
            let (plan, lost) = self.mark()?;
            if self.whole(&lost) {
                return Ok(Some(plan));
            }
            if self.is_lost_for_good() {
                self.name_losses()?;
                return Ok(None);
            }
        }
        Err(too_fast())
    }

    fn mark(&mut self) -> Result<(Plan, Lost)> {
        let inner = self.store.inner();
        // Before all else: nothing may come between the roots and the index.
        inner.learn_quarantine()?;
        let barred = self.store.sentences()?.packs();
        let mut table = Table::list(&inner.objects, barred)?;
        let writers = self.reach.add(self.store, self.watch)?;
        let open = self.open_points(&writers)?;
        let index = inner.index.snapshot();
        let lost = table.count(&mut self.reach, &index, self.watch)?;
        let mut kept = BTreeSet::new();
        for point in &open {
            kept.extend(inner.index.packs_of(point)?);
        }
        let dead = |row: &&Row| {
            let in_flight = kept.contains(&row.name) || (!row.indexed && !open.is_empty());
            row.live == 0 && !row.condemned && !in_flight
        };
        let dead: Vec<Uuid> = table.rows().iter().filter(dead).map(|row| row.name).collect();
        let plan = Plan { table, dead };
        self.weigh(&plan.table);
        self.describe(&plan, index.len());
        Ok((plan, lost))
    }

    /// Notes how much memory is in use with `table`.
    fn weigh(&mut self, table: &Table) {
        let held = self.planned + self.reach.held() + table.held();
        self.out.held_bytes = self.out.held_bytes.max(held as u64);
    }

    /// A point that is removed and collected while its map is walked leaves nothing to find: that
    /// is no loss. Forgets what was reached, so that the next mark begins anew; true if the one
    /// before had the same maps and missed something too.
    fn is_lost_for_good(&mut self) -> bool {
        let fresh = Reach::new(self.store, self.how.sort_ids);
        let maps = std::mem::replace(&mut self.reach, fresh).maps;
        let same = self.doubted.as_ref() == Some(&maps);
        self.doubted = Some(maps);
        same
    }

    fn describe(&mut self, plan: &Plan, entries: u64) {
        let out = &mut self.out;
        let rows = plan.table.rows();
        (out.points, out.roots) = (self.reach.points, self.reach.roots);
        (out.packs, out.bytes) = (rows.len() as u64, rows.iter().map(|row| row.size).sum());
        out.live_bytes = rows.iter().map(|row| row.live).sum();
        out.dead_packs = plan.dead.len() as u64;
        let dead = plan.dead.iter().filter_map(|pack| plan.table.get(pack));
        out.dead_bytes = dead.map(|row| row.size).sum();
        (out.entries_before, out.entries_after) = (entries, entries);
    }

    /// Decides about all sentences that nobody has decided, as far as their writers have ended,
    /// and deletes what is dead. False: something is lost, nothing was decided.
    pub(super) fn decide(&mut self) -> Result<bool> {
        let ready = self.settle()?;
        if ready.is_empty() {
            return Ok(true);
        }
        for _ in 0..margins::LISTINGS {
            let (table, needed, lost) = self.mark_again(&ready)?;
            if self.whole(&lost) {
                self.pass(ready, &needed, &table)?;
                return Ok(true);
            }
            if self.is_lost_for_good() {
                self.name_losses()?;
                return Ok(false);
            }
        }
        Err(too_fast())
    }

    /// Marks again: the packs of `ready` sentences that are needed, and what is lost.
    fn mark_again(&mut self, ready: &Decisions) -> Result<(Table, BTreeSet<Uuid>, Lost)> {
        self.store.inner().learn_quarantine()?;
        // Condemned records, then packs, then roots: see the rules of this module.
        let found = self.store.sentences()?;
        let barred = readable(&found)?;
        let mut table = Table::list(&self.store.inner().objects, barred)?;
        self.reach.add(self.store, self.watch)?;
        let index = self.store.inner().index.snapshot();
        let (mut needed, mut lost) = (BTreeSet::new(), Lost::default());
        let ours: BTreeSet<Uuid> = ready.values().flatten().copied().collect();
        join(&mut self.reach, &index, self.watch, &mut |id, places, reachable| {
            if !reachable || places.iter().any(|at| table.usable(at)) {
                return Ok(());
            }
            table.learn(places)?;
            if places.iter().any(|at| table.usable(at)) {
                return Ok(());
            }
            if !places.iter().any(|at| table.holds(at)) {
                lost.add(id);
            }
            needed.extend(places.iter().map(|at| at.pack.name).filter(|p| ours.contains(p)));
            Ok(())
        })?;
        self.weigh(&table);
        Ok((table, needed, lost))
    }

    /// Decides: all packs of `ready` sentences are dead but the `needed` ones.
    fn pass(&mut self, mut ready: Decisions, needed: &BTreeSet<Uuid>, table: &Table) -> Result<()> {
        for dead in ready.values_mut() {
            let before = dead.len();
            dead.retain(|pack| !needed.contains(pack));
            self.out.released_packs += (before - dead.len()) as u64;
        }
        let mut over = BTreeMap::new();
        for (id, dead) in ready {
            over.extend(self.store.confirm(id, dead)?.map(|dead| (id, dead)));
        }
        self.sweep(table, over)
    }

    /// Deletes the packs of decided sentences. What the index says of them, and the sentences,
    /// follow later (see `clear`): that needs room.
    fn sweep(&mut self, table: &Table, over: Decisions) -> Result<()> {
        let inner = self.store.inner();
        let dead: BTreeSet<Uuid> = over.values().flatten().copied().collect();
        let rows = || dead.iter().filter_map(|pack| table.get(pack));
        self.watch.expect(rows().map(|row| row.size).sum());
        for row in rows() {
            if self.watch.cancelled() {
                return Err(super::cancelled());
            }
            inner.objects.delete(&row.object())?;
            inner.index.gone(row.name);
            self.out.deleted_packs += 1;
            self.out.freed_bytes += row.size;
            self.watch.advance(row.size, 0);
        }
        self.swept.extend(over);
        Ok(())
    }

    /// Whether all that is needed is there; if not, the figures say what is lost.
    fn whole(&mut self, lost: &Lost) -> bool {
        self.out.lost_ids = lost.count.max(self.reach.broken.len() as u64);
        self.out.lost = lost.named.iter().map(ToString::to_string).collect();
        self.out.lost_points = self.reach.broken.iter().copied().collect();
        self.out.lost_ids == 0
    }

    pub(super) fn wait<'w>(&mut self, writers: impl Iterator<Item = &'w WriterRecord>) {
        self.out.waiting_for = writers
            .map(|w| super::Waiting { writer: w.id, point: w.point, since: w.time })
            .collect();
    }

    /// The points that announced writers may still make.
    pub(super) fn open_points(&self, writers: &[WriterRecord]) -> Result<BTreeSet<PointKey>> {
        let mut open = BTreeSet::new();
        for writer in writers {
            if !self.is_settled(writer)? && !self.is_lost(writer, writers) {
                open.insert(writer.point);
            }
        }
        Ok(open)
    }
}

fn too_fast() -> Error {
    Error::new(ErrorKind::Transient, "points go while they are marked: collect again later")
}

/// All condemned packs; fails where a sentence cannot be read and could name any. What was decided
/// about it says enough: nothing else of it is ever deleted.
fn readable(found: &Sentences) -> Result<BTreeSet<Uuid>> {
    let mut packs = found.packs();
    for (id, _) in found.condemned.iter().filter(|(_, packs)| packs.is_none()) {
        let name = id.simple();
        match found.confirmed.get(id) {
            Some(Some(dead)) => packs.extend(dead),
            Some(None) => {
                return Err(Error::corrupt(format!(
                    "condemned/{name} and what was decided about it are damaged: while no \
                     other collection runs, delete confirmed/{name}, then collect again"
                )));
            }
            None => {
                let context = format!("condemned/{name} is damaged: collect again");
                return Err(Error::corrupt(context));
            }
        }
    }
    Ok(packs)
}

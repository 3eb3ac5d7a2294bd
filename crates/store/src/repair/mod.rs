//! Repair: from what is left, everything that can be had.
//!
//! The truth is in packs and point records. Repair
//! 1. makes copies of the key slots anew from a whole one;
//! 2. drops small records that cannot be read, where that is safe;
//! 3. makes the index anew where it is damaged or lost: every pack of which good runs do not name
//!    all bytes, or whose size is not what they say, is scanned, and the frames that open are named
//!    in new runs; damaged runs go once these are durable;
//! 4. verifies the store: what cannot be read goes to the quarantine, and the points and ranges
//!    that are lost are told.
//!
//! Which packs a lost run named need not be known: runs of a collection are cut by id, so that
//! each names nearly all packs, with a part of their frames. Where a handle has a good local copy
//! of a run that is damaged in the store, it is what the copy says that is named anew, and few
//! packs are left to scan; but the copy counts as absent from then on, for it goes with the run.
//!
//! Nothing that is whole is changed or removed, and no pack or point ever is. Packs that
//! are decided to be garbage are left alone; those of which it is not decided are named, or nobody
//! would find them once they are released. Repair announces itself as a writer, so that packs
//! which it brings back are not removed under its hands.

mod heal;
mod records;
mod salvage;

use crate::damage::{self, Damaged};
use crate::error::{Error, ErrorKind, Result, chain};
use crate::index::Disowned;
use crate::margins;
use crate::point::PointKey;
use crate::source::Watch;
use crate::store::{Inner, Store};
use crate::verify::{Depth, Verified, Verify};

pub use heal::Healed;
use salvage::Salvage;

/// How to repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Repair {
    /// Write nothing to the store. What a repair would find is made known to this handle alone:
    /// it can read what could be read after a repair, and can make no points any more.
    pub dry_run: bool,
    /// Scan every pack, also those of which the index names every frame already.
    pub all_packs: bool,
    /// Read all packs in the verification at the end. A repair that met damaged packs before
    /// does so in any case, unless it is a dry run.
    pub depth: Depth,
    /// Also drop announcements of writers and pins that cannot be read: they keep collection from
    /// freeing anything. Only while nobody makes, reads or copies a point.
    pub release_damaged: bool,
}

/// What a repair did; with [`Repair::dry_run`], what it would have done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Repaired {
    /// Whether copies of the key slots were damaged or absent and have been made anew.
    pub slots_restored: bool,
    /// Small records that could not be read and were dropped.
    pub records_dropped: Vec<String>,
    /// Packs that were scanned.
    pub packs_scanned: u64,
    /// Bytes of these.
    pub bytes_scanned: u64,
    /// Frames that are named again.
    pub frames_found: u64,
    /// Index runs that were written.
    pub runs_written: u64,
    /// Damaged index runs that were dropped.
    pub runs_dropped: Vec<String>,
    /// Packs, or parts of them, that cannot be read; at most 1000.
    pub damaged_packs: Vec<Damaged>,
    /// More of these.
    pub more_damaged_packs: u64,
    /// Packs that could not be read now and may be whole: repair again when they can. Damaged
    /// runs are kept until then.
    pub unreadable: u64,
    /// What is left to complain about: its findings say which points and ranges are lost.
    pub verified: Verified,
}

impl Store {
    /// Repairs the store as far as it can be, and says what is lost.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] if the watcher stopped it: what was found until then is kept, and
    /// the next repair goes on. An object store that cannot be read or written stops it too;
    /// damage never does.
    pub fn repair(&self, wanted: &Repair, watch: &dyn Watch) -> Result<Repaired> {
        self.inner().with_reserve(|| self.mend(wanted, watch))
    }

    fn mend(&self, wanted: &Repair, watch: &dyn Watch) -> Result<Repaired> {
        let inner = self.inner();
        let slots_restored = match (self.slot_copies(), wanted.dry_run) {
            // None is whole: that is a finding, and nothing can be made from nothing.
            (Err(e), _) if damage::is_damage(&e) => false,
            (copies, true) => !copies?.is_sound(),
            (copies, false) => copies.and_then(|_| self.repair_slots())?,
        };
        let mut out = Repaired { slots_restored, ..Repaired::default() };
        self.drop_records(wanted, &mut out)?;
        inner.index.try_damaged_again()?;
        inner.learn_quarantine()?;
        self.salvage(wanted, watch, &mut out)?;
        let read_only = wanted.dry_run;
        // What was found damaged on the way has to come to the quarantine, too.
        let shallow = out.damaged_packs.is_empty() || wanted.dry_run;
        let depth = if shallow { wanted.depth } else { Depth::Deep };
        let verify = Verify { depth, read_only, ..Verify::default() };
        out.verified = self.verify(&verify, watch)?;
        if !out.verified.complete {
            return Err(Error::new(ErrorKind::Cancelled, "the repair was cancelled"));
        }
        Ok(out)
    }

    fn salvage(&self, wanted: &Repair, watch: &dyn Watch, out: &mut Repaired) -> Result<()> {
        let inner = self.inner();
        let damaged = inner.damaged_runs()?;
        let copies = inner.index.disown(&damaged)?;
        inner.index.refresh()?;
        if damaged.is_empty()
            && !wanted.all_packs
            && !inner.has_unnamed_packs(&self.doomed()?, watch)?
        {
            return Ok(());
        }
        let lost = Lost { damaged, copies };
        if wanted.dry_run {
            return self.search(None, wanted, &lost, watch, out);
        }
        inner.probe()?;
        // Announced as the writer of a point that nobody will ever make, before packs are listed:
        // whoever collects garbage sees the writer or lists what it brings back.
        let owner = inner.env.uuid().into();
        let writer = self.announce(owner, None)?;
        let done = self.search(Some(owner), wanted, &lost, watch, out);
        self.renounce(writer.id)?;
        done
    }

    /// Finds all that damaged runs named, or lost ones, and then drops the damaged ones.
    fn search(
        &self,
        owner: Option<PointKey>,
        wanted: &Repair,
        lost: &Lost,
        watch: &dyn Watch,
        out: &mut Repaired,
    ) -> Result<()> {
        let inner = self.inner();
        let doomed = self.doomed()?;
        let mut salvage = Salvage::new(inner, owner, watch, out);
        salvage.recall(&lost.copies, &doomed)?;
        salvage.packs(&doomed, wanted.all_packs)?;
        inner.drop_runs(&lost.damaged, wanted.dry_run, out)
    }
}

/// What is not believed in any more.
struct Lost {
    /// Runs in the store.
    damaged: Vec<Damaged>,
    /// Local copies of these, and others that are no better.
    copies: Disowned,
}

impl Inner {
    /// The index runs in the store that are damaged.
    fn damaged_runs(&self) -> Result<Vec<Damaged>> {
        let mut out = Vec::new();
        for object in self.index.runs()? {
            match self.index.inspect(&object) {
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                // A run of a format that is not known may be whole.
                Err(e) if e.kind() == ErrorKind::Corrupt => {
                    tracing::warn!(object, why = chain(&e), "damaged run");
                    out.push(Damaged::new(object, &e));
                }
                other => other?,
            }
        }
        Ok(out)
    }

    /// Deletes damaged runs: all that they named and that is left is named by others now. A dry
    /// run only says which.
    fn drop_runs(&self, damaged: &[Damaged], dry_run: bool, out: &mut Repaired) -> Result<()> {
        if out.unreadable > 0 && !damaged.is_empty() {
            let count = out.unreadable;
            tracing::warn!(count, "packs could not be read: damaged runs are kept until then");
            return Ok(());
        }
        for Damaged { object, .. } in damaged {
            // It may be what packs were found named by.
            if self.index.relies_on(object) {
                tracing::warn!(object, "a run that was damaged reads well now: it is kept");
                continue;
            }
            if !dry_run {
                self.objects.delete(object)?;
            }
            out.runs_dropped.push(object.clone());
        }
        if dry_run { Ok(()) } else { self.index.try_damaged_again() }
    }
}

impl Repaired {
    fn blame(&mut self, object: String, kind: ErrorKind, why: String) {
        if self.damaged_packs.len() >= margins::FINDINGS {
            self.more_damaged_packs += 1;
            return;
        }
        self.damaged_packs.push(Damaged { object, kind, why });
    }
}

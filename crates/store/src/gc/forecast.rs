//! What a collection would do. Nothing is written.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::record::{AWAITED, AwaitedRecord};
use super::run::{Plan, Run};
use super::table::Row;
use crate::damage;
use crate::error::{ErrorKind, Result};
use crate::pin::WriterRecord;
use crate::seal::Record;

/// What becomes of the sentences of earlier runs.
#[derive(Default)]
struct Sentenced {
    /// Packs that can be deleted at once.
    ready: BTreeSet<Uuid>,
    /// Packs that wait.
    held: BTreeSet<Uuid>,
    /// The writers that they wait for.
    waiting: BTreeSet<Uuid>,
}

impl Run<'_> {
    /// The whole of a dry run.
    pub(super) fn forecast(&mut self) -> Result<()> {
        // A run gives writers up before it looks for anything, and also where something is lost.
        let writers = self.store.writers()?;
        let mut lost = BTreeSet::new();
        for writer in &writers {
            if !self.is_settled(writer)? && self.is_lost(writer, &writers) {
                lost.insert(writer.point);
            }
        }
        self.out.voided = lost.into_iter().collect();
        match self.plan()? {
            None => Ok(()),
            Some(plan) => self.foretell(&plan),
        }
    }

    /// Completes the figures: what is deleted at once, and what once writers have ended.
    fn foretell(&mut self, plan: &Plan) -> Result<()> {
        let chosen = self.worthwhile(plan);
        let rows = || chosen.iter().filter_map(|pack| plan.table.get(pack));
        let out = &mut self.out;
        out.rewritten_packs = chosen.len() as u64;
        out.rewritten_bytes = rows().map(|row| row.size).sum();
        out.copied_bytes = rows().map(|row| row.live).sum();
        let writers = self.store.writers()?;
        let open = self.open_points(&writers)?;
        let busy: Vec<&WriterRecord> =
            writers.iter().filter(|writer| open.contains(&writer.point)).collect();
        let Sentenced { ready, held, mut waiting } = self.sentenced(&busy)?;
        let found = plan.dead.len() + chosen.len();
        if found > 0 {
            // What is condemned now waits for all of them.
            waiting.extend(busy.iter().map(|writer| writer.id));
        }
        let of = |packs: &BTreeSet<Uuid>| {
            let doomed = |row: &&Row| row.condemned && row.live == 0 && packs.contains(&row.name);
            let rows = plan.table.rows().iter().filter(doomed);
            rows.fold((0, 0), |(packs, bytes), row| (packs + 1, bytes + row.size))
        };
        let (now, now_bytes) = of(&ready);
        let (later, later_bytes) = of(&held);
        let out = &mut self.out;
        let found_bytes = out.dead_bytes + out.rewritten_bytes;
        (out.deleted_packs, out.freed_bytes) = (now, now_bytes);
        (out.later_packs, out.later_bytes) = (later, later_bytes);
        let (packs, bytes) = match busy.is_empty() {
            true => (&mut out.deleted_packs, &mut out.freed_bytes),
            false => (&mut out.later_packs, &mut out.later_bytes),
        };
        *packs += found as u64;
        *bytes += found_bytes;
        self.wait(busy.into_iter().filter(|writer| waiting.contains(&writer.id)));
        Ok(())
    }

    /// What becomes of the sentences that are there.
    fn sentenced(&self, busy: &[&WriterRecord]) -> Result<Sentenced> {
        let found = self.store.sentences()?;
        let mut out = Sentenced::default();
        for (id, packs) in &found.condemned {
            if let Some(decided) = found.confirmed.get(id) {
                out.ready.extend(decided.iter().flatten());
                continue;
            }
            // One that cannot be read condemns nothing.
            let Some(packs) = packs else { continue };
            let awaited = self.awaited(*id)?;
            let counts = |writer: &Uuid| awaited.as_ref().is_none_or(|all| all.contains(writer));
            let left: Vec<Uuid> = busy.iter().map(|writer| writer.id).filter(counts).collect();
            match left.is_empty() {
                true => out.ready.extend(packs),
                false => out.held.extend(packs),
            }
            out.waiting.extend(left);
        }
        out.held.retain(|pack| !out.ready.contains(pack));
        Ok(out)
    }

    /// The writers that a sentence waits for, where they are written down.
    fn awaited(&self, id: Uuid) -> Result<Option<BTreeSet<Uuid>>> {
        let name = format!("{AWAITED}/{}", id.simple());
        match self.store.inner().read_record(Record::Awaited, &name) {
            Ok(AwaitedRecord { writers, .. }) => Ok(Some(writers)),
            Err(e) if damage::is_damage(&e) || e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }
}

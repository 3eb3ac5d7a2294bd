//! Waiting for writers, and giving up lost ones.
//!
//! A writer is *settled* once something stands at the key of its point: a point (its own or that
//! of another attempt) or a void. Then it cannot commit, or has. A writer that is older than
//! agreed is settled by creating a void: if it commits at that moment, either counts.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use uuid::Uuid;

use super::run::Run;
use crate::damage;
use crate::error::Result;
use crate::object::Put;
use crate::pin::WriterRecord;
use crate::seal::Record;

impl Run<'_> {
    /// The undecided sentences whose writers have all ended.
    pub(super) fn settle(&mut self) -> Result<BTreeMap<Uuid, BTreeSet<Uuid>>> {
        let found = self.store.sentences()?;
        let undecided = found.condemned.into_iter().filter_map(|(id, packs)| {
            let decided = found.confirmed.contains_key(&id);
            packs.filter(|_| !decided).map(|packs| (id, packs))
        });
        let undecided: BTreeMap<_, _> = undecided.collect();
        self.out.waiting_for.clear();
        if undecided.is_empty() {
            return Ok(undecided);
        }
        // Listed after all these sentences were durable.
        let writers = self.store.writers()?;
        let announced = writers.iter().map(|writer| writer.id).collect();
        let mut busy = BTreeMap::new();
        for writer in &writers {
            if !self.is_settled(writer)? && !self.give_up(writer, &writers)? {
                busy.insert(writer.id, writer);
            }
        }
        let (mut ready, mut waiting) = (BTreeMap::new(), BTreeSet::new());
        for (id, packs) in undecided {
            let awaited = self.store.await_writers(id, &announced)?;
            let left: BTreeSet<Uuid> =
                awaited.into_iter().filter(|writer| busy.contains_key(writer)).collect();
            if left.is_empty() {
                ready.insert(id, packs);
            }
            waiting.extend(left);
        }
        self.wait(writers.iter().filter(|writer| waiting.contains(&writer.id)));
        Ok(ready)
    }

    /// Voids the points of all writers that are older than agreed.
    pub(super) fn give_up_lost_writers(&mut self) -> Result<()> {
        let writers = self.store.writers()?;
        for writer in &writers {
            if !self.is_settled(writer)? {
                self.give_up(writer, &writers)?;
            }
        }
        Ok(())
    }

    /// Whether something stands at the writer's key, readable or not.
    pub(super) fn is_settled(&self, writer: &WriterRecord) -> Result<bool> {
        match self.store.held(&writer.point) {
            Ok(held) => Ok(held.is_some()),
            Err(e) if damage::is_damage(&e) => Ok(true),
            Err(e) => Err(e),
        }
    }

    /// Whether all writers of the point are older than agreed.
    pub(super) fn is_lost(&self, writer: &WriterRecord, writers: &[WriterRecord]) -> bool {
        let mut rivals = writers.iter().filter(|rival| rival.point == writer.point);
        rivals.all(|rival| self.is_overdue(rival.time))
    }

    /// Whether a writer that was announced then is older than agreed. One that is as far ahead of
    /// this clock would not grow old in any useful time: one of the two clocks is wrong, and to
    /// give up a writer is safe whenever it is done.
    pub(super) fn is_overdue(&self, time: Timestamp) -> bool {
        let age = self.store.inner().env.domain().duration_since(time);
        age.unsigned_abs() >= self.how.void_after
    }

    /// Settles a writer that is lost. False: it is not.
    fn give_up(&mut self, writer: &WriterRecord, writers: &[WriterRecord]) -> Result<bool> {
        if !self.is_lost(writer, writers) {
            return Ok(false);
        }
        let put = self.store.mark(Record::Void, &writer.point.object(), &writer.point)?;
        if put == Put::Ours {
            tracing::warn!(point = %writer.point, writer = %writer.id, "a lost writer is given up");
            self.out.voided.push(writer.point);
        }
        Ok(true)
    }
}

//! What collection writes down.
//!
//! A *sentence* is a few thousand packs that are decided about together: `condemned/<S>` names
//! them, `awaited/<S>` the writers that may not know, `confirmed/<S>` is the decision. All are
//! created once, under a name that is never used again; of two collectors that decide about one
//! sentence the first counts. They are deleted in the order condemned, awaited, confirmed: a
//! decision without its sentence means nothing any more.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::damage;
use crate::error::{Error, ErrorKind, Result, chain};
use crate::margins;
use crate::object::Put;
use crate::seal::Record;
use crate::store::Store;

pub(crate) const CONDEMNED: &str = "condemned";
pub(crate) const AWAITED: &str = "awaited";
pub(crate) const CONFIRMED: &str = "confirmed";

/// Packs that a collection wants to delete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CondemnedRecord {
    /// When, by the domain clock.
    pub(crate) time: Timestamp,
    /// The packs.
    pub(crate) packs: BTreeSet<Uuid>,
}

/// The writers that were announced once the sentence was durable: they may not know of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AwaitedRecord {
    time: Timestamp,
    pub(super) writers: BTreeSet<Uuid>,
}

/// Those packs of a sentence that are dead for ever; the others are released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ConfirmedRecord {
    time: Timestamp,
    pub(super) dead: BTreeSet<Uuid>,
}

/// The sentences of the store as they were listed.
#[derive(Debug, Default)]
pub(super) struct Sentences {
    /// The packs of each; `None` where the record is damaged.
    pub(super) condemned: BTreeMap<Uuid, Option<BTreeSet<Uuid>>>,
    /// Decisions; `None` where the record is damaged.
    pub(super) confirmed: BTreeMap<Uuid, Option<BTreeSet<Uuid>>>,
    pub(super) awaited: BTreeSet<Uuid>,
}

impl Sentences {
    /// All packs that somebody wants to delete.
    pub(super) fn packs(&self) -> BTreeSet<Uuid> {
        self.condemned.values().flatten().flatten().copied().collect()
    }
}

impl Store {
    /// All packs that somebody wants to delete. A record that cannot be read is an error: it may
    /// name any pack.
    pub(crate) fn condemned(&self) -> Result<BTreeSet<Uuid>> {
        let records = self.inner().read_records::<CondemnedRecord>(Record::Condemned, CONDEMNED)?;
        let all = records.all().map_err(|e| {
            let context = "condemned packs cannot be told: collect garbage to mend this";
            Error::corrupt(context).because(e)
        })?;
        Ok(all.into_iter().flat_map(|record| record.packs).collect())
    }

    /// The packs that are decided to be dead: they are being deleted, whatever happens. Those of
    /// a sentence that is not decided may be released yet. Damage hides no such decision from
    /// those who carry it out: one that cannot be read is never carried out.
    pub(crate) fn doomed(&self) -> Result<BTreeSet<Uuid>> {
        let found = self.sentences()?;
        let counts = |id: &Uuid| found.condemned.contains_key(id);
        let decided = found.confirmed.iter().filter(|(id, _)| counts(id));
        Ok(decided.filter_map(|(_, dead)| dead.as_ref()).flatten().copied().collect())
    }

    /// Everything that was written down. Decisions are read first: one counts only if its
    /// sentence was still there after it.
    pub(super) fn sentences(&self) -> Result<Sentences> {
        let objects = &self.inner().objects;
        let mut out = Sentences::default();
        for id in names(objects.list(CONFIRMED)?) {
            match self.confirmed(id) {
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) if damage::is_damage(&e) => {
                    tracing::error!(error = chain(&e), "a decision is damaged");
                    out.confirmed.insert(id, None);
                }
                other => drop(out.confirmed.insert(id, Some(other?))),
            }
        }
        out.awaited = names(objects.list(AWAITED)?).collect();
        for id in names(objects.list(CONDEMNED)?) {
            let read = self.inner().read_record(Record::Condemned, &object(CONDEMNED, id));
            match read.map(|record: CondemnedRecord| record.packs) {
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) if damage::is_damage(&e) => {
                    tracing::error!(error = chain(&e), "a sentence is damaged");
                    out.condemned.insert(id, None);
                }
                other => drop(out.condemned.insert(id, Some(other?))),
            }
        }
        Ok(out)
    }

    /// Condemns packs, durably.
    pub(super) fn condemn(&self, packs: &[Uuid]) -> Result<()> {
        let inner = self.inner();
        for packs in packs.chunks(margins::CONDEMNED_PACKS) {
            let packs = packs.iter().copied().collect();
            let record = CondemnedRecord { time: inner.env.domain(), packs };
            let name = object(CONDEMNED, inner.env.uuid());
            inner.create_record(Record::Condemned, &name, &record)?;
        }
        Ok(())
    }

    /// The writers that a sentence waits for: `announced` ones, listed after the sentence was
    /// durable, unless such a list was written down before.
    pub(super) fn await_writers(
        &self,
        id: Uuid,
        announced: &BTreeSet<Uuid>,
    ) -> Result<BTreeSet<Uuid>> {
        let (inner, name) = (self.inner(), object(AWAITED, id));
        let record = AwaitedRecord { time: inner.env.domain(), writers: announced.clone() };
        let put = inner.offer_record(Record::Awaited, &name, &record)?;
        if put == Put::Ours {
            return Ok(record.writers);
        }
        match inner.read_record(Record::Awaited, &name) {
            Ok(AwaitedRecord { writers, .. }) => Ok(writers),
            // Any list that was made after the sentence will do.
            Err(e) if damage::is_damage(&e) => Ok(record.writers),
            // Somebody else has ended the sentence meanwhile: so will `confirm` find.
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(record.writers),
            Err(e) => Err(e),
        }
    }

    /// Decides about a sentence, unless it was decided before; the packs that are dead by the
    /// decision that counts. `None`: the sentence is over.
    pub(super) fn confirm(&self, id: Uuid, dead: BTreeSet<Uuid>) -> Result<Option<BTreeSet<Uuid>>> {
        let (inner, name) = (self.inner(), object(CONFIRMED, id));
        let record = ConfirmedRecord { time: inner.env.domain(), dead };
        let dead = match inner.offer_record(Record::Confirmed, &name, &record)? {
            Put::Ours => record.dead,
            Put::Theirs => match self.confirmed(id) {
                Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
                other => other?,
            },
        };
        // Somebody else may have decided, swept and cleared away meanwhile: then ours is void.
        if inner.objects.exists(&object(CONDEMNED, id))? {
            return Ok(Some(dead));
        }
        inner.objects.delete(&name)?;
        Ok(None)
    }

    fn confirmed(&self, id: Uuid) -> Result<BTreeSet<Uuid>> {
        let record = self.inner().read_record(Record::Confirmed, &object(CONFIRMED, id));
        record.map(|record: ConfirmedRecord| record.dead)
    }

    /// Clears a sentence away whose packs are deleted.
    pub(super) fn close(&self, id: Uuid) -> Result<()> {
        let objects = &self.inner().objects;
        [CONDEMNED, AWAITED, CONFIRMED].iter().try_for_each(|f| objects.delete(&object(f, id)))
    }
}

fn names(leaves: Vec<String>) -> impl Iterator<Item = Uuid> {
    leaves.into_iter().filter_map(|leaf| Uuid::try_parse(&leaf).ok())
}

fn object(folder: &str, id: Uuid) -> String {
    format!("{folder}/{}", id.simple())
}

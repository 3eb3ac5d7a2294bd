//! The small objects: configuration, key slots, records, index runs.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Check, FindingKind};
use crate::damage;
use crate::error::{Error, ErrorKind, Result};
use crate::keys::{self, Slots};
use crate::margins;
use crate::pin::{PINS, WRITERS};
use crate::quarantine::{Affected, QUARANTINE};
use crate::seal::Record;
use crate::vault::Inner;

/// Copies of the key slots: those that are whole, and what is wrong with others.
pub(crate) struct SlotCopies {
    /// The bytes of a whole copy of the newest generation.
    pub(crate) good: Option<bytes::Bytes>,
    /// Objects that should be such a copy and are not, and why.
    pub(crate) bad: Vec<(String, String)>,
}

impl Inner {
    /// Looks at the copies of the newest generation of key slots of which one is whole.
    pub(crate) fn slot_copies(&self) -> Result<SlotCopies> {
        let prefix = format!("{}-", self.id.simple());
        let mut generations: BTreeMap<u32, BTreeMap<String, Result<bytes::Bytes>>> =
            BTreeMap::new();
        for name in self.objects.list(keys::folder())? {
            let generation = name.strip_prefix(&prefix).and_then(|rest| rest.split_once('-'));
            let Some(Ok(number)) = generation.map(|(g, _)| u32::from_str_radix(g, 16)) else {
                continue;
            };
            let object = format!("{}/{name}", keys::folder());
            let found = self.objects.get(&object, margins::RECORD).and_then(|bytes| {
                match Slots::decode(&bytes)?.store() == self.id {
                    true => Ok(bytes),
                    false => Err(Error::corrupt("the key slots belong to another store")),
                }
            });
            let known = found.as_ref().is_ok_and(|_| true)
                || found.as_ref().is_err_and(|e| damage::is_damage(e));
            match found {
                Err(e) if !known && e.kind() != ErrorKind::NotFound => return Err(e),
                found => generations.entry(number).or_default().insert(object, found),
            };
        }
        let whole = |copies: &BTreeMap<_, Result<_>>| copies.values().any(Result::is_ok);
        let newest = generations.iter().rev().find(|(_, copies)| whole(copies));
        let Some((number, copies)) = newest else {
            return Ok(SlotCopies { good: None, bad: Vec::new() });
        };
        let good = copies.values().flatten().next().cloned();
        let mut bad = Vec::new();
        for copy in 0..margins::SLOT_COPIES {
            let object = keys::object(self.id, *number, copy);
            match copies.get(&object) {
                None => bad.push((object, "the copy is not there".to_owned())),
                Some(Err(e)) => bad.push((object, damage::chain(e))),
                Some(Ok(bytes)) if Some(bytes) != good.as_ref() => {
                    bad.push((object, "the copy differs from another one".to_owned()));
                }
                Some(Ok(_)) => {}
            }
        }
        Ok(SlotCopies { good, bad })
    }
}

impl Check<'_> {
    /// Looks at everything that is no pack.
    pub(super) fn structure(&mut self) -> Result<()> {
        match self.inner.check_config() {
            Err(e) if damage::is_damage(&e) || e.kind() == ErrorKind::NotFound => {
                self.add(FindingKind::DamagedRecord, "config", &damage::chain(&e));
            }
            other => other?,
        }
        let copies = self.inner.slot_copies()?;
        if copies.good.is_none() {
            self.add(FindingKind::DamagedSlots, keys::folder(), "no copy is whole");
        }
        for (object, why) in copies.bad {
            self.add(FindingKind::DamagedSlots, &object, &why);
        }
        self.records()?;
        for object in self.inner.index.runs()? {
            self.go_on()?;
            match self.inner.index.inspect(&object) {
                // Replaced since it was listed.
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) if damage::is_damage(&e) => {
                    self.add(FindingKind::DamagedRun, &object, &damage::chain(&e));
                }
                other => other?,
            }
        }
        Ok(())
    }

    fn records(&self) -> Result<()> {
        for damaged in self.store.all_points()?.damaged {
            let mut report = self.report.borrow_mut();
            let number = report.add(FindingKind::DamagedRecord, &damaged.object, &damaged.why);
            let key = damaged.object.rsplit('/').next().and_then(|key| key.parse().ok());
            if let Some(key) = key {
                report.hit(number, key, 0..0);
            }
        }
        let folders =
            [(Record::Pin, PINS), (Record::Writer, WRITERS), (Record::Quarantine, QUARANTINE)];
        for (record, folder) in folders {
            self.go_on()?;
            for (object, e) in self.inner.read_records::<Value>(record, folder)?.damaged {
                self.add(FindingKind::DamagedRecord, &object, &damage::chain(&e));
            }
        }
        Ok(())
    }

    fn add(&self, kind: FindingKind, object: &str, why: &str) {
        self.report.borrow_mut().add(kind, object, why);
    }

    /// Fails once the watcher wants to stop.
    pub(super) fn go_on(&self) -> Result<()> {
        if self.watch.cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "the check was cancelled"));
        }
        Ok(())
    }
}

impl Affected {
    /// Whether the point's own record is what is damaged.
    pub fn is_whole_point(&self) -> bool {
        self.bytes == 0
    }
}

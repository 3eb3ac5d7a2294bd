//! The small objects: configuration, key slots, records, index runs.

use serde_json::Value;

use super::{Check, FindingKind};
use crate::damage;
use crate::error::{Error, ErrorKind, Result, chain};
use crate::gc::{AWAITED, CONDEMNED, CONFIRMED};
use crate::pin::{PINS, WRITERS};
use crate::quarantine::{Affected, QUARANTINE};
use crate::seal::Record;

impl Check<'_> {
    /// Looks at everything that is no pack.
    pub(super) fn structure(&mut self) -> Result<()> {
        match self.inner.check_config() {
            Err(e) if damage::is_damage(&e) || e.kind() == ErrorKind::NotFound => {
                self.add(FindingKind::DamagedRecord, "config", &chain(&e));
            }
            other => other?,
        }
        self.slots()?;
        self.records()?;
        for object in self.inner.index.runs()? {
            self.go_on()?;
            match self.inner.index.inspect(&object) {
                // Replaced since it was listed.
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) if damage::is_damage(&e) => {
                    self.add(FindingKind::DamagedRun, &object, &chain(&e));
                }
                other => other?,
            }
        }
        Ok(())
    }

    fn slots(&self) -> Result<()> {
        let add = |object: &str, why: &str| self.add(FindingKind::DamagedSlots, object, why);
        match self.store.slot_copies() {
            Err(e) if damage::is_damage(&e) => add("keys", &chain(&e)),
            copies => {
                let copies = copies?;
                if copies.missing > 0 {
                    add("keys", &format!("{} copies are not there", copies.missing));
                }
                for object in &copies.damaged {
                    add(object, "this copy is damaged or differs from the others");
                }
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
        let folders = [
            (Record::Pin, PINS),
            (Record::Writer, WRITERS),
            (Record::Quarantine, QUARANTINE),
            (Record::Condemned, CONDEMNED),
            (Record::Confirmed, CONFIRMED),
            (Record::Awaited, AWAITED),
        ];
        // Marks that say all they say by being there are not read.
        for (object, e) in self.store.removals()?.damaged {
            self.add(FindingKind::DamagedRecord, &object, &chain(&e));
        }
        for (record, folder) in folders {
            self.go_on()?;
            for (object, e) in self.inner.read_records::<Value>(record, folder)?.damaged {
                self.add(FindingKind::DamagedRecord, &object, &chain(&e));
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

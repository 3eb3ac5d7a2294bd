//! Small records that cannot be read.
//!
//! While one is there everybody errs on the safe side, and so does mending it:
//! - A mark of removal goes, and the point that it hid is listed again: whether it was removed
//!   nobody can tell, and it can be removed once more.
//! - A record of quarantine goes: it told nobody anything, and verification finds anew what is
//!   damaged.
//! - The announcement of a writer, or a pin, may protect any point, and its owner may be alive.
//!   It goes only where that is asked for.
//! - What collection writes down is mended by collection; a point is never touched.

use super::{Repair, Repaired};
use crate::damage::Records;
use crate::error::{ErrorKind, Result, chain};
use crate::pin::WriterRecord;
use crate::quarantine::{QUARANTINE, QuarantineRecord};
use crate::seal::Record;
use crate::store::Store;

impl Store {
    /// Drops the records that nobody can read and that may go.
    pub(super) fn drop_records(&self, wanted: &Repair, out: &mut Repaired) -> Result<()> {
        let inner = self.inner();
        let mut damaged = Vec::new();
        unreadable(self.removals()?, &mut damaged);
        let quarantine = inner.read_records::<QuarantineRecord>(Record::Quarantine, QUARANTINE)?;
        unreadable(quarantine, &mut damaged);
        if wanted.release_damaged {
            unreadable::<WriterRecord>(self.read_writers()?, &mut damaged);
            unreadable(self.read_pins()?, &mut damaged);
        }
        if !damaged.is_empty() && !wanted.dry_run {
            inner.probe()?;
        }
        for object in damaged {
            if !wanted.dry_run {
                inner.objects.delete(&object)?;
            }
            out.records_dropped.push(object);
        }
        Ok(())
    }
}

/// Those that are damaged. A record of a format that is not known may be whole.
fn unreadable<T>(records: Records<T>, out: &mut Vec<String>) {
    let damaged = records.damaged.into_iter().filter(|(_, e)| e.kind() == ErrorKind::Corrupt);
    out.extend(damaged.map(|(object, e)| {
        tracing::warn!(object, why = chain(&e), "damaged record");
        object
    }));
}

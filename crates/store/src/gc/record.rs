//! What collection writes down.
//!
//! A *sentence* is a few thousand packs that are decided about together: `condemned/<S>` names
//! them, `awaited/<S>` the writers that may not know, `confirmed/<S>` is the decision. All are
//! created once; of two collectors that decide about one sentence, the first counts.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::seal::Record;
use crate::vault::Store;

pub(crate) const CONDEMNED: &str = "condemned";

/// Packs that a collection wants to delete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CondemnedRecord {
    /// When, by the domain clock.
    pub(crate) time: Timestamp,
    /// The packs.
    pub(crate) packs: Vec<Uuid>,
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
}

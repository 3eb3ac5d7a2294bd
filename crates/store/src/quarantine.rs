//! Places that are known to be damaged.
//!
//! A quarantine record names frames that cannot be read, each by its pack and offset, or contents
//! that are in no index run at all. From then on such a place counts as absent: look-ups use
//! another place of the same content if there is one, and a backup that meets the content again
//! stores it anew. That heals every point that shares it.
//!
//! A record stays as long as an index run names one of its places: without it somebody who
//! chooses between two places of one content could choose the damaged one and let the good one
//! go. It goes once none of its places is named any more or all of them read well again.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Result, chain};
use crate::id::Id;
use crate::margins;
use crate::pack::Location;
use crate::point::PointKey;
use crate::seal::Record;
use crate::store::{Inner, Store};

pub(crate) const QUARANTINE: &str = "quarantine";

/// One quarantine record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineRecord {
    /// The record's own name.
    pub id: Uuid,
    /// When the damage was found.
    pub time: Timestamp,
    /// What is damaged; at most 8192 places.
    pub places: Vec<BadPlace>,
    /// Points that could not be read because of it when it was found, as far as they were known.
    pub affected: Vec<Affected>,
}

/// A place that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadPlace {
    /// The id of the content, in hex.
    pub content: String,
    /// The pack that should hold it; nothing if no index run says where it is.
    pub pack: Option<Uuid>,
    /// The offset of its frame in the pack.
    pub offset: u32,
}

/// A point that needs something damaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Affected {
    /// The point.
    pub point: PointKey,
    /// The byte ranges of the disk that cannot be read; the first 64.
    pub ranges: Vec<Range<u64>>,
    /// How many ranges there are.
    pub count: u64,
    /// Bytes of all ranges.
    pub bytes: u64,
}

impl Affected {
    pub(crate) fn new(point: PointKey) -> Self {
        Self { point, ranges: Vec::new(), count: 0, bytes: 0 }
    }

    /// Adds a range that lies behind all others.
    pub(crate) fn add(&mut self, range: Range<u64>) {
        self.bytes += range.end.saturating_sub(range.start);
        match self.ranges.last_mut().filter(|last| last.end == range.start) {
            Some(last) if self.count <= margins::LISTED as u64 => last.end = range.end,
            _ => {
                self.count += 1;
                if self.ranges.len() < margins::LISTED {
                    self.ranges.push(range);
                }
            }
        }
    }
}

/// The damaged places that look-ups pass over.
#[derive(Debug, Default)]
pub(crate) struct Shunned {
    places: HashSet<(Uuid, u32)>,
    /// Whether there is any record, also one of contents without a place.
    pub(crate) any: bool,
}

impl Shunned {
    pub(crate) fn contains(&self, at: &Location) -> bool {
        !self.places.is_empty() && self.places.contains(&(at.pack.name, at.offset))
    }
}

impl Store {
    /// All quarantine records.
    pub fn quarantined(&self) -> Result<Vec<QuarantineRecord>> {
        let records = self.inner().read_quarantine()?;
        Ok(records.into_iter().map(|(_, record)| record).collect())
    }
}

impl Inner {
    fn read_quarantine(&self) -> Result<Vec<(String, QuarantineRecord)>> {
        let records = self.read_records(Record::Quarantine, QUARANTINE)?;
        for (object, e) in &records.damaged {
            tracing::error!(object, error = chain(e), "a quarantine record is damaged");
        }
        Ok(records.good)
    }

    /// Learns of the quarantine records that others wrote since.
    pub(crate) fn learn_quarantine(&self) -> Result<()> {
        let names: BTreeSet<String> = self.objects.list(QUARANTINE)?.into_iter().collect();
        if *self.known_quarantine() == names {
            return Ok(());
        }
        let records = self.read_quarantine()?;
        let mut shunned = Shunned { places: HashSet::new(), any: !records.is_empty() };
        let places = records.iter().flat_map(|(_, record)| &record.places);
        for place in places {
            if shunned.places.len() >= margins::BAD_PLACES {
                tracing::error!("the quarantine is larger than can be used: repair the store");
                break;
            }
            shunned.places.extend(place.pack.map(|pack| (pack, place.offset)));
        }
        self.index.shun(shunned);
        *self.known_quarantine() = names;
        Ok(())
    }

    fn known_quarantine(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.quarantine.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Puts places into quarantine, durably. Those that are there already are left out; says how
    /// many were not.
    pub(crate) fn quarantine(
        &self,
        bad: &[(Id, Option<(Uuid, u32)>)],
        affected: &[Affected],
    ) -> Result<u64> {
        let mut known = HashSet::new();
        for (_, record) in self.read_quarantine()? {
            known.extend(record.places.into_iter().map(|p| (p.content, p.pack, p.offset)));
        }
        let place = |(id, at): &(Id, Option<(Uuid, u32)>)| BadPlace {
            content: id.to_string(),
            pack: at.map(|(pack, _)| pack),
            offset: at.map_or(0, |(_, offset)| offset),
        };
        let mut places: Vec<_> = bad.iter().map(place).collect();
        places.retain(|p| known.insert((p.content.clone(), p.pack, p.offset)));
        for places in places.chunks(margins::QUARANTINE_PLACES) {
            self.create_quarantine(places.to_vec(), affected.to_vec())?;
        }
        self.learn_quarantine()?;
        Ok(places.len() as u64)
    }

    fn create_quarantine(&self, places: Vec<BadPlace>, affected: Vec<Affected>) -> Result<()> {
        let (id, time) = (self.env.uuid(), self.env.domain());
        let record = QuarantineRecord { id, time, places, affected };
        let name = format!("{QUARANTINE}/{}", id.simple());
        self.create_record(Record::Quarantine, &name, &record)
    }

    /// Lets go of the places that are of no more danger: `well` are those that were just read and
    /// found good. A record with others left is made anew, durably, before it goes. Says how many
    /// places were let go.
    pub(crate) fn release_quarantine(&self, well: &HashSet<(Uuid, u32)>) -> Result<u64> {
        let mut released = 0;
        for (name, record) in self.read_quarantine()? {
            let mut left = Vec::new();
            for place in &record.places {
                if self.is_dangerous(place, well)? {
                    left.push(place.clone());
                }
            }
            if left.len() == record.places.len() {
                continue;
            }
            released += (record.places.len() - left.len()) as u64;
            if !left.is_empty() {
                self.create_quarantine(left, record.affected)?;
            }
            self.objects.delete(&name)?;
        }
        self.learn_quarantine()?;
        Ok(released)
    }

    fn is_dangerous(&self, place: &BadPlace, well: &HashSet<(Uuid, u32)>) -> Result<bool> {
        let Ok(id) = crate::id::unhex(&place.content).map(Id) else {
            return Ok(false);
        };
        let Some(pack) = place.pack else {
            return Ok(self.index.find(&id)?.is_none());
        };
        let named = |at: &Location| (at.pack.name, at.offset) == (pack, place.offset);
        Ok(!well.contains(&(pack, place.offset)) && self.index.locations(&id)?.iter().any(named))
    }
}

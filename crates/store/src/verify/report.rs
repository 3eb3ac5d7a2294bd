//! What is told about damage, bounded.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use uuid::Uuid;

use super::Verified;
use crate::id::Id;
use crate::margins;
use crate::point::PointKey;
use crate::quarantine::Affected;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FindingKind {
    /// The index names a pack that is not there.
    MissingPack,
    /// A pack has another size than the index says.
    ShortPack,
    /// A pack's own head is damaged or says that it is another pack.
    DamagedPack,
    /// Frames of a pack cannot be opened.
    DamagedFrame,
    /// A pack cannot be read now; it may be whole.
    UnreadablePack,
    /// An index run is damaged: what only it names is not found. Repair makes the index anew.
    DamagedRun,
    /// A record, or the configuration, is damaged.
    DamagedRecord,
    /// A copy of the key slots is damaged or absent. Repair makes it anew from another one.
    DamagedSlots,
    /// A point needs map nodes or chunks that no index run names.
    MissingContent,
    /// Damage that was known before and is not healed yet.
    Quarantined,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub kind: FindingKind,
    /// The name of the object.
    pub object: String,
    /// Why, in words.
    pub why: String,
    /// The ids of chunks and map nodes that were there, in hex; the first 64.
    pub ids: Vec<String>,
    /// How many ids there are.
    pub id_count: u64,
    /// The points that cannot be read as a whole because of it; the first 64.
    pub affected: Vec<Affected>,
    /// How many points there are.
    pub affected_count: u64,
}

/// A finding that may grow.
struct Draft {
    finding: Finding,
    /// The point that was hit last: points come one after another.
    last: Option<PointKey>,
    /// Damage that the quarantine explains: it is no finding if it hits no point.
    known: bool,
}

/// A report that is being made.
#[derive(Default)]
pub(super) struct Report {
    pub(super) done: Verified,
    drafts: Vec<Draft>,
    packs: HashMap<Uuid, usize>,
    objects: HashMap<String, usize>,
    known_places: u64,
}

impl Report {
    /// Adds a finding about an object; returns its number, unless there are too many.
    pub(super) fn add(&mut self, kind: FindingKind, object: &str, why: &str) -> Option<usize> {
        if self.drafts.len() >= margins::FINDINGS {
            self.done.more_findings += 1;
            return None;
        }
        let (object, why) = (object.to_owned(), why.to_owned());
        let (ids, affected) = (Vec::new(), Vec::new());
        let finding = Finding { kind, object, why, ids, id_count: 0, affected, affected_count: 0 };
        self.drafts.push(Draft { finding, last: None, known: false });
        Some(self.drafts.len() - 1)
    }

    /// The finding about content that one object, a point, lacks.
    pub(super) fn of_object(&mut self, object: &str, why: &str) -> Option<usize> {
        if let Some(number) = self.objects.get(object) {
            return Some(*number);
        }
        let number = self.add(FindingKind::MissingContent, object, why)?;
        self.objects.insert(object.to_owned(), number);
        Some(number)
    }

    /// The finding about a pack: the one that there is, or a new one.
    pub(super) fn of_pack(
        &mut self,
        pack: Uuid,
        object: &str,
        kind: FindingKind,
        why: &str,
    ) -> Option<usize> {
        if let Some(number) = self.packs.get(&pack) {
            return Some(*number);
        }
        let number = self.add(kind, object, why)?;
        self.packs.insert(pack, number);
        Some(number)
    }

    /// A pack's damage is all in quarantine already.
    pub(super) fn known(&mut self, pack: Uuid) {
        if let Some(draft) = self.packs.get(&pack).and_then(|number| self.drafts.get_mut(*number)) {
            draft.known = true;
        }
    }

    /// A place in a pack is damaged; `known`: it is in quarantine already.
    pub(super) fn spoiled(&mut self, pack: Uuid, id: Id, known: bool) {
        self.known_places += u64::from(known);
        let number = self.packs.get(&pack).copied();
        self.name(number, &id);
    }

    /// An id that a finding is about.
    pub(super) fn name(&mut self, number: Option<usize>, id: &Id) {
        let Some(draft) = number.and_then(|number| self.drafts.get_mut(number)) else {
            return;
        };
        draft.finding.id_count += 1;
        if draft.finding.ids.len() < margins::LISTED {
            draft.finding.ids.push(id.to_string());
        }
    }

    /// A point lacks these bytes because of a finding.
    pub(super) fn hit(&mut self, number: Option<usize>, point: PointKey, range: Range<u64>) {
        let Some(draft) = number.and_then(|number| self.drafts.get_mut(number)) else {
            return;
        };
        let (finding, new) = (&mut draft.finding, draft.last != Some(point));
        draft.last = Some(point);
        if new {
            finding.affected_count += 1;
            if finding.affected.len() < margins::LISTED {
                finding.affected.push(Affected::new(point));
            }
        }
        if let Some(last) = finding.affected.last_mut().filter(|last| last.point == point) {
            last.add(range);
        }
    }

    /// The points that are affected by anything, for the quarantine.
    pub(super) fn affected(&self) -> Vec<Affected> {
        let mut out: BTreeMap<PointKey, Affected> = BTreeMap::new();
        for affected in self.drafts.iter().flat_map(|draft| &draft.finding.affected) {
            let room = out.len() < margins::LISTED;
            match out.get_mut(&affected.point) {
                Some(known) => {
                    known.ranges.extend_from_slice(&affected.ranges);
                    known.ranges.sort_unstable_by_key(|range| range.start);
                    known.ranges.truncate(margins::LISTED);
                    known.count += affected.count;
                    known.bytes += affected.bytes;
                }
                None if room => {
                    out.insert(affected.point, affected.clone());
                }
                None => {}
            }
        }
        out.into_values().collect()
    }

    pub(super) fn finish(mut self, complete: bool) -> Verified {
        // Without a whole walk nobody knows whether a point needs what is damaged.
        let harmless = |draft: &Draft| complete && draft.known && draft.finding.affected_count == 0;
        let mut kept = Vec::new();
        for draft in std::mem::take(&mut self.drafts) {
            if !harmless(&draft) {
                kept.push(draft.finding);
            }
        }
        self.done.healed = if complete { self.known_places } else { 0 };
        let waiting = kept.iter().filter(|finding| finding.affected_count > 0);
        let waiting: u64 = waiting.map(|finding| finding.id_count).sum();
        self.done.healed = self.done.healed.saturating_sub(waiting);
        self.done.findings = kept;
        self.done
    }
}

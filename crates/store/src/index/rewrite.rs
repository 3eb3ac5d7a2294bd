//! Looking at all entries at once, and replacing the runs of the store.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use uuid::Uuid;

use super::merge::Merged;
use super::run::Run;
use super::{FOLDER, Index, object, parse};
use crate::error::{ErrorKind, Result};
use crate::id::Id;
use crate::pack::Location;
use crate::point::PointKey;
use crate::quarantine::Shunned;

/// The segments that a handle has at one instant, and the places that it passes over. They stay
/// readable while it goes on.
pub(crate) struct Snapshot(pub(super) Vec<Arc<Run>>, pub(super) Arc<Shunned>);

impl Snapshot {
    /// All entries by id, with all places of each; an entry may come several times.
    pub(crate) fn entries(&self) -> Result<Merged<'_>> {
        Merged::new(&self.0)
    }

    /// Whether a place is in quarantine: nothing may come to rely on it.
    pub(crate) fn is_shunned(&self, at: &Location) -> bool {
        self.1.contains(at)
    }

    /// How many entries there are, those that come several times included.
    pub(crate) fn len(&self) -> u64 {
        self.0.iter().map(|run| run.entries()).sum()
    }
}

impl Index {
    /// What this handle knows now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        Snapshot(state.segments.clone(), Arc::clone(&state.shunned))
    }

    /// A name for a file in the folder of this handle that goes with it.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.folder.path(self.env.uuid(), "sort")
    }

    /// The packs that the runs of attempts at `point` name.
    pub(crate) fn packs_of(&self, point: &PointKey) -> Result<BTreeSet<Uuid>> {
        let mut out = BTreeSet::new();
        for name in self.objects.list(FOLDER)? {
            if parse(&name).is_none_or(|(owner, _)| owner != *point) {
                continue;
            }
            let run = match self.fetch(&name, self.env.uuid(), "attempt") {
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                other => other?,
            };
            let packs = run.packs();
            self.folder.forget(&run)?;
            out.extend(packs?.iter().map(|pack| pack.name));
        }
        Ok(out)
    }

    /// Replaces the runs of the store by new ones without the entries of `dead` packs. Runs of
    /// attempts at `open` points stay beside them: those attempts may begin again. A new run has
    /// at most `most` entries. Returns how many the new runs have. Killed anywhere, it leaves
    /// entries twice at worst. Where it fails, because the disk is full for one, it takes its new
    /// runs away again: tried again and again it does not fill the disk.
    pub(crate) fn rewrite(
        &self,
        dead: &BTreeSet<Uuid>,
        open: &BTreeSet<PointKey>,
        most: usize,
    ) -> Result<u64> {
        self.refresh()?;
        let (snapshot, known) = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            let shunned = Arc::clone(&state.shunned);
            (Snapshot(state.segments.clone(), shunned), state.known.clone())
        };
        let mut made = Vec::new();
        let written = match self.publish_all(&snapshot, dead, most, &mut made) {
            Ok(written) => written,
            Err(e) => {
                // The old runs are all there, unless another collector has replaced them by its
                // own: nothing needs these.
                for run in made {
                    let _ = self.objects.delete(&object(&owner(), &run));
                }
                return Err(e);
            }
        };
        for name in self.objects.list(FOLDER)? {
            let old =
                parse(&name).filter(|(point, run)| known.contains(run) && !open.contains(point));
            if old.is_some() {
                self.objects.delete(&format!("{FOLDER}/{name}"))?;
            }
        }
        self.refresh()?;
        Ok(written)
    }

    /// Publishes new runs of all entries but those of `dead` packs; notes the names of the runs.
    fn publish_all(
        &self,
        snapshot: &Snapshot,
        dead: &BTreeSet<Uuid>,
        most: usize,
        made: &mut Vec<Uuid>,
    ) -> Result<u64> {
        let (mut batch, mut last, mut written) = (Vec::new(), None, 0);
        let mut entries = snapshot.entries()?;
        while let Some((id, at)) = entries.next()? {
            let entry: (Id, Location) = (id, at);
            if dead.contains(&at.pack.name) || last == Some(entry) {
                continue;
            }
            last = Some(entry);
            batch.push(entry);
            if batch.len() >= most {
                made.push(self.publish(&owner(), &batch)?);
                written += batch.len() as u64;
                batch.clear();
            }
        }
        if !batch.is_empty() {
            made.push(self.publish(&owner(), &batch)?);
            written += batch.len() as u64;
        }
        Ok(written)
    }
}

/// Runs of no point in particular.
fn owner() -> PointKey {
    PointKey::from(Uuid::nil())
}

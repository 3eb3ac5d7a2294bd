//! Doing without what is damaged: for repair.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError};

use uuid::Uuid;

use super::{Index, Run, Snapshot, parse};
use crate::damage::Damaged;
use crate::error::Result;

impl Index {
    /// Gives up every segment with entries of these runs, whose objects in the store are damaged,
    /// or with entries that this handle supposed, and those that are damaged themselves. From then
    /// on a good local copy of such a run finds nothing any more, as it is for all those who have
    /// none; the next refresh fetches the other runs of these segments again. What they said can
    /// still be read from what is returned: it is authentic, but may not be all.
    pub(crate) fn disown(&self, damaged: &[Damaged]) -> Result<Snapshot> {
        let bad = damaged.iter().filter_map(|run| Some((named(&run.object)?, run.clone())));
        let bad: BTreeMap<Uuid, Damaged> = bad.collect();
        let _growing = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = self.snapshot();
        let doubtful = |run: &&Arc<Run>| {
            run.names().is_empty()
                || run.names().iter().any(|name| bad.contains_key(name))
                || run.check().is_err()
        };
        let gone: Vec<Arc<Run>> = snapshot.0.iter().filter(doubtful).cloned().collect();
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.segments.retain(|run| gone.iter().all(|old| !Arc::ptr_eq(run, old)));
        state.known = state.segments.iter().flat_map(|run| run.names()).copied().collect();
        if !bad.is_empty() || !gone.is_empty() {
            state.learn();
        }
        state.bad.extend(bad);
        drop(state);
        // An open file is read on after its name is gone.
        gone.iter().try_for_each(|run| self.folder.forget(run))?;
        Ok(Snapshot(gone, snapshot.1))
    }

    /// Whether this handle finds entries of a run, by the name of its object: somebody has read
    /// it well since it was disowned.
    pub(crate) fn relies_on(&self, object: &str) -> bool {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        named(object).is_some_and(|run| state.known.contains(&run))
    }

    /// Bytes of the frames that the index names in each pack that `wanted` takes; a frame that
    /// several runs name counts once. One pass over all entries.
    pub(crate) fn named_bytes(
        &self,
        wanted: &dyn Fn(&Uuid) -> Result<bool>,
    ) -> Result<HashMap<Uuid, u64>> {
        let snapshot = self.snapshot();
        let mut entries = snapshot.entries()?;
        let (mut out, mut last) = (HashMap::new(), None);
        while let Some((id, at)) = entries.next()? {
            let place = Some((id, at.pack.name, at.offset));
            if last != place && wanted(&at.pack.name)? {
                *out.entry(at.pack.name).or_insert(0) += u64::from(at.len);
            }
            last = place;
        }
        Ok(out)
    }
}

/// The run whose object this is.
fn named(object: &str) -> Option<Uuid> {
    object.rsplit('/').next().and_then(parse).map(|(_, run)| run)
}

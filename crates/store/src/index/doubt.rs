//! Doing without what is damaged: for repair.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError};

use uuid::Uuid;

use super::merge::Merged;
use super::run::Run;
use super::{Index, parse};
use crate::damage::Damaged;
use crate::error::Result;

/// Segments that an index has given up, as they were.
pub(crate) struct Disowned(Vec<Arc<Run>>);

impl Disowned {
    /// Their entries by id; an entry may come several times. One that is damaged ends it.
    pub(crate) fn entries(&self) -> Result<Merged> {
        Merged::new(&self.0)
    }
}

impl Index {
    /// Gives up every segment with entries of these runs, whose objects in the store are damaged,
    /// or with entries that this handle supposed, and those that are damaged themselves. From then
    /// on a good local copy of such a run finds nothing any more, as it is for all those who have
    /// none; the next refresh fetches the other runs of these segments again. What they said can
    /// still be read from what is returned: it is authentic, but may not be all.
    pub(crate) fn disown(&self, damaged: &[Damaged]) -> Result<Disowned> {
        let bad = damaged.iter().filter_map(|run| Some((named(&run.object)?, run.clone())));
        let bad: BTreeMap<Uuid, Damaged> = bad.collect();
        let _growing = self.grow();
        let doubtful = |run: &Arc<Run>| {
            run.names().is_empty()
                || run.names().iter().any(|name| bad.contains_key(name))
                || run.check().is_err()
        };
        let gone: Vec<Arc<Run>> = self.segments().into_iter().filter(doubtful).collect();
        if bad.is_empty() && gone.is_empty() {
            return Ok(Disowned(gone));
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.bad.extend(bad);
        state.learn();
        let torn = state.torn || !gone.is_empty();
        drop(state);
        // An open file is read on after its name is gone.
        self.drop_segments(torn, &|run| gone.iter().any(|old| Arc::ptr_eq(run, old)))?;
        Ok(Disowned(gone))
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

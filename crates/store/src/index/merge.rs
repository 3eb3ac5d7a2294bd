//! Merging runs: one pass over all of them, in bounded memory.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;

use uuid::Uuid;

use super::build::{Builder, Sink};
use super::run::{Entries, Run};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::id::Id;
use crate::keys::KeyRing;
use crate::pack::Location;

/// Writes one run with the entries of all `runs`.
pub(super) fn merge<'a>(
    ring: &KeyRing,
    env: &Env,
    runs: &[Arc<Run>],
    sink: &'a mut Sink<'a>,
) -> Result<()> {
    let covers: BTreeSet<_> = runs.iter().flat_map(|run| run.names().iter().copied()).collect();
    let count = runs.iter().map(|run| run.entries()).sum();
    let mut builder = Builder::new(ring, env, count, sink)?;
    let mut entries = Merged::new(runs)?;
    while let Some((id, at)) = entries.next()? {
        builder.add(&id, &at)?;
    }
    builder.finish(&covers)
}

/// The entries of several runs by id and then by place. An entry that is in several runs comes
/// several times.
pub(crate) struct Merged {
    sources: Vec<(Entries, Option<Location>)>,
    heap: BinaryHeap<Reverse<(Id, Uuid, u32, usize)>>,
}

impl Merged {
    pub(super) fn new(runs: &[Arc<Run>]) -> Result<Self> {
        let sources: Vec<_> = runs.iter().map(|run| (run.iter(), None)).collect();
        let mut merged = Self { heap: BinaryHeap::new(), sources };
        for number in 0..merged.sources.len() {
            merged.advance(number)?;
        }
        Ok(merged)
    }

    /// The next entry.
    pub(crate) fn next(&mut self) -> Result<Option<(Id, Location)>> {
        let Some(Reverse((id, _, _, number))) = self.heap.pop() else {
            return Ok(None);
        };
        let at = self.sources.get_mut(number).and_then(|(_, head)| head.take());
        let at = at.ok_or_else(|| Error::internal("a run has no entry where it had one"))?;
        self.advance(number)?;
        Ok(Some((id, at)))
    }

    fn advance(&mut self, number: usize) -> Result<()> {
        if let Some((entries, head)) = self.sources.get_mut(number)
            && let Some((id, at)) = entries.next()?
        {
            *head = Some(at);
            self.heap.push(Reverse((id, at.pack.name, at.offset, number)));
        }
        Ok(())
    }
}

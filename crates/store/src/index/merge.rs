//! Merging runs: one pass over all of them, in bounded memory.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;

use super::build::{Builder, Sink};
use super::run::Run;
use crate::env::Env;
use crate::error::Result;
use crate::keys::KeyRing;

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
    let mut sources: Vec<_> = runs.iter().map(|run| (run.iter(), None)).collect();
    let mut heap = BinaryHeap::new();
    for (number, (entries, head)) in sources.iter_mut().enumerate() {
        if let Some((id, at)) = entries.next()? {
            *head = Some(at);
            heap.push(Reverse((id, at.pack.name, at.offset, number)));
        }
    }
    // Equal entries of several runs come one after another: by id, then by place.
    while let Some(Reverse((id, _, _, number))) = heap.pop() {
        let Some((entries, head)) = sources.get_mut(number) else {
            continue;
        };
        if let Some(at) = head.take() {
            builder.add(&id, &at)?;
        }
        if let Some((next, at)) = entries.next()? {
            *head = Some(at);
            heap.push(Reverse((next, at.pack.name, at.offset, number)));
        }
    }
    builder.finish(&covers)
}

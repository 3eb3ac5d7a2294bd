//! What an earlier, unfinished attempt to write a point had already stored.

use std::fs;
use std::sync::Arc;

use super::run::Run;
use super::{Index, Pages, tier};
use crate::error::Result;
use crate::id::Id;

/// The entries of the runs that earlier attempts at one point wrote.
#[derive(Default)]
pub(crate) struct Attempt {
    runs: Vec<Arc<Run>>,
}

impl Attempt {
    /// Whether there was no earlier attempt.
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Whether an earlier attempt stored `id`.
    pub(crate) fn holds(&self, id: &Id, index: &Index) -> Result<bool> {
        let pages: &Pages = &index.pages;
        for run in &self.runs {
            if run.find(id, pages, &mut |_| true)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn push(&mut self, run: Run, index: &Index) -> Result<()> {
        self.runs.push(Arc::new(run));
        loop {
            let sizes: Vec<u64> = self.runs.iter().map(|run| run.entries()).collect();
            let due = tier::due(&sizes);
            if due.is_empty() {
                return Ok(());
            }
            let old: Vec<_> = due.iter().filter_map(|place| self.runs.get(*place)).collect();
            let old: Vec<Arc<Run>> = old.into_iter().cloned().collect();
            let joined = index.join(&old, "attempt")?;
            self.runs.retain(|run| old.iter().all(|old| !Arc::ptr_eq(run, old)));
            self.runs.push(Arc::new(joined));
            // Left over, the file goes at the next open.
            old.iter().for_each(|run| drop(fs::remove_file(run.path())));
        }
    }

    fn clear(&mut self) {
        for run in self.runs.drain(..) {
            // Left over, the file goes at the next open.
            let _ = fs::remove_file(run.path());
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.clear();
    }
}

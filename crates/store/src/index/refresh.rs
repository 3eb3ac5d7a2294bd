//! Keeping up with the runs of the store while others look things up.
//!
//! Nothing that is known is missing meanwhile: new runs are fetched first, and the segments with
//! entries of runs that were replaced go afterwards, all at once. An entry too many is a hint that
//! leads nowhere; one too few would be a loss that is none. So for a while the folder holds both.
//!
//! Where the disk has no room for both, and where a segment turns out to be damaged, segments go
//! first. Then the index is *torn*: whoever asks it waits until all is back, or is told why not.
//!
//! Killed anywhere, it leaves segments in the folder that the next handle sorts out in the same
//! way.

use std::collections::BTreeSet;
use std::sync::{Arc, MutexGuard, PoisonError, RwLockReadGuard};

use uuid::Uuid;

use super::run::{MERGED, Run};
use super::{FOLDER, Index, State, merge, parse, tier};
use crate::damage::{self, Damaged};
use crate::error::{Error, ErrorKind, Result, chain};
use crate::margins;

impl Index {
    /// Learns of the runs that others wrote since, and forgets those that are gone. A damaged run
    /// counts as absent: what only it named is not found.
    ///
    /// Whoever looked for something in vain before this looks again after it: what is new may
    /// have been brought by somebody else in between.
    pub(crate) fn refresh(&self) -> Result<()> {
        let _growing = self.grow();
        self.catch_up(false)
    }

    /// The same; looks also at the runs again that were found damaged, and for packs that were
    /// not there.
    pub(crate) fn try_damaged_again(&self) -> Result<()> {
        self.gone.write().unwrap_or_else(PoisonError::into_inner).clear();
        let _growing = self.grow();
        self.catch_up(true)
    }

    /// Does something with what is known, and once more if that meets damage here: then the
    /// damaged segments are made anew before.
    pub(super) fn mended<T>(&self, mut ask: impl FnMut() -> Result<T>) -> Result<T> {
        match ask() {
            Err(e) if e.kind() == ErrorKind::Corrupt => {
                self.renew(&e)?;
                ask()
            }
            other => other,
        }
    }

    /// What is known, and nothing of it missing.
    pub(super) fn whole(&self) -> Result<RwLockReadGuard<'_, State>> {
        loop {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            if !state.torn {
                return Ok(state);
            }
            drop(state);
            let _growing = self.grow();
            // Whoever had the lock before may have brought all back.
            if self.state.read().unwrap_or_else(PoisonError::into_inner).torn {
                self.catch_up(false)?;
            }
        }
    }

    /// Held by whoever adds or removes segments.
    pub(super) fn grow(&self) -> MutexGuard<'_, ()> {
        self.growing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the segments anew that are damaged here; `why` is how that was noticed.
    pub(super) fn renew(&self, why: &Error) -> Result<()> {
        tracing::warn!(error = chain(why), "the local copy of the index is damaged");
        let _growing = self.grow();
        let rotten = |run: &Arc<Run>| run.check().is_err();
        let rotten: Vec<Arc<Run>> = self.segments().into_iter().filter(rotten).collect();
        if rotten.is_empty() {
            // Somebody else was faster.
            return Ok(());
        }
        self.drop_segments(true, &|run| rotten.iter().any(|bad| Arc::ptr_eq(bad, run)))?;
        self.catch_up(false)
    }

    fn catch_up(&self, again: bool) -> Result<()> {
        for _ in 0..margins::LISTINGS {
            let names = self.objects.list(FOLDER)?;
            let named = || names.iter().filter_map(|name| Some((name, parse(name)?.1)));
            let listed: BTreeSet<Uuid> = named().map(|(_, run)| run).collect();
            let lacking = self.lacking(&listed, again);
            let mut replaced = false;
            for (name, run) in named().filter(|(_, run)| lacking.contains(run)) {
                match self.bring(name, run, &listed) {
                    // What replaced it was not listed yet.
                    Err(e) if e.kind() == ErrorKind::NotFound => replaced = true,
                    other => other?,
                }
            }
            if !replaced {
                return self.retire(&listed);
            }
        }
        Err(Error::new(ErrorKind::Transient, "the runs of the index change too fast: try again"))
    }

    /// The listed runs that are in no segment that stays. Notes which are not listed any more.
    fn lacking(&self, listed: &BTreeSet<Uuid>, again: bool) -> BTreeSet<Uuid> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        state.leaving.extend(state.known.difference(listed).copied());
        let lasting = state.segments.iter().filter(|run| stays(run, listed));
        let here: BTreeSet<&Uuid> = lasting.flat_map(|run| run.names()).collect();
        let passed_over = |run: &Uuid| !again && state.bad.contains_key(run);
        let lacking = listed.iter().filter(|run| !here.contains(run) && !passed_over(run));
        lacking.copied().collect()
    }

    /// Fetches a run and installs it, unless it is damaged.
    fn bring(&self, name: &str, run: Uuid, listed: &BTreeSet<Uuid>) -> Result<()> {
        let fetched = match self.fetch(name, run, "run") {
            // What goes anyway makes room.
            Err(e) if e.kind() == ErrorKind::Full && self.drop_leaving(listed)? => {
                self.fetch(name, run, "run")
            }
            other => other,
        };
        let done = fetched.and_then(|copy| self.install(run, copy));
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        match done {
            Err(e) if damage::is_damage(&e) => {
                let damaged = Damaged::new(format!("{FOLDER}/{name}"), &e);
                if state.bad.get(&run) != Some(&damaged) {
                    tracing::error!(object = damaged.object, why = damaged.why, "damaged run");
                    state.bad.insert(run, damaged);
                    state.learn();
                }
                Ok(())
            }
            Ok(()) => {
                state.bad.remove(&run);
                Ok(())
            }
            Err(e) => Err(e),
        }
    }

    /// Ends a refresh. Every segment with entries of a run that is not in the store any more
    /// goes: such a run was replaced because some of what it names is gone.
    fn retire(&self, listed: &BTreeSet<Uuid>) -> Result<()> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.bad.retain(|run, _| listed.contains(run));
        drop(state);
        self.drop_segments(false, &|run| !stays(run, listed))
    }

    /// The same before its time, to make room: false if there is nothing to drop.
    fn drop_leaving(&self, listed: &BTreeSet<Uuid>) -> Result<bool> {
        if self.segments().iter().all(|run| stays(run, listed)) {
            return Ok(false);
        }
        tracing::warn!("there is no room for the old and the new index: look-ups wait");
        self.drop_segments(true, &|run| !stays(run, listed))?;
        Ok(true)
    }

    /// Drops segments and their files. `torn` says whether runs of the store are in none then.
    pub(super) fn drop_segments(&self, torn: bool, goes: &dyn Fn(&Arc<Run>) -> bool) -> Result<()> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let (gone, stay): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.segments).into_iter().partition(goes);
        let known: BTreeSet<Uuid> = stay.iter().flat_map(|run| run.names()).copied().collect();
        state.leaving.retain(|run| known.contains(run));
        (state.segments, state.known, state.torn) = (stay, known, torn);
        drop(state);
        gone.iter().try_for_each(|run| self.folder.forget(run))
    }

    /// Whether some segment has the entries of a run.
    pub(super) fn knows(&self, run: Uuid) -> bool {
        self.state.read().unwrap_or_else(PoisonError::into_inner).known.contains(&run)
    }

    /// The segments there are now, also while some are missing.
    pub(super) fn segments(&self) -> Vec<Arc<Run>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).segments.clone()
    }

    /// A local copy of a run of the store, fetched piece by piece: a run can be large.
    pub(super) fn fetch(&self, name: &str, copy: Uuid, suffix: &str) -> Result<Run> {
        let object = format!("{FOLDER}/{name}");
        let size = self.objects.size(&object)?;
        if size > margins::RUN {
            let context = format!("object {object} is larger than {} bytes", margins::RUN);
            return Err(Error::corrupt(context));
        }
        let (temporary, path) = (self.folder.path(copy, "tmp"), self.folder.path(copy, suffix));
        let fail = |e| Error::io("a segment of the local index cannot be written", e);
        let mut draft = self.folder.durable.begin(&temporary).map_err(fail)?;
        let mut written = || -> Result<()> {
            for start in (0..size).step_by(margins::FETCH as usize) {
                let piece = start..size.min(start + margins::FETCH);
                draft.write_all(&self.objects.get_range(&object, piece)?).map_err(fail)?;
            }
            Ok(())
        };
        let written = written();
        if let Err(e) = written.and_then(|()| draft.finish(&path).map_err(fail)) {
            // What is left over is removed at the next open.
            let _ = self.folder.durable.remove(&temporary);
            return Err(e);
        }
        self.folder.check(&self.ring, &path)
    }

    /// Adds a run that was read from or written to the store as a segment.
    pub(super) fn install(&self, name: Uuid, run: Run) -> Result<()> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.known.insert(name);
        state.segments.push(Arc::new(run));
        drop(state);
        if let Err(e) = self.merge() {
            // Many segments only make look-ups slower: the next new one tries again.
            tracing::warn!(error = chain(&e), "segments cannot be merged");
        }
        Ok(())
    }

    /// Merges segments until none is due.
    fn merge(&self) -> Result<()> {
        loop {
            let due = self.due();
            if due.is_empty() {
                return Ok(());
            }
            let merged = self.join(&due, MERGED)?;
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            state.segments.retain(|run| due.iter().all(|old| !Arc::ptr_eq(run, old)));
            state.segments.push(Arc::new(merged));
            drop(state);
            due.iter().try_for_each(|run| self.folder.forget(run))?;
        }
    }

    /// The segments to be merged now. What goes soon takes nothing with it that stays, and a
    /// segment that stands for no run of the store stays by itself.
    fn due(&self) -> Vec<Arc<Run>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let leaves = |run: &Arc<Run>| run.names().iter().any(|name| state.leaving.contains(name));
        let named = state.segments.iter().filter(|run| !run.names().is_empty()).cloned();
        let (leaving, staying): (Vec<_>, Vec<_>) = named.partition(leaves);
        let due = |runs: Vec<Arc<Run>>| -> Vec<Arc<Run>> {
            let sizes: Vec<u64> = runs.iter().map(|run| run.entries()).collect();
            let places = tier::due(&sizes).into_iter();
            places.filter_map(|place| runs.get(place).cloned()).collect()
        };
        match due(staying) {
            none if none.is_empty() => due(leaving),
            some => some,
        }
    }

    /// One segment with the entries of all `runs`.
    pub(super) fn join(&self, runs: &[Arc<Run>], suffix: &str) -> Result<Run> {
        let name = self.env.uuid();
        let (temporary, path) = (self.folder.path(name, "tmp"), self.folder.path(name, suffix));
        let fail = |e| Error::io("a segment of the local index cannot be written", e);
        let mut draft = self.folder.durable.begin(&temporary).map_err(fail)?;
        let mut sink = |page: &[u8]| draft.write_all(page).map_err(fail);
        let merged = merge::merge(&self.ring, &self.env, runs, &mut sink);
        if let Err(e) = merged.and_then(|()| draft.finish(&path).map_err(fail)) {
            // What is left over is removed at the next open.
            let _ = self.folder.durable.remove(&temporary);
            return Err(e);
        }
        Run::open(&self.ring, &path)
    }
}

/// Whether all that a segment has entries of is in the store.
fn stays(run: &Arc<Run>, listed: &BTreeSet<Uuid>) -> bool {
    run.names().iter().all(|name| listed.contains(name))
}

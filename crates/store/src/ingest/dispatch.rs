//! Windows out to the workers, leaves back in order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, SyncSender};

use super::jobs::{Job, Jobs};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::map::Leaves;
use crate::margins;
use crate::source::Watch;

/// A window that a worker has finished.
pub(super) struct Done {
    pub(super) window: u64,
    pub(super) leaf: Result<Option<Id>>,
    pub(super) work: u64,
}

/// Keeps workers busy with a bounded number of windows and hands their leaves on in order.
pub(super) struct Dispatcher<'a> {
    jobs: Jobs<'a>,
    send: SyncSender<Job>,
    finished: Receiver<Done>,
    watch: &'a dyn Watch,
    /// Windows handed out, in order.
    out: VecDeque<u64>,
    /// Leaves that came back before their turn.
    ready: BTreeMap<u64, Option<Id>>,
}

impl<'a> Dispatcher<'a> {
    pub(super) fn new(
        jobs: Jobs<'a>,
        send: SyncSender<Job>,
        finished: Receiver<Done>,
        watch: &'a dyn Watch,
    ) -> Self {
        Self { jobs, send, finished, watch, out: VecDeque::new(), ready: BTreeMap::new() }
    }

    /// Accounts for the work behind the last window.
    pub(super) fn finish(self) -> Result<()> {
        self.watch.advance(self.jobs.left(), 0);
        Ok(())
    }

    /// Hands out windows until enough are on their way. The queue has room for all of them, so
    /// this never waits.
    fn fill(&mut self) -> Result<()> {
        while self.out.len() < margins::WINDOWS_AHEAD {
            let Some(job) = self.jobs.next()? else {
                return Ok(());
            };
            self.jobs.announce(&job);
            self.out.push_back(job.window);
            if self.send.send(job).is_err() {
                // All workers ended: one of them sent the reason before.
                return self.receive();
            }
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<()> {
        let gone = |_| Error::internal("the workers are gone");
        let done = self.finished.recv().map_err(gone)?;
        self.ready.insert(done.window, done.leaf?);
        self.watch.advance(done.work, 0);
        Ok(())
    }
}

impl Leaves for Dispatcher<'_> {
    fn peek(&mut self) -> Result<Option<u64>> {
        self.fill()?;
        Ok(self.out.front().copied())
    }

    fn take(&mut self) -> Result<Option<Id>> {
        self.fill()?;
        let window = self.out.pop_front().ok_or_else(|| Error::internal("no window is out"))?;
        loop {
            if let Some(leaf) = self.ready.remove(&window) {
                return Ok(leaf);
            }
            self.receive()?;
        }
    }
}

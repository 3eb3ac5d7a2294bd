//! How far running work is, and whether it shall stop.

use crate::model::Progress;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tresor_store::Watch;
use uuid::Uuid;

/// Figures of one running work item. Counters only; a torn look is a slightly old look.
#[derive(Debug)]
pub(crate) struct Meter {
    began: Duration,
    done: AtomicU64,
    total: AtomicU64,
    cancelled: AtomicBool,
    stopping: watch::Receiver<bool>,
}

impl Meter {
    pub(super) fn new(began: Duration, stopping: watch::Receiver<bool>) -> Self {
        let (done, total) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { began, done, total, cancelled: AtomicBool::new(false), stopping }
    }

    /// Sets how much there is to do, bytes.
    pub(super) fn expect(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
    }

    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Puts the figures of this moment into a job's progress.
    pub(crate) fn fill(&self, progress: &mut Progress, now: Duration) {
        let total = self.total.load(Ordering::Relaxed);
        progress.total = progress.total.max(total);
        progress.done = self.done.load(Ordering::Relaxed).min(progress.total);
        let millis = u64::try_from(now.saturating_sub(self.began).as_millis()).unwrap_or(u64::MAX);
        progress.rate = progress.done.saturating_mul(1000).checked_div(millis).unwrap_or_default();
    }
}

impl Watch for Meter {
    fn advance(&self, bytes: u64, _stored: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    fn cancelled(&self) -> bool {
        self.is_cancelled() || *self.stopping.borrow()
    }
}

/// The job of running work, if it is one, and its meter.
type Running = (Option<Uuid>, Arc<Meter>);

/// What runs in this process, by work, and what it left for later.
#[derive(Debug, Default)]
pub(crate) struct Meters(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    running: HashMap<Uuid, Running>,
    /// Work that has to wait for others, with the fence of its lease. No more than is queued.
    waiting: HashMap<Uuid, i64>,
}

impl Meters {
    /// Enters work that begins; answers the meter of an older attempt that has not ended, and
    /// then enters nothing.
    pub(super) fn add(
        &self,
        work: Uuid,
        job: Option<Uuid>,
        meter: &Arc<Meter>,
    ) -> Option<Arc<Meter>> {
        let mut known = self.lock();
        known.waiting.remove(&work);
        match known.running.entry(work) {
            Entry::Occupied(older) => Some(Arc::clone(&older.get().1)),
            Entry::Vacant(place) => {
                place.insert((job, Arc::clone(meter)));
                None
            }
        }
    }

    pub(super) fn remove(&self, work: Uuid) {
        self.lock().running.remove(&work);
    }

    /// Notes that work has to wait for others.
    pub(super) fn wait(&self, work: Uuid, fence: i64) {
        self.lock().waiting.insert(work, fence);
    }

    /// How many work items wait for others.
    pub(crate) fn waiting(&self) -> u64 {
        u64::try_from(self.lock().waiting.len()).unwrap_or(u64::MAX)
    }

    /// The work that waited for others, with its fences; from now on it counts as due.
    pub(crate) fn wake(&self) -> Vec<(Uuid, i64)> {
        self.lock().waiting.drain().collect()
    }

    /// Whether no work runs here.
    pub(crate) fn is_idle(&self) -> bool {
        self.lock().running.is_empty()
    }

    /// The meter of a job that runs here.
    pub(crate) fn of(&self, job: Uuid) -> Option<Arc<Meter>> {
        let known = self.lock();
        known.running.values().find(|(of, _)| *of == Some(job)).map(|(_, meter)| Arc::clone(meter))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

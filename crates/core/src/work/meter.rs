//! How far running work is, and whether it shall stop.

use crate::model::Progress;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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

/// The meters of everything that runs in this process, by job.
#[derive(Debug, Default)]
pub(crate) struct Meters(Mutex<HashMap<Uuid, Arc<Meter>>>);

impl Meters {
    pub(super) fn add(&self, job: Uuid, meter: Arc<Meter>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(job, meter);
    }

    pub(super) fn remove(&self, job: Uuid) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&job);
    }

    pub(crate) fn of(&self, job: Uuid) -> Option<Arc<Meter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&job).cloned()
    }
}

//! Workers: they lease work, do its steps and settle it.
//!
//! Every change that a worker makes names its lease's fence, so a worker that was replaced changes
//! nothing. Steps are idempotent: after a crash the next owner does the unfinished one again, and
//! what it repeats is found to be there already (chunks by dedup, points by their key, rows by the
//! step log). "Normal" and "after a crash" are one path.

mod backup;
mod fill;
mod meter;
mod purge;
mod restore;
mod snapshot;
mod take;

pub(crate) use meter::Meters;
pub(crate) use take::base_key;

use crate::catalogue::{CatalogueError, Write};
use crate::error::{Error, Fault, FaultKind, Result};
use crate::model::{Job, JobStatus, Operation, Work, WorkKind};
use crate::service::Service;
use jiff::SignedDuration;
use meter::Meter;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How long a lease lasts, real time.
const LEASE: SignedDuration = SignedDuration::from_secs(60);
/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(20);
/// How long an idle worker waits before it looks again by itself.
const IDLE: Duration = Duration::from_secs(5);
/// Attempts of one work item before it is given up, so that one that kills the service cannot keep
/// it down for ever.
const ATTEMPTS_MAX: i64 = 20;

/// One leased work item.
struct Task {
    service: Arc<Service>,
    work: Work,
    meter: Arc<Meter>,
}

/// Works until the service stops.
pub(crate) async fn run(service: Arc<Service>) {
    let mut stopping = service.stopping.subscribe();
    while !*stopping.borrow() {
        let now = service.env.real();
        let until = now.checked_add(LEASE).unwrap_or(now);
        match service.catalogue.claim_work(now, until).await {
            Ok(Some(work)) => one(&service, work).await,
            Ok(None) => {
                tokio::select! {
                    () = service.nudge.notified() => {}
                    () = tokio::time::sleep(IDLE) => {}
                    _ = stopping.wait_for(|s| *s) => {}
                }
            }
            Err(error) => {
                tracing::error!(%error, "work could not be claimed");
                tokio::time::sleep(IDLE).await;
            }
        }
    }
}

/// Does one work item and settles it.
async fn one(service: &Arc<Service>, work: Work) {
    let now = service.env.monotonic();
    let meter = Arc::new(Meter::new(now, service.stopping.subscribe()));
    let key = work.job.unwrap_or(work.id);
    service.meters.add(key, Arc::clone(&meter));
    let task = Task { service: Arc::clone(service), work, meter };
    let renewing = tokio::spawn(renew(
        Arc::clone(service),
        task.work.id,
        task.work.fence,
        Arc::clone(&task.meter),
    ));
    let outcome = if task.work.fence > ATTEMPTS_MAX {
        let message = format!("The work was given up after {ATTEMPTS_MAX} attempts.");
        Err(Fault::new(FaultKind::Internal, message).into())
    } else {
        task.run().await
    };
    renewing.abort();
    service.meters.remove(key);
    if let Err(error) = outcome {
        task.settle_failure(error).await;
    }
    service.announce_end();
}

async fn renew(service: Arc<Service>, work: Uuid, fence: i64, meter: Arc<Meter>) {
    loop {
        tokio::time::sleep(RENEW).await;
        let until = service.env.real().checked_add(LEASE).unwrap_or_default();
        match service.catalogue.renew_work(work, fence, until).await {
            Ok(()) => {}
            Err(CatalogueError::LeaseLost(_)) => {
                tracing::warn!(%work, "the lease was lost; the work stops here");
                meter.cancel();
                return;
            }
            Err(error) => tracing::warn!(%work, %error, "a lease could not be renewed"),
        }
    }
}

impl Task {
    async fn run(&self) -> Result<()> {
        match self.work.kind.clone() {
            WorkKind::Backup { instance, point, snapshot } => {
                backup::run(self, &instance, &point, &snapshot).await
            }
            WorkKind::Restore { instance, point, target, unique_id, .. } => {
                restore::run(self, instance, &point, &target, unique_id).await
            }
            WorkKind::Snapshot { snapshot } => snapshot::run(self, &snapshot).await,
            WorkKind::Fill { disk } => fill::run(self, &disk).await,
            WorkKind::Purge { instance } => purge::run(self, instance).await,
        }
    }

    /// Marks a step: in the log, in the job and as a place where tests stop the service.
    async fn step(&self, name: &'static str) -> Result<()> {
        if let Some(mut job) = self.job().await? {
            if job.step.is_empty() || job.progress.attempts != self.attempt() {
                job.progress.attempts = self.attempt();
            }
            job.step = name.into();
            job.changed = self.service.env.domain();
            self.apply(vec![Write::PutJob(job)]).await?;
        }
        let (work, job) = (self.work.id, self.work.job);
        let reached = tokio::task::spawn_blocking(move || reach(name, work, job)).await;
        reached.map_err(|e| Error::internal("a step", e))
    }

    fn attempt(&self) -> u32 {
        u32::try_from(self.work.fence).unwrap_or(u32::MAX)
    }

    /// Whether an earlier attempt did this step.
    fn did(&self, step: &str) -> bool {
        self.work.steps.contains_key(step)
    }

    /// Writes that take effect only while the lease is held.
    async fn apply(&self, writes: Vec<Write>) -> Result<()> {
        let lease = Write::RequireLease { work: self.work.id, fence: self.work.fence };
        self.service.apply([vec![lease], writes].concat()).await
    }

    /// The write that records a step.
    fn done(&self, step: &str, note: serde_json::Value) -> Write {
        let (work, fence) = (self.work.id, self.work.fence);
        Write::StepDone { work, fence, step: step.into(), note }
    }

    /// The write that ends the work.
    fn finish(&self) -> Write {
        Write::FinishWork { work: self.work.id, fence: self.work.fence }
    }

    async fn job(&self) -> Result<Option<Job>> {
        match self.work.job {
            Some(job) => Ok(self.service.catalogue.job(job).await?),
            None => Ok(None),
        }
    }

    async fn operation(&self) -> Result<Option<Operation>> {
        match self.work.operation {
            Some(operation) => Ok(self.service.catalogue.operation(operation).await?),
            None => Ok(None),
        }
    }

    /// The writes that end the operation and the job, well or with a fault.
    async fn endings(&self, fault: Option<&Fault>) -> Result<Vec<Write>> {
        let mut writes = vec![];
        if let Some(operation) = self.operation().await? {
            writes.push(Write::PutOperation(match fault {
                None => self.service.done(operation),
                Some(fault) => self.service.failed(operation, fault.clone()),
            }));
        }
        if let Some(mut job) = self.job().await? {
            self.meter.fill(&mut job.progress, self.service.env.monotonic());
            let now = self.service.env.domain();
            (job.changed, job.ended) = (now, Some(now));
            job.status = if fault.is_some() { JobStatus::Failed } else { JobStatus::Completed };
            job.error = fault.cloned();
            writes.push(Write::PutJob(job));
        }
        Ok(writes)
    }

    /// Records a failure, unless the service stops or the work is another's: then it stays queued.
    async fn settle_failure(&self, error: Error) {
        if *self.service.stopping.borrow() || self.meter.is_cancelled() {
            tracing::info!(work = %self.work.id, "work was interrupted and will go on");
            return;
        }
        let fault = crate::service::log(error);
        let (work, job) = (self.work.id, self.work.job.map(tracing::field::display));
        tracing::warn!(%work, job, reason = fault.message, "work failed");
        let settled = match self.work.kind.clone() {
            WorkKind::Backup { instance, point, .. } => {
                backup::fail(self, &instance, &point, &fault).await
            }
            WorkKind::Restore { target, unique_id, point, .. } => {
                restore::fail(self, &target, unique_id, &point, &fault).await
            }
            WorkKind::Snapshot { snapshot } => snapshot::fail(self, &snapshot, &fault).await,
            WorkKind::Fill { disk } => fill::fail(self, &disk, &fault).await,
            WorkKind::Purge { .. } => purge::fail(self, &fault).await,
        };
        if let Err(error) = settled {
            crate::service::log(error);
        }
    }
}

/// Logs that a step was reached and stops there if a test asked for it.
fn reach(step: &'static str, work: Uuid, job: Option<Uuid>) {
    tracing::info!(step, %work, job = job.map(tracing::field::display), "step");
    fail::fail_point!(step);
}

//! Workers: they lease work, do its steps and settle it.
//!
//! Every change that a worker makes names its lease's fence, so a worker that was replaced changes
//! nothing. Steps are idempotent: after a crash the next owner does the unfinished one again, and
//! what it repeats is found to be there already (chunks by dedup, points by their key, rows by the
//! step log). "Normal" and "after a crash" are one path.

mod backup;
mod discard;
mod export;
mod fill;
mod made;
mod meter;
mod purge;
mod restore;
mod snapshot;
mod take;

pub(crate) use meter::Meters;

use crate::catalogue::{CatalogueError, Write};
use crate::error::{Error, Fault, FaultKind, Result};
use crate::model::{Job, JobStatus, Operation, Work, WorkKind};
use crate::service::Service;
use jiff::SignedDuration;
use meter::Meter;
use std::sync::Arc;
use std::time::Duration;
use tresor_store::PointKey;
use uuid::Uuid;

/// How long a lease lasts, real time.
const LEASE: SignedDuration = SignedDuration::from_secs(60);
/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(20);
/// How long an idle worker waits before it looks again by itself.
const IDLE: Duration = Duration::from_secs(5);
/// How long work that has to wait for others is left alone, real time.
const LATER: SignedDuration = SignedDuration::from_mins(2);
/// Attempts of one work item before it is given up, so that one that kills the service cannot keep
/// it down for ever.
const ATTEMPTS_MAX: i64 = 20;

/// One leased work item.
struct Task {
    service: Arc<Service>,
    work: Work,
    meter: Arc<Meter>,
}

/// How often old operations and events are removed, real time.
const TIDY: Duration = Duration::from_secs(3600);
/// How long ended operations can be polled, domain time.
const OPERATIONS_KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Removes operations that nobody polls any more, documents whose time is over and old events, at
/// once and then every hour.
pub(crate) async fn tidy(service: Arc<Service>) {
    let mut stopping = service.stopping.subscribe();
    loop {
        if let Err(error) = forget_operations(&service).await {
            crate::service::log(error);
        }
        let (held, now) = (Arc::clone(&service), service.env.real());
        match tokio::task::spawn_blocking(move || held.exports.sweep_expired(now)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => drop(crate::service::log(error)),
            Err(error) => tracing::error!(%error, "old exports could not be swept"),
        }
        if let Err(error) = service.forget_events().await {
            crate::service::log(error);
        }
        tokio::select! {
            () = tokio::time::sleep(TIDY) => {}
            _ = stopping.wait_for(|s| *s) => return,
        }
    }
}

/// Removes operations that nobody polls any more.
pub(crate) async fn forget_operations(service: &Service) -> Result<()> {
    let before = service.env.domain().checked_sub(OPERATIONS_KEPT).unwrap_or_default();
    service.apply(vec![Write::ForgetOperations(before)]).await
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
    if let Some(older) = service.meters.add(work.id, work.job, &meter) {
        // This process was held up for so long that its own lease ended. The older attempt is told
        // to stop, and the work goes on when this lease ends in its turn: two attempts must never
        // write side by side.
        tracing::warn!(work = %work.id, "the work is still being done; it will go on later");
        older.cancel();
        return;
    }
    let task = Task { service: Arc::clone(service), work, meter };
    let renewing = tokio::spawn(renew(
        Arc::clone(service),
        task.work.id,
        task.work.fence,
        Arc::clone(&task.meter),
    ));
    let hooks = service.hooks();
    if let Some(fault) = hooks.and_then(|hooks| hooks.faults().doom_of(task.work.id)) {
        task.settle_failure(fault.into()).await;
    } else {
        task.attempt_once().await;
    }
    renewing.abort();
    if let (Some(hooks), Ok(Some(job))) = (hooks, task.job().await)
        && job.status != JobStatus::InProgress
    {
        hooks.note_ended(job);
    }
    service.meters.remove(task.work.id);
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
    /// Does the work and settles what came of it.
    async fn attempt_once(&self) {
        let outcome = if self.work.fence > ATTEMPTS_MAX && self.work.kind.may_fail() {
            let message = format!("The work was given up after {ATTEMPTS_MAX} attempts.");
            Err(Fault::new(FaultKind::Internal, message).into())
        } else {
            self.run().await
        };
        match outcome {
            Ok(true) => {}
            Ok(false) => self.leave_for_later().await,
            Err(error) if error.kind() == FaultKind::Unavailable => self.leave_for_later().await,
            Err(error) => self.settle_failure(error).await,
        }
    }

    /// True when the work is done, false when it has to wait for others.
    async fn run(&self) -> Result<bool> {
        match self.work.kind.clone() {
            WorkKind::Purge { instance } => return purge::run(self, instance).await,
            WorkKind::Discard { volumes, points } => {
                return discard::run(self, &volumes, &points).await;
            }
            WorkKind::Backup { instance, point, snapshot } => {
                backup::run(self, &instance, &point, &snapshot).await?;
            }
            WorkKind::Restore { instance, point, target, unique_id, .. } => {
                restore::run(self, instance, &point, &target, unique_id).await?;
            }
            WorkKind::Snapshot { snapshot, unique_id, .. } => {
                snapshot::run(self, &snapshot, unique_id).await?;
            }
            WorkKind::Fill { disk, unique_id } => fill::run(self, &disk, unique_id).await?,
            WorkKind::Export { vault } => export::run(self, vault).await?,
        }
        Ok(true)
    }

    /// Removes a point record, unless it is pinned; true when it is gone.
    async fn remove_point(&self, key: PointKey) -> Result<bool> {
        let store = self.service.store.clone();
        let removed = tokio::task::spawn_blocking(move || store.remove_point(&key)).await;
        match removed.map_err(|e| Error::internal("removing a point", e))? {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == tresor_store::ErrorKind::Pinned => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps the lease for a while without working, so that nobody looks before.
    async fn leave_for_later(&self) {
        let until = self.service.env.real().checked_add(LATER).unwrap_or_default();
        let (work, fence) = (self.work.id, self.work.fence);
        match self.service.catalogue.renew_work(work, fence, until).await {
            Ok(()) => self.service.meters.wait(work, fence),
            Err(error) => tracing::debug!(%work, %error, "work that waits lost its lease"),
        }
    }

    /// Marks a step: in the log, in the job and as a place where tests stop the service.
    async fn step(&self, name: &'static str) -> Result<()> {
        if let Some(mut job) = self.job().await? {
            job.progress.attempts = self.attempt();
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
        if !self.work.kind.may_fail() {
            crate::service::log(error);
            return self.leave_for_later().await;
        }
        if self.apply(vec![]).await.is_err() {
            tracing::warn!(work = %self.work.id, "the work is another worker's now");
            return;
        }
        let fault = crate::service::log(error);
        let (work, job) = (self.work.id, self.work.job.map(tracing::field::display));
        tracing::warn!(%work, job, reason = fault.message, "work failed");
        let settled = match self.work.kind.clone() {
            WorkKind::Backup { instance, point, .. } => {
                backup::fail(self, &instance, &point, &fault).await
            }
            WorkKind::Restore { target, unique_id, .. } => {
                made::fail(self, &target, unique_id, &fault).await
            }
            WorkKind::Snapshot { snapshot, unique_id, point } => {
                snapshot::fail(self, &snapshot, unique_id, &point, &fault).await
            }
            WorkKind::Fill { disk, unique_id } => made::fail(self, &disk, unique_id, &fault).await,
            WorkKind::Export { vault } => export::fail(self, vault, &fault).await,
            WorkKind::Purge { .. } | WorkKind::Discard { .. } => Ok(()),
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

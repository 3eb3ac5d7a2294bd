//! Jobs and recovery points, as people look at them.
//!
//! What a query wants is looked for page by page: a page may hold fewer rows than its limit and
//! still have a next one.

use super::Service;
use crate::catalogue::{JobFilter, Page, PointFilter};
use crate::error::{Fault, Result};
use crate::model::{Job, JobCategory, JobStatus, Point, PointState, ResourceId};
use jiff::Timestamp;
use uuid::Uuid;

/// Which jobs of a vault are wanted; None is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobQuery {
    /// Where they stand.
    pub status: Option<JobStatus>,
    /// What they do.
    pub category: Option<JobCategory>,
    /// Whether a person asked for them.
    pub user_triggered: Option<bool>,
    /// The disk that is protected.
    pub disk: Option<ResourceId>,
    /// Started at or after this time.
    pub from: Option<Timestamp>,
    /// Started at or before this time.
    pub to: Option<Timestamp>,
}

impl JobQuery {
    fn takes(&self, job: &Job) -> bool {
        self.status.is_none_or(|status| job.status == status)
            && self.category.is_none_or(|category| job.category == category)
            && self.user_triggered.is_none_or(|asked| job.user_triggered == asked)
            && self.disk.as_ref().is_none_or(|disk| job.disk == *disk)
            && self.from.is_none_or(|from| job.started >= from)
            && self.to.is_none_or(|to| job.started <= to)
    }
}

/// Which recovery points of an instance are wanted; None is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PointQuery {
    /// At or after this time.
    pub from: Option<Timestamp>,
    /// At or before this time.
    pub to: Option<Timestamp>,
    /// Held by this store.
    pub store: Option<Uuid>,
    /// Whole or damaged.
    pub state: Option<PointState>,
}

impl Service {
    /// Jobs of a vault, newest first.
    ///
    /// # Errors
    /// `NotFound` when there is no such vault.
    pub async fn jobs(
        &self,
        vault: &ResourceId,
        query: &JobQuery,
        after: Option<String>,
        limit: u32,
    ) -> Result<Page<Job>> {
        let (head, vault) = self.vault(vault).await?;
        let filter = JobFilter { vault: vault.unique_id, after, limit };
        let mut page = self.catalogue.jobs(&filter).await?;
        // They come newest first: behind one that is too old there are only older ones.
        if page.rows.last().is_some_and(|last| query.from.is_some_and(|from| last.started < from)) {
            page.after = None;
        }
        page.rows.retain(|job| query.takes(job));
        page.rows.iter_mut().for_each(|job| self.live(&head.id, job));
        Ok(page)
    }

    /// One job of a vault.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn job(&self, vault: &ResourceId, id: Uuid) -> Result<Job> {
        let (head, vault) = self.vault(vault).await?;
        let job = self.catalogue.job(id).await?;
        let job = job.filter(|j| j.vault_unique_id == vault.unique_id);
        let mut job = job.ok_or_else(|| Fault::not_found("backup job", id))?;
        self.live(&head.id, &mut job);
        Ok(job)
    }

    /// Puts what holds at this moment into a job: where its vault is, which may have been deleted
    /// and restored elsewhere, and the figures of one that runs here.
    pub(crate) fn live(&self, vault: &ResourceId, job: &mut Job) {
        job.vault = vault.clone();
        if job.status == JobStatus::InProgress
            && let Some(meter) = self.meters.of(job.id)
        {
            meter.fill(&mut job.progress, self.env.monotonic());
        }
    }

    /// Recovery points of an instance, newest first.
    ///
    /// # Errors
    /// `NotFound` when there is no such instance.
    pub async fn points(
        &self,
        instance: &ResourceId,
        query: &PointQuery,
        after: Option<String>,
        limit: u32,
    ) -> Result<Page<Point>> {
        let (_, instance) = self.instance(instance).await?;
        let (from, to) = (query.from, query.to);
        let filter = PointFilter { instance: instance.unique_id, from, to, after, limit };
        let mut page = self.catalogue.points(&filter).await?;
        page.rows.retain(|point| {
            query.store.is_none_or(|store| point.store == store)
                && query.state.is_none_or(|state| point.state == state)
        });
        Ok(page)
    }

    /// One recovery point of an instance.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn point(&self, instance: &ResourceId, key: &str) -> Result<Point> {
        let (_, instance) = self.instance(instance).await?;
        let point = self.catalogue.point(instance.unique_id, key).await?;
        Ok(point.ok_or_else(|| Fault::not_found("recovery point", key))?)
    }
}

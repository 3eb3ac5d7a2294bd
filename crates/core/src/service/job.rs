//! Jobs and recovery points, as people look at them.

use super::Service;
use crate::catalogue::{JobFilter, Page, PointFilter};
use crate::error::{Fault, Result};
use crate::model::{Job, JobStatus, Point, ResourceId};
use jiff::Timestamp;
use uuid::Uuid;

impl Service {
    /// Jobs of a vault, newest first.
    ///
    /// # Errors
    /// `NotFound` when there is no such vault.
    pub async fn jobs(
        &self,
        vault: &ResourceId,
        after: Option<String>,
        limit: u32,
    ) -> Result<Page<Job>> {
        self.vault(vault).await?;
        let filter = JobFilter { vault: vault.clone(), after, limit };
        let mut page = self.catalogue.jobs(&filter).await?;
        page.rows.iter_mut().for_each(|job| self.live(job));
        Ok(page)
    }

    /// One job of a vault.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn job(&self, vault: &ResourceId, id: Uuid) -> Result<Job> {
        self.vault(vault).await?;
        let job = self.catalogue.job(id).await?.filter(|j| j.vault == *vault);
        let mut job = job.ok_or_else(|| Fault::not_found("backup job", id))?;
        self.live(&mut job);
        Ok(job)
    }

    /// Puts the figures of this moment into a job that runs here.
    fn live(&self, job: &mut Job) {
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
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        after: Option<String>,
        limit: u32,
    ) -> Result<Page<Point>> {
        let (_, instance) = self.instance(instance).await?;
        let filter = PointFilter { instance: instance.unique_id, from, to, after, limit };
        Ok(self.catalogue.points(&filter).await?)
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

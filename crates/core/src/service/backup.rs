//! Asking for a backup now.

use super::{Caller, Service};
use crate::catalogue::{CatalogueError, JobFilter, PAGE_MAX, Write};
use crate::error::{Fault, FaultKind, Result};
use crate::model::{
    Instance, Job, JobCategory, JobStatus, Operation, Progress, ProtectionState, Resource,
    ResourceId, WorkKind,
};
use jiff::SignedDuration;
use uuid::Uuid;

impl Service {
    /// Queues a backup of an instance; the operation ends at once and names the job.
    ///
    /// # Errors
    /// `NotFound`; `InvalidInput` when the policy has no such rule or tag; `InstanceState`. A
    /// backup that runs already, or a quota, fails the operation.
    pub async fn backup_start(
        &self,
        caller: &Caller,
        id: &ResourceId,
        rule: &str,
        tag: Option<&str>,
    ) -> Result<Operation> {
        let _change = self.change.lock().await;
        let (head, instance) = self.instance(id).await?;
        let (vault_head, vault) = self.vault(&instance.vault).await?;
        let tag = self.tag_for(&instance, rule, tag).await?;
        if !matches!(instance.state, ProtectionState::Configured | ProtectionState::Error) {
            let message = format!(
                "The backup instance '{}' cannot be backed up: {:?}.",
                id.name(),
                instance.state
            );
            return Err(Fault::new(FaultKind::InstanceState, message)
                .advise("Resume its protection first.")
                .into());
        }
        let mut job = self.new_job(caller, &head, &instance, JobCategory::Backup);
        job.tag = Some(tag);
        let mut operation = self.begin(caller, &vault_head.id, vault.unique_id);
        let most = self.settings.limits.table().backups_per_day;
        if let Err(error) = self.check_daily(&instance, JobCategory::Backup, most).await {
            return self.end_failed(operation, *error.fault).await;
        }
        operation.job = Some(job_id(&vault_head.id, job.id)?);
        operation = self.done(operation);
        let kind = WorkKind::Backup {
            instance: head.id.clone(),
            point: self.env.uuid().simple().to_string(),
            snapshot: self.env.uuid().to_string(),
        };
        let work = self.work(kind, None, Some(job.id));
        let writes = vec![
            Write::Claim { name: running(instance.unique_id), holder: job.id.to_string() },
            Write::PutJob(job),
            Write::AddWork(work),
            Write::PutOperation(operation.clone()),
        ];
        match self.commit(writes).await {
            Ok(()) => {
                self.nudge.notify_one();
                Ok(operation)
            }
            Err(CatalogueError::Conflict(_)) => {
                operation.job = None;
                self.end_failed(operation, backup_running()).await
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) async fn end_failed(&self, operation: Operation, fault: Fault) -> Result<Operation> {
        let operation = self.failed(operation, fault);
        self.apply(vec![Write::PutOperation(operation.clone())]).await?;
        Ok(operation)
    }

    /// The tag that a backup by this rule gets.
    async fn tag_for(&self, instance: &Instance, rule: &str, tag: Option<&str>) -> Result<String> {
        let (_, policy) = self.policy(&instance.policy).await?;
        let known = crate::policy::backup_rule(&policy);
        let Some(known) = known.filter(|r| r.name.eq_ignore_ascii_case(rule)) else {
            let name = known.map(|r| r.name.clone()).unwrap_or_default();
            let message =
                format!("ruleName: the policy has no backup rule '{rule}', only '{name}'.");
            return Err(Fault::invalid("backupRuleOptions.ruleName", message).into());
        };
        let default = known.tags.iter().find(|t| t.is_default).map(|t| t.tag.clone());
        let wanted = tag.map(str::to_owned).or(default).unwrap_or_default();
        match crate::policy::retention_of(&policy, &wanted) {
            Some(retention) => Ok(retention.name.clone()),
            None => {
                let field = "backupRuleOptions.triggerOption.retentionTagOverride";
                let message =
                    format!("retentionTagOverride: the policy has no retention rule '{wanted}'.");
                Err(Fault::invalid(field, message).into())
            }
        }
    }

    pub(crate) fn new_job(
        &self,
        caller: &Caller,
        head: &Resource,
        instance: &Instance,
        category: JobCategory,
    ) -> Job {
        let now = self.env.domain();
        Job {
            id: self.env.uuid(),
            vault: instance.vault.clone(),
            vault_unique_id: instance.vault_unique_id,
            instance: head.id.clone(),
            instance_unique_id: instance.unique_id,
            instance_name: instance.friendly_name.clone(),
            policy: instance.policy.clone(),
            disk: instance.disk.id.clone(),
            disk_location: instance.disk.location.clone().unwrap_or_default(),
            category,
            user_triggered: true,
            status: JobStatus::InProgress,
            activity: caller.correlation,
            started: now,
            changed: now,
            ended: None,
            error: None,
            tag: None,
            source: None,
            made: None,
            target: None,
            progress: Progress::default(),
            step: String::new(),
        }
    }

    /// Refuses one more job of an instance when a daily quota is on and reached.
    pub(crate) async fn check_daily(
        &self,
        instance: &Instance,
        category: JobCategory,
        most: Option<u32>,
    ) -> Result<()> {
        let Some(most) = most else { return Ok(()) };
        let day = SignedDuration::from_hours(24);
        let from = self.env.domain().checked_sub(day).unwrap_or_default();
        let vault = instance.vault_unique_id;
        let mut filter = JobFilter { vault, after: None, limit: PAGE_MAX };
        let mut count = 0;
        loop {
            let page = self.catalogue.jobs(&filter).await?;
            let recent = page.rows.iter().take_while(|j| j.started > from);
            count += recent
                .filter(|j| j.instance_unique_id == instance.unique_id && j.category == category)
                .filter(|j| j.user_triggered)
                .count();
            let older = page.rows.last().is_none_or(|j| j.started <= from);
            match page.after {
                Some(after) if !older => filter.after = Some(after),
                _ => break,
            }
        }
        if count < most as usize {
            return Ok(());
        }
        let message = format!("This instance had {most} such jobs in the last 24 hours.");
        Err(Fault::new(FaultKind::Quota, message).advise("Wait until tomorrow.").into())
    }
}

/// The claim that lets one backup of an instance run at a time.
pub(crate) fn running(instance: Uuid) -> String {
    format!("backup:{instance}")
}

/// The id of a job of a vault.
pub(crate) fn job_id(vault: &ResourceId, job: Uuid) -> Result<ResourceId> {
    let id = vault.join(&format!("backupJobs/{job}"));
    id.map_err(|e| crate::error::Error::internal("naming a job", e))
}

fn backup_running() -> Fault {
    let message = "Unable to start the operation as a backup of this instance is running.";
    Fault::new(FaultKind::BackupRunning, message)
        .advise("Wait until the running backup has completed.")
}

//! Jobs: one in full, and the shorter form that lists show.

use super::datasource::DISKS;
use super::{duration, time};
use crate::wire::body::Dialect;
use crate::wire::catalogue;
use crate::wire::error::ArmError;
use crate::wire::filter::{self, Term};
use serde_json::{Map, Value, json};
use tresor_core::model::{Job, JobCategory, JobStatus, PointRef, Progress, ResourceId};
use tresor_core::service::JobQuery;

/// How a job is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// By itself.
    Full,
    /// By itself, to a client of 2021-01-01, which spells one member differently.
    Full2021,
    /// In a list.
    Row,
    /// In a list, to a client of 2021-01-01.
    Row2021,
}

/// A job as a document of all jobs holds it.
pub(crate) fn document(job: &Job) -> String {
    json(job, View::Full).to_string()
}

/// A job as ARM shows it.
pub(crate) fn json(job: &Job, view: View) -> Value {
    let kind = match view {
        View::Full2021 | View::Row2021 => "Microsoft.DataProtection/BackupVaults/backupJobs",
        _ => "Microsoft.DataProtection/backupVaults/backupJobs",
    };
    json!({
        "properties": properties(job, view),
        "id": format!("{}/backupJobs/{}", job.vault, job.id),
        "name": job.id.to_string(),
        "type": kind,
    })
}

fn properties(job: &Job, view: View) -> Value {
    let row = matches!(view, View::Row | View::Row2021);
    let took = duration::between(job.started, job.ended);
    let took = if row { duration::clock(took) } else { duration::iso(took) };
    let told = |e| vec![catalogue::user_facing(e, Dialect::DataProtection, job.activity)];
    let errors = job.error.as_ref().map(told);
    let extended = if row { Value::Null } else { extended(job, view) };
    // In lists the service names where a backup goes; in a single job it does not.
    let goes_to = (row && job.category == JobCategory::Backup).then_some("OperationalTierStore");
    json!({
        "activityID": job.activity.to_string(),
        "subscriptionId": job.vault.subscription().unwrap_or_default(),
        "backupInstanceId": job.instance.as_str(),
        "policyId": job.policy.as_str(),
        "dataSourceId": job.disk.as_str(),
        "vaultName": job.vault.name(),
        "backupInstanceFriendlyName": job.instance_name,
        "policyName": job.policy.name(),
        "sourceResourceGroup": job.disk.group().unwrap_or_default(),
        "dataSourceSetName": null,
        "dataSourceName": job.disk.name(),
        "sourceDataStoreName": null,
        "destinationDataStoreName": goes_to,
        "progressEnabled": true,
        "etag": time::job_etag(job.changed),
        "sourceSubscriptionID": job.disk.subscription().unwrap_or_default(),
        "dataSourceLocation": job.disk_location,
        "startTime": time::instant(job.started),
        "endTime": job.ended.map(time::instant),
        "dataSourceType": DISKS,
        "operationCategory": category(job.category),
        "operation": category(job.category),
        "status": status(job.status),
        "restoreType": null,
        "isUserTriggered": job.user_triggered,
        "rehydrationPriority": null,
        "supportedActions": if row { json!([]) } else { json!([""]) },
        "duration": took,
        "progressUrl": null,
        "errorDetails": errors,
        "extendedInfo": extended,
    })
}

/// The word for a category.
pub(crate) fn category(category: JobCategory) -> &'static str {
    match category {
        JobCategory::Backup => "Backup",
        JobCategory::Restore => "Restore",
    }
}

/// The word for a status.
pub(crate) fn status(status: JobStatus) -> &'static str {
    match status {
        JobStatus::InProgress => "InProgress",
        JobStatus::Completed => "Completed",
        JobStatus::Failed => "Failed",
    }
}

fn extended(job: &Job, view: View) -> Value {
    let moved = job.progress.transfer.as_ref().map(|t| t.stored);
    let mut out = Map::new();
    out.insert("backupInstanceState".into(), Value::Null);
    out.insert("dataTransferredInBytes".into(), json!(moved));
    if view == View::Full2021 {
        out.insert("dataTransferedInBytes".into(), json!(moved));
    }
    out.insert("targetRecoverPoint".into(), point(job.made.as_ref()));
    out.insert("sourceRecoverPoint".into(), point(job.source.as_ref()));
    let target = job.target.as_ref().map(|id| id.as_str());
    out.insert("recoveryDestination".into(), json!(target));
    out.insert("subTasks".into(), json!([task(job)]));
    out.insert("additionalDetails".into(), Value::Object(details(job)));
    out.insert("warningDetails".into(), Value::Null);
    Value::Object(out)
}

fn point(point: Option<&PointRef>) -> Value {
    point.map_or(Value::Null, |point| {
        json!({ "recoveryPointID": point.key, "recoveryPointTime": time::instant(point.time) })
    })
}

fn task(job: &Job) -> Value {
    let name = match job.category {
        JobCategory::Backup => "Trigger Backup",
        JobCategory::Restore => "Trigger Restore",
    };
    let moved = job.progress.transfer.as_ref().map_or(0, |t| t.stored);
    json!({
        "taskId": 1,
        "taskName": name,
        "taskStatus": status(job.status),
        "taskProgress": percent(job).map(|p| format!("{p}%")),
        "additionalDetails": {
            "DataTransferredInBytes": moved.to_string(),
            "TaskId": "1",
            "DatasourceType": DISKS,
        },
    })
}

/// Reads the filter of a list of jobs. Azure's specification has none for jobs of the vault's own
/// region; the names are those of its jobs of another region.
///
/// # Errors
/// Names the part that has another form, an unknown name or a bad value.
pub(crate) fn query(text: &str) -> Result<JobQuery, ArmError> {
    let mut query = JobQuery::default();
    for term in filter::terms(text)? {
        let Term::Equals(name, value) = term else {
            return Err(filter::refusal(text));
        };
        let word = value.trim().to_ascii_lowercase();
        match (name.as_str(), word.as_str()) {
            ("status", "inprogress") => query.status = Some(JobStatus::InProgress),
            ("status", "completed") => query.status = Some(JobStatus::Completed),
            ("status", "failed") => query.status = Some(JobStatus::Failed),
            ("operation" | "operationcategory", "backup") => {
                query.category = Some(JobCategory::Backup);
            }
            ("operation" | "operationcategory", "restore") => {
                query.category = Some(JobCategory::Restore);
            }
            ("operation", "ondemandbackup" | "scheduledbackup") => {
                query.category = Some(JobCategory::Backup);
                query.user_triggered = Some(word == "ondemandbackup");
            }
            ("starttime", _) => query.from = Some(filter::instant(&name, &value)?),
            ("endtime", _) => query.to = Some(filter::instant(&name, &value)?),
            ("datasourceid", _) => {
                let id = ResourceId::parse(value.trim());
                query.disk = Some(id.map_err(|e| filter::wrong(format!("dataSourceId: {e}.")))?);
            }
            ("status" | "operation" | "operationcategory", _) => {
                return Err(filter::wrong(format!("'{value}' is no {name} of a job.")));
            }
            _ => {
                return Err(filter::wrong(format!(
                    "'{name}' is unknown; use status, operation, dataSourceId, startTime and \
                     endTime."
                )));
            }
        }
    }
    Ok(query)
}

/// Hundredths done, when they are known; 100 is kept for what has ended.
fn percent(job: &Job) -> Option<u64> {
    if job.status == JobStatus::Completed {
        return Some(100);
    }
    let Progress { done, total, .. } = job.progress;
    let hundredths = u128::from(done) * 100 / u128::from(total).max(1);
    (total > 0).then(|| u64::try_from(hundredths).unwrap_or(99).min(99))
}

/// What Tresor tells beyond Azure, all as text, as the model has it.
fn details(job: &Job) -> Map<String, Value> {
    let mut out = Map::new();
    let mut put = |name: &str, value: String| {
        out.insert(name.to_owned(), Value::String(value));
    };
    if let Some(tag) = &job.tag {
        put("RetentionTag", tag.clone());
    }
    if let Some(moved) = &job.progress.transfer {
        put("BytesRead", moved.read.to_string());
        put("BytesNew", moved.new.to_string());
        put("BytesStored", moved.stored.to_string());
        put("BytesTransferred", moved.stored.to_string());
        put("BytesDeduplicated", moved.deduplicated.to_string());
        put("BytesFoundAgain", moved.found_again.to_string());
    }
    if let Some(percent) = percent(job) {
        put("PercentComplete", percent.to_string());
    }
    let Progress { done, total, rate, attempts, .. } = job.progress;
    if rate > 0 {
        put("BytesPerSecond", rate.to_string());
    }
    if job.status == JobStatus::InProgress && rate > 0 && total > 0 {
        put("SecondsLeft", total.saturating_sub(done).div_ceil(rate).to_string());
    }
    put("Attempts", attempts.to_string());
    if !job.step.is_empty() {
        put("Step", job.step.clone());
    }
    out
}

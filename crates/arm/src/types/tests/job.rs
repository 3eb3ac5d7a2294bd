//! Jobs.

use super::{at, id, vault_id};
use crate::types::job::{self, View};
use serde_json::{Value, json};
use tresor_core::error::{Fault, FaultKind};
use tresor_core::model::{Job, JobCategory, JobStatus, PointRef, Progress, Transfer};
use tresor_core::service::JobQuery;
use uuid::Uuid;

const JOB: Uuid = Uuid::from_u128(0xc4bd);
const KEY: &str = "a3d02fc3ab8a4c3a8cc26688c26d3356";

fn backup() -> Job {
    let vault = vault_id();
    Job {
        id: JOB,
        vault_unique_id: Uuid::from_u128(4),
        instance: vault.join("backupInstances/disk1-x").unwrap(),
        instance_unique_id: Uuid::from_u128(1),
        instance_name: "disk1".into(),
        policy: vault.join("backupPolicies/DiskPolicy4h").unwrap(),
        disk: id("/resourceGroups/rg-src/providers/Microsoft.Compute/disks/disk1"),
        disk_location: "westus".into(),
        category: JobCategory::Backup,
        user_triggered: true,
        status: JobStatus::Completed,
        activity: Uuid::from_u128(2),
        started: at("2026-01-08T06:08:53.940517Z"),
        changed: at("2026-01-08T06:12:40.157629Z"),
        ended: Some(at("2026-01-08T06:12:39.6815066Z")),
        error: None,
        tag: Some("Default".into()),
        source: None,
        made: Some(PointRef { key: KEY.into(), time: at("2026-01-08T06:09:41.6354913Z") }),
        target: None,
        progress: Progress {
            done: 100,
            total: 100,
            rate: 0,
            attempts: 1,
            transfer: Some(Transfer {
                read: 100,
                new: 60,
                stored: 40,
                deduplicated: 30,
                found_again: 10,
            }),
        },
        step: String::new(),
        vault,
    }
}

#[test]
fn filters_of_jobs() {
    let disk = id("/resourceGroups/rg-src/providers/Microsoft.Compute/disks/disk1");
    let text = format!(
        "status eq 'inProgress' and operation eq 'ScheduledBackup' and dataSourceId eq '{disk}' \
         and startTime eq '2026-01-01T00:00:00Z' and endTime eq '2026-02-01T00:00:00.5Z'"
    );
    let expected = JobQuery {
        status: Some(JobStatus::InProgress),
        category: Some(JobCategory::Backup),
        user_triggered: Some(false),
        disk: Some(disk),
        from: Some(at("2026-01-01T00:00:00Z")),
        to: Some(at("2026-02-01T00:00:00.5Z")),
    };
    assert_eq!(job::query(&text).unwrap(), expected);
    assert_eq!(job::query(" ").unwrap(), JobQuery::default());
    let restores = job::query("operationCategory eq 'Restore'").unwrap();
    assert_eq!((restores.category, restores.user_triggered), (Some(JobCategory::Restore), None));
    for bad in ["status eq 'Lost'", "operation eq ''", "colour eq 'red'", "startTime eq 'x'"] {
        assert_eq!(job::query(bad).unwrap_err().code, "BMSUserErrorInvalidInput", "{bad}");
    }
}

#[test]
fn a_document_holds_jobs_in_full() {
    let text: Value = serde_json::from_str(&job::document(&backup())).unwrap();
    assert_eq!(text, job::json(&backup(), View::Full));
    let row = job::json(&backup(), View::Row2021);
    assert_eq!(row["type"], "Microsoft.DataProtection/BackupVaults/backupJobs");
}

fn extended() -> Value {
    json!({
        "backupInstanceState": null,
        "dataTransferredInBytes": 40,
        "targetRecoverPoint": {
            "recoveryPointID": KEY,
            "recoveryPointTime": "2026-01-08T06:09:41.6354913Z",
        },
        "sourceRecoverPoint": null,
        "recoveryDestination": null,
        "subTasks": [{
            "taskId": 1,
            "taskName": "Trigger Backup",
            "taskStatus": "Completed",
            "taskProgress": "100%",
            "additionalDetails": {
                "DataTransferredInBytes": "40",
                "TaskId": "1",
                "DatasourceType": "Microsoft.Compute/disks",
            },
        }],
        "additionalDetails": {
            "RetentionTag": "Default",
            "BytesRead": "100",
            "BytesNew": "60",
            "BytesStored": "40",
            "BytesTransferred": "40",
            "BytesDeduplicated": "30",
            "BytesFoundAgain": "10",
            "PercentComplete": "100",
            "Attempts": "1",
        },
        "warningDetails": null,
    })
}

#[test]
fn a_backup_job_as_published() {
    let vault = vault_id();
    let expected = json!({
        "properties": {
            "activityID": Uuid::from_u128(2).to_string(),
            "subscriptionId": "11111111-2222-3333-4444-555555555555",
            "backupInstanceId": format!("{vault}/backupInstances/disk1-x"),
            "policyId": format!("{vault}/backupPolicies/DiskPolicy4h"),
            "dataSourceId":
                id("/resourceGroups/rg-src/providers/Microsoft.Compute/disks/disk1").as_str(),
            "vaultName": "vault1",
            "backupInstanceFriendlyName": "disk1",
            "policyName": "DiskPolicy4h",
            "sourceResourceGroup": "rg-src",
            "dataSourceSetName": null,
            "dataSourceName": "disk1",
            "sourceDataStoreName": null,
            "destinationDataStoreName": null,
            "progressEnabled": true,
            "etag": "W/\"datetime'2026-01-08T06%3A12%3A40.157629Z'\"",
            "sourceSubscriptionID": "11111111-2222-3333-4444-555555555555",
            "dataSourceLocation": "westus",
            "startTime": "2026-01-08T06:08:53.9405170Z",
            "endTime": "2026-01-08T06:12:39.6815066Z",
            "dataSourceType": "Microsoft.Compute/disks",
            "operationCategory": "Backup",
            "operation": "Backup",
            "status": "Completed",
            "restoreType": null,
            "isUserTriggered": true,
            "rehydrationPriority": null,
            "supportedActions": [""],
            "duration": "PT3M45.7409896S",
            "progressUrl": null,
            "errorDetails": null,
            "extendedInfo": extended(),
        },
        "id": format!("{vault}/backupJobs/{JOB}"),
        "name": JOB.to_string(),
        "type": "Microsoft.DataProtection/backupVaults/backupJobs",
    });
    assert_eq!(job::json(&backup(), View::Full), expected);
}

#[test]
fn lists_are_shorter_and_write_durations_as_clocks() {
    let row = job::json(&backup(), View::Row);
    let properties = &row["properties"];
    assert_eq!(properties["duration"], "00:03:45.7409896");
    assert_eq!(properties["supportedActions"], json!([]));
    assert_eq!(properties["extendedInfo"], Value::Null);
    assert_eq!(properties["destinationDataStoreName"], "OperationalTierStore");
}

#[test]
fn the_first_version_has_both_spellings() {
    let shown = job::json(&backup(), View::Full2021);
    assert_eq!(shown["type"], "Microsoft.DataProtection/BackupVaults/backupJobs");
    let info = &shown["properties"]["extendedInfo"];
    assert_eq!(
        (&info["dataTransferedInBytes"], &info["dataTransferredInBytes"]),
        (&json!(40), &json!(40))
    );
}

#[test]
fn a_restore_says_where_to_and_how_far() {
    let target = id("/resourceGroups/rg-target/providers/Microsoft.Compute/disks/APITestDisk2");
    let running = Job {
        category: JobCategory::Restore,
        status: JobStatus::InProgress,
        ended: None,
        tag: None,
        made: None,
        source: Some(PointRef { key: KEY.into(), time: at("2026-01-08T06:09:41.6354913Z") }),
        target: Some(target.clone()),
        progress: Progress { done: 425, total: 1000, rate: 100, attempts: 2, transfer: None },
        step: "copy".into(),
        ..backup()
    };
    let shown = job::json(&running, View::Full);
    let properties = &shown["properties"];
    assert_eq!(properties["duration"], "PT0S");
    assert_eq!(properties["endTime"], Value::Null);
    let info = &properties["extendedInfo"];
    assert_eq!(info["recoveryDestination"], target.as_str());
    assert_eq!(info["sourceRecoverPoint"]["recoveryPointID"], KEY);
    assert_eq!(info["subTasks"][0]["taskName"], "Trigger Restore");
    assert_eq!(info["subTasks"][0]["taskProgress"], "42%");
    assert_eq!(
        info["additionalDetails"],
        json!({
            "PercentComplete": "42",
            "BytesPerSecond": "100",
            "SecondsLeft": "6",
            "Attempts": "2",
            "Step": "copy",
        })
    );
}

#[test]
fn a_job_is_whole_only_when_it_has_ended() {
    let progress = Progress { done: 10, total: 10, ..Progress::default() };
    let running = Job { status: JobStatus::InProgress, progress, ended: None, ..backup() };
    let shown = job::json(&running, View::Full);
    assert_eq!(shown["properties"]["extendedInfo"]["subTasks"][0]["taskProgress"], "99%");
    let unknown = Job { progress: Progress::default(), ..running };
    let shown = job::json(&unknown, View::Full);
    assert_eq!(shown["properties"]["extendedInfo"]["subTasks"][0]["taskProgress"], Value::Null);
}

#[test]
fn a_failed_job_says_why() {
    let error = Some(Fault::new(FaultKind::StoreFull, "The store is full."));
    let failed = Job { status: JobStatus::Failed, error, ..backup() };
    let shown = job::json(&failed, View::Full);
    let details = &shown["properties"]["errorDetails"];
    assert_eq!(details.as_array().unwrap().len(), 1);
    assert_eq!(details[0]["message"], "The store is full.");
    assert_eq!(details[0]["properties"]["ActivityId"], Uuid::from_u128(2).to_string());
}

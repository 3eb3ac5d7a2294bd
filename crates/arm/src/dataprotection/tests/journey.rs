//! The whole way of a disk: protected, backed up, restored, and all of it taken down again.

use super::{
    CONTRIBUTOR, OPERATOR, READER, Stage, backup_body, instance_body, local, policy_body,
    restore_body,
};
use http::Method;
use serde_json::{Value, json};

/// A protected disk.
pub(super) struct Protected {
    pub(super) disk: String,
    pub(super) vault: String,
    pub(super) instance: String,
    pub(super) target: String,
}

pub(super) async fn protected(stage: &Stage) -> Protected {
    let group = stage.site.group("Group").await;
    let target = stage.site.group("Target").await;
    let disk = stage.disk(&group, "Disk1").await;
    let (vault, principal) = stage.vault(&group).await;
    let policy = format!("{vault}/backupPolicies/Policy");
    let made = stage.ask(Method::PUT, &policy, Some(policy_body())).await;
    assert_eq!(made.status, 200, "{made:?}");
    for (scope, role) in [(&disk, READER), (&group, CONTRIBUTOR), (&target, OPERATOR)] {
        stage.assign(scope, role, &principal).await;
    }
    let instance = format!("{vault}/backupInstances/Disk1-2dc6eb5b-d008-4d68-9e49-7132d99da0ed");
    let body = instance_body(&disk, &vault, &group);
    let path = format!("{vault}/validateForBackup");
    let first = stage.ask(Method::POST, &path, Some(json!({ "backupInstance": body }))).await;
    let status = stage.follow(&first).await;
    assert_eq!(status["status"], "Succeeded", "{status}");
    let put = stage.ask(Method::PUT, &instance, Some(json!({ "properties": body }))).await;
    assert_eq!(put.status, 201, "{put:?}");
    assert_eq!(put.body["properties"]["provisioningState"], "Provisioning");
    assert_eq!(put.header("location"), "");
    assert_eq!(stage.follow(&put).await["status"], "Succeeded");
    let found = stage.get(&instance).await;
    let status = &found["properties"]["protectionStatus"]["status"];
    assert_eq!(status, "ProtectionConfigured", "{found}");
    Protected { disk, vault, instance, target }
}

#[tokio::test]
async fn the_article_from_end_to_end() {
    let stage = Stage::new("2021-01-01").await;
    let made = protected(&stage).await;
    for _ in 0..2 {
        let job = stage.job(&format!("{}/backup", made.instance), backup_body()).await;
        assert_eq!(job["properties"]["status"], "Completed", "{job}");
        assert!(job["properties"]["extendedInfo"].get("dataTransferedInBytes").is_some());
    }
    let points = stage.get(&format!("{}/recoveryPoints", made.instance)).await;
    let points = points["value"].as_array().unwrap().clone();
    assert_eq!(points.len(), 2);
    let point = points[0]["name"].as_str().unwrap();
    let one = stage.get(&format!("{}/recoveryPoints/{point}", made.instance)).await;
    assert_eq!(one, points[0]);

    let disk = format!("{}/providers/Microsoft.Compute/disks/APITestDisk2", made.target);
    // The article's own body: the point outside, `dataSourceInfo`, `restoreTargetInfo`.
    let mut inner = restore_body(point, &disk);
    inner.as_object_mut().unwrap().remove("recoveryPointId");
    let text = inner.to_string().replace("RestoreTargetInfo\"", "restoreTargetInfo\"");
    let text = text.replace("datasourceInfo", "dataSourceInfo");
    let inner: Value = serde_json::from_str(&text).unwrap();
    let body = json!({
        "objectType": "ValidateRestoreRequestObject",
        "recoveryPointId": point,
        "restoreRequestObject": inner,
    });
    let path = format!("{}/validateRestore", made.instance);
    let first = stage.ask(Method::POST, &path, Some(body)).await;
    assert_eq!((first.status.as_u16(), &first.body), (202, &Value::Null));
    let url = local(first.header("azure-asyncoperation"));
    assert!(url.contains("/providers/Microsoft.DataProtection/locations/westus/operationStatus/"));
    assert_eq!(stage.follow(&first).await["status"], "Succeeded");
    let result = stage.site.ask(Method::GET, &local(first.header("location")), None).await;
    assert_eq!(result.body, json!({ "objectType": "OperationJobExtendedInfo" }));

    let path = format!("{}/restore", made.instance);
    let job = stage.job(&path, restore_body(point, &disk)).await;
    let properties = &job["properties"];
    assert_eq!(properties["status"], "Completed", "{job}");
    assert_eq!(properties["operationCategory"], "Restore");
    assert_eq!(properties["extendedInfo"]["recoveryDestination"], disk.as_str());
    assert_eq!(properties["extendedInfo"]["sourceRecoverPoint"]["recoveryPointID"], point);
    assert_eq!(stage.get(&disk).await["properties"]["diskSizeBytes"], 4 << 20);
    let jobs = stage.get(&format!("{}/backupJobs", made.vault)).await;
    assert_eq!(jobs["value"].as_array().unwrap().len(), 3);
    assert_eq!(jobs["value"][0]["properties"]["extendedInfo"], Value::Null);
}

#[tokio::test]
async fn newer_versions_follow_operations_below_the_vault() {
    let stage = Stage::new("2026-06-01").await;
    let made = protected(&stage).await;
    let path = format!("{}/backup", made.instance);
    let first = stage.ask(Method::POST, &path, Some(backup_body())).await;
    let status = stage.follow(&first).await;
    let job = status["properties"]["jobId"].as_str().unwrap();
    assert!(job.starts_with(&format!("{}/backupJobs/", made.vault)), "{job}");
    let id = status["id"].as_str().unwrap();
    assert!(id.starts_with(&format!("{}/operationStatus/", made.vault)), "{id}");
    let result = stage.site.ask(Method::GET, &local(first.header("location")), None).await;
    assert_eq!(result.body["jobId"], job);
}

#[tokio::test]
async fn protection_is_paused_and_resumed() {
    let stage = Stage::new("2025-07-01").await;
    let made = protected(&stage).await;
    let steps = [
        ("stopProtection", 202, "ProtectionStopped"),
        ("stopProtection", 200, "ProtectionStopped"),
        ("resumeProtection", 202, "ProtectionConfigured"),
        ("resumeProtection", 200, "ProtectionConfigured"),
        ("suspendBackups", 202, "BackupsSuspended"),
        ("resumeBackups", 202, "ProtectionConfigured"),
    ];
    for (verb, status, state) in steps {
        let got = stage.ask(Method::POST, &format!("{}/{verb}", made.instance), None).await;
        assert_eq!((got.status.as_u16(), &got.body), (status, &Value::Null), "{verb} {got:?}");
        if status == 202 {
            assert_eq!(stage.follow(&got).await["status"], "Succeeded");
        }
        let found = stage.get(&made.instance).await;
        assert_eq!(found["properties"]["currentProtectionState"], state, "{verb}");
    }
}

#[tokio::test]
async fn a_deleted_instance_can_still_be_seen() {
    let stage = Stage::new("2025-07-01").await;
    let made = protected(&stage).await;
    let policy = format!("{}/backupPolicies/Policy", made.vault);
    let held = stage.ask(Method::DELETE, &policy, None).await;
    assert_eq!((held.status.as_u16(), held.code()), (400, "UserErrorDppPolicyObjectInUse"));
    let held = stage.ask(Method::DELETE, &made.vault, None).await;
    assert_eq!(held.status, 400, "{held:?}");

    stage.finish(Method::DELETE, &made.instance, None).await;
    let gone = stage.ask(Method::GET, &made.instance, None).await;
    assert_eq!((gone.status.as_u16(), gone.code()), (404, "UserErrorGenericResourceNotFound"));
    assert_eq!(stage.ask(Method::DELETE, &made.instance, None).await.status, 204);
    let deleted = stage.get(&format!("{}/deletedBackupInstances", made.vault)).await;
    let row = &deleted["value"][0];
    assert_eq!(row["properties"]["objectType"], "DeletedBackupInstance");
    assert_eq!(row["properties"]["dataSourceInfo"]["resourceID"], made.disk.as_str());
    assert_eq!(&stage.get(row["id"].as_str().unwrap()).await, row);

    // It holds neither its policy nor its vault.
    assert_eq!(stage.ask(Method::DELETE, &policy, None).await.status, 200);
    assert_eq!(stage.ask(Method::DELETE, &policy, None).await.status, 204);
    let first = stage.ask(Method::DELETE, &made.vault, None).await;
    assert_eq!(first.status, 202, "{first:?}");
    let url = first.header("azure-asyncoperation").to_owned();
    assert!(url.contains("/resourceGroups/Group/") && url.contains("/locations/westus/"), "{url}");
    assert_eq!(stage.follow(&first).await["status"], "Succeeded");
    assert_eq!(stage.ask(Method::GET, &made.vault, None).await.status, 404);
    assert_eq!(stage.ask(Method::DELETE, &made.vault, None).await.status, 204);
}

#[tokio::test]
async fn pages_of_points_and_filters() {
    let stage = Stage::new("2025-07-01").await;
    let made = protected(&stage).await;
    for _ in 0..3 {
        stage.job(&format!("{}/backup", made.instance), backup_body()).await;
    }
    let path = format!("{}/recoveryPoints", made.instance);
    let all = stage.get(&path).await["value"].as_array().unwrap().clone();
    assert_eq!(all.len(), 3);
    let times: Vec<&str> =
        all.iter().map(|p| p["properties"]["recoveryPointTime"].as_str().unwrap()).collect();
    assert!(times.windows(2).all(|pair| pair[0] >= pair[1]), "newest first: {times:?}");
    let mut page = stage.get(&format!("{path}?$top=2")).await;
    assert_eq!(page["value"].as_array().unwrap().len(), 2);
    let next = local(page["nextLink"].as_str().unwrap());
    page = stage.site.ask(Method::GET, &next, None).await.body;
    assert_eq!(page["value"], json!([all[2]]));
    assert_eq!(page["nextLink"], Value::Null);
    let none = "startDate eq '2000-01-01T00:00:00Z' and endDate eq '2000-02-01T00:00:00Z'";
    let page = stage.get(&format!("{path}?$filter={none}")).await;
    assert_eq!(page["value"], json!([]));
    let bad = stage.ask(Method::GET, &format!("{path}?$filter=colour eq 'red'"), None).await;
    assert_eq!(bad.status, 400, "{bad:?}");
    assert_eq!(stage.get(&format!("{path}?$filter=")).await["value"].as_array().unwrap().len(), 3);
}

//! What is refused, with the code that clients expect, and changes nothing.

use super::{READER, Stage, backup_body, instance_body, policy_body, restore_body};
use http::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn what_is_not_built_says_so() {
    let stage = Stage::new("2026-06-01").await;
    let group = stage.site.group("rg").await;
    let (vault, _) = stage.vault(&group).await;
    let here = format!("{group}/providers/Microsoft.DataProtection");
    let refused = [
        (Method::POST, format!("{vault}/backupInstances/i/rehydrate")),
        (Method::POST, format!("{here}/locations/westus/crossRegionRestore")),
    ];
    for (method, path) in refused {
        let got = stage.ask(method, &path, Some(json!({}))).await;
        assert_eq!((got.status.as_u16(), got.code()), (400, "OperationNotSupported"), "{path}");
        let text = got.body["error"]["message"].as_str().unwrap();
        assert!(text.starts_with("Tresor does not support "), "{text}");
    }
    let below = stage.site.below("/providers/Microsoft.DataProtection");
    for path in [
        format!("{below}/locations/westus/deletedVaults"),
        format!("{group}/providers/Microsoft.DataProtection/backupInstances"),
    ] {
        assert_eq!(stage.get(&path).await, json!({ "value": [], "nextLink": null }), "{path}");
    }
}

#[tokio::test]
async fn every_missing_permission_is_named() {
    let stage = Stage::new("2025-07-01").await;
    let (group, snapshots) = (stage.site.group("rg").await, stage.site.group("snap").await);
    let disk = stage.disk(&group, "disk1").await;
    let (vault, principal) = stage.vault(&group).await;
    let policy = format!("{vault}/backupPolicies/Policy");
    let made = stage.ask(Method::PUT, &policy, Some(policy_body())).await;
    assert_eq!(made.status, 200, "{made:?}");
    let body = json!({ "backupInstance": instance_body(&disk, &vault, &snapshots) });
    let path = format!("{vault}/validateForBackup");
    let failed = |status: &Value| {
        assert_eq!(status["status"], "Failed", "{status}");
        assert_eq!(status["error"]["code"], "UserErrorMissingRequiredPermissions", "{status}");
        let info = &status["error"]["additionalInfo"][0];
        assert_eq!(info["type"], "UserFacingError");
        status["error"]["details"].to_string()
    };
    let first = stage.ask(Method::POST, &path, Some(body.clone())).await;
    let told = failed(&stage.follow(&first).await);
    assert!(told.contains("beginGetAccess") && told.contains("snapshots/write"), "{told}");
    stage.assign(&disk, READER, &principal).await;
    let first = stage.ask(Method::POST, &path, Some(body)).await;
    let told = failed(&stage.follow(&first).await);
    assert!(!told.contains("disks/beginGetAccess") && told.contains("snapshots/write"), "{told}");
}

#[tokio::test]
async fn wrong_requests_name_what_is_wrong() {
    let stage = Stage::new("2025-07-01").await;
    let group = stage.site.group("rg").await;
    let disk = stage.disk(&group, "disk1").await;
    let (vault, _) = stage.vault(&group).await;
    let instance = format!("{vault}/backupInstances/i");
    let good = instance_body(&disk, &vault, &group);
    let mut no_policy = good.clone();
    no_policy["policyInfo"] = Value::Null;
    let cases = [
        (Method::PUT, instance.clone(), Some(json!({})), "properties"),
        (Method::PUT, instance.clone(), Some(json!({ "properties": no_policy })), "policyInfo"),
        (Method::POST, format!("{vault}/validateForBackup"), Some(good), "backupInstance"),
        (Method::POST, format!("{instance}/backup"), Some(json!({})), "backupRuleOptions"),
        (
            Method::POST,
            format!("{instance}/backup"),
            Some(json!({ "backupRuleOptions": {} })),
            "backupRuleOptions.ruleName",
        ),
        (
            Method::POST,
            format!("{instance}/validateRestore"),
            Some(restore_body("p", &disk)),
            "restoreRequestObject",
        ),
        (Method::POST, format!("{instance}/restore"), Some(json!({})), "recoveryPointId"),
        (Method::PATCH, vault.clone(), Some(json!({ "tags": [] })), "tags"),
    ];
    for (method, path, body, field) in cases {
        let got = stage.ask(method, &path, body).await;
        assert_eq!((got.status.as_u16(), got.code()), (400, "BMSUserErrorInvalidInput"), "{path}");
        let text = got.body["error"]["message"].as_str().unwrap();
        assert!(text.contains(field), "{path}: {text}");
        let info = &got.body["error"]["additionalInfo"][0]["info"];
        assert_eq!(info["properties"]["ActivityId"], got.header("x-ms-correlation-request-id"));
    }
    let absent = [
        (Method::GET, instance.clone()),
        (Method::GET, format!("{instance}/recoveryPoints")),
        (Method::GET, format!("{instance}/recoveryPoints/x")),
        (Method::GET, format!("{vault}/backupJobs/x")),
        (Method::GET, format!("{vault}/backupPolicies/xyz")),
        (Method::GET, format!("{vault}/deletedBackupInstances/x")),
        (Method::POST, format!("{instance}/stopProtection")),
    ];
    for (method, path) in absent {
        let got = stage.ask(method, &path, None).await;
        let expected = (404, "UserErrorGenericResourceNotFound");
        assert_eq!((got.status.as_u16(), got.code()), expected, "{path} {got:?}");
    }
    let got = stage.ask(Method::POST, &format!("{instance}/backup"), Some(backup_body())).await;
    assert_eq!(got.status, 404, "{got:?}");
}

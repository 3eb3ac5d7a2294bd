//! What was deleted comes back over HTTP, and the export of a vault's jobs.

use super::journey::protected;
use super::{Stage, backup_body, local, vault_body};
use crate::site::{Answered, HOST};
use axum::body::Body;
use http::{Method, Request, header};
use serde_json::{Value, json};

/// A PUT of a vault that wants a deleted one back.
async fn put_back(stage: &Stage, vault: &str, deleted: &str) -> Answered {
    let request = Request::builder()
        .method(Method::PUT)
        .uri(format!("{vault}?api-version={}", stage.version))
        .header(header::HOST, HOST)
        .header(header::AUTHORIZATION, format!("Bearer {}", stage.site.token))
        .header("x-ms-deleted-vault-id", deleted)
        .body(Body::from(vault_body().to_string()));
    stage.site.send(request.unwrap()).await
}

#[tokio::test]
async fn an_instance_and_its_vault_come_back() {
    let stage = Stage::new("2025-09-01").await;
    let made = protected(&stage).await;
    let job = stage.job(&format!("{}/backup", made.instance), backup_body()).await;
    assert_eq!(job["properties"]["status"], "Completed", "{job}");
    let before = stage.get(&made.vault).await;
    stage.finish(Method::DELETE, &made.instance, None).await;
    let policy = format!("{}/backupPolicies/Policy", made.vault);
    assert_eq!(stage.ask(Method::DELETE, &policy, None).await.status, 200);
    stage.finish(Method::DELETE, &made.vault, None).await;
    let all =
        stage.site.below("/providers/Microsoft.DataProtection/locations/WestUS/deletedVaults");
    let listed = stage.get(&all).await;
    let [deleted] = listed["value"].as_array().unwrap().as_slice() else { panic!("{listed}") };
    let properties = &deleted["properties"];
    assert_eq!(properties["originalBackupVaultId"], made.vault.as_str());
    assert_eq!(properties["securitySettings"], before["properties"]["securitySettings"]);
    let id = deleted["id"].as_str().unwrap();
    assert_eq!(&stage.get(id).await, deleted);
    let wrong = put_back(&stage, &made.vault, &made.vault).await;
    assert_eq!((wrong.status.as_u16(), wrong.code()), (400, "BMSUserErrorInvalidInput"));
    let put = put_back(&stage, &made.vault, id).await;
    assert_eq!(put.status, 201, "{put:?}");
    assert_eq!(stage.follow(&put).await["status"], "Succeeded");
    assert_eq!(stage.get(&made.vault).await, before, "soft delete is not switched unasked");
    assert_eq!(stage.get(&all).await["value"], json!([]));
    let name = made.instance.rsplit('/').next().unwrap();
    let path = format!("{}/deletedBackupInstances/{name}/undelete", made.vault);
    let first = stage.ask(Method::POST, &path, None).await;
    assert_eq!((first.status.as_u16(), &first.body), (202, &Value::Null));
    assert_eq!(stage.follow(&first).await["status"], "Succeeded");
    let result = stage.site.ask(Method::GET, &local(first.header("location")), None).await;
    assert_eq!(result.body, json!({ "objectType": "OperationJobExtendedInfo" }));
    let found = stage.get(&made.instance).await;
    assert_eq!(found["properties"]["currentProtectionState"], "ProtectionStopped");
    let points = stage.get(&format!("{}/recoveryPoints", made.instance)).await;
    assert_eq!(points["value"].as_array().unwrap().len(), 1);
    let of_disk = format!("{}/providers/Microsoft.DataProtection/backupInstances", made.disk);
    assert_eq!(stage.get(&of_disk).await["value"], json!([found]));
    let path = format!("{}/sync", made.instance);
    let refused = stage.ask(Method::POST, &path, Some(json!({}))).await;
    assert_eq!(refused.code(), "UserErrorDppInvalidOperationInCurrentState", "{refused:?}");
    let target = format!("{}/providers/Microsoft.DataProtection/backupInstances", made.target);
    assert_eq!(stage.get(&target).await["value"], json!([]));
}

#[tokio::test]
async fn an_export_is_read_with_its_key_alone() {
    let stage = Stage::new("2025-07-01").await;
    let made = protected(&stage).await;
    let job = stage.job(&format!("{}/backup", made.instance), backup_body()).await;
    let path = format!("{}/exportBackupJobs", made.vault);
    let first = stage.ask(Method::POST, &path, None).await;
    assert_eq!((first.status.as_u16(), first.header("azure-asyncoperation")), (202, ""));
    let place = local(first.header("location"));
    let mut result = stage.site.ask(Method::GET, &place, None).await;
    for _ in 0..super::POLLS {
        if result.status != 202 {
            break;
        }
        assert_eq!(local(result.header("location")), place);
        result = stage.site.ask(Method::GET, &place, None).await;
    }
    assert_eq!(result.status, 200, "{result:?}");
    let (url, key) = (&result.body["blobUrl"], &result.body["blobSasKey"]);
    let (url, key) = (url.as_str().unwrap(), key.as_str().unwrap());
    let read = async |method: Method, key: &str| {
        let uri = format!("{}{key}", local(url));
        let request = Request::builder().method(method).uri(uri).header(header::HOST, HOST);
        stage.site.send(request.body(Body::empty()).unwrap()).await
    };
    let document = read(Method::GET, key).await;
    assert_eq!(document.status, 200, "{document:?}");
    assert_eq!(document.body, json!({ "value": [job] }));
    assert_eq!(read(Method::PUT, key).await.status, 403);
    for wrong in ["", "?sig=AAAA", &key.replace("sig=", "sig=A"), &key.replace("se=2", "se=3")] {
        assert_eq!(read(Method::GET, wrong).await.status, 403, "{wrong}");
    }
}

//! Vaults, policies and the questions that come before them.

use super::{Stage, policy_body, vault_body};
use http::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn an_old_put_resets_nothing_and_final_is_final() {
    let stage = Stage::new("2021-01-01").await;
    let group = stage.site.group("rg").await;
    let (vault, principal) = stage.vault(&group).await;
    let body = json!({ "properties": { "securitySettings": {
        "softDeleteSettings": { "state": "AlwaysOn", "retentionDurationInDays": 30.0 },
        "immutabilitySettings": { "state": "Locked" },
    }}});
    let newer = Stage { version: "2025-07-01", ..stage };
    let patched = newer.ask(Method::PATCH, &vault, Some(body)).await;
    assert_eq!(patched.status, 200, "{patched:?}");
    let stage = Stage { version: "2021-01-01", ..newer };
    let put = stage.ask(Method::PUT, &vault, Some(vault_body())).await;
    assert_eq!(put.status, 201, "{put:?}");
    assert_eq!(put.body["properties"]["provisioningState"], "Updating");
    assert!(put.header("x-ms-arm-resource-system-data").contains("createdAt"));
    let found = stage.get(&vault).await;
    let security = &found["properties"]["securitySettings"];
    assert_eq!(security["softDeleteSettings"]["state"], "AlwaysOn");
    assert_eq!(security["softDeleteSettings"]["retentionDurationInDays"], 30.0);
    assert_eq!(security["immutabilitySettings"]["state"], "Locked");
    assert_eq!(found["identity"]["principalId"], principal.as_str());
    for setting in [
        json!({ "softDeleteSettings": { "state": "Off" } }),
        json!({ "immutabilitySettings": { "state": "Disabled" } }),
    ] {
        let body = json!({ "properties": { "securitySettings": setting } });
        let refused = stage.ask(Method::PATCH, &vault, Some(body)).await;
        assert_eq!(refused.status, 400, "{refused:?}");
    }
    assert_eq!(stage.get(&vault).await, found);
}

#[tokio::test]
async fn newer_versions_insist_on_always_on() {
    let stage = Stage::new("2025-09-01").await;
    let group = stage.site.group("rg").await;
    let vault = format!("{group}/providers/Microsoft.DataProtection/backupVaults/TestVault");
    let mut body = vault_body();
    body["properties"]["securitySettings"] =
        json!({ "softDeleteSettings": { "state": "On", "retentionDurationInDays": 14.0 } });
    let refused = stage.ask(Method::PUT, &vault, Some(body.clone())).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (400, "BMSUserErrorInvalidInput"));
    let text = refused.body["error"]["message"].as_str().unwrap();
    assert!(text.contains("softDeleteSettings.state") && text.contains("AlwaysOn"), "{text}");
    assert_eq!(stage.ask(Method::GET, &vault, None).await.status, 404);
    body["properties"]["securitySettings"]["softDeleteSettings"]["state"] = json!("AlwaysOn");
    stage.finish(Method::PUT, &vault, Some(body)).await;
}

#[tokio::test]
async fn newer_versions_leave_a_vault_as_it_is_or_make_it_always_on() {
    let new = Stage::new("2025-09-01").await;
    let group = new.site.group("rg").await;
    let state = |vault: &Value| {
        vault["properties"]["securitySettings"]["softDeleteSettings"]["state"].clone()
    };
    let fresh = format!("{group}/providers/Microsoft.DataProtection/backupVaults/FreshVault");
    new.finish(Method::PUT, &fresh, Some(vault_body())).await;
    assert_eq!(state(&new.get(&fresh).await), "AlwaysOn");

    let old = Stage { version: "2025-07-01", ..new };
    let (vault, _) = old.vault(&group).await;
    let settings = |state: &str| {
        let soft = json!({ "softDeleteSettings": { "state": state } });
        json!({ "properties": { "securitySettings": soft } })
    };
    let new = Stage { version: "2025-09-01", ..old };
    // What was read can be sent again, and leaving the state out changes nothing.
    let found = new.get(&vault).await;
    assert_eq!(state(&found), "On");
    new.finish(Method::PUT, &vault, Some(found.clone())).await;
    new.finish(Method::PUT, &vault, Some(vault_body())).await;
    let same = new.ask(Method::PATCH, &vault, Some(settings("On"))).await;
    assert_eq!(same.status, 200, "{same:?}");
    assert_eq!(new.get(&vault).await, found);
    let mut off = vault_body();
    off["properties"]["securitySettings"] =
        settings("Off")["properties"]["securitySettings"].clone();
    for (method, body) in [(Method::PUT, off), (Method::PATCH, settings("Off"))] {
        let refused = new.ask(method.clone(), &vault, Some(body)).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (400, "BMSUserErrorInvalidInput"));
        let text = refused.body["error"]["message"].as_str().unwrap();
        assert!(text.contains("softDeleteSettings.state"), "{method} {text}");
    }
    assert_eq!(new.get(&vault).await, found);
    let patched = new.ask(Method::PATCH, &vault, Some(settings("AlwaysOn"))).await;
    assert_eq!(state(&patched.body), "AlwaysOn", "{patched:?}");
    let absent = new.ask(Method::PATCH, &format!("{vault}x"), Some(settings("Off"))).await;
    assert_eq!(absent.status, 404, "{absent:?}");
}

#[tokio::test]
async fn policies_are_synchronous_and_read_back() {
    let stage = Stage::new("2025-07-01").await;
    let group = stage.site.group("rg").await;
    let (vault, _) = stage.vault(&group).await;
    let path = format!("{vault}/backupPolicies/Policy");
    let put = stage.ask(Method::PUT, &path, Some(policy_body())).await;
    assert_eq!(put.status, 200, "{put:?}");
    assert_eq!(put.header("azure-asyncoperation"), "");
    assert_eq!(stage.get(&path).await, put.body);
    let again = stage.ask(Method::PUT, &path, Some(put.body.clone())).await;
    assert_eq!((again.status.as_u16(), &again.body), (200, &put.body));
    let all = stage.get(&format!("{vault}/backupPolicies")).await;
    assert_eq!(all, json!({ "value": [put.body], "nextLink": null }));
    let short = format!("{vault}/backupPolicies/x");
    let bad = stage.ask(Method::PUT, &short, Some(policy_body())).await;
    assert!(bad.body["error"]["message"].as_str().unwrap().contains("name: 'x'"), "{bad:?}");
    let nowhere = format!("{vault}x/backupPolicies");
    let absent = stage.ask(Method::GET, &nowhere, None).await;
    assert_eq!((absent.status.as_u16(), absent.code()), (404, "UserErrorGenericResourceNotFound"));
}

#[tokio::test]
async fn names_are_told_before_they_are_taken() {
    let stage = Stage::new("2025-07-01").await;
    let group = stage.site.group("rg").await;
    let path = format!(
        "{group}/providers/Microsoft.DataProtection/locations/westus/checkNameAvailability"
    );
    let question =
        |name: &str| Some(json!({ "name": name, "type": "Microsoft.DataProtection/BackupVaults" }));
    let free = stage.ask(Method::POST, &path, question("TestVault")).await;
    assert_eq!(free.body, json!({ "nameAvailable": true }));
    stage.vault(&group).await;
    let taken = stage.ask(Method::POST, &path, question("testvault")).await;
    assert_eq!(taken.body["nameAvailable"], false);
    assert_eq!(taken.body["reason"], "AlreadyExists");
    let invalid = stage.ask(Method::POST, &path, question("1 vault")).await;
    assert_eq!(invalid.body["reason"], "Invalid");
    let elsewhere = path.replace("/westus/", "/mars/");
    let refused = stage.ask(Method::POST, &elsewhere, question("a1")).await;
    assert_eq!(refused.status, 400, "{refused:?}");
}

#[tokio::test]
async fn vaults_are_listed_in_both_scopes() {
    let stage = Stage::new("2025-07-01").await;
    let (one, two) = (stage.site.group("one").await, stage.site.group("two").await);
    stage.vault(&one).await;
    stage.vault(&two).await;
    let count = |page: Value| page["value"].as_array().unwrap().len();
    let all = stage.site.below("/providers/Microsoft.DataProtection/backupVaults");
    assert_eq!(count(stage.get(&all).await), 2);
    let some = format!("{}/providers/Microsoft.DataProtection/backupVaults", one.to_uppercase());
    let some = some.replace("/SUBSCRIPTIONS/", "/Subscriptions/");
    assert_eq!(count(stage.get(&some).await), 1);
}

#[tokio::test]
async fn the_list_of_operations_names_every_action() {
    let stage = Stage::new("2025-07-01").await;
    let all = stage.get("/providers/Microsoft.DataProtection/operations").await;
    let rows = all["value"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert!(
        names.contains(&"Microsoft.DataProtection/backupVaults/backupInstances/restore/action")
    );
    let consent = "/resourceGuards/deleteBackupInstanceRequests/action";
    assert!(names.iter().any(|name| name.ends_with(consent)));
    assert!(names.is_sorted() && rows.iter().all(|row| row["display"]["operation"].is_string()));
}

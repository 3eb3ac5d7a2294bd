//! Operations followed over HTTP, in every scope.

use super::*;
use crate::site::Site;
use crate::table::routes;
use crate::wire::settings::{RetryAfter, WireSettings};
use http::StatusCode;
use serde_json::json;

const AAO: &str = "azure-asyncoperation";

#[tokio::test]
async fn a_status_is_read_in_every_scope() {
    let site = Site::new().await;
    let group = site.group("Rg").await;
    let made = site.vault(&group, "Vault1").await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(made.header("retry-after"), "1");
    let url = made.path(AAO);
    let vault = format!("{group}/providers/Microsoft.DataProtection/backupVaults/Vault1");
    assert!(url.starts_with(&format!("{vault}/operationStatus/")), "{url}");
    assert!(url.ends_with("?api-version=2026-06-01") && url.contains("=="), "{url}");
    let (path, _) = url.split_once('?').unwrap();
    let name = path.rsplit('/').next().unwrap();

    let found = site.ask(Method::GET, &url, None).await;
    assert_eq!((found.status, &found.body["status"]), (StatusCode::OK, &json!("Succeeded")));
    assert_eq!((&found.body["id"], &found.body["name"]), (&json!(path), &json!(name)));
    let provider = "providers/Microsoft.DataProtection";
    let subscription = site.below("");
    let scopes = [
        format!("{subscription}/{provider}/locations/westus/operationStatus"),
        format!("{group}/{provider}/operationStatus"),
        format!("{group}/{provider}/locations/westus/operationStatus"),
        format!("{vault}/operationstatus").to_uppercase(),
    ];
    for scope in &scopes {
        for name in [name, &name.replace('=', "%3D")] {
            let found = site.ask(Method::GET, &format!("{scope}/{name}"), None).await;
            assert_eq!(found.body["status"], "Succeeded", "{scope} {found:?}");
        }
    }
    let results = format!("{subscription}/{provider}/locations/westus/operationResults/{name}");
    let info = site.ask(Method::GET, &results, None).await;
    assert_eq!(info.body, json!({"objectType": "OperationJobExtendedInfo"}));
    let resource = site.ask(Method::GET, &format!("{vault}/operationResults/{name}"), None).await;
    assert_eq!(resource.body["name"], "Vault1", "{resource:?}");
}

#[tokio::test]
async fn an_operation_is_found_below_its_own_resource_only() {
    let site = Site::new().await;
    let group = site.group("rg").await;
    let elsewhere = site.group("elsewhere").await;
    let url = site.vault(&group, "vault1").await.path(AAO);
    let foreign = url.replace(&group, &elsewhere);
    let refused = site.ask(Method::GET, &foreign, None).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    assert_eq!(refused.code(), "UserErrorGenericResourceNotFound");
    for name in ["x", "ZmM=", "11111111-2222-3333-4444-555555555555"] {
        let path = format!("{group}/providers/Microsoft.DataProtection/operationStatus/{name}");
        assert_eq!(site.ask(Method::GET, &path, None).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a_stranger_may_not_follow_it() {
    let site = Site::new().await;
    let group = site.group("rg").await;
    let url = site.vault(&group, "vault1").await.path(AAO);
    let stranger = site.stranger().await;
    let token = site.token_of(&stranger);
    let refused = site.ask_as(&token, Method::GET, &url, None).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (403, "AuthorizationFailed"));
    let reader = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
    let role = format!("/providers/Microsoft.Authorization/roleDefinitions/{reader}");
    let assignment = "roleAssignments/11111111-0000-0000-0000-000000000001";
    let put = format!("{group}/providers/Microsoft.Authorization/{assignment}");
    let body = json!({"properties": {
        "roleDefinitionId": role, "principalId": stranger.object_id.to_string(),
    }});
    let given = site.ask(Method::PUT, &put, Some(body)).await;
    assert_eq!(given.status, StatusCode::CREATED, "{given:?}");
    assert_eq!(site.ask_as(&token, Method::GET, &url, None).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_deleted_vault_is_followed_below_its_group() {
    let wire = WireSettings { retry_after: RetryAfter::Azure, ..WireSettings::default() };
    let site = Site::with(routes(), wire).await;
    let group = site.group("rg").await;
    site.vault(&group, "vault1").await;
    let vault = format!("{group}/providers/Microsoft.DataProtection/backupVaults/vault1");
    let gone = site.ask(Method::DELETE, &vault, None).await;
    assert_eq!(gone.status, StatusCode::ACCEPTED, "{gone:?}");
    assert!(gone.header("retry-after").parse::<u32>().unwrap() >= 10);
    let status = gone.path(AAO);
    let below = format!("{group}/providers/Microsoft.DataProtection/locations/westus/");
    assert!(status.starts_with(&below), "{status}");
    let found = site.ask(Method::GET, &status, None).await;
    assert_eq!(found.body["status"], "Succeeded");
    let result = site.ask(Method::GET, &gone.path("location"), None).await;
    assert_eq!(result.body, json!({"objectType": "OperationJobExtendedInfo"}));
    assert_eq!(site.ask(Method::GET, &vault, None).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_oldest_version_polls_below_the_subscription() {
    let site = Site::new().await;
    let group = site.group("rg").await;
    site.vault(&group, "vault1").await;
    let path = format!(
        "{group}/providers/Microsoft.DataProtection/backupVaults/vault1?api-version=2021-01-01"
    );
    let body = json!({"location": "westus", "properties": {"storageSettings": [
        {"datastoreType": "VaultStore", "type": "LocallyRedundant"}
    ]}});
    let made = site.ask(Method::PUT, &path, Some(body)).await;
    let status = made.path(AAO);
    let below = site.below("/providers/Microsoft.DataProtection/locations/westus/operationStatus/");
    assert!(status.starts_with(&below) && status.ends_with("2021-01-01"), "{status}");
    assert_eq!(site.ask(Method::GET, &status, None).await.body["status"], "Succeeded");
}

#[tokio::test]
async fn disks_are_followed_in_both_styles() {
    let site = Site::new().await;
    let group = site.group("rg").await;
    let disk = format!("{group}/providers/Microsoft.Compute/disks/d1");
    let body = json!({"location": "westus", "properties": {
        "creationData": {"createOption": "Empty"}, "diskSizeGB": 1,
    }});
    let made = site.ask(Method::PUT, &disk, Some(body)).await;
    assert!(made.status.is_success(), "{made:?}");
    let opened = site
        .ask(
            Method::POST,
            &format!("{disk}/beginGetAccess"),
            Some(json!({"access": "Write", "durationInSeconds": 600})),
        )
        .await;
    assert_eq!(opened.status, StatusCode::ACCEPTED, "{opened:?}");
    let status = site.ask(Method::GET, &opened.path(AAO), None).await;
    assert_eq!(status.body["status"], "Succeeded", "{status:?}");
    let url = status.body["properties"]["output"]["accessSAS"].as_str().unwrap();
    assert!(url.starts_with("https://localhost:8443/md-"));
    let location = opened.path("location");
    assert!(location.contains("monitor=true"), "{location}");
    let bare = site.ask(Method::GET, &location, None).await;
    assert_eq!(bare.body["accessSAS"], url);
}

/// The status URL of a snapshot that no worker takes yet.
async fn waiting_snapshot(site: &Site) -> String {
    let group = site.group("rg").await;
    let disk = format!("{group}/providers/Microsoft.Compute/disks/d1");
    let body = json!({"location": "westus", "properties": {
        "creationData": {"createOption": "Empty"}, "diskSizeGB": 1,
    }});
    let made = site.ask(Method::PUT, &disk, Some(body)).await;
    assert!(made.status.is_success(), "{made:?}");
    let snapshot = format!("{group}/providers/Microsoft.Compute/snapshots/s1");
    let body = json!({"location": "westus", "properties": {
        "creationData": {"createOption": "Copy", "sourceResourceId": disk}, "incremental": true,
    }});
    let made = site.ask(Method::PUT, &snapshot, Some(body)).await;
    assert_eq!(made.status, StatusCode::ACCEPTED, "{made:?}");
    made.path(AAO)
}

fn holding(hold: u64, polls: usize) -> WireSettings {
    let poll_hold = std::time::Duration::from_secs(hold);
    WireSettings { poll_hold, max_polls: polls, ..WireSettings::default() }
}

#[tokio::test]
async fn a_held_poll_is_answered_when_the_operation_ends() {
    let site = Site::idle(routes(), holding(600, 1)).await;
    let url = waiting_snapshot(&site).await;
    let poll = site.ask(Method::GET, &url, None);
    tokio::pin!(poll);
    while site.app.limits.polls.free() == 1 {
        assert!(futures::poll!(poll.as_mut()).is_pending());
        tokio::task::yield_now().await;
    }
    // The only place is taken: another poll is answered at once.
    let other = site.ask(Method::GET, &url, None).await;
    assert_eq!(other.body["status"], "InProgress", "{other:?}");
    assert_eq!(other.header("retry-after"), "1");
    site.app.service.start().await;
    let ended = poll.await;
    assert_eq!(ended.body["status"], "Succeeded", "{ended:?}");
    assert_eq!(ended.header("retry-after"), "");
}

#[tokio::test]
async fn a_stop_releases_held_polls() {
    let site = Site::idle(routes(), holding(600, 1)).await;
    let url = waiting_snapshot(&site).await;
    let poll = site.ask(Method::GET, &url, None);
    tokio::pin!(poll);
    while site.app.limits.polls.free() == 1 {
        assert!(futures::poll!(poll.as_mut()).is_pending());
        tokio::task::yield_now().await;
    }
    let (answer, ()) = tokio::join!(poll, site.app.service.stop());
    assert_eq!(answer.body["status"], "InProgress", "{answer:?}");
}

//! User-assigned identities over HTTP, and vaults that have them.

use crate::site::{Answered, Site};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tresor_core::model::Principal;

const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";

fn path(group: &str, name: &str) -> String {
    format!("{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}")
}

async fn make(site: &Site, group: &str, name: &str) -> Answered {
    let body = json!({"location": "West US", "tags": {"a": "b"}});
    site.ask(Method::PUT, &path(group, name), Some(body)).await
}

fn vault(identity: Value) -> Value {
    json!({
        "location": "westus",
        "identity": identity,
        "properties": {"storageSettings": [
            {"datastoreType": "VaultStore", "type": "LocallyRedundant"}
        ], "securitySettings": {"softDeleteSettings": {"state": "AlwaysOn"}}},
    })
}

#[tokio::test]
async fn an_identity_comes_and_goes_with_its_principal() {
    let site = Site::new().await;
    let group = site.group("rg").await;
    let made = make(&site, &group, "Backup-1").await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(made.body["id"], path(&group, "Backup-1"));
    assert_eq!(made.body["type"], "Microsoft.ManagedIdentity/userAssignedIdentities");
    assert_eq!(made.body["location"], "westus");
    let properties = made.body["properties"].clone();
    assert_eq!(properties["tenantId"], site.app.service.tenant().to_string());
    let again = make(&site, &group, "BACKUP-1").await;
    assert_eq!((again.status, &again.body["properties"]), (StatusCode::OK, &properties));
    let graph = format!("/v1.0/servicePrincipals/{}", properties["principalId"].as_str().unwrap());
    let seen = site.ask(Method::GET, &graph, None).await;
    assert_eq!(seen.body["appId"], properties["clientId"]);
    assert_eq!(seen.body["servicePrincipalType"], "ManagedIdentity");
    assert_eq!(seen.body["alternativeNames"][1], made.body["id"]);

    let one = path(&group, "backup-1");
    let tagged = json!({"tags": {"c": "d"}});
    let tagged = site.ask(Method::PATCH, &one, Some(tagged)).await;
    assert_eq!((tagged.status, &tagged.body["tags"]), (StatusCode::OK, &json!({"c": "d"})));
    for list in [
        path(&group, ""),
        site.below("/providers/Microsoft.ManagedIdentity/userAssignedIdentities"),
    ] {
        let found = site.ask(Method::GET, list.trim_end_matches('/'), None).await;
        assert_eq!(found.body["value"][0]["name"], "Backup-1", "{found:?}");
    }
    assert_eq!(site.ask(Method::DELETE, &one, None).await.status, StatusCode::OK);
    assert_eq!(site.ask(Method::DELETE, &one, None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(site.ask(Method::GET, &one, None).await.status, StatusCode::NOT_FOUND);
    assert_eq!(site.ask(Method::GET, &graph, None).await.status, StatusCode::NOT_FOUND);
    let wrong = make(&site, &group, "-x").await;
    assert_eq!((wrong.status.as_u16(), wrong.code()), (400, "InvalidParameter"));
}

#[tokio::test]
async fn a_vault_has_them_and_keeps_them_alive() {
    let site = Site::new().await;
    let (group, other) = (site.group("rg").await, site.group("other").await);
    let one = make(&site, &other, "One").await.body;
    let two = make(&site, &other, "Two").await.body;
    let (first, second) = (one["id"].as_str().unwrap(), two["id"].as_str().unwrap());
    let at = format!("{group}/providers/Microsoft.DataProtection/backupVaults/vault");
    let put = async |identity: Value| site.ask(Method::PUT, &at, Some(vault(identity))).await;
    let made = put(json!({"type": "userAssigned", "userAssignedIdentities": {first: {}}})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let identity = &made.body["identity"];
    assert_eq!(identity["type"], "UserAssigned");
    assert!(identity.get("principalId").is_none(), "that of the system-assigned one: {identity}");
    let ids = &identity["userAssignedIdentities"][first];
    assert_eq!(ids["principalId"], one["properties"]["principalId"]);
    assert_eq!(ids["clientId"], one["properties"]["clientId"]);

    let refused = site.ask(Method::DELETE, first, None).await;
    let found = (refused.status.as_u16(), refused.code());
    assert_eq!(found, (409, "UserAssignedIdentityInUse"), "{refused:?}");
    assert!(refused.body["error"]["message"].as_str().unwrap().contains("backupVaults/vault"));
    let refused = site.ask(Method::DELETE, &other, None).await;
    assert_eq!(refused.code(), "UserAssignedIdentityInUse", "{refused:?}");

    let patch = async |identity: Value| {
        let changed = site.ask(Method::PATCH, &at, Some(json!({"identity": identity}))).await;
        let all = changed.body["identity"]["userAssignedIdentities"].clone();
        let names = all.as_object().map(|all| all.keys().cloned().collect::<Vec<_>>());
        (changed.body["identity"]["type"].clone(), names.unwrap_or_default(), changed)
    };
    let both = "SystemAssigned,UserAssigned";
    let (kind, names, seen) =
        patch(json!({"type": both, "userAssignedIdentities": {second: {}}})).await;
    assert_eq!((&kind, &names), (&json!(both), &vec![first.to_owned(), second.to_owned()]));
    let system = seen.body["identity"]["principalId"].clone();
    let (_, names, seen) =
        patch(json!({"type": both, "userAssignedIdentities": {first.to_uppercase(): null}})).await;
    assert_eq!(names, [second]);
    assert_eq!(seen.body["identity"]["principalId"], system, "the other one stays");
    let (_, _, refused) =
        patch(json!({"type": both, "userAssignedIdentities": {second: null}})).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "none would be left: {refused:?}");
    assert_eq!(site.ask(Method::DELETE, first, None).await.status, StatusCode::OK);
    let (kind, names, _) = patch(json!({"type": "SystemAssigned"})).await;
    assert_eq!((&kind, names.len()), (&json!("SystemAssigned"), 0));
    assert_eq!(site.ask(Method::DELETE, second, None).await.status, StatusCode::OK);
    let wrong = put(json!({"type": "UserAssigned", "userAssignedIdentities": {first: {}}})).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "{wrong:?}");
    assert!(wrong.body["error"]["message"].as_str().unwrap().contains("does not exist"));
}

#[tokio::test]
async fn nobody_gives_a_vault_an_identity_that_they_may_not_assign() {
    let site = Site::new().await;
    let (group, other) = (site.group("rg").await, site.group("other").await);
    let strong = make(&site, &other, "strong").await.body["id"].as_str().unwrap().to_owned();
    let who: Principal = site.application("operator").await;
    site.give(who.object_id, CONTRIBUTOR, &group).await;
    let token = site.token_of(&who);
    let at = format!("{group}/providers/Microsoft.DataProtection/backupVaults/vault");
    let body = vault(json!({"type": "UserAssigned", "userAssignedIdentities": {&strong: {}}}));
    let put = async || site.ask_as(&token, Method::PUT, &at, Some(body.clone())).await;
    let refused = put().await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{refused:?}");
    assert!(refused.body["error"]["message"].as_str().unwrap().contains("assign/action"));
    let given = site.give(who.object_id, OWNER, &strong).await;
    assert_eq!(put().await.status, StatusCode::CREATED);
    // What the vault has already is no new assignment.
    assert_eq!(site.ask(Method::DELETE, &given, None).await.status, StatusCode::OK);
    assert_eq!(put().await.status, StatusCode::CREATED);
}

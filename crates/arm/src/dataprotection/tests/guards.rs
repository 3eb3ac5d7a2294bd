//! Resource guards over HTTP: two principals, the tokens of both, and every version.

use super::{CONTRIBUTOR, OPERATOR, READER, Stage, instance_body, policy_body, vault_body};
use crate::site::{Answered, HOST};
use axum::body::Body;
use http::{Method, Request, header};
use serde_json::{Value, json};

const BACKUP_CONTRIBUTOR: &str = "5e467623-bb1f-42f4-a55d-6e525e11384b";
const MUA_OPERATOR: &str = "f54b6d04-23c6-443e-b462-9c16ab7b4a52";
const READS_ALL: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";

/// A vault under a guard of another group, and somebody who administers backups only.
struct Scene {
    stage: Stage,
    vault: String,
    guard: String,
    proxy: String,
    admin: String,
    object_id: String,
}

impl Scene {
    async fn new(version: &'static str) -> Self {
        let stage = Stage::new(version).await;
        let (group, security) = (stage.site.group("rg").await, stage.site.group("Security").await);
        let (vault, _) = stage.vault(&group).await;
        let guard = format!("{security}/providers/Microsoft.DataProtection/resourceGuards/Guard");
        let made = stage.ask(Method::PUT, &guard, Some(json!({ "location": "westus" }))).await;
        assert!(made.status.is_success(), "{made:?}");
        let proxy = format!("{vault}/backupResourceGuardProxies/DppResourceGuardProxy");
        let who = stage.site.stranger().await;
        let (admin, object_id) = (stage.site.token_of(&who), who.object_id.to_string());
        stage.assign(&group, BACKUP_CONTRIBUTOR, &object_id).await;
        Self { stage, vault, guard, proxy, admin, object_id }
    }

    async fn attach(&self) -> Value {
        let body = json!({ "properties": { "resourceGuardResourceId": self.guard } });
        let made = self.stage.ask(Method::PUT, &self.proxy, Some(body)).await;
        assert_eq!(made.status, 200, "{made:?}");
        made.body
    }

    /// Asks as the admin, with this auxiliary header.
    async fn admin(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        auxiliary: &str,
    ) -> Answered {
        let body = body.map_or_else(Body::empty, |value| Body::from(value.to_string()));
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{path}?api-version={}", self.stage.version))
            .header(header::HOST, HOST)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.admin));
        if !auxiliary.is_empty() {
            request = request.header("x-ms-authorization-auxiliary", auxiliary);
        }
        self.stage.site.send(request.body(body).unwrap()).await
    }

    fn owner(&self) -> String {
        format!("Bearer {}", self.stage.site.token)
    }
}

fn refused(got: &Answered, guard: &str, operation: &str) {
    let expected = (403, "LinkedAuthorizationFailed");
    assert_eq!((got.status.as_u16(), got.code()), expected, "{got:?}");
    let text = got.body["error"]["message"].as_str().unwrap();
    assert!(text.contains(guard) && text.contains(operation), "{text}");
    let info = &got.body["error"]["additionalInfo"][0]["info"];
    let advice = info["recommendedAction"][0].as_str().unwrap();
    assert!(advice.contains("Backup MUA Operator"), "{advice}");
}

#[tokio::test]
async fn guards_are_made_read_changed_and_removed() {
    let stage = Stage::new("2025-07-01").await;
    let group = stage.site.group("rg").await;
    let guard = format!("{group}/providers/Microsoft.DataProtection/resourceGuards/My-Guard");
    let excluded = "Microsoft.DataProtection/backupVaults/backupInstances/restore/action";
    let body = json!({ "location": "West US", "tags": { "a": "b" }, "properties": {
        "vaultCriticalOperationExclusionList": [excluded],
    }});
    let made = stage.ask(Method::PUT, &guard, Some(body.clone())).await;
    assert_eq!(made.status, 201, "{made:?}");
    let again = stage.ask(Method::PUT, &guard, Some(made.body.clone())).await;
    assert_eq!((again.status.as_u16(), &again.body), (200, &made.body));
    assert_eq!(
        stage.get(&guard.to_uppercase().replace("/SUBSCRIPTIONS", "/subscriptions")).await,
        made.body
    );
    let lists = [
        stage.site.below("/providers/Microsoft.DataProtection/resourceGuards"),
        format!("{group}/providers/Microsoft.DataProtection/resourceGuards"),
    ];
    for list in lists {
        assert_eq!(stage.get(&list).await, json!({ "value": [made.body], "nextLink": null }));
    }
    let patched = stage.ask(Method::PATCH, &guard, Some(json!({ "tags": { "c": "d" } }))).await;
    assert_eq!((patched.status.as_u16(), &patched.body["tags"]), (200, &json!({ "c": "d" })));
    let list = "vaultCriticalOperationExclusionList";
    assert_eq!(patched.body["properties"][list], json!([excluded]));
    let wrong = stage.ask(Method::PATCH, &guard, Some(json!({ "properties": { list: [] } }))).await;
    assert_eq!((wrong.status.as_u16(), wrong.code()), (400, "BMSUserErrorInvalidInput"));
    // A list that is left out protects everything.
    stage.ask(Method::PUT, &guard, Some(json!({ "location": "westus" }))).await;
    assert_eq!(stage.get(&guard).await["properties"][list], json!([]));
    let mandatory = "Microsoft.DataProtection/backupVaults/write#reduceSoftDeleteSecurity";
    let bad = json!({ "location": "westus", "properties": { list: [mandatory] } });
    let bad = stage.ask(Method::PUT, &guard, Some(bad)).await;
    let code = "BMSUserErrorInvalidCriticalOperationExclusionList";
    assert_eq!((bad.status.as_u16(), bad.code()), (400, code));
    assert!(bad.body["error"]["message"].as_str().unwrap().contains(mandatory));

    let kinds = ["deleteResourceGuardProxyRequests", "getBackupSecurityPINRequests"];
    for kind in kinds {
        let one = stage.get(&format!("{guard}/{}/DEFAULT", kind.to_lowercase())).await;
        assert_eq!(one["id"], format!("{guard}/{kind}/default"));
        let all = stage.get(&format!("{guard}/{kind}")).await;
        assert_eq!(all, json!({ "value": [one], "nextLink": null }));
    }
    for absent in [
        format!("{guard}/{}/other", kinds[0]),
        format!("{guard}/otherRequests"),
        format!("{guard}x/{}", kinds[0]),
        format!("{guard}x"),
    ] {
        assert_eq!(stage.ask(Method::GET, &absent, None).await.status, 404, "{absent}");
    }
    assert_eq!(stage.ask(Method::DELETE, &guard, None).await.status, 200);
    assert_eq!(stage.ask(Method::DELETE, &guard, None).await.status, 204);
    let old = Stage { version: "2021-01-01", ..stage };
    assert_eq!(old.ask(Method::PUT, &guard, Some(body)).await.status, 200, "before 201 was known");
}

#[tokio::test]
async fn a_vault_says_that_it_is_under_a_guard() {
    let scene = Scene::new("2025-07-01").await;
    let stage = &scene.stage;
    let flag = async || {
        let one = stage.get(&scene.vault).await;
        let all = stage.site.below("/providers/Microsoft.DataProtection/backupVaults");
        let all = stage.get(&all).await;
        let rows = all["value"].as_array().unwrap();
        let same = rows.iter().find(|row| row["id"] == one["id"]).unwrap();
        assert_eq!(*same, one);
        // The vault of the admin's own identity is under none.
        let guarded = "isVaultProtectedByResourceGuard";
        assert_eq!(
            rows.iter().filter(|row| row["properties"][guarded] == false).count()
                + usize::from(one["properties"][guarded] == true),
            rows.len()
        );
        one["properties"][guarded].clone()
    };
    assert_eq!(flag().await, false);
    let made = scene.attach().await;
    assert_eq!(flag().await, true);
    assert_eq!(made["properties"]["resourceGuardResourceId"], scene.guard);
    assert_eq!(stage.get(&scene.proxy).await, made);
    let all = stage.get(&format!("{}/backupResourceGuardProxies", scene.vault)).await;
    assert_eq!(all, json!({ "value": [made], "nextLink": null }));
    let patched = stage.ask(Method::PATCH, &scene.vault, Some(json!({ "tags": {} }))).await;
    assert_eq!(patched.body["properties"]["isVaultProtectedByResourceGuard"], true);
    let put = stage.ask(Method::PUT, &scene.vault, Some(vault_body())).await;
    assert_eq!(put.body["properties"]["isVaultProtectedByResourceGuard"], true);
    let gone = stage.ask(Method::DELETE, &scene.guard, None).await;
    assert_eq!((gone.status.as_u16(), gone.code()), (409, "UserErrorResourceGuardInUse"));
    let gone = stage.ask(Method::DELETE, &scene.vault, None).await;
    assert_eq!((gone.status.as_u16(), gone.code()), (409, "UserErrorResourceGuardInUse"));
    assert_eq!(stage.ask(Method::DELETE, &scene.proxy, None).await.status, 200);
    assert_eq!(stage.ask(Method::DELETE, &scene.proxy, None).await.status, 204);
    assert_eq!(flag().await, false);
    let old = Stage { version: "2022-05-01", ..scene.stage };
    let early = old.ask(Method::GET, &scene.proxy, None).await;
    assert_eq!(early.code(), "NoRegisteredProviderFound");
}

#[tokio::test]
async fn one_alone_cannot_what_two_can() {
    let scene = Scene::new("2025-07-01").await;
    scene.attach().await;
    let body = json!({ "properties": { "securitySettings": {
        "softDeleteSettings": { "state": "Off" },
    }}});
    let weaken = async |auxiliary: &str, requests: Value| {
        let mut body = body.clone();
        body["properties"]["resourceGuardOperationRequests"] = requests;
        scene.admin(Method::PATCH, &scene.vault, Some(body), auxiliary).await
    };
    let operation = "write#reduceSoftDeleteSecurity";
    refused(&weaken("", Value::Null).await, &scene.guard, operation);
    let request = format!("{}/dppReduceSoftDeleteSecurityRequests/default", scene.guard);
    refused(&weaken("", json!([request])).await, &scene.guard, operation);
    let own = format!("Bearer {}", scene.admin);
    refused(&weaken(&own, json!([request])).await, &scene.guard, operation);
    let wrong = json!([format!("{}/dppTriggerRestoreRequests/default", scene.guard)]);
    let got = weaken(&scene.owner(), wrong).await;
    assert_eq!((got.status.as_u16(), got.code()), (400, "BMSUserErrorInvalidInput"), "{got:?}");
    let text = got.body["error"]["message"].as_str().unwrap();
    assert!(text.contains("resourceGuardOperationRequests") && text.contains(&request), "{text}");
    let state = async || {
        let found = scene.stage.get(&scene.vault).await;
        found["properties"]["securitySettings"]["softDeleteSettings"]["state"].clone()
    };
    assert_eq!(state().await, "On");
    let got = weaken(&format!("{own}, {}", scene.owner()), json!([request])).await;
    assert_eq!(got.status, 200, "{got:?}");
    assert_eq!(state().await, "Off");
    // The right itself, without another's token.
    let on = json!({ "properties": { "securitySettings": {
        "softDeleteSettings": { "state": "On" },
    }}});
    assert_eq!(scene.admin(Method::PATCH, &scene.vault, Some(on), "").await.status, 200);
    scene.stage.assign(&scene.guard, MUA_OPERATOR, &scene.object_id).await;
    assert_eq!(weaken("", Value::Null).await.status, 200);
}

#[tokio::test]
async fn auxiliary_tokens_are_tokens_and_lend_no_other_right() {
    let scene = Scene::new("2025-07-01").await;
    let owner = scene.owner();
    let half = &owner[..owner.len() / 2];
    let many = [owner.as_str(); 4].join(",");
    for bad in ["x", "Bearer x", "Basic eDp5", half, &format!("{owner}, Bearer x"), &many] {
        for path in [&scene.vault, &scene.guard] {
            let got = scene.admin(Method::GET, path, None, bad).await;
            let expected = (401, "AuthenticationFailed");
            assert_eq!((got.status.as_u16(), got.code()), expected, "{bad}");
            assert!(got.header("www-authenticate").contains("error=\"invalid_token\""));
        }
    }
    assert_eq!(scene.admin(Method::GET, &scene.vault, None, &owner).await.status, 200);
    // The owner may read the guard and delete the vault; his token does not lend that.
    for (method, path) in [(Method::GET, &scene.guard), (Method::DELETE, &scene.vault)] {
        let got = scene.admin(method, path, None, &owner).await;
        assert_eq!((got.status.as_u16(), got.code()), (403, "AuthorizationFailed"), "{path}");
    }
    // It does where a guard is asked: whether a vault may be put under it.
    let body = json!({ "properties": { "resourceGuardResourceId": scene.guard } });
    let put = async |auxiliary: &str| {
        scene.admin(Method::PUT, &scene.proxy, Some(body.clone()), auxiliary).await
    };
    let alone = put("").await;
    assert_eq!((alone.status.as_u16(), alone.code()), (403, "LinkedAuthorizationFailed"));
    assert_eq!(put(&owner).await.status, 200);
}

#[tokio::test]
async fn a_deletion_is_unlocked_and_done() {
    let scene = Scene::new("2023-05-01").await;
    let stage = &scene.stage;
    let group = stage.site.group("rg").await;
    let disk = stage.disk(&group, "disk1").await;
    let principal = stage.get(&scene.vault).await["identity"]["principalId"].clone();
    for role in [READER, CONTRIBUTOR, OPERATOR] {
        stage.assign(&group, role, principal.as_str().unwrap()).await;
    }
    let policy = format!("{}/backupPolicies/Policy", scene.vault);
    assert_eq!(stage.ask(Method::PUT, &policy, Some(policy_body())).await.status, 200);
    let instance = format!("{}/backupInstances/i", scene.vault);
    let body = json!({ "properties": instance_body(&disk, &scene.vault, &group) });
    stage.finish(Method::PUT, &instance, Some(body)).await;
    scene.attach().await;
    stage.assign(&scene.guard, READS_ALL, &scene.object_id).await;

    let deleted = scene.admin(Method::DELETE, &instance, None, "").await;
    refused(&deleted, &scene.guard, "backupInstances/delete");
    let post = format!("{}/unlockDelete", scene.proxy);
    let ask = json!({
        "resourceGuardOperationRequests":
            [format!("{}/deleteBackupInstanceRequests/default", scene.guard)],
        "resourceToBeDeleted": instance,
    });
    let alone = scene.admin(Method::POST, &post, Some(ask.clone()), "").await;
    refused(&alone, &scene.guard, "backupInstances/delete");
    let wrong = json!({ "resourceToBeDeleted": disk });
    let wrong = scene.admin(Method::POST, &post, Some(wrong), &scene.owner()).await;
    assert_eq!((wrong.status.as_u16(), wrong.code()), (400, "BMSUserErrorInvalidInput"));
    let both = scene.admin(Method::POST, &post, Some(ask), &scene.owner()).await;
    assert_eq!(both.status, 200, "{both:?}");
    let until = both.body["unlockDeleteExpiryTime"].as_str().unwrap();
    let until: jiff::Timestamp = until.parse().unwrap();
    let left = until.duration_since(stage.site.app.service.env().real()).as_secs();
    assert!((14 * 60..=15 * 60).contains(&left), "{left}");
    assert_eq!(scene.admin(Method::DELETE, &instance, None, "").await.status, 202);
    assert_eq!(stage.ask(Method::GET, &instance, None).await.status, 404);

    let removed = scene.admin(Method::DELETE, &scene.proxy, None, "").await;
    refused(&removed, &scene.guard, "backupResourceGuardProxies/delete");
    // The Azure CLI names no resource when it is the proxy itself.
    let ask = json!({ "resourceGuardOperationRequests":
        [format!("{}/deleteResourceGuardProxyRequests/default", scene.guard)] });
    let both = scene.admin(Method::POST, &post, Some(ask), &scene.owner()).await;
    assert_eq!(both.status, 200, "{both:?}");
    assert_eq!(scene.admin(Method::DELETE, &scene.proxy, None, "").await.status, 200);
}

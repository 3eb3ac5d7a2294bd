//! Resource guards and their proxies.

use super::{at, id, resource, root, vault_id};
use crate::types::guard;
use crate::wire::body::Dialect;
use serde_json::{Value, json};
use tresor_core::model::{GuardProxy, Model, ResourceGuard, ResourceId};
use tresor_core::service::Caller;
use uuid::Uuid;

const RESTORE: &str = "Microsoft.DataProtection/backupVaults/backupInstances/restore/action";
const TEXT: &str = "Ask the owner of this resource guard for access before a critical operation.";

fn guard_id() -> ResourceId {
    id("/resourceGroups/Security/providers/Microsoft.DataProtection/resourceGuards/Guard1")
}

/// Operation and request, as published: in the article on multi-user authorization, in the
/// specification's examples and in the help of Az.DataProtection.
const PUBLISHED: [(&str, &str); 9] = [
    ("backupResourceGuardProxies/delete", "deleteResourceGuardProxyRequests"),
    ("write#reduceSoftDeleteSecurity", "dppReduceSoftDeleteSecurityRequests"),
    ("backupInstances/delete", "deleteBackupInstanceRequests"),
    ("backupInstances/stopProtection/action", "dppDisableStopProtectionRequests"),
    ("backupInstances/suspendBackups/action", "dppDisableSuspendBackupsRequests"),
    ("backupInstances/write", "dppModifyPolicy"),
    ("backupInstances/restore/action", "dppTriggerRestoreRequests"),
    ("write#reduceImmutabilityState", "dppReduceImmutabilityStateRequests"),
    ("write#modifyEncryptionSettings", "dppModifyEncryptionSettingsRequests"),
];

fn operations(json: impl Fn(String, &str) -> Value) -> Vec<Value> {
    let all = PUBLISHED
        .iter()
        .map(|(tail, request)| (format!("Microsoft.DataProtection/backupVaults/{tail}"), *request));
    all.filter(|(operation, _)| operation != RESTORE).map(|(o, request)| json(o, request)).collect()
}

#[test]
fn a_guard_and_its_proxy_as_published() {
    let model = ResourceGuard { exclusions: vec![RESTORE.to_lowercase()] };
    let made = resource(guard_id(), "westus", Model::Guard(model.clone()));
    let expected = json!({
        "location": "westus",
        "tags": { "env": "test" },
        "properties": {
            "provisioningState": "Succeeded",
            "allowAutoApprovals": true,
            "resourceGuardOperations": operations(|operation, request| json!({
                "vaultCriticalOperation": operation,
                "requestResourceType": format!("Microsoft.DataProtection/resourceGuards/{request}"),
            })),
            "vaultCriticalOperationExclusionList": [RESTORE.to_lowercase()],
            "description": TEXT,
        },
        "id": guard_id().as_str(),
        "name": "Guard1",
        "type": "Microsoft.DataProtection/resourceGuards",
    });
    assert_eq!(guard::json(&made, &model), expected);

    let name = vault_id().join("backupResourceGuardProxies/DppResourceGuardProxy").unwrap();
    let updated = at("2026-01-08T06:00:01.4110868Z");
    let proxy = GuardProxy { guard: guard_id(), updated, unlocks: vec![] };
    let made = resource(name.clone(), "", Model::GuardProxy(proxy.clone()));
    let expected = json!({
        "properties": {
            "resourceGuardResourceId": guard_id().as_str(),
            "resourceGuardOperationDetails": operations(|operation, request| json!({
                "vaultCriticalOperation": operation,
                "defaultResourceRequest": format!("{}/{request}/default", guard_id()),
            })),
            "lastUpdatedTime": "2026-01-08T06:00:01.4110868Z",
            "description": TEXT,
        },
        "id": name.as_str(),
        "name": "DppResourceGuardProxy",
        "type": "Microsoft.DataProtection/backupVaults/backupResourceGuardProxies",
    });
    assert_eq!(guard::proxy_json(&made, &proxy, &model), expected);
    let request = json!({
        "id": format!("{}/disableSoftDeleteRequests/default", guard_id()),
        "name": "default",
        "type": "Microsoft.DataProtection/resourceGuards/disableSoftDeleteRequests",
    });
    assert_eq!(guard::request_json(&guard_id(), "disableSoftDeleteRequests"), request);
}

#[test]
fn guards_are_read_in_any_case() {
    let body = json!({ "LOCATION": "West US", "tags": { "a": "b" }, "Properties": {
        "vaultcriticaloperationexclusionlist": [RESTORE],
    }});
    let spec = guard::spec(guard_id(), root(&body)).unwrap();
    assert_eq!((spec.location.as_str(), spec.tags["a"].as_str()), ("West US", "b"));
    assert_eq!(spec.exclusions, [RESTORE]);
    for empty in [
        json!({ "location": "a" }),
        json!({ "location": "a", "properties": null }),
        json!({ "location": "a", "properties": { "vaultCriticalOperationExclusionList": null } }),
    ] {
        assert!(guard::spec(guard_id(), root(&empty)).unwrap().exclusions.is_empty());
    }
    let body = json!({ "Properties": { "resourceguardresourceid": guard_id().as_str() } });
    assert_eq!(guard::guard_of(root(&body)).unwrap().as_str(), guard_id().as_str());
}

#[test]
fn wrong_guards_name_the_field() {
    let list = "vaultCriticalOperationExclusionList";
    let cases = [
        (json!({}), "location"),
        (json!({ "location": "a", "properties": [] }), "properties"),
        (json!({ "location": "a", "properties": { list: "x" } }), list),
        (json!({ "location": "a", "properties": { list: [5] } }), "ExclusionList[0]"),
        (json!({ "location": "a", "properties": { list: [null] } }), "ExclusionList[0]"),
    ];
    for (body, field) in cases {
        let error = guard::spec(guard_id(), root(&body)).unwrap_err();
        assert!(error.message.contains(field), "{field}: {}", error.message);
    }
    for body in [
        json!({}),
        json!({ "properties": {} }),
        json!({ "properties": { "resourceGuardResourceId": "" } }),
        json!({ "properties": { "resourceGuardResourceId": vault_id().as_str() } }),
    ] {
        let error = guard::guard_of(root(&body)).unwrap_err();
        assert_eq!((error.status.as_u16(), error.code.as_str()), (400, "BMSUserErrorInvalidInput"));
    }
}

#[test]
fn requests_are_a_short_list_of_ids() {
    let who = Caller::new(Uuid::nil(), Uuid::nil(), String::new(), Uuid::nil());
    let read = |value: Value| {
        let body = json!({ "resourceGuardOperationRequests": value });
        let field = crate::wire::body::Field::root(&body, Dialect::DataProtection);
        guard::caller(&who, &field).map(|caller| caller.guard_requests)
    };
    let request = format!("{}/dppTriggerRestoreRequests/default", guard_id());
    assert_eq!(read(json!([request])).unwrap().len(), 1);
    for none in [json!(null), json!([])] {
        assert!(read(none).unwrap().is_empty());
    }
    for bad in [json!("x"), json!([""]), json!([1]), json!(["/x"]), json!(vec![request; 21])] {
        let error = read(bad).unwrap_err();
        assert!(error.message.contains("resourceGuardOperationRequests"), "{}", error.message);
    }
}

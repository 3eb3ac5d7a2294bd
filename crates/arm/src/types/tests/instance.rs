//! Backup instances, recovery points and restore requests.

use super::{S, at, disk_json, resource, root, vault_id};
use crate::types::instance::{self, Phase};
use crate::types::point::{self, Names};
use crate::types::restore;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tresor_core::error::{Fault, FaultKind};
use tresor_core::model::{
    DataStore, Deletion, Instance, Model, Point, PointState, ProtectionState, ResourceId,
};
use tresor_core::service::PointQuery;
use uuid::Uuid;

const NAME: &str = "disk1-disk1-3df6ac08-9496-4839-8fb5-8b78e594f166";
const KEY: &str = "a3d02fc3ab8a4c3a8cc26688c26d3356";

fn instance_id() -> ResourceId {
    vault_id().join(&format!("backupInstances/{NAME}")).unwrap()
}

fn policy_info() -> Value {
    json!({
        "policyId": format!("{}/backupPolicies/DiskPolicy4h", vault_id()),
        "policyVersion": "",
        "policyParameters": { "dataStoreParametersList": [{
            "resourceGroupId": format!("{S}/resourceGroups/rg-snap"),
            "dataStoreType": "OperationalStore",
            "objectType": "AzureOperationalStoreParameters",
        }]},
    })
}

fn body() -> Value {
    json!({
        "objectType": "BackupInstance",
        "friendlyName": "disk1",
        "dataSourceInfo": disk_json("disk1"),
        "dataSourceSetInfo": null,
        "datasourceAuthCredentials": null,
        "policyInfo": policy_info(),
    })
}

fn model() -> Instance {
    let body = body();
    let spec = instance::spec(Some(instance_id()), root(&body)).unwrap();
    Instance {
        vault_unique_id: Uuid::from_u128(9),
        unique_id: Uuid::from_u128(1),
        vault: vault_id(),
        friendly_name: spec.friendly_name.unwrap(),
        disk: spec.disk,
        disk_set: spec.disk_set,
        disk_unique_id: Uuid::from_u128(2),
        policy: spec.policy,
        snapshot_group: spec.snapshot_group.unwrap(),
        identity: spec.identity,
        state: ProtectionState::Configured,
        error: None,
        deletion: None,
    }
}

fn shown(model: &Instance, phase: Phase) -> Value {
    let mut made = resource(instance_id(), "", Model::Instance(model.clone()));
    made.tags = BTreeMap::new();
    instance::json(&made, model, phase)
}

#[test]
fn a_new_instance_as_published() {
    let expected = json!({
        "properties": {
            "friendlyName": "disk1",
            "dataSourceInfo": disk_json("disk1"),
            "policyInfo": policy_info(),
            "protectionStatus": { "status": "ConfiguringProtection" },
            "currentProtectionState": "ConfiguringProtection",
            "provisioningState": "Provisioning",
            "objectType": "BackupInstance",
        },
        "tags": {},
        "id": instance_id().as_str(),
        "name": NAME,
        "type": "Microsoft.DataProtection/backupVaults/backupInstances",
    });
    assert_eq!(shown(&model(), Phase::Creating), expected);
}

#[test]
fn states_in_words() {
    let cases = [
        (ProtectionState::Configured, "ProtectionConfigured", "Succeeded"),
        (ProtectionState::Configuring, "ConfiguringProtection", "Provisioning"),
        (ProtectionState::ConfiguringFailed, "ConfiguringProtectionFailed", "Failed"),
        (ProtectionState::Stopped, "ProtectionStopped", "Succeeded"),
        (ProtectionState::Suspended, "BackupsSuspended", "Succeeded"),
        (ProtectionState::Error, "ProtectionError", "Succeeded"),
    ];
    for (state, word, provisioning) in cases {
        let shown = shown(&Instance { state, ..model() }, Phase::Settled);
        let properties = &shown["properties"];
        assert_eq!(properties["protectionStatus"]["status"], word);
        assert_eq!(properties["currentProtectionState"], word);
        assert_eq!(properties["provisioningState"], provisioning);
    }
    // Terraform takes any third word in the status for a failure.
    let updating = shown(&model(), Phase::Updating);
    let properties = &updating["properties"];
    assert_eq!(properties["protectionStatus"]["status"], "ConfiguringProtection");
    assert_eq!(properties["currentProtectionState"], "UpdatingProtection");
}

#[test]
fn an_error_shows_in_both_places() {
    let fault = Fault::new(FaultKind::DiskNotFound, "gone").advise("Restore it.");
    let model = Instance { state: ProtectionState::Error, error: Some(fault), ..model() };
    let shown = shown(&model, Phase::Settled);
    let error = &shown["properties"]["protectionErrorDetails"];
    assert_eq!(error["code"], "UserErrorManagedDiskNotFound");
    assert_eq!(error["recommendedAction"], json!(["Restore it."]));
    assert_eq!(&shown["properties"]["protectionStatus"]["errorDetails"], error);
}

#[test]
fn the_words_of_other_clients_mean_the_same() {
    let text = body().to_string();
    let text = text.replace("resourceID", "resourceId").replace("dataSourceInfo", "datasourceInfo");
    let text = text.replace("\"BackupInstance\"", "\"\"");
    let text = text.replace("\"AzureOperationalStoreParameters\"", "null");
    let other: Value = serde_json::from_str(&text).unwrap();
    let spec = instance::spec(None, root(&other)).unwrap();
    assert_eq!((spec.disk, spec.snapshot_group), (model().disk, Some(model().snapshot_group)));
    assert!(!spec.deep);
}

#[test]
fn wrong_instances_name_the_field() {
    let change = |pointer: &str, value: Value| {
        let mut body = body();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    let first = "/policyInfo/policyParameters/dataStoreParametersList/0";
    let cases = [
        (change("/objectType", json!("Vault")), "objectType"),
        (change("/dataSourceInfo", Value::Null), "dataSourceInfo"),
        (change("/dataSourceInfo/resourceID", json!("disk1")), "dataSourceInfo.resourceID"),
        (change("/policyInfo/policyId", json!("")), "policyInfo.policyId"),
        (change(&format!("{first}/dataStoreType"), json!("VaultStore")), "dataStoreType"),
        (change(&format!("{first}/resourceGroupId"), json!(7)), "[0].resourceGroupId"),
        (change("/datasourceAuthCredentials", json!({})), "datasourceAuthCredentials"),
    ];
    for (body, field) in cases {
        let error = instance::spec(None, root(&body)).unwrap_err();
        assert!(error.message.contains(field), "{field}: {}", error.message);
    }
}

#[test]
fn a_deleted_instance_as_published() {
    let deletion = Deletion {
        was: instance_id(),
        at: at("2026-05-04T06:20:11.1234567Z"),
        purge_at: at("2026-05-18T06:20:11.1234567Z"),
        activity: Uuid::from_u128(3),
        state_before: ProtectionState::Configured,
    };
    let model = Instance { state: ProtectionState::SoftDeleted, ..model() };
    let made = resource(instance_id(), "", Model::Instance(model.clone()));
    let shown = instance::deleted_json(&vault_id(), &made, &model, &deletion);
    assert_eq!(shown["id"], format!("{}/deletedBackupInstances/{NAME}", vault_id()));
    assert_eq!(shown["type"], "Microsoft.DataProtection/backupVaults/deletedBackupInstances");
    let properties = &shown["properties"];
    assert_eq!(properties["objectType"], "DeletedBackupInstance");
    assert_eq!(properties["protectionStatus"]["status"], "SoftDeleted");
    assert_eq!(
        properties["deletionInfo"],
        json!({
            "deletionTime": "2026-05-04T06:20:11.1234567Z",
            "billingEndDate": "2026-05-04T06:20:11.1234567Z",
            "scheduledPurgeTime": "2026-05-18T06:20:11.1234567Z",
            "deleteActivityID": Uuid::from_u128(3).to_string(),
        })
    );
}

#[test]
fn a_recovery_point_as_published() {
    let made = at("2026-01-08T06:09:41.6354913Z");
    let point = Point {
        key: KEY.into(),
        instance: Uuid::from_u128(1),
        time: made,
        expires: Some(at("2026-01-15T06:09:41.6354913Z")),
        friendly_name: "119ac243-a789-4a41-be24-0461bceb3888".into(),
        snapshot: vault_id(),
        size: 1 << 30,
        tag: "Default".into(),
        tag_version: at("2021-07-01T13:27:13.6647408Z"),
        policy_name: "DiskPolicy4h".into(),
        store: Uuid::from_u128(5),
        job: Uuid::from_u128(6),
        state: PointState::Completed,
        sku: "Premium_LRS".into(),
    };
    let expected = json!({
        "id": format!("{}/recoveryPoints/{KEY}", instance_id()),
        "name": KEY,
        "type": "Microsoft.DataProtection/backupVaults/backupInstances/recoveryPoints",
        "properties": {
            "objectType": "AzureBackupDiscreteRecoveryPoint",
            "recoveryPointId": KEY,
            "recoveryPointTime": "2026-01-08T06:09:41.6354913Z",
            "recoveryPointType": "Incremental",
            "friendlyName": "119ac243-a789-4a41-be24-0461bceb3888",
            "recoveryPointDataStoresDetails": [{
                "id": Uuid::from_u128(5).to_string(),
                "type": "OperationalStore",
                "creationTime": "2026-01-08T06:09:41.6354913Z",
                "expiryTime": "2026-01-15T06:09:41.6354913Z",
                "metaData": null,
                "visible": true,
                "state": "COMMITTED",
                "rehydrationExpiryTime": null,
                "rehydrationStatus": null,
            }],
            "retentionTagName": "Default",
            "retentionTagVersion": "637607428336647408",
            "policyName": "DiskPolicy4h",
            "policyVersion": null,
            "expiryTime": "2026-01-15T06:09:41.6354913Z",
            "recoveryPointState": "Completed",
        },
    });
    assert_eq!(point::json(&instance_id(), &point, Names::Snapshot), expected);
    let newer = point::json(&instance_id(), &point, Names::Point);
    assert_eq!(newer["properties"]["friendlyName"], KEY);
}

#[test]
fn filters_of_points() {
    let query = point::query(
        "startDate eq '2021-08-01T00:00:00.0000000Z' and ENDDATE eq '2021-09-01T00:00:00Z' and \
         restorePointDataStoreId eq '00000000-0000-0000-0000-000000000005' and isVisible eq 'True' \
         and restorePointState eq 'partial' and extendedInfo eq 'false'",
    );
    let expected = PointQuery {
        from: Some(at("2021-08-01T00:00:00Z")),
        to: Some(at("2021-09-01T00:00:00Z")),
        store: Some(Uuid::from_u128(5)),
        state: Some(PointState::Partial),
    };
    assert_eq!(query.unwrap(), Some(expected));
    assert_eq!(point::query("").unwrap(), Some(PointQuery::default()));
    assert_eq!(point::query("isVisible eq 'false'").unwrap(), None, "nothing is hidden");
    for bad in [
        "startDate eq 'today'",
        "colour eq 'red'",
        "startDate gt '2021-08-01T00:00:00Z'",
        "isVisible eq 'perhaps'",
        "extendedInfo eq ''",
        "restorePointDataStoreId eq '5'",
        "restorePointState eq 'Lost'",
    ] {
        assert_eq!(point::query(bad).unwrap_err().status.as_u16(), 400, "{bad}");
    }
}

fn target(kind: &str) -> Value {
    json!({
        "objectType": kind,
        "recoveryOption": "FailIfExists",
        "dataSourceInfo": disk_json("APITestDisk2"),
        "restoreLocation": "westUS",
    })
}

#[test]
fn the_article_puts_the_point_outside() {
    let body = json!({
        "objectType": "ValidateRestoreRequestObject",
        "recoveryPointId": KEY,
        "restoreRequestObject": {
            "objectType": "AzureBackupRecoveryPointBasedRestoreRequest",
            "sourceDataStoreType": "OperationalStore",
            "restoreTargetInfo": target("restoreTargetInfo"),
        },
    });
    let spec = restore::validation(root(&body)).unwrap();
    assert_eq!((spec.point.as_str(), spec.source), (KEY, DataStore::Operational));
    assert_eq!(spec.target.id.name(), "APITestDisk2");
    assert_eq!(spec.location.as_deref(), Some("westUS"));
    let mut inner = body;
    inner["restoreRequestObject"]["recoveryPointId"] = json!("inner");
    assert_eq!(restore::validation(root(&inner)).unwrap().point, "inner");
    let plain = inner["restoreRequestObject"].clone();
    assert_eq!(restore::spec(root(&plain)).unwrap().point, "inner");
}

#[test]
fn wrong_restores_name_the_field() {
    let body = json!({
        "objectType": "AzureBackupRecoveryPointBasedRestoreRequest",
        "recoveryPointId": KEY,
        "sourceDataStoreType": "OperationalStore",
        "restoreTargetInfo": target("RestoreTargetInfo"),
    });
    let cases = [
        ("/objectType", json!("AzureBackupRecoveryTimeBasedRestoreRequest"), "objectType"),
        ("/recoveryPointId", json!(""), "recoveryPointId"),
        ("/sourceDataStoreType", Value::Null, "sourceDataStoreType"),
        ("/restoreTargetInfo", json!([]), "restoreTargetInfo"),
        ("/restoreTargetInfo/objectType", json!("ItemLevelRestoreTargetInfo"), "objectType"),
        ("/restoreTargetInfo/recoveryOption", json!("Overwrite"), "recoveryOption"),
        ("/restoreTargetInfo/dataSourceInfo", Value::Null, "restoreTargetInfo.datasourceInfo"),
    ];
    for (pointer, value, field) in cases {
        let mut body = body.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        let error = restore::spec(root(&body)).unwrap_err();
        assert!(error.message.contains(field), "{field}: {}", error.message);
    }
}

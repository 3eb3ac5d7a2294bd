//! Vaults and identities.

use super::{S, at, resource, root, vault_id};
use crate::types::{identity, vault};
use serde_json::json;
use std::collections::BTreeMap;
use tresor_core::model::{
    CostGranularity, CrossSubscription, DeletedVault, Identity, Immutability, Model, ResourceId,
    SoftDelete, SoftDeleteState, StorageSetting, Vault,
};
use uuid::Uuid;

const PRINCIPAL: Uuid = Uuid::from_u128(8);
const TENANT: Uuid = Uuid::from_u128(9);

fn model() -> Vault {
    Vault {
        unique_id: Uuid::from_u128(1),
        identity: Identity { system: Some(PRINCIPAL), user: BTreeMap::new() },
        storage: vec![StorageSetting {
            store: "VaultStore".into(),
            redundancy: "LocallyRedundant".into(),
        }],
        soft_delete: SoftDelete { state: SoftDeleteState::On, days: 14.0 },
        immutability: Immutability::Disabled,
        alert_on_failures: true,
        cross_subscription: CrossSubscription::Enabled,
        cross_region: None,
        cost: None,
    }
}

#[test]
fn a_vault_as_published() {
    let model = model();
    let made = resource(vault_id(), "westus", Model::Vault(model.clone()));
    let expected = json!({
        "location": "westus",
        "tags": { "env": "test" },
        "identity": {
            "type": "SystemAssigned",
            "principalId": PRINCIPAL.to_string(),
            "tenantId": TENANT.to_string(),
        },
        "properties": {
            "provisioningState": "Provisioning",
            "storageSettings": [{ "datastoreType": "VaultStore", "type": "LocallyRedundant" }],
            "monitoringSettings": {
                "azureMonitorAlertSettings": { "alertsForAllJobFailures": "Enabled" },
            },
            "securitySettings": {
                "softDeleteSettings": { "state": "On", "retentionDurationInDays": 14.0 },
                "immutabilitySettings": { "state": "Disabled" },
                "encryptionSettings": {
                    "state": "Disabled", "infrastructureEncryption": "Disabled",
                },
            },
            "isVaultProtectedByResourceGuard": false,
            "featureSettings": { "crossSubscriptionRestoreSettings": { "state": "Enabled" } },
            "secureScore": "Minimum",
            "bcdrSecurityLevel": "Poor",
            "replicatedRegions": [],
        },
        "id": vault_id().as_str(),
        "name": "vault1",
        "type": "Microsoft.DataProtection/backupVaults",
    });
    assert_eq!(vault::json(&made, &model, TENANT, "Provisioning", false), expected);
}

#[test]
fn a_deleted_vault_as_published() {
    let text = format!(
        "{S}/providers/Microsoft.DataProtection/locations/westus/deletedVaults/{}",
        Uuid::from_u128(1)
    );
    let id = ResourceId::parse(&text).unwrap();
    let deleted = DeletedVault {
        vault: model(),
        was: vault_id(),
        at: at("2026-05-04T06:20:11.1234567Z"),
        purge_at: at("2026-05-18T06:20:11.1234567Z"),
        activity: Uuid::from_u128(3),
    };
    let made = resource(id, "westus", Model::DeletedVault(deleted.clone()));
    let shown = vault::deleted_json(&made, &deleted);
    assert_eq!((&shown["id"], &shown["name"]), (&json!(text), &json!(Uuid::from_u128(1))));
    assert_eq!(shown["type"], "Microsoft.DataProtection/locations/deletedVaults");
    let properties = &shown["properties"];
    assert_eq!(properties["provisioningState"], "Succeeded");
    assert_eq!(properties["originalBackupVaultId"], vault_id().as_str());
    assert_eq!(properties["originalBackupVaultResourcePath"], vault_id().as_str());
    assert_eq!(properties["originalBackupVaultName"], "vault1");
    let info = json!({
        "deletionTime": "2026-05-04T06:20:11.1234567Z",
        "scheduledPurgeTime": "2026-05-18T06:20:11.1234567Z",
        "deleteActivityId": Uuid::from_u128(3).to_string(),
    });
    assert_eq!(properties["resourceDeletionInfo"], info);
}

#[test]
fn the_score_counts_what_protects() {
    for (state, immutability, score) in [
        (SoftDeleteState::Off, Immutability::Locked, "None"),
        (SoftDeleteState::On, Immutability::Locked, "Minimum"),
        (SoftDeleteState::AlwaysOn, Immutability::Disabled, "Adequate"),
    ] {
        let model =
            Vault { soft_delete: SoftDelete { state, days: 14.0 }, immutability, ..model() };
        let made = resource(vault_id(), "westus", Model::Vault(model.clone()));
        let shown = vault::json(&made, &model, TENANT, "Succeeded", false);
        assert_eq!(shown["properties"]["secureScore"], score);
    }
}

#[test]
fn levels_of_cost_are_echoed() {
    for (word, cost) in [
        ("VaultLevel", CostGranularity::Vault),
        ("ProtectedItemLevel", CostGranularity::Item),
        ("ProtectedItemWithParentTag", CostGranularity::ItemWithParentTag),
    ] {
        let level = json!({ "granularityLevel": word.to_lowercase() });
        let body = json!({ "properties": { "costManagementSettings": level } });
        let patch = vault::patch(root(&body)).unwrap();
        assert_eq!(patch.settings.cost, Some(cost));
        let model = Vault { cost: patch.settings.cost, ..model() };
        let made = resource(vault_id(), "westus", Model::Vault(model.clone()));
        let shown = vault::json(&made, &model, TENANT, "Succeeded", false);
        let shown = &shown["properties"]["costManagementSettings"];
        assert_eq!(shown, &json!({ "granularityLevel": word }));
    }
}

#[test]
fn soft_delete_off_shows_no_days() {
    let mut model = model();
    model.soft_delete.state = SoftDeleteState::Off;
    model.cross_region = Some(true);
    let made = resource(vault_id(), "westus", Model::Vault(model.clone()));
    let shown = vault::json(&made, &model, TENANT, "Succeeded", true);
    let settings = &shown["properties"]["securitySettings"]["softDeleteSettings"];
    assert_eq!(settings, &json!({ "state": "Off", "retentionDurationInDays": 0.0 }));
    let features = &shown["properties"]["featureSettings"];
    assert_eq!(features["crossRegionRestoreSettings"]["state"], "Enabled");
    assert_eq!(shown["properties"]["secureScore"], "None");
    assert_eq!(shown["properties"]["isVaultProtectedByResourceGuard"], true);
}

#[test]
fn what_a_request_leaves_out_is_kept() {
    let body = json!({
        "location": "West US",
        "identity": { "type": "systemAssigned" },
        "properties": {
            "storageSettings": [{ "dataStoreType": "vaultstore", "type": "locallyredundant" }],
        },
    });
    let spec = vault::spec(vault_id(), root(&body)).unwrap();
    assert_eq!(spec.location, "West US");
    let identity = spec.identity.unwrap();
    assert!(identity.system && identity.user.is_empty());
    assert_eq!(spec.settings.storage.unwrap(), model().storage);
    assert!(spec.settings.soft_delete.is_none() && spec.settings.immutability.is_none());
    assert!(spec.settings.alert_on_failures.is_none() && spec.settings.cross_region.is_none());
}

#[test]
fn settings_are_read_in_any_case() {
    let body = json!({ "tags": { "a": "b" }, "properties": {
        "securitySettings": {
            "softDeleteSettings": { "state": "alwayson", "retentionDurationInDays": 20.5 },
            "immutabilitySettings": { "state": "LOCKED" },
            "encryptionSettings": {
                "state": "Disabled", "infrastructureEncryption": "disabled",
                "keyVaultProperties": { "keyUri": null }, "kekIdentity": null,
            },
        },
        "featureSettings": {
            "crossSubscriptionRestoreSettings": { "state": "permanentlyDisabled" },
            "crossRegionRestoreSettings": { "state": "Disabled" },
        },
        "monitoringSettings": {
            "azureMonitorAlertSettings": { "alertsForAllJobFailures": "disabled" },
        },
    }});
    let patch = vault::patch(root(&body)).unwrap();
    assert_eq!(patch.settings.soft_delete, Some(SoftDeleteState::AlwaysOn));
    assert_eq!(patch.settings.soft_delete_days, Some(20.5));
    assert_eq!(patch.settings.immutability, Some(Immutability::Locked));
    let cross = patch.settings.cross_subscription;
    assert_eq!(cross, Some(CrossSubscription::PermanentlyDisabled));
    assert_eq!(patch.settings.cross_region, Some(false));
    assert_eq!(patch.settings.alert_on_failures, Some(false));
    assert_eq!(patch.tags.unwrap()["a"], "b");
}

#[test]
fn wrong_vaults_name_the_field() {
    let cases = [
        (json!({}), "properties"),
        (json!({ "properties": {} }), "location"),
        (json!({ "location": "a", "properties": { "storageSettings": [] } }), "storageSettings"),
        (
            json!({ "location": "a", "properties": {
                "storageSettings": [{ "datastoreType": "SnapshotStore", "type": "GeoRedundant" }],
            }}),
            "properties.storageSettings[0].datastoreType",
        ),
        (
            json!({ "location": "a", "identity": { "type": "Managed" }, "properties": {} }),
            "identity.type",
        ),
        (
            json!({ "location": "a", "identity": { "type": "UserAssigned" }, "properties": {} }),
            "identity.userAssignedIdentities",
        ),
        (
            json!({ "location": "a", "properties": { "securitySettings": {
                "encryptionSettings": { "state": "Enabled" },
            }}}),
            "encryptionSettings.state",
        ),
        (
            json!({ "location": "a", "properties": { "securitySettings": {
                "encryptionSettings": { "kekIdentity": { "identityType": "SystemAssigned" } },
            }}}),
            "encryptionSettings.kekIdentity",
        ),
        (
            json!({ "location": "a", "properties": { "securitySettings": {
                "encryptionSettings": { "infrastructureEncryption": "enabled" },
            }}}),
            "encryptionSettings.infrastructureEncryption",
        ),
        (
            json!({ "location": "a", "properties": { "replicatedRegions": ["eastus"] } }),
            "properties.replicatedRegions",
        ),
        (
            json!({ "location": "a", "properties": { "securitySettings": {
                "softDeleteSettings": { "retentionDurationInDays": "many" },
            }}}),
            "softDeleteSettings.retentionDurationInDays",
        ),
    ];
    for (body, field) in cases {
        let error = vault::spec(vault_id(), root(&body)).unwrap_err();
        assert_eq!((error.status.as_u16(), error.code.as_str()), (400, "BMSUserErrorInvalidInput"));
        assert!(error.message.contains(field), "{field}: {}", error.message);
    }
    let body = json!({ "properties": { "storageSettings": [] } });
    let error = vault::patch(root(&body)).unwrap_err();
    assert!(error.message.contains("properties.storageSettings"), "{}", error.message);
}

#[test]
fn the_soft_delete_state_is_found_in_any_case() {
    let body = json!({ "Properties": {
        "securitysettings": { "softDeleteSettings": { "State": "On" } },
    }});
    assert_eq!(vault::soft_delete_state(&root(&body)).str().unwrap(), Some("On"));
    assert!(!vault::soft_delete_state(&root(&json!({}))).is_present());
}

#[test]
fn identities_in_every_combination() {
    let none = Identity::default();
    assert_eq!(identity::json(&none, TENANT), json!({ "type": "None" }));
    let both = Identity {
        system: Some(PRINCIPAL),
        user: BTreeMap::from([("/i".to_owned(), (Uuid::from_u128(2), Uuid::from_u128(3)))]),
    };
    let shown = identity::json(&both, TENANT);
    assert_eq!(shown["type"], "SystemAssigned,UserAssigned");
    assert_eq!(shown["userAssignedIdentities"]["/i"]["clientId"], Uuid::from_u128(3).to_string());
    let body = json!({ "identity": {
        "type": "systemassigned, USERASSIGNED",
        "userAssignedIdentities": { "/a": {}, "/b": null },
    }});
    let spec = identity::spec(root(&body).get("identity")).unwrap().unwrap();
    assert!(spec.system);
    assert_eq!(spec.user, ["/a"]);
    assert!(identity::spec(root(&json!({})).get("identity")).unwrap().is_none());
}

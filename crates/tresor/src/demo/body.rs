//! The bodies of the walk-through's requests, as Azure documents them.

use serde_json::{Value, json};

/// Built-in role: the vault may read the disk.
pub(super) const DISK_BACKUP_READER: &str = "3e5e47e6-65f7-47ef-90b5-e5dd4d455f24";
/// Built-in role: the vault may make snapshots in the snapshot group.
pub(super) const DISK_SNAPSHOT_CONTRIBUTOR: &str = "7efff54f-a5b4-42b5-a1c5-5411624893ce";
/// Built-in role: the vault may make disks in the target group.
pub(super) const DISK_RESTORE_OPERATOR: &str = "b50d9833-a0cb-478e-945f-707fcc997c13";

/// The rule that the demo's backups are asked for by.
const RULE: &str = "BackupHourly";

/// A disk that waits for an upload of `len` bytes (and the 512 of a VHD's footer).
pub(super) fn disk(location: &str, len: u64) -> Value {
    json!({
        "location": location,
        "properties": {"creationData": {"createOption": "Upload", "uploadSizeBytes": len + 512}},
    })
}

/// A vault with an identity of its own.
pub(super) fn vault(location: &str) -> Value {
    json!({
        "location": location,
        "identity": {"type": "SystemAssigned"},
        "properties": {
            "storageSettings": [{"datastoreType": "VaultStore", "type": "LocallyRedundant"}],
        },
    })
}

/// Every four hours, kept for a week.
pub(super) fn policy() -> Value {
    let store = json!({"dataStoreType": "OperationalStore", "objectType": "DataStoreInfoBase"});
    json!({"properties": {
        "objectType": "BackupPolicy",
        "datasourceTypes": ["Microsoft.Compute/disks"],
        "policyRules": [
            {
                "name": RULE,
                "objectType": "AzureBackupRule",
                "backupParameters": {
                    "backupType": "Incremental", "objectType": "AzureBackupParams",
                },
                "dataStore": &store,
                "trigger": {
                    "objectType": "ScheduleBasedTriggerContext",
                    "schedule": {
                        "repeatingTimeIntervals": ["R/2026-01-01T13:00:00+00:00/PT4H"],
                    },
                    "taggingCriteria": [{
                        "isDefault": true, "taggingPriority": 99,
                        "tagInfo": {"tagName": "Default"},
                    }],
                },
            },
            {
                "name": "Default",
                "objectType": "AzureRetentionRule",
                "isDefault": true,
                "lifecycles": [{
                    "deleteAfter": {"duration": "P7D", "objectType": "AbsoluteDeleteOption"},
                    "sourceDataStore": &store,
                    "targetDataStoreCopySettings": [],
                }],
            },
        ],
    }})
}

/// One role for the vault's identity.
pub(super) fn role(subscription: &str, role: &str, principal: &str) -> Value {
    let definition =
        format!("{subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}");
    json!({"properties": {
        "roleDefinitionId": definition,
        "principalId": principal,
        "principalType": "ServicePrincipal",
    }})
}

/// The disk's protection by the policy, snapshots in their own group.
pub(super) fn instance(disk: &str, location: &str, policy: &str, snapshots: &str) -> Value {
    json!({
        "objectType": "BackupInstance",
        "friendlyName": last(disk),
        "dataSourceInfo": datasource(disk, location),
        "policyInfo": {
            "policyId": policy,
            "policyParameters": {"dataStoreParametersList": [{
                "objectType": "AzureOperationalStoreParameters",
                "dataStoreType": "OperationalStore",
                "resourceGroupId": snapshots,
            }]},
        },
    })
}

/// A backup now.
pub(super) fn backup() -> Value {
    json!({"backupRuleOptions": {
        "ruleName": RULE, "triggerOption": {"retentionTagOverride": "Default"},
    }})
}

/// A restore of `point` to the new disk `target`.
pub(super) fn restore(point: &str, target: &str, location: &str) -> Value {
    json!({
        "objectType": "AzureBackupRecoveryPointBasedRestoreRequest",
        "sourceDataStoreType": "OperationalStore",
        "recoveryPointId": point,
        "restoreTargetInfo": {
            "objectType": "RestoreTargetInfo",
            "recoveryOption": "FailIfExists",
            "restoreLocation": location,
            "datasourceInfo": datasource(target, location),
        },
    })
}

fn datasource(disk: &str, location: &str) -> Value {
    json!({
        "objectType": "Datasource",
        "datasourceType": "Microsoft.Compute/disks",
        "resourceType": "Microsoft.Compute/disks",
        "resourceID": disk,
        "resourceName": last(disk),
        "resourceLocation": location,
        "resourceUri": disk,
    })
}

fn last(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

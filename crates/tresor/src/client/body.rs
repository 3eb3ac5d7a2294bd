//! The bodies of requests, as Azure documents them.

use serde_json::{Value, json};

use super::blob::FOOTER;
use super::last;

/// Built-in role: the vault may read the disk.
pub(crate) const DISK_BACKUP_READER: &str = "3e5e47e6-65f7-47ef-90b5-e5dd4d455f24";
/// Built-in role: the vault may make snapshots in the snapshot group.
pub(crate) const DISK_SNAPSHOT_CONTRIBUTOR: &str = "7efff54f-a5b4-42b5-a1c5-5411624893ce";
/// Built-in role: the vault may make disks in the target group.
pub(crate) const DISK_RESTORE_OPERATOR: &str = "b50d9833-a0cb-478e-945f-707fcc997c13";

/// A disk that waits for an upload of `len` bytes (and those of a VHD's footer).
pub(crate) fn upload_disk(location: &str, len: u64) -> Value {
    json!({
        "location": location,
        "properties": {
            "creationData": {"createOption": "Upload", "uploadSizeBytes": len + FOOTER},
        },
    })
}

/// A vault with an identity of its own.
pub(crate) fn vault(location: &str, redundancy: &str) -> Value {
    json!({
        "location": location,
        "identity": {"type": "SystemAssigned"},
        "properties": {
            "storageSettings": [{"datastoreType": "VaultStore", "type": redundancy}],
        },
    })
}

/// One role for a principal.
pub(crate) fn role(subscription: &str, role: &str, principal: &str) -> Value {
    let definition =
        format!("{subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}");
    json!({"properties": {
        "roleDefinitionId": definition,
        "principalId": principal,
        "principalType": "ServicePrincipal",
    }})
}

/// A disk's protection by a policy, snapshots in a group of their own.
pub(crate) fn instance(disk: &str, location: &str, policy: &str, snapshots: &str) -> Value {
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

/// A backup now, by a rule of the instance's policy; kept as `tag` says, else as the rule does.
pub(crate) fn backup(rule: &str, tag: Option<&str>) -> Value {
    let trigger = match tag {
        Some(tag) => json!({"retentionTagOverride": tag}),
        None => json!({}),
    };
    json!({"backupRuleOptions": {"ruleName": rule, "triggerOption": trigger}})
}

/// A restore of `point` to the new disk `target`.
pub(crate) fn restore(point: &str, target: &str, location: &str) -> Value {
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

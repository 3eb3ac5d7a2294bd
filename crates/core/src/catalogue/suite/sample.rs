//! Records to keep.

use crate::catalogue::{Expect, Write};
use crate::error::{Fault, FaultKind};
use crate::model::*;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use uuid::Uuid;

pub(super) const SUBSCRIPTION: &str = "/subscriptions/11111111-2222-3333-4444-555555555555";

pub(super) fn id(path: &str) -> ResourceId {
    ResourceId::parse(&format!("{SUBSCRIPTION}{path}")).unwrap()
}

/// A number as an id of anything.
pub(super) fn guid(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// Seconds after a fixed instant.
pub(super) fn at(second: i64) -> Timestamp {
    let start: Timestamp = "2026-11-22T10:00:00.123456789Z".parse().unwrap();
    start + SignedDuration::from_secs(second)
}

pub(super) fn group_id() -> ResourceId {
    id("/resourceGroups/Rg")
}

pub(super) fn vault_id() -> ResourceId {
    id("/resourceGroups/Rg/providers/Microsoft.DataProtection/backupVaults/v")
}

pub(super) fn policy_id(name: &str) -> ResourceId {
    vault_id().join(&format!("backupPolicies/{name}")).unwrap()
}

pub(super) fn disk_id(name: &str) -> ResourceId {
    group_id().join(&format!("providers/Microsoft.Compute/disks/{name}")).unwrap()
}

pub(super) fn resource(id: ResourceId, model: Model) -> Resource {
    let stamp = Stamp { by: "someone".into(), at: at(0) };
    Resource {
        id,
        location: "West US".into(),
        tags: BTreeMap::from([("Key %_".into(), "it's \"quoted\" \u{e9}\n".into())]),
        created: stamp.clone(),
        modified: stamp,
        version: 77,
        model,
    }
}

pub(super) fn group(name: &str) -> Resource {
    let group = Group { managed_by: None };
    resource(id(&format!("/resourceGroups/{name}")), Model::Group(group))
}

pub(super) fn disk(name: &str) -> Resource {
    let source = disk_id("other");
    let model = Disk {
        unique_id: guid(1),
        size: u64::MAX,
        origin: Origin::Copy { source, source_unique_id: guid(2) },
        state: DiskState::ActiveGrant,
        provisioning: Provisioning::Creating,
        restored_by: Some(guid(3)),
        sku: "Premium_LRS".into(),
        attributes: BTreeMap::from([("zones".into(), serde_json::json!(["1", null, 2.5]))]),
    };
    resource(disk_id(name), Model::Disk(model))
}

pub(super) fn snapshot(name: &str) -> Resource {
    let model = Snapshot {
        unique_id: guid(4),
        size: 512,
        source: disk_id("d"),
        source_unique_id: guid(1),
        incremental: true,
        point: "0".repeat(32),
        made_by: Some(instance_id("i")),
        provisioning: Provisioning::Succeeded,
        sku: "Standard_LRS".into(),
        attributes: BTreeMap::new(),
    };
    let path = format!("providers/Microsoft.Compute/snapshots/{name}");
    resource(group_id().join(&path).unwrap(), Model::Snapshot(model))
}

pub(super) fn vault() -> Resource {
    resource(vault_id(), Model::Vault(vault_model()))
}

pub(super) fn deleted_vault() -> Resource {
    let path = "/providers/Microsoft.DataProtection/locations/westus/deletedVaults/5";
    let deleted = DeletedVault {
        vault: vault_model(),
        was: vault_id(),
        at: at(1),
        purge_at: at(2),
        activity: guid(11),
    };
    resource(id(path), Model::DeletedVault(deleted))
}

fn vault_model() -> Vault {
    Vault {
        unique_id: guid(5),
        identity: Identity {
            system: Some(guid(6)),
            user: BTreeMap::from([("/Sent/As/Is".into(), (guid(7), guid(8)))]),
        },
        storage: vec![StorageSetting {
            store: "VaultStore".into(),
            redundancy: "LocallyRedundant".into(),
        }],
        soft_delete: SoftDelete { state: SoftDeleteState::On, days: 14.25 },
        immutability: Immutability::Locked,
        alert_on_failures: true,
        cross_subscription: CrossSubscription::PermanentlyDisabled,
        cross_region: None,
        cost: Some(CostGranularity::ItemWithParentTag),
    }
}

pub(super) fn policy(name: &str) -> Resource {
    let tag = TagRule {
        tag: "Default".into(),
        is_default: true,
        priority: 99,
        criteria: Some(vec![TagCriteria {
            days_of_month: Some(vec![(Some(1), None), (None, Some(true))]),
            ..TagCriteria::default()
        }]),
    };
    let rules = vec![
        Rule::Backup(BackupRule {
            name: "BackupHourly".into(),
            backup_type: "Incremental".into(),
            store: DataStore::Operational,
            intervals: vec!["R/2020-04-05T13:00:00+00:00/PT4H".into()],
            time_zone: None,
            tags: vec![tag],
        }),
        Rule::Retention(RetentionRule {
            name: "Default".into(),
            is_default: true,
            lifecycles: vec![Lifecycle {
                delete_after: "P7D".into(),
                store: DataStore::Operational,
                copies_listed: false,
            }],
        }),
    ];
    let datasource_types = vec!["Microsoft.Compute/disks".into()];
    let model = Policy { unique_id: guid(9), datasource_types, rules };
    resource(policy_id(name), Model::Policy(model))
}

pub(super) fn instance_id(name: &str) -> ResourceId {
    vault_id().join(&format!("backupInstances/{name}")).unwrap()
}

pub(super) fn instance(name: &str, disk: &str, policy: &str, group: &str) -> Resource {
    let model = Instance {
        unique_id: guid(10),
        vault: vault_id(),
        vault_unique_id: guid(5),
        friendly_name: name.into(),
        disk: Datasource {
            id: disk_id(disk),
            name: None,
            resource_type: None,
            datasource_type: None,
            location: Some("westus".into()),
            uri: Some(String::new()),
        },
        disk_set: None,
        disk_unique_id: guid(1),
        policy: policy_id(policy),
        snapshot_group: id(&format!("/resourceGroups/{group}")),
        identity: Some(IdentityChoice { system: true, user: None }),
        state: ProtectionState::Configured,
        error: Some(fault()),
        deletion: Some(Deletion {
            was: instance_id("was"),
            at: at(1),
            purge_at: at(2),
            activity: guid(11),
            state_before: ProtectionState::Stopped,
        }),
    };
    resource(instance_id(name), Model::Instance(model))
}

pub(super) fn fault() -> Fault {
    Fault { details: vec![Fault::invalid("a.b", "wrong")], ..Fault::new(FaultKind::Quota, "no") }
}

/// A write that expects nothing of that id.
pub(super) fn put(resource: &Resource) -> Write {
    Write::PutResource(resource.clone(), Expect::Absent)
}

pub(super) fn principal(number: u128) -> Principal {
    Principal {
        object_id: guid(number),
        client_id: guid(number + 1000),
        name: format!("principal {number}"),
        kind: PrincipalKind::Application,
        secrets: vec![ClientSecret {
            id: guid(number + 2000),
            name: Some("first".into()),
            starts: Timestamp::UNIX_EPOCH,
            ends: None,
            hint: "abc".into(),
            digest: [0xa5; 32],
        }],
        created: Some(Timestamp::UNIX_EPOCH),
        resource: None,
    }
}

pub(super) fn role(number: u128) -> RoleDefinition {
    RoleDefinition {
        id: guid(number),
        name: format!("role {number}"),
        description: String::new(),
        built_in: false,
        actions: vec!["*/read".into()],
        not_actions: vec!["a/*".into()],
        data_actions: vec![],
        not_data_actions: vec![],
        assignable_scopes: vec![ResourceId::root()],
    }
}

pub(super) fn assignment_id(scope: &ResourceId, number: u128) -> ResourceId {
    let path = format!("providers/Microsoft.Authorization/roleAssignments/{}", guid(number));
    scope.join(&path).unwrap()
}

pub(super) fn assignment(
    scope: &ResourceId,
    number: u128,
    role: u128,
    principal: u128,
) -> RoleAssignment {
    RoleAssignment {
        id: assignment_id(scope, number),
        scope: scope.clone(),
        role: guid(role),
        principal: guid(principal),
        principal_type: "ServicePrincipal".into(),
        description: Some("why".into()),
        created_by: "owner".into(),
        created_at: at(0),
    }
}

pub(super) fn operation(number: u128) -> Operation {
    Operation {
        id: guid(number),
        resource: vault_id(),
        family: guid(5),
        caller: guid(20),
        correlation: guid(21),
        status: OperationStatus::Failed(fault()),
        started: at(0),
        ended: None,
        job: Some(vault_id().join("backupJobs/j").unwrap()),
        output: Some("out".into()),
    }
}

pub(super) fn job(number: u128, started: i64) -> Job {
    Job {
        id: guid(number),
        vault: vault_id(),
        vault_unique_id: guid(5),
        instance: instance_id("i"),
        instance_unique_id: guid(10),
        instance_name: "i".into(),
        policy: policy_id("p"),
        disk: disk_id("d"),
        disk_location: "westus".into(),
        category: JobCategory::Backup,
        user_triggered: true,
        status: JobStatus::InProgress,
        activity: guid(12),
        started: at(started),
        changed: at(started),
        ended: None,
        error: None,
        tag: Some("Default".into()),
        source: None,
        made: Some(PointRef { key: "0".repeat(32), time: at(0) }),
        target: None,
        progress: Progress { total: 1, transfer: Some(Transfer::default()), ..Default::default() },
        step: "ingest".into(),
    }
}

pub(super) fn point(instance: u128, key: u128, time: i64) -> Point {
    Point {
        key: format!("{key:032x}"),
        instance: guid(instance),
        time: at(time),
        expires: None,
        friendly_name: "snapshot".into(),
        snapshot: id("/resourceGroups/Rg/providers/Microsoft.Compute/snapshots/s"),
        size: 1 << 40,
        tag: "Default".into(),
        tag_version: at(0),
        policy_name: "p".into(),
        store: guid(13),
        job: guid(14),
        state: PointState::Completed,
        sku: "Premium_LRS".into(),
    }
}

pub(super) fn grant(number: u128, resource: &ResourceId) -> Grant {
    Grant {
        id: guid(number),
        resource: resource.clone(),
        unique_id: guid(1),
        access: Access::Write,
        expires: at(3600),
    }
}

pub(super) fn work(number: u128) -> Work {
    Work {
        id: guid(number),
        kind: WorkKind::Fill { disk: disk_id("d"), unique_id: Uuid::from_u128(7) },
        operation: Some(guid(1)),
        job: None,
        fence: 0,
        steps: BTreeMap::new(),
    }
}

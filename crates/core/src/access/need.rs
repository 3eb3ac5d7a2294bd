//! What a vault's identity must be allowed to do before disks can be backed up and restored.
//!
//! These lists are what the service itself does in the identity's name. The built-in roles give
//! more than that; only what is listed here is asked for.

use super::{DISK_BACKUP_READER, DISK_RESTORE_OPERATOR, DISK_SNAPSHOT_CONTRIBUTOR, decide};
use crate::model::{ResourceId, RoleAssignment, RoleDefinition};
use std::borrow::Borrow;
use uuid::Uuid;

const ON_DISK: [&str; 2] =
    ["Microsoft.Compute/disks/read", "Microsoft.Compute/disks/beginGetAccess/action"];

const ON_SNAPSHOT_GROUP: [&str; 6] = [
    "Microsoft.Resources/subscriptions/resourceGroups/read",
    "Microsoft.Compute/snapshots/read",
    "Microsoft.Compute/snapshots/write",
    "Microsoft.Compute/snapshots/delete",
    "Microsoft.Compute/snapshots/beginGetAccess/action",
    "Microsoft.Compute/snapshots/endGetAccess/action",
];

const ON_TARGET_GROUP: [&str; 3] = [
    "Microsoft.Resources/subscriptions/resourceGroups/read",
    "Microsoft.Compute/disks/read",
    "Microsoft.Compute/disks/write",
];

/// One action that somebody must be allowed at a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The action.
    pub action: &'static str,
    /// Where.
    pub scope: ResourceId,
    /// The built-in role that gives it.
    pub role: Uuid,
}

/// What backing up a disk takes.
#[must_use]
pub fn backup_needs(disk: &ResourceId, snapshot_group: &ResourceId) -> Vec<Need> {
    let on_disk = needs(&ON_DISK, disk, DISK_BACKUP_READER);
    let on_group = needs(&ON_SNAPSHOT_GROUP, snapshot_group, DISK_SNAPSHOT_CONTRIBUTOR);
    on_disk.chain(on_group).collect()
}

/// What making a disk in a group takes.
#[must_use]
pub fn restore_needs(target_group: &ResourceId) -> Vec<Need> {
    needs(&ON_TARGET_GROUP, target_group, DISK_RESTORE_OPERATOR).collect()
}

fn needs<'a>(
    actions: &'a [&'static str],
    scope: &'a ResourceId,
    role: Uuid,
) -> impl Iterator<Item = Need> + use<'a> {
    actions.iter().map(move |action| Need { action, scope: scope.clone(), role })
}

/// The needs that the assignments of one principal do not meet, in their order.
pub fn missing<R: Borrow<RoleDefinition>>(
    needs: &[Need],
    assignments: &[RoleAssignment],
    role: impl Fn(Uuid) -> Option<R>,
) -> Vec<Need> {
    let unmet = |need: &&Need| !decide(assignments, &role, need.action, &need.scope);
    needs.iter().filter(unmet).cloned().collect()
}

//! The one shape of everything that has a resource id.

use super::{
    DeletedVault, Disk, GuardProxy, Instance, Policy, ResourceGuard, ResourceId, Snapshot,
    UserIdentity, Vault,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A resource: its head, which all kinds share, and its model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// Its id, in the casing of its creation.
    pub id: ResourceId,
    /// Its location as the client wrote it; empty for children such as policies.
    pub location: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Who made it and when.
    pub created: Stamp,
    /// Who changed it last and when.
    pub modified: Stamp,
    /// Counts its changes; a write that expects another version is a conflict.
    pub version: i64,
    /// What it is.
    pub model: Model,
}

/// Who did something, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Object id or application id of the caller.
    pub by: String,
    /// Domain time.
    pub at: Timestamp,
}

/// The kinds of resources.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "few are in memory at a time")]
pub enum Model {
    /// A resource group.
    Group(Group),
    /// A disk of ours.
    Disk(Disk),
    /// A snapshot of a disk.
    Snapshot(Snapshot),
    /// A user-assigned managed identity.
    UserIdentity(UserIdentity),
    /// A backup vault.
    Vault(Vault),
    /// A deleted backup vault.
    DeletedVault(DeletedVault),
    /// A backup policy of a vault.
    Policy(Policy),
    /// A backup instance of a vault, or a deleted one.
    Instance(Instance),
    /// A resource guard.
    Guard(ResourceGuard),
    /// What puts a vault under a guard.
    GuardProxy(GuardProxy),
}

/// A resource group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// What manages the group, if anything; only echoed.
    pub managed_by: Option<String>,
}

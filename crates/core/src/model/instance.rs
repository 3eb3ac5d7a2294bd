//! Backup instances: one protected disk each.

use super::ResourceId;
use crate::error::Fault;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A backup instance, or a deleted one that can still be had back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Owns the recovery points, whatever the instance's id is now.
    pub unique_id: Uuid,
    /// The vault.
    pub vault: ResourceId,
    /// The vault's unique id: a later vault of the same name does not own it.
    pub vault_unique_id: Uuid,
    /// Name shown to people.
    pub friendly_name: String,
    /// The disk.
    pub disk: Datasource,
    /// The datasource set as sent; disks need none.
    pub disk_set: Option<Datasource>,
    /// Unique id of the disk when it was first protected.
    pub disk_unique_id: Uuid,
    /// The policy, in the client's casing.
    pub policy: ResourceId,
    /// Group that gets the snapshots, in the client's casing; never changes.
    pub snapshot_group: ResourceId,
    /// Which of the vault's identities works for it; None is the system-assigned one.
    pub identity: Option<IdentityChoice>,
    /// Where protection stands.
    pub state: ProtectionState,
    /// Why protection fails, when it does.
    pub error: Option<Fault>,
    /// Set on deleted instances.
    pub deletion: Option<Deletion>,
}

impl Instance {
    /// Whether it was protecting its disk at some time, and so keeps others from it.
    #[must_use]
    pub fn holds_its_disk(&self) -> bool {
        !matches!(self.state, ProtectionState::Configuring | ProtectionState::ConfiguringFailed)
    }
}

/// What is protected, with the client's own words for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Datasource {
    /// The disk's id, in the client's casing.
    pub id: ResourceId,
    /// Name as sent.
    pub name: Option<String>,
    /// Resource type as sent.
    pub resource_type: Option<String>,
    /// Datasource type as sent.
    pub datasource_type: Option<String>,
    /// Location as sent.
    pub location: Option<String>,
    /// URI as sent; often empty or the id again.
    pub uri: Option<String>,
}

/// Which identity of the vault works for an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityChoice {
    /// The system-assigned one.
    pub system: bool,
    /// Id of a user-assigned one.
    pub user: Option<String>,
}

/// Where protection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProtectionState {
    /// Being set up.
    Configuring,
    /// Backed up by its policy.
    Configured,
    /// Setting it up failed.
    ConfiguringFailed,
    /// No backups, points kept for ever.
    Stopped,
    /// No backups, points expire by policy.
    Suspended,
    /// Backups fail for a stated reason.
    Error,
    /// Deleted, can be had back.
    SoftDeleted,
}

/// When an instance was deleted and when it goes for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// The id that it had, which it gets back.
    pub was: ResourceId,
    /// When it was deleted, domain time.
    pub at: Timestamp,
    /// When its points may go, domain time.
    pub purge_at: Timestamp,
    /// Correlation id of the request that deleted it.
    pub activity: Uuid,
    /// The state it had before.
    pub state_before: ProtectionState,
}

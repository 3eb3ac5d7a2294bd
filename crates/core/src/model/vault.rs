//! Backup vaults and their safety settings.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A backup vault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Vault {
    /// Tells a vault from a later one of the same name.
    pub unique_id: Uuid,
    /// Its identity.
    pub identity: Identity,
    /// Storage settings as sent; they steer nothing for disks.
    pub storage: Vec<StorageSetting>,
    /// Soft delete.
    pub soft_delete: SoftDelete,
    /// Immutability.
    pub immutability: Immutability,
    /// Whether every failed job raises an alert.
    pub alert_on_failures: bool,
    /// Whether restores may go to other subscriptions.
    pub cross_subscription: CrossSubscription,
    /// Whether cross-region restore was switched on; None when never set.
    pub cross_region: Option<bool>,
}

/// A vault's identities.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Object id of the system-assigned identity, if there is one.
    pub system: Option<Uuid>,
    /// User-assigned identities: id as sent -> (object id, client id).
    pub user: BTreeMap<String, (Uuid, Uuid)>,
}

/// One storage setting, words as the wire knows them in canonical case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageSetting {
    /// `VaultStore`, `OperationalStore` or `ArchiveStore`.
    pub store: String,
    /// `LocallyRedundant`, `ZoneRedundant` or `GeoRedundant`.
    pub redundancy: String,
}

/// Soft delete of backup instances.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SoftDelete {
    /// The state.
    pub state: SoftDeleteState,
    /// Days that deleted instances are kept, 14 to 180; fractions are legal.
    pub days: f64,
}

/// States of soft delete; `AlwaysOn` never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SoftDeleteState {
    /// Deleted at once.
    Off,
    /// Kept for the set days.
    On,
    /// Kept, and cannot be switched off any more.
    AlwaysOn,
}

/// Immutability of a vault; `Locked` never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Immutability {
    /// Off.
    Disabled,
    /// On, can be switched off.
    Unlocked,
    /// On for ever.
    Locked,
}

/// Restores to other subscriptions; `PermanentlyDisabled` never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CrossSubscription {
    /// Refused.
    Disabled,
    /// Refused for ever.
    PermanentlyDisabled,
    /// Allowed.
    Enabled,
}

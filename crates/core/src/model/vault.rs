//! Backup vaults and their safety settings.

use super::ResourceId;
use jiff::Timestamp;
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
    /// How finely costs are to be told apart; None when never set. Nothing costs anything here, so
    /// it is only echoed.
    pub cost: Option<CostGranularity>,
}

/// A deleted vault that can still be had back. What was in it lies below its id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeletedVault {
    /// The vault as it was.
    pub vault: Vault,
    /// The id that it had.
    pub was: ResourceId,
    /// When it was deleted, domain time.
    pub at: Timestamp,
    /// When it may go for good, domain time.
    pub purge_at: Timestamp,
    /// Correlation id of the request that deleted it.
    pub activity: Uuid,
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

impl CrossSubscription {
    /// Whether a vault of one subscription may restore into another. Its own is always allowed.
    #[must_use]
    pub fn allows(self, vault: &ResourceId, target: &ResourceId) -> bool {
        self == Self::Enabled || vault.subscription() == target.subscription()
    }
}

/// How finely costs are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CostGranularity {
    /// One line for the vault.
    Vault,
    /// One for each instance.
    Item,
    /// One for each instance, with the tags of its vault.
    ItemWithParentTag,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_subscriptions_are_a_matter_of_the_setting() {
        let id = |n: u8| ResourceId::of_subscription(Uuid::from_u128(n.into()));
        let group = |n: u8| id(n).join("resourceGroups/g").unwrap();
        for (setting, other) in [
            (CrossSubscription::Enabled, true),
            (CrossSubscription::Disabled, false),
            (CrossSubscription::PermanentlyDisabled, false),
        ] {
            assert!(setting.allows(&id(1), &group(1)), "{setting:?}");
            assert_eq!(setting.allows(&id(1), &group(2)), other, "{setting:?}");
            let nowhere = setting.allows(&id(1), &ResourceId::root());
            assert_eq!(nowhere, other, "no subscription is not the vault's own: {setting:?}");
        }
    }
}

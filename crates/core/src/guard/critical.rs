//! The critical operations of Backup vaults: their names, the requests at a guard that stand for
//! them, and the right that each takes there.
//!
//! Operations are those of Microsoft's article on multi-user authorization
//! (<https://learn.microsoft.com/azure/backup/multi-user-authorization-concept>); requests are
//! named as in the examples of Azure's specification and in the help of Az.DataProtection. A
//! request's older name stands for the same operation.

use crate::error::{Fault, FaultKind};
use crate::model::{Immutability, ResourceId, SoftDeleteState, Vault};

/// Operations that an exclusion list can have at most.
const EXCLUSIONS_MAX: usize = 50;
/// The one name of a request at a guard.
const DEFAULT: &str = "default";

/// What can be done at a guard.
macro_rules! at_guard {
    ($($tail:literal),+) => {
        concat!(
            "Microsoft.DataProtection/subscriptions/resourceGroups/providers/resourceGuards/",
            $($tail),+
        )
    };
}

/// The right to see a guard: with it a vault can be put under the guard.
pub const GUARD_READ: &str = at_guard!("read");
/// The right to change a guard. Whoever has it could exclude an operation, so it is as good as the
/// right to do the operation; Azure's role Backup MUA Admin has it.
pub const GUARD_WRITE: &str = at_guard!("write");

/// Operations that take a second person's consent at a vault under a guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Critical {
    /// Takes the vault from under the guard. Cannot be excluded.
    RemoveProxy,
    /// Switches soft delete off, or shortens it. Cannot be excluded.
    WeakenSoftDelete,
    /// Deletes a backup instance with its points.
    DeleteInstance,
    /// Stops backups and keeps points for ever.
    StopProtection,
    /// Stops backups and lets points expire.
    SuspendBackups,
    /// Gives a backup instance another policy.
    ChangePolicy,
    /// Restores a point.
    Restore,
    /// Switches immutability off.
    ReduceImmutability,
    /// Changes the keys of a vault; refused for everybody until vaults have keys of their own.
    ModifyEncryption,
}

/// How one operation is spelt.
struct Names {
    operation: &'static str,
    /// The guard's request that stands for it, and older names of the same.
    requests: &'static [&'static str],
    /// The right at the guard.
    action: &'static str,
}

macro_rules! names {
    ($operation:literal, $request:literal $(, $older:literal)*) => {
        Names {
            operation: concat!("Microsoft.DataProtection/backupVaults/", $operation),
            requests: &[$request $(, $older)*],
            action: at_guard!($request, "/action"),
        }
    };
}

const REMOVE_PROXY: Names =
    names!("backupResourceGuardProxies/delete", "deleteResourceGuardProxyRequests");
const WEAKEN_SOFT_DELETE: Names = names!(
    "write#reduceSoftDeleteSecurity",
    "dppReduceSoftDeleteSecurityRequests",
    "disableSoftDeleteRequests"
);
const DELETE_INSTANCE: Names =
    names!("backupInstances/delete", "deleteBackupInstanceRequests", "deleteProtectedItemRequests");
const STOP_PROTECTION: Names =
    names!("backupInstances/stopProtection/action", "dppDisableStopProtectionRequests");
const SUSPEND_BACKUPS: Names =
    names!("backupInstances/suspendBackups/action", "dppDisableSuspendBackupsRequests");
const CHANGE_POLICY: Names =
    names!("backupInstances/write", "dppModifyPolicy", "updateProtectedItemRequests");
const RESTORE: Names = names!("backupInstances/restore/action", "dppTriggerRestoreRequests");
const REDUCE_IMMUTABILITY: Names =
    names!("write#reduceImmutabilityState", "dppReduceImmutabilityStateRequests");
const MODIFY_ENCRYPTION: Names =
    names!("write#modifyEncryptionSettings", "dppModifyEncryptionSettingsRequests");

/// Requests that guard something at other kinds of vaults and nothing here.
const OTHER_REQUESTS: [&str; 2] =
    ["updateProtectionPolicyRequests", "getBackupSecurityPINRequests"];

/// Operations of Recovery Services vaults that can be excluded too: kept, because one template of
/// a guard serves both kinds of vaults, and without effect, because there are no such vaults here.
const OTHER_VAULTS: &str = "Microsoft.RecoveryServices/vaults/";
const OTHER_OPTIONAL: [&str; 12] = [
    "backupconfig/delete",
    "backupEncryptionConfigs/backupResourceEncryptionConfig/write",
    "backupFabrics/protectionContainers/delete",
    "backupFabrics/protectionContainers/protectedItems/delete",
    "backupFabrics/protectionContainers/protectedItems/recoveryPoints/restore/action",
    "backupFabrics/protectionContainers/protectedItems/write",
    "backupFabrics/protectionContainers/protectedItems/write#stopProtectionWithRetainData",
    "backupPolicies/write",
    "backupResourceGuardProxies/write",
    "backupSecurityPIN/action",
    "write#modifyEncryptionSettings",
    "write#reduceImmutabilityState",
];

impl Critical {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::RemoveProxy,
        Self::WeakenSoftDelete,
        Self::DeleteInstance,
        Self::StopProtection,
        Self::SuspendBackups,
        Self::ChangePolicy,
        Self::Restore,
        Self::ReduceImmutability,
        Self::ModifyEncryption,
    ];

    fn names(self) -> &'static Names {
        match self {
            Self::RemoveProxy => &REMOVE_PROXY,
            Self::WeakenSoftDelete => &WEAKEN_SOFT_DELETE,
            Self::DeleteInstance => &DELETE_INSTANCE,
            Self::StopProtection => &STOP_PROTECTION,
            Self::SuspendBackups => &SUSPEND_BACKUPS,
            Self::ChangePolicy => &CHANGE_POLICY,
            Self::Restore => &RESTORE,
            Self::ReduceImmutability => &REDUCE_IMMUTABILITY,
            Self::ModifyEncryption => &MODIFY_ENCRYPTION,
        }
    }

    /// Its name in Azure's list of operations.
    #[must_use]
    pub fn operation(self) -> &'static str {
        self.names().operation
    }

    /// The kind of request at a guard that stands for it.
    #[must_use]
    pub fn request(self) -> &'static str {
        self.names().requests.first().copied().unwrap_or_default()
    }

    /// The right at the guard that it takes.
    #[must_use]
    pub fn action(self) -> &'static str {
        self.names().action
    }

    /// Whether no guard can exclude it: it would disarm the guard.
    #[must_use]
    pub fn is_mandatory(self) -> bool {
        matches!(self, Self::RemoveProxy | Self::WeakenSoftDelete)
    }

    /// The id of the request at this guard that stands for it.
    #[must_use]
    pub fn request_id(self, guard: &ResourceId) -> Option<ResourceId> {
        guard.join(&format!("{}/{DEFAULT}", self.request())).ok()
    }

    /// Whether this id is a request at this guard that stands for it.
    #[must_use]
    pub fn is_named_by(self, request: &ResourceId, guard: &ResourceId) -> bool {
        self.names().requests.iter().any(|kind| {
            guard.join(&format!("{kind}/{DEFAULT}")).is_ok_and(|expected| expected == *request)
        })
    }
}

/// Kinds of requests that a guard shows, in exact spelling, the newest names first.
pub fn request_kinds() -> impl Iterator<Item = &'static str> {
    let own = Critical::ALL.into_iter().flat_map(|critical| critical.names().requests);
    own.copied().chain(OTHER_REQUESTS)
}

/// The exact spelling of a kind of request, when there is such a kind.
#[must_use]
pub fn request_kind(text: &str) -> Option<&'static str> {
    request_kinds().find(|kind| kind.eq_ignore_ascii_case(text))
}

/// Refuses a list that excludes what cannot be excluded, or what is no operation.
///
/// # Errors
/// `ExclusionRefused` with the operation.
pub fn check_exclusions(exclusions: &[String]) -> Result<(), Fault> {
    let refuse = |message: String| {
        Err(Fault::new(FaultKind::ExclusionRefused, message)
            .at("properties.vaultCriticalOperationExclusionList")
            .advise(format!("Exclude only operations of this list: {}.", optional().join(", "))))
    };
    if exclusions.len() > EXCLUSIONS_MAX {
        return refuse(format!(
            "vaultCriticalOperationExclusionList: it has {} operations; at most {EXCLUSIONS_MAX} \
             fit.",
            exclusions.len()
        ));
    }
    for text in exclusions {
        let own = Critical::ALL.into_iter().find(|c| c.operation().eq_ignore_ascii_case(text));
        match own {
            Some(critical) if critical.is_mandatory() => {
                return refuse(format!(
                    "vaultCriticalOperationExclusionList: the operation '{text}' is always \
                     protected and cannot be excluded."
                ));
            }
            Some(_) => {}
            None if is_other_optional(text) => {}
            None => {
                let shown: String = text.chars().take(200).collect();
                return refuse(format!(
                    "vaultCriticalOperationExclusionList: '{shown}' is no operation that a guard \
                     could exclude."
                ));
            }
        }
    }
    Ok(())
}

fn optional() -> Vec<&'static str> {
    let all = Critical::ALL.into_iter().filter(|critical| !critical.is_mandatory());
    all.map(Critical::operation).collect()
}

fn is_other_optional(text: &str) -> bool {
    text.split_at_checked(OTHER_VAULTS.len()).is_some_and(|(head, tail)| {
        head.eq_ignore_ascii_case(OTHER_VAULTS)
            && OTHER_OPTIONAL.iter().any(|own| own.eq_ignore_ascii_case(tail))
    })
}

/// Whether a guard with these exclusions protects an operation.
#[must_use]
pub fn protects(exclusions: &[String], critical: Critical) -> bool {
    critical.is_mandatory()
        || !exclusions.iter().any(|text| text.eq_ignore_ascii_case(critical.operation()))
}

/// The critical operations that lie in a change of a vault's settings, by whatever request.
#[must_use]
pub fn of_vault_change(before: &Vault, after: &Vault) -> Vec<Critical> {
    // Off keeps nothing, whatever days are remembered for when it is switched on.
    let days = |vault: &Vault| match vault.soft_delete.state {
        SoftDeleteState::Off => 0.0,
        SoftDeleteState::On | SoftDeleteState::AlwaysOn => vault.soft_delete.days,
    };
    let final_ = |vault: &Vault| vault.soft_delete.state == SoftDeleteState::AlwaysOn;
    let strength = |vault: &Vault| match vault.immutability {
        Immutability::Disabled => 0,
        Immutability::Unlocked => 1,
        Immutability::Locked => 2,
    };
    let mut found = vec![];
    if days(after) < days(before) || final_(before) && !final_(after) {
        found.push(Critical::WeakenSoftDelete);
    }
    if strength(after) < strength(before) {
        found.push(Critical::ReduceImmutability);
    }
    found
}

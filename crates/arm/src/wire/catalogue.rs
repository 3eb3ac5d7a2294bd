//! The one place where a fault gets its code and status.
//!
//! The match is exhaustive on purpose: a new kind of fault does not compile until it has a code.
//! Codes are those that users of Azure Disk Backup meet in its documentation and traffic.

use super::body::Dialect;
use http::StatusCode;
use serde_json::{Value, json};
use strum::IntoEnumIterator;
use tresor_core::error::FaultKind as K;
use tresor_core::error::{Fault, FaultKind};
use uuid::Uuid;

/// How one kind of fault looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Status of a synchronous answer.
    pub(crate) status: StatusCode,
    /// Its code.
    pub(crate) code: &'static str,
    /// Whether the same request may succeed later without a change.
    pub(crate) retryable: bool,
    /// Whether the synchronous answer has the long form.
    pub(crate) rich: bool,
    /// What to do, when the fault itself does not say.
    pub(crate) action: &'static str,
}

/// How a kind of fault looks in a dialect.
pub(crate) fn entry(kind: FaultKind, dialect: Dialect) -> Entry {
    let backup = dialect == Dialect::DataProtection;
    let (status, code) = match dialect {
        Dialect::Graph => in_graph(kind),
        _ => answer(kind, backup),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let action = ACTIONS.iter().find(|(own, _)| *own == kind).map_or("", |(_, action)| *action);
    // Who is refused by a guard needs to know what to do next as much as who sent a wrong field.
    let rich = backup && (status == StatusCode::BAD_REQUEST || kind == K::GuardRefused);
    let retryable = matches!(
        kind,
        K::Conflict | K::Internal | K::Unavailable | K::Quota | K::BackupRunning | K::StoreFull
    );
    Entry { status, code, retryable, rich, action }
}

/// Status and code as Microsoft Graph writes them.
fn in_graph(kind: FaultKind) -> (u16, &'static str) {
    match kind {
        K::InvalidInput => (400, "Request_BadRequest"),
        K::NotFound => (404, "Request_ResourceNotFound"),
        K::Forbidden => (403, "Authorization_RequestDenied"),
        K::Unsupported => (400, "notSupported"),
        K::LimitReached => (403, "Directory_QuotaExceeded"),
        other => answer(other, false),
    }
}

/// The kind of fault that has this code in a dialect.
pub(crate) fn kind_of(code: &str, dialect: Dialect) -> Option<FaultKind> {
    FaultKind::iter().find(|kind| entry(*kind, dialect).code.eq_ignore_ascii_case(code))
}

/// Every code of a dialect.
pub(crate) fn codes(dialect: Dialect) -> impl Iterator<Item = &'static str> {
    FaultKind::iter().map(move |kind| entry(kind, dialect).code)
}

/// Status and code; the second of the pair tells whether data protection answers.
fn answer(kind: FaultKind, backup: bool) -> (u16, &'static str) {
    match (kind, backup) {
        (K::InvalidInput, true) => (400, "BMSUserErrorInvalidInput"),
        (K::InvalidInput, false) => (400, "InvalidParameter"),
        (K::NotFound, true) => (404, "UserErrorGenericResourceNotFound"),
        (K::NotFound, false) => (404, "ResourceNotFound"),
        (K::GroupNotFound, _) => (404, "ResourceGroupNotFound"),
        (K::SubscriptionNotFound, _) => (404, "SubscriptionNotFound"),
        (K::Conflict, true) => (409, "UserErrorDppConflict"),
        (K::Conflict, false) => (409, "Conflict"),
        (K::LocationChanged, _) => (409, "InvalidResourceLocation"),
        (K::Forbidden, _) => (403, "AuthorizationFailed"),
        (K::Unsupported, _) => (400, "OperationNotSupported"),
        (K::Internal, true) => (500, "CloudInternalError"),
        (K::Internal, false) => (500, "InternalServerError"),
        (K::Unavailable, true) => (503, "CloudServiceRetryableError"),
        (K::Unavailable, false) => (503, "ServiceUnavailable"),
        (K::Quota, true) => (429, "CloudDosTimeboudLimitReached"),
        (K::Quota, false) => (429, "QuotaExceeded"),
        (K::GroupHoldsProtection, _) => (409, "ResourceGroupDeletionBlocked"),
        (K::RoleAssignmentExists, _) => (409, "RoleAssignmentExists"),
        (K::RoleAssignmentNotFound, _) => (404, "RoleAssignmentNotFound"),
        (K::RoleDefinitionNotFound, _) => (404, "RoleDefinitionDoesNotExist"),
        (K::RoleDefinitionInUse, _) => (409, "RoleDefinitionHasAssignments"),
        (K::PrincipalNotFound, _) => (400, "PrincipalNotFound"),
        (K::LastOwner, _) => (409, "LastOwnerCannotBeRemoved"),
        (K::LimitReached, _) => (409, "LimitExceeded"),
        (K::IdentityInUse, _) => (409, "UserAssignedIdentityInUse"),
        (K::DatasourceAlreadyProtected, _) => (400, "UserErrorDppDatasourceAlreadyProtected"),
        (K::DatasourceHasInstance, _) => (400, "UserErrorDppDatasourceAlreadyHasBackupInstance"),
        (K::PermissionsMissing, _) => (400, "UserErrorMissingRequiredPermissions"),
        (K::SnapshotGroupSubscription, _) => (400, "UserErrorSnapshotRGSubscriptionMismatch"),
        (K::SnapshotGroupNotFound, _) => (400, "UserErrorSnapshotRGNotFound"),
        (K::SnapshotGroupMissing, _) => (400, "UserErrorOperationalStoreParametersNotProvided"),
        (K::SnapshotGroupInvalid, _) => (400, "UserErrorInvalidOperationalStoreResourceGroup"),
        (K::SnapshotGroupChanged, _) => (400, "UserErrorSnapshotRGCannotBeChanged"),
        (K::DiskNotFound, true) => (400, "UserErrorManagedDiskNotFound"),
        (K::DiskNotFound, false) => (404, "ResourceNotFound"),
        (K::DiskTypeUnsupported, _) => (400, "UserErrorDiskBackupDiskTypeNotSupported"),
        (K::RegionMismatch, _) => (400, "BackupAgentPluginHostValidateProtectionError"),
        (K::DiskNameTaken, true) => (400, "UserErrorSameNameDiskAlreadyExists"),
        (K::DiskNameTaken, false) => (409, "ResourceAlreadyExists"),
        (K::TargetGroupNotFound, _) => (400, "UserErrorRestoreTargetRGNotFound"),
        (K::CrossSubscriptionRefused, _) => (400, "UserErrorCrossSubscriptionRestoreNotAllowed"),
        (K::SnapshotNotFound, true) => (400, "UserErrorDiskSnapshotNotFound"),
        (K::SnapshotNotFound, false) => (404, "ResourceNotFound"),
        (K::PropertyChange, _) => (409, "PropertyChangeNotAllowed"),
        (K::BackupRunning, _) => (400, "UserErrorMaxConcurrentOperationLimitReached"),
        (K::PolicyInUse, _) => (400, "UserErrorDppPolicyObjectInUse"),
        (K::PolicyImmutable, _) => (400, "UserErrorDppPolicyUpdateNotAllowed"),
        (K::VaultNotEmpty, _) => (400, "UserErrorBackupVaultNotEmpty"),
        (K::VaultIdentityMissing, _) => (400, "UserErrorVaultIdentityNotConfigured"),
        (K::OneWaySetting, _) => (400, "UserErrorDppOneWaySetting"),
        (K::InstanceState, _) => (400, "UserErrorDppInvalidOperationInCurrentState"),
        (K::PointDamaged, _) => (400, "UserErrorRecoveryPointDamaged"),
        (K::StoreFull, _) => (507, "InsufficientStorage"),
        (K::Cancelled, _) => (400, "UserErrorOperationCancelled"),
        (K::GuardRefused, _) => (403, "LinkedAuthorizationFailed"),
        (K::GuardInUse, _) => (409, "UserErrorResourceGuardInUse"),
        (K::ExclusionRefused, _) => (400, "BMSUserErrorInvalidCriticalOperationExclusionList"),
        (K::InstanceExists, _) => (409, "UserErrorDppBackupInstanceAlreadyExists"),
        (K::VaultExists, _) => (409, "UserErrorBackupVaultAlreadyExists"),
    }
}

/// What to do, when the fault itself does not say.
const ACTIONS: &[(FaultKind, &str)] = &[
    (K::InvalidInput, "Please check the required inputs."),
    (K::NotFound, "Check the resource name, its group and the subscription."),
    (K::GroupNotFound, "Create the group first."),
    (K::SubscriptionNotFound, "Check the subscription id."),
    (K::Conflict, "Read the resource again and retry."),
    (K::LocationChanged, "Keep the location with which the resource was created."),
    (K::Forbidden, "Ask an owner of the scope for a role that has the action."),
    (K::Unsupported, "See the documentation for what is supported."),
    (K::Internal, "Try again; if it happens again, look into the service's log."),
    (K::Unavailable, "Try again in a moment."),
    (K::Quota, "Wait, or raise the limit in the service's configuration."),
    (K::GroupHoldsProtection, "Stop and delete the named backup instances first."),
    (K::RoleAssignmentExists, "Nothing needs to be done."),
    (K::RoleAssignmentNotFound, "Check the assignment's name and scope."),
    (K::RoleDefinitionNotFound, "List the role definitions and use the id of one of them."),
    (K::RoleDefinitionInUse, "Delete the role's assignments first."),
    (K::PrincipalNotFound, "Use the object id of a principal of this tenant."),
    (K::LastOwner, "First make another principal Owner at the scope '/'."),
    (K::IdentityInUse, "Take the identity away from the named vaults first."),
    (K::LimitReached, "Delete what is not needed any more."),
    (
        K::DatasourceAlreadyProtected,
        "Delete the backup instance in that vault to protect the disk in another one.",
    ),
    (
        K::DatasourceHasInstance,
        "Delete the backup instance in the vault where the disk is protected first.",
    ),
    (K::PermissionsMissing, "Give the vault's identity the named roles and retry."),
    (
        K::SnapshotGroupSubscription,
        "Use a snapshot resource group in the subscription of the disk.",
    ),
    (
        K::SnapshotGroupNotFound,
        "Create the snapshot resource group and give the vault's identity its role there.",
    ),
    (
        K::SnapshotGroupMissing,
        "Send resourceGroupId in policyInfo.policyParameters.dataStoreParametersList.",
    ),
    (K::SnapshotGroupInvalid, "Send the id of a resource group."),
    (
        K::SnapshotGroupChanged,
        "Keep the snapshot resource group; it is fixed when protection is configured.",
    ),
    (K::DiskNotFound, "If the disk was deleted by mistake, restore it from a recovery point."),
    (K::DiskTypeUnsupported, "See the documentation for the disks that can be backed up."),
    (K::RegionMismatch, "Use a vault, disk and snapshot resource group of one region."),
    (K::DiskNameTaken, "Provide a different disk name."),
    (K::TargetGroupNotFound, "Provide a resource group that exists to restore to."),
    (
        K::CrossSubscriptionRefused,
        "Restore into the vault's subscription, or allow others in the vault's settings.",
    ),
    (K::SnapshotNotFound, "Use another recovery point."),
    (K::BackupRunning, "Wait until the running backup has ended."),
    (K::PropertyChange, "Choose another name, or delete the resource first."),
    (K::PolicyInUse, "Move the backup instances that use the policy to another one first."),
    (K::PolicyImmutable, "Create a new policy and move the backup instances to it."),
    (K::VaultNotEmpty, "Delete the backup instances in the vault first."),
    (K::VaultIdentityMissing, "Give the vault a managed identity."),
    (K::OneWaySetting, "This setting cannot be taken back; send its present value."),
    (K::InstanceState, "Bring the backup instance into a state that allows the operation."),
    (K::PointDamaged, "Use another recovery point."),
    (K::StoreFull, "Free space in the store or make it larger."),
    (K::Cancelled, "Start the operation again."),
    (K::GuardRefused, "Ask the owner of the resource guard for the role Backup MUA Operator."),
    (K::GuardInUse, "Delete the proxies that use the resource guard first."),
    (K::ExclusionRefused, "Exclude only operations that a resource guard can leave unprotected."),
    (K::InstanceExists, "Delete the backup instance that has the name first."),
    (K::VaultExists, "Choose another name for the vault that is restored."),
];

/// The long form of a fault: in errors, jobs and instances.
pub(crate) fn user_facing(fault: &Fault, dialect: Dialect, activity: Uuid) -> Value {
    let entry = entry(fault.kind, dialect);
    let advice: Vec<&str> = if fault.guidance.is_empty() {
        vec![entry.action]
    } else {
        fault.guidance.iter().map(String::as_str).collect()
    };
    let details: Vec<Value> =
        fault.details.iter().map(|detail| user_facing(detail, dialect, activity)).collect();
    let inner = (!fault.details.is_empty()).then(|| {
        let causes: Vec<&str> = fault.details.iter().map(|d| d.message.as_str()).collect();
        json!({
            "code": entry.code,
            "additionalInfo": {"DetailedNonLocalisedMessage": causes.join(" ")},
        })
    });
    json!({
        "message": fault.message,
        "recommendedAction": advice,
        "details": if details.is_empty() { Value::Null } else { Value::Array(details) },
        "code": entry.code,
        "target": fault.target.as_deref().unwrap_or_default(),
        "innerError": inner,
        "isRetryable": entry.retryable,
        "isUserError": false,
        "properties": {"ActivityId": activity.to_string()},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const DIALECTS: [Dialect; 3] = [Dialect::Arm, Dialect::Compute, Dialect::DataProtection];

    /// Every kind, found by its serialised names so that the list cannot miss one silently.
    fn kinds() -> Vec<FaultKind> {
        let source = include_str!("../../../core/src/error.rs");
        let start = source.find("pub enum FaultKind {").unwrap();
        let body = &source[start..start + source[start..].find('}').unwrap()];
        let names = body
            .lines()
            .skip(1)
            .map(|l| l.trim().trim_end_matches(','))
            .filter(|l| !l.is_empty() && !l.starts_with("//"));
        names
            .map(|name| {
                let snake: String = name
                    .chars()
                    .enumerate()
                    .flat_map(|(at, c)| {
                        let gap = (at > 0 && c.is_ascii_uppercase()).then_some('_');
                        gap.into_iter().chain([c.to_ascii_lowercase()])
                    })
                    .collect();
                serde_json::from_value(Value::String(snake)).unwrap()
            })
            .collect()
    }

    #[test]
    fn only_internal_faults_are_server_errors() {
        assert!(kinds().len() >= 45);
        for kind in kinds() {
            for dialect in DIALECTS {
                let entry = entry(kind, dialect);
                let server = matches!(
                    kind,
                    FaultKind::Internal | FaultKind::Unavailable | FaultKind::StoreFull
                );
                assert_eq!(entry.status.is_server_error(), server, "{kind:?} {entry:?}");
                assert!(!entry.code.is_empty() && !entry.action.is_empty());
            }
        }
    }

    #[test]
    fn codes_differ_between_kinds() {
        let mut seen = BTreeSet::new();
        for kind in kinds() {
            let code = entry(kind, Dialect::DataProtection).code;
            assert!(seen.insert(code), "{code} stands for two kinds");
        }
    }
}

//! What can go wrong in the domain, told without any transport.
//!
//! A [`Fault`] is what a person gets to know: a kind, a message and what to do next. It is kept
//! with operations, jobs and instances, so it must never hold a secret. An [`Error`] is a fault
//! with the internal cause beside it, which is logged once where it is handled and never shown.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Shorthand.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kinds of faults. The wire maps each to one code and status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::EnumIter)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each name says it; the wire's catalogue holds code and text")]
pub enum FaultKind {
    InvalidInput,
    NotFound,
    GroupNotFound,
    SubscriptionNotFound,
    Conflict,
    LocationChanged,
    PropertyChange,
    Forbidden,
    Unsupported,
    Internal,
    Unavailable,
    Quota,
    GroupHoldsProtection,
    RoleAssignmentExists,
    RoleAssignmentNotFound,
    RoleDefinitionNotFound,
    RoleDefinitionInUse,
    PrincipalNotFound,
    LastOwner,
    IdentityInUse,
    LimitReached,
    DatasourceAlreadyProtected,
    DatasourceHasInstance,
    PermissionsMissing,
    SnapshotGroupSubscription,
    SnapshotGroupNotFound,
    SnapshotGroupMissing,
    SnapshotGroupInvalid,
    SnapshotGroupChanged,
    DiskNotFound,
    DiskTypeUnsupported,
    RegionMismatch,
    DiskNameTaken,
    TargetGroupNotFound,
    CrossSubscriptionRefused,
    SnapshotNotFound,
    BackupRunning,
    PolicyInUse,
    PolicyImmutable,
    VaultNotEmpty,
    VaultIdentityMissing,
    OneWaySetting,
    InstanceState,
    PointDamaged,
    StoreFull,
    Cancelled,
    GuardRefused,
    GuardInUse,
    ExclusionRefused,
    InstanceExists,
    VaultExists,
}

/// A fault as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What kind.
    pub kind: FaultKind,
    /// What happened, one sentence that names the thing.
    pub message: String,
    /// What to do next.
    pub guidance: Vec<String>,
    /// The field or resource that it is about.
    pub target: Option<String>,
    /// One for each cause, when there are several.
    pub details: Vec<Fault>,
}

impl Fault {
    /// A fault with a message.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), guidance: vec![], target: None, details: vec![] }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn advise(mut self, guidance: impl Into<String>) -> Self {
        self.guidance.push(guidance.into());
        self
    }

    /// Names the field or resource.
    #[must_use]
    pub fn at(mut self, target: impl Into<String>) -> Self {
        self.target = Some(target.into());
        self
    }

    /// A field of the request is wrong.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(FaultKind::InvalidInput, message).at(field)
    }

    /// A named thing is not there.
    pub fn not_found(what: &str, name: impl std::fmt::Display) -> Self {
        Self::new(FaultKind::NotFound, format!("The {what} '{name}' was not found."))
            .advise("Check the name, its group and the subscription.")
    }
}

/// An error with everything behind it, in one line for a log.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let links = std::iter::successors(Some(error), |link| link.source());
    links.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// A fault and its internal cause.
#[derive(Clone, Debug)]
pub struct Error {
    /// What people see.
    pub fault: Box<Fault>,
    /// What was behind it; logged, never shown.
    pub cause: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Something inside failed; people see only that it did, and that trying again may help.
    pub fn internal(
        doing: &str,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        let fault = Fault::new(FaultKind::Internal, format!("An internal error stopped {doing}."))
            .advise("Try again; if it happens again, look into the service's log.");
        Self { fault: Box::new(fault), cause: Some(Arc::from(cause.into())) }
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> FaultKind {
        self.fault.kind
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self { fault: Box::new(fault), cause: None }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.fault.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|c| c as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_tells_every_cause() {
        let inner = Error::internal("digging", "a stone");
        let told = chain(&Error::internal("planting", inner));
        let planting = "An internal error stopped planting.";
        assert_eq!(told, format!("{planting}: An internal error stopped digging.: a stone"));
    }
}

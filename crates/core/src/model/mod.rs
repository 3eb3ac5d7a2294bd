//! What the domain knows: plain records without behaviour of the wire or the database.
//!
//! Every record serialises with serde so that the catalogue can keep it; these names are ours and
//! never seen by a client. A field that a client may set but that has no effect here is kept in
//! `attributes`, so that a later PUT of what was read changes nothing.

mod disk;
mod event;
mod guard;
mod id;
mod instance;
mod operation;
mod point;
mod policy;
mod principal;
mod resource;
mod vault;

pub use disk::{Access, Attributes, Disk, DiskState, Grant, Origin, Provisioning, Snapshot};
pub use event::{Actor, Event};
pub use guard::{GuardProxy, ResourceGuard, Unlock, Unlocked};
pub use id::{ID_BYTES_MAX, IdError, ResourceId};
pub use instance::{Datasource, Deletion, IdentityChoice, Instance, ProtectionState};
pub use operation::{
    DoomedPoint, Job, JobCategory, JobStatus, Operation, OperationStatus, PointRef, Progress,
    Transfer, Work, WorkKind,
};
pub use point::{Point, PointState};
pub use policy::{
    BackupRule, DataStore, Lifecycle, Policy, RetentionRule, Rule, TagCriteria, TagRule,
};
pub use principal::{
    ClientSecret, Principal, PrincipalKind, RoleAssignment, RoleDefinition, UserIdentity,
};
pub use resource::{Group, Model, Resource, Stamp};
pub use vault::{
    CostGranularity, CrossSubscription, DeletedVault, Identity, Immutability, SoftDelete,
    SoftDeleteState, StorageSetting, Vault,
};

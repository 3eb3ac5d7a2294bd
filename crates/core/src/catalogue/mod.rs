//! The catalogue: what the domain remembers, in the words of the domain.
//!
//! Reads are single questions. Changes come as a list of [`Write`]s that take effect together or
//! not at all, durable before [`Catalogue::apply`] returns. Each write may carry an expectation;
//! one that does not hold fails the whole list with [`CatalogueError::Conflict`]. In this way a
//! request's resource, operation, job and work item appear in one instant, and a worker whose
//! fence is stale changes nothing, whatever it tries.

pub mod sqlite;
#[cfg(test)]
mod suite;

use crate::model::{
    Event, Grant, Job, Operation, Point, Principal, Resource, ResourceId, RoleAssignment,
    RoleDefinition, Work,
};
use async_trait::async_trait;
use jiff::Timestamp;
use std::ops::RangeInclusive;
use uuid::Uuid;

/// Rows that one page holds at most.
pub const PAGE_MAX: u32 = 1000;

/// What a write to a resource expects to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing of that id.
    Absent,
    /// The resource at this version.
    Version(i64),
}

/// One change.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "lists are short and short-lived")]
pub enum Write {
    /// Makes or changes a resource; the version kept is 1 or the expected one plus 1.
    PutResource(Resource, Expect),
    /// Fails unless the resource is there at this version.
    RequireResource(ResourceId, i64),
    /// Removes a resource and the role assignments at it and below, so that a later resource of
    /// the same name begins without them; absent is fine.
    DeleteResource(ResourceId),
    /// Takes a name that only one holder can have; fails when another holds it.
    Claim {
        /// What is claimed, such as `protect:<disk key>`.
        name: String,
        /// Who holds it; claiming again with the same holder is fine.
        holder: String,
    },
    /// Gives a claimed name back; absent or held by another is fine and changes nothing.
    Release {
        /// What was claimed.
        name: String,
        /// Who held it.
        holder: String,
    },
    /// Makes or changes a principal.
    PutPrincipal(Principal),
    /// Removes a principal and its role assignments.
    DeletePrincipal(Uuid),
    /// Makes or changes a custom role.
    PutRole(RoleDefinition),
    /// Removes a custom role.
    DeleteRole(Uuid),
    /// Makes a role assignment; fails when the id, or the same role for the same principal at the
    /// same scope, exists.
    AddAssignment(RoleAssignment),
    /// Removes a role assignment.
    DeleteAssignment(ResourceId),
    /// Makes or changes an operation.
    PutOperation(Operation),
    /// Removes operations that ended before this time: nobody polls them any more.
    ForgetOperations(Timestamp),
    /// Makes or changes a job.
    PutJob(Job),
    /// Makes or changes a recovery point.
    PutPoint(Point),
    /// Removes a recovery point of an instance.
    DeletePoint {
        /// The instance's unique id.
        instance: Uuid,
        /// Its key.
        key: String,
    },
    /// Makes a grant.
    PutGrant(Grant),
    /// Removes one grant; absent is fine.
    DeleteGrant(Uuid),
    /// Removes all grants of a disk or snapshot.
    DeleteGrants(ResourceId),
    /// Records an event; one that is recorded already stays as it is.
    AddEvent(Event),
    /// Queues work.
    AddWork(Work),
    /// Fails the list unless this worker still holds the work; then records a step.
    StepDone {
        /// The work.
        work: Uuid,
        /// The worker's fence.
        fence: i64,
        /// The step's name.
        step: String,
        /// What it left for the next.
        note: serde_json::Value,
    },
    /// Fails the list unless this worker still holds the work; then removes it.
    FinishWork {
        /// The work.
        work: Uuid,
        /// The worker's fence.
        fence: i64,
    },
    /// Fails the list unless this worker still holds the work; changes nothing.
    RequireLease {
        /// The work.
        work: Uuid,
        /// The worker's fence.
        fence: i64,
    },
}

/// Which resources.
#[derive(Clone, Debug, Default)]
pub struct ResourceFilter {
    /// Type in lower case, such as `microsoft.compute/disks`; None is all.
    pub kind: Option<String>,
    /// Only strictly below this scope.
    pub under: Option<ResourceId>,
    /// Only backup instances that protect this disk, use this policy or snapshot into this group.
    pub naming: Option<ResourceId>,
    /// Continue after this key (see [`Page::after`]).
    pub after: Option<String>,
    /// Rows at most, up to [`PAGE_MAX`].
    pub limit: u32,
}

/// Which recovery points, newest first.
#[derive(Clone, Debug)]
pub struct PointFilter {
    /// The instance's unique id.
    pub instance: Uuid,
    /// At or after this time.
    pub from: Option<Timestamp>,
    /// At or before this time.
    pub to: Option<Timestamp>,
    /// Continue after this cursor (see [`Page::after`]).
    pub after: Option<String>,
    /// Rows at most, up to [`PAGE_MAX`].
    pub limit: u32,
}

/// Which jobs of a vault, newest first.
#[derive(Clone, Debug)]
pub struct JobFilter {
    /// The vault's unique id.
    pub vault: Uuid,
    /// Continue after this cursor (see [`Page::after`]).
    pub after: Option<String>,
    /// Rows at most, up to [`PAGE_MAX`].
    pub limit: u32,
}

/// Which events, newest first. Everything that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// About this subscription; None: about none.
    pub subscription: Option<Uuid>,
    /// At or after this domain time.
    pub from: Option<Timestamp>,
    /// At or before this domain time.
    pub to: Option<Timestamp>,
    /// About something in the resource group of this name.
    pub group: Option<String>,
    /// About exactly this.
    pub resource: Option<ResourceId>,
    /// Of the provider of this namespace.
    pub provider: Option<String>,
    /// Of this undertaking.
    pub correlation: Option<Uuid>,
    /// Asked by whoever has this object id, client id or name.
    pub caller: Option<String>,
    /// That ended with one of these; empty is all.
    pub statuses: Vec<RangeInclusive<u16>>,
    /// Continue after this cursor (see [`Page::after`]).
    pub after: Option<String>,
    /// Rows at most, up to [`PAGE_MAX`].
    pub limit: u32,
}

impl EventFilter {
    /// Whether an event of the right place and time is one of those that are asked for.
    #[must_use]
    pub fn admits(&self, event: &Event) -> bool {
        let named = |wanted: &Option<String>, own: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(own))
        };
        named(&self.group, event.resource.group().unwrap_or_default())
            && named(&self.provider, event.provider())
            && self.resource.as_ref().is_none_or(|wanted| *wanted == event.resource)
            && self.correlation.is_none_or(|wanted| wanted == event.correlation)
            && (self.statuses.is_empty() || self.statuses.iter().any(|s| s.contains(&event.status)))
            && self.caller.as_ref().is_none_or(|wanted| {
                event.actor.as_ref().is_some_and(|actor| {
                    let ids = [actor.object_id, actor.client_id];
                    let id = Uuid::try_parse(wanted).ok();
                    id.is_some_and(|id| ids.contains(&Some(id)))
                        || actor.name.eq_ignore_ascii_case(wanted)
                })
            })
    }
}

/// Some rows and where to go on. A cursor is opaque, holds no secret and stays valid when rows
/// come and go.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Set when there may be more.
    pub after: Option<String>,
}

/// What the catalogue can answer instead of a result.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// An expectation did not hold; nothing was changed.
    #[error("{0} is not as expected")]
    Conflict(String),
    /// A worker's lease is no longer its own; nothing was changed.
    #[error("the lease of work {0} was lost")]
    LeaseLost(Uuid),
    /// A page's cursor is none that this catalogue gave out.
    #[error("the cursor of the page is none of this catalogue")]
    Cursor,
    /// A kept record cannot be read.
    #[error("a record in the catalogue cannot be read: {0}")]
    Damaged(String),
    /// The database failed.
    #[error("the catalogue's database failed")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Shorthand.
pub type Result<T> = std::result::Result<T, CatalogueError>;

/// The catalogue.
#[async_trait]
pub trait Catalogue: Send + Sync {
    /// Makes all changes, durably, or none.
    async fn apply(&self, writes: Vec<Write>) -> Result<()>;

    /// One resource.
    async fn resource(&self, id: &ResourceId) -> Result<Option<Resource>>;
    /// Resources ordered by key.
    async fn resources(&self, filter: &ResourceFilter) -> Result<Page<Resource>>;
    /// Backup instances (deleted ones too, they have `deletion` set) that protect `disk`, use
    /// `policy` or snapshot into `group`; whichever is given.
    async fn instances_naming(&self, id: &ResourceId) -> Result<Vec<Resource>>;

    /// The holder of a claimed name.
    async fn holder(&self, name: &str) -> Result<Option<String>>;

    /// A principal by object id.
    async fn principal(&self, object_id: Uuid) -> Result<Option<Principal>>;
    /// A principal by client id.
    async fn principal_by_client(&self, client_id: Uuid) -> Result<Option<Principal>>;
    /// Principals in order of their object ids, after the cursor of an earlier page.
    async fn principals(&self, after: Option<&str>, limit: u32) -> Result<Page<Principal>>;
    /// The number of principals.
    async fn principal_count(&self) -> Result<u64>;
    /// All custom roles.
    async fn roles(&self) -> Result<Vec<RoleDefinition>>;
    /// All assignments of a principal.
    async fn assignments_of(&self, principal: Uuid) -> Result<Vec<RoleAssignment>>;
    /// All assignments at or below (`below`) or at or above the scope.
    async fn assignments_near(
        &self,
        scope: &ResourceId,
        below: bool,
    ) -> Result<Vec<RoleAssignment>>;
    /// One assignment.
    async fn assignment(&self, id: &ResourceId) -> Result<Option<RoleAssignment>>;

    /// An operation.
    async fn operation(&self, id: Uuid) -> Result<Option<Operation>>;
    /// A job.
    async fn job(&self, id: Uuid) -> Result<Option<Job>>;
    /// Jobs of a vault.
    async fn jobs(&self, filter: &JobFilter) -> Result<Page<Job>>;
    /// A recovery point.
    async fn point(&self, instance: Uuid, key: &str) -> Result<Option<Point>>;
    /// Recovery points of an instance.
    async fn points(&self, filter: &PointFilter) -> Result<Page<Point>>;

    /// Events. A page looks at a bounded number of rows: one that found few of them may be short,
    /// even empty, and still say where to go on.
    async fn events(&self, filter: &EventFilter) -> Result<Page<Event>>;
    /// Removes up to `limit` of the oldest events recorded before this real time; how many.
    async fn forget_events(&self, before: Timestamp, limit: u32) -> Result<u64>;

    /// A grant.
    async fn grant(&self, id: Uuid) -> Result<Option<Grant>>;
    /// Grants of a disk or snapshot.
    async fn grants_of(&self, resource: &ResourceId) -> Result<Vec<Grant>>;

    /// Leases the oldest work that nobody holds, or whose lease ended before `now`, to the caller
    /// until `until`, with a new fence.
    async fn claim_work(&self, now: Timestamp, until: Timestamp) -> Result<Option<Work>>;
    /// Prolongs a lease.
    ///
    /// # Errors
    /// [`CatalogueError::LeaseLost`] when the fence is stale.
    async fn renew_work(&self, work: Uuid, fence: i64, until: Timestamp) -> Result<()>;
    /// Ends every lease: at start, when the data folder's owner is new.
    async fn void_leases(&self) -> Result<()>;
    /// The number of queued work items, held or not.
    async fn work_count(&self) -> Result<u64>;

    /// A named value, such as the tenant id.
    async fn setting(&self, name: &str) -> Result<Option<String>>;
    /// Sets a named value once; a later call with another value is a conflict.
    async fn set_setting(&self, name: &str, value: &str) -> Result<()>;
}

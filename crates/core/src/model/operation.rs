//! Operations (what a client polls), jobs (what people watch) and work (what workers do).

use super::ResourceId;
use crate::error::Fault;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A long-running request that a client polls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Its GUID.
    pub id: Uuid,
    /// The vault, disk, snapshot or group that it is about.
    pub resource: ResourceId,
    /// Unique id of the vault, or of the resource itself; part of the name clients see.
    pub family: Uuid,
    /// Object id of the caller, who may always poll it.
    pub caller: Uuid,
    /// Correlation id of the request: people find it in the log by this.
    pub correlation: Uuid,
    /// Where it stands.
    pub status: OperationStatus,
    /// Start, domain time.
    pub started: Timestamp,
    /// End, domain time.
    pub ended: Option<Timestamp>,
    /// The job that goes on when it has ended.
    pub job: Option<ResourceId>,
    /// What it hands out, such as the URL of a grant.
    pub output: Option<String>,
}

/// Where an operation stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationStatus {
    /// Not ended.
    Running,
    /// Done.
    Succeeded,
    /// Ended without effect.
    Failed(Fault),
}

/// A backup or restore as people follow it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its GUID.
    pub id: Uuid,
    /// The vault.
    pub vault: ResourceId,
    /// The vault's unique id: a later vault of the same name has none of its jobs.
    pub vault_unique_id: Uuid,
    /// The instance.
    pub instance: ResourceId,
    /// The instance's unique id.
    pub instance_unique_id: Uuid,
    /// Name of the instance shown to people.
    pub instance_name: String,
    /// The policy at that time.
    pub policy: ResourceId,
    /// The disk that is protected.
    pub disk: ResourceId,
    /// Location of the disk.
    pub disk_location: String,
    /// What it does.
    pub category: JobCategory,
    /// Whether a person asked for it.
    pub user_triggered: bool,
    /// Where it stands.
    pub status: JobStatus,
    /// Correlation id of the request.
    pub activity: Uuid,
    /// Start, domain time.
    pub started: Timestamp,
    /// Last change, domain time.
    pub changed: Timestamp,
    /// End, domain time.
    pub ended: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<Fault>,
    /// The retention tag of a backup.
    pub tag: Option<String>,
    /// The point a restore reads.
    pub source: Option<PointRef>,
    /// The point a backup made.
    pub made: Option<PointRef>,
    /// The disk a restore makes.
    pub target: Option<ResourceId>,
    /// How far it is.
    pub progress: Progress,
    /// Name of the step it is in.
    pub step: String,
}

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobCategory {
    /// Takes a recovery point.
    Backup,
    /// Makes a disk of one.
    Restore,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// Not ended.
    InProgress,
    /// Done.
    Completed,
    /// Ended without effect.
    Failed,
}

/// Names a recovery point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointRef {
    /// Its key.
    pub key: String,
    /// Its time.
    pub time: Timestamp,
}

/// How far a job is; all sizes in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Work done so far.
    pub done: u64,
    /// Work in all, 0 while unknown.
    pub total: u64,
    /// Bytes a second of real time, over the attempt so far.
    pub rate: u64,
    /// Attempts so far; more than one after a crash.
    pub attempts: u32,
    /// What moved, when the bytes were settled.
    pub transfer: Option<Transfer>,
}

/// What a job moved; all sizes in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Read from the volume or the store.
    pub read: u64,
    /// New logical bytes that the store did not have.
    pub new: u64,
    /// Written to the store after compression and encryption, or to the disk by a restore.
    pub stored: u64,
    /// Found in the store already.
    pub deduplicated: u64,
    /// Uploaded by an earlier attempt of the same job and not uploaded again.
    pub found_again: u64,
}

/// Something that a worker must do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// Its id.
    pub id: Uuid,
    /// What to do.
    pub kind: WorkKind,
    /// The operation that ends with it.
    pub operation: Option<Uuid>,
    /// The job that it is.
    pub job: Option<Uuid>,
    /// Counts its leases; a worker whose fence is not the newest can change nothing.
    pub fence: i64,
    /// Steps done, with what each left for the next.
    pub steps: BTreeMap<String, serde_json::Value>,
}

impl WorkKind {
    /// Whether the work can end without effect. Removals cannot: they are tried until they succeed.
    #[must_use]
    pub fn may_fail(&self) -> bool {
        !matches!(self, Self::Purge { .. } | Self::Discard { .. })
    }
}

/// A point that goes once it is neither pinned nor what a disk's change map is relative to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoomedPoint {
    /// Its key.
    pub key: String,
    /// Unique id of the disk that it was taken of, when its change map may name the point.
    pub disk: Option<Uuid>,
}

/// What a worker does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkKind {
    /// Take a recovery point of an instance's disk.
    Backup {
        /// The instance.
        instance: ResourceId,
        /// Key of the point, drawn when the work was written.
        point: String,
        /// Name of its snapshot.
        snapshot: String,
    },
    /// Make a disk of a recovery point.
    Restore {
        /// The instance's unique id.
        instance: Uuid,
        /// Key of the point.
        point: String,
        /// The disk to make.
        target: ResourceId,
        /// Its unique id, drawn when the work was written.
        unique_id: Uuid,
        /// Its location.
        location: String,
    },
    /// Take the point of a snapshot that a client made.
    Snapshot {
        /// The snapshot.
        snapshot: ResourceId,
        /// Its unique id: a later snapshot of the same name is another's work.
        unique_id: Uuid,
        /// Key of its point.
        point: String,
    },
    /// Fill a disk from its origin.
    Fill {
        /// The disk.
        disk: ResourceId,
        /// Its unique id: a later disk of the same name is another's work.
        unique_id: Uuid,
    },
    /// Write the jobs of a vault into a document.
    Export {
        /// The vault's unique id.
        vault: Uuid,
    },
    /// Remove the points of an instance that is gone for good.
    Purge {
        /// The instance's unique id.
        instance: Uuid,
    },
    /// Remove bytes that no resource names any more.
    Discard {
        /// Unique ids of disks whose volumes go.
        volumes: Vec<Uuid>,
        /// Points that go, each once nothing holds it.
        points: Vec<DoomedPoint>,
    },
}

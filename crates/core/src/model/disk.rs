//! Disks, snapshots and the grants that open them for reading or writing.

use super::ResourceId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use uuid::Uuid;

/// Settings of a disk or snapshot that are kept and echoed but steer nothing here.
pub type Attributes = BTreeMap<String, serde_json::Value>;

/// A disk whose bytes are a volume of ours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Disk {
    /// Tells a disk from a later one of the same name; also names its volume.
    pub unique_id: Uuid,
    /// Size in bytes, a multiple of 512.
    pub size: u64,
    /// Where its first content came from.
    pub origin: Origin,
    /// What is being done with it.
    pub state: DiskState,
    /// Whether its content is complete.
    pub provisioning: Provisioning,
    /// The restore job that made it, if one did.
    pub restored_by: Option<Uuid>,
    /// Performance class as sent, such as `Premium_LRS`.
    pub sku: String,
    /// Echoed settings.
    pub attributes: Attributes,
}

/// Where a disk's first content comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// All zeros.
    Empty,
    /// Written by the client through a grant; `bytes` includes the 512-byte VHD footer.
    Upload {
        /// Announced upload size.
        bytes: u64,
    },
    /// A copy of a snapshot or disk.
    Copy {
        /// The source's id as sent.
        source: ResourceId,
        /// The source's unique id when it was copied.
        source_unique_id: Uuid,
    },
    /// A raw image file inside an allow-listed folder.
    Import {
        /// The address as the client sent it.
        uri: String,
        /// The file.
        path: PathBuf,
    },
    /// Made by a restore.
    Restore {
        /// The snapshot of the recovery point.
        source: ResourceId,
    },
}

/// What is being done with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskState {
    /// Nothing.
    Unattached,
    /// Made for an upload that has not begun.
    ReadyToUpload,
    /// An upload grant is open.
    ActiveUpload,
    /// A grant is open.
    ActiveGrant,
}

/// Whether a resource is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provisioning {
    /// Its bytes are still being written.
    Creating,
    /// It is complete.
    Succeeded,
    /// It could not be completed.
    Failed,
}

/// A snapshot: a named view of a point in the operational store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Tells a snapshot from a later one of the same name.
    pub unique_id: Uuid,
    /// Size of the disk when it was taken, in bytes.
    pub size: u64,
    /// The disk it was taken of.
    pub source: ResourceId,
    /// That disk's unique id: snapshots of one lineage share it.
    pub source_unique_id: Uuid,
    /// Whether the client asked for an incremental snapshot (all are, in the store).
    pub incremental: bool,
    /// Key of the point that holds the bytes.
    pub point: String,
    /// The backup instance whose backup made it; such a snapshot is a view, and deleting it never
    /// frees the point. None for one that a client made, which owns its point.
    pub made_by: Option<ResourceId>,
    /// Whether its point is there.
    pub provisioning: Provisioning,
    /// Storage class as sent.
    pub sku: String,
    /// Echoed settings.
    pub attributes: Attributes,
}

/// What a grant allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Read pages.
    Read,
    /// Read and write pages.
    Write,
}

/// An opened door to the bytes of one disk or snapshot, until it expires or is closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Names the grant in its URL.
    pub id: Uuid,
    /// The disk or snapshot.
    pub resource: ResourceId,
    /// Its unique id: a grant does not outlive it.
    pub unique_id: Uuid,
    /// What is allowed.
    pub access: Access,
    /// Real time of its end.
    pub expires: Timestamp,
}

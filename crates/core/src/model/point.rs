//! Recovery points.

use super::ResourceId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A recovery point: what the catalogue knows of a committed point record of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// 32 hex digits; the store's key for it.
    pub key: String,
    /// Unique id of the instance it belongs to.
    pub instance: Uuid,
    /// Instant of the disk that it holds, domain time.
    pub time: Timestamp,
    /// When it may go, domain time; None is never.
    pub expires: Option<Timestamp>,
    /// Name of its snapshot.
    pub friendly_name: String,
    /// Its snapshot's id.
    pub snapshot: ResourceId,
    /// Size of the disk in bytes.
    pub size: u64,
    /// The retention tag.
    pub tag: String,
    /// Time at which the tag was last defined.
    pub tag_version: Timestamp,
    /// Name of the policy that made it.
    pub policy_name: String,
    /// The store that holds it.
    pub store: Uuid,
    /// The job that made it.
    pub job: Uuid,
    /// Whether every byte of it is known to be there.
    pub state: PointState,
    /// The disk's class when it was taken: a restored disk gets it again.
    pub sku: String,
}

/// Whether a point can be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PointState {
    /// Whole.
    Completed,
    /// Some bytes are damaged.
    Partial,
}

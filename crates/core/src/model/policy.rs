//! Backup policies: when to back up and how long to keep.
//!
//! Durations and intervals stay the texts that the client sent, because clients compare what they
//! read with what they wrote; [`crate::policy`] checks them and [`crate::retention`] computes.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A backup policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Tells a policy from a later one of the same name.
    pub unique_id: Uuid,
    /// Datasource types as sent.
    pub datasource_types: Vec<String>,
    /// Its rules in the order sent: one backup rule and its retention rules.
    pub rules: Vec<Rule>,
}

/// One rule of a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// When to back up and which tag a point gets.
    Backup(BackupRule),
    /// How long points of one tag are kept.
    Retention(RetentionRule),
}

/// When to back up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackupRule {
    /// Its name, named by on-demand backups.
    pub name: String,
    /// `Incremental`.
    pub backup_type: String,
    /// Where points are made.
    pub store: DataStore,
    /// `R/<start>/<duration>` texts.
    pub intervals: Vec<String>,
    /// Windows time-zone name as sent; None when absent.
    pub time_zone: Option<String>,
    /// Which tag a point gets.
    pub tags: Vec<TagRule>,
}

/// When a point gets a tag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TagRule {
    /// The tag's name.
    pub tag: String,
    /// Whether this is the tag of points that no other rule claims.
    pub is_default: bool,
    /// Smaller wins.
    pub priority: i64,
    /// What a point must be; None when the client sent none.
    pub criteria: Option<Vec<TagCriteria>>,
}

/// What a point must be to get a tag. Lists that were absent stay None.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagCriteria {
    /// `AllBackup`, `FirstOfDay`, `FirstOfWeek`, `FirstOfMonth`, `FirstOfYear`.
    pub absolute: Option<Vec<String>>,
    /// Days of the month: (day, is last).
    pub days_of_month: Option<Vec<(Option<i64>, Option<bool>)>>,
    /// `Monday` ...
    pub days_of_week: Option<Vec<String>>,
    /// `January` ...
    pub months: Option<Vec<String>>,
    /// `First` ... `Last`.
    pub weeks_of_month: Option<Vec<String>>,
    /// Times of scheduled points.
    pub times: Option<Vec<String>>,
}

/// How long points of one tag are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionRule {
    /// The tag.
    pub name: String,
    /// Whether it is the default rule.
    pub is_default: bool,
    /// Where points live and for how long.
    pub lifecycles: Vec<Lifecycle>,
}

/// How long a point lives in one store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycle {
    /// ISO 8601 duration as sent, such as `P7D`.
    pub delete_after: String,
    /// The store.
    pub store: DataStore,
    /// Whether the client sent an (empty) list of copies.
    pub copies_listed: bool,
}

/// Where a point lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataStore {
    /// Near the disks.
    Operational,
    /// The vault's own store.
    Vault,
    /// Archive.
    Archive,
}

//! Azure's quotas, in one table, behind one switch.
//!
//! Tresor has none of its own: a point is a map over shared chunks, so their number costs little.
//! With [`Limits::Azure`] a test meets the same refusals as in the cloud. The figures are those of
//! the public support matrix for Azure Disk Backup and of the incremental-snapshot restrictions.

use serde::{Deserialize, Serialize};

/// Which quotas hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limits {
    /// None.
    #[default]
    None,
    /// Azure's.
    Azure,
}

/// The figures of one switch position; None is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// On-demand backups of one instance in 24 hours.
    pub backups_per_day: Option<u32>,
    /// Restores of one instance in 24 hours.
    pub restores_per_day: Option<u32>,
    /// Snapshots that one disk may have at a time.
    pub snapshots_per_disk: Option<u32>,
    /// Snapshots of one disk within [`Table::SNAPSHOT_WINDOW_MINUTES`].
    pub snapshots_per_window: Option<u32>,
    /// Policies in one vault.
    pub policies_per_vault: Option<u32>,
    /// Instances in one vault.
    pub instances_per_vault: Option<u32>,
}

impl Table {
    /// Length of the window of [`Table::snapshots_per_window`].
    pub const SNAPSHOT_WINDOW_MINUTES: i64 = 5;
}

impl Limits {
    /// The figures.
    #[must_use]
    pub const fn table(self) -> Table {
        match self {
            Self::None => Table {
                backups_per_day: None,
                restores_per_day: None,
                snapshots_per_disk: None,
                snapshots_per_window: None,
                policies_per_vault: None,
                instances_per_vault: None,
            },
            Self::Azure => Table {
                backups_per_day: Some(10),
                restores_per_day: Some(10),
                snapshots_per_disk: Some(500),
                snapshots_per_window: Some(7),
                policies_per_vault: Some(5000),
                instances_per_vault: Some(5000),
            },
        }
    }
}

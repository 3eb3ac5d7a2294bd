//! What the actions tell: text for people, one JSON object for machines.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;
use tresor_store::PointRecord;

use super::points::{ADDED, IMAGE};
use crate::terminal::say;

/// A result that can be printed.
pub(super) trait Report: Serialize + Sized {
    /// The result in words.
    fn text(&self) -> String;

    /// Prints it.
    fn print(&self, json: bool) -> Result<()> {
        if json {
            say(serde_json::to_string(self)?)?
        } else {
            say(self.text())?
        }
        Ok(())
    }
}

/// A recovery point, as lists and descriptions tell of it.
#[derive(Serialize, Clone)]
pub(super) struct Point {
    pub(super) point: String,
    pub(super) time: String,
    pub(super) size: u64,
    pub(super) root: String,
    pub(super) parent: Option<String>,
    pub(super) image: Option<String>,
    /// Bytes that it added to the store when it was made.
    pub(super) added: Option<u64>,
    pub(super) facts: BTreeMap<String, String>,
}

impl Point {
    pub(super) fn of(record: &PointRecord) -> Point {
        Point {
            point: record.key.to_string(),
            // Whole milliseconds are enough to tell points apart.
            time: format!("{:.3}", record.time),
            size: record.size,
            root: record.root.to_string(),
            parent: record.parent.as_ref().map(ToString::to_string),
            image: record.facts.get(IMAGE).cloned(),
            added: record.facts.get(ADDED).and_then(|bytes| bytes.parse().ok()),
            facts: record.facts.clone(),
        }
    }
}

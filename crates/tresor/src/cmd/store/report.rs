//! What the actions tell: text for people, one JSON object for machines.

use anyhow::Result;
use serde::Serialize;
use tresor_store::{PointRecord, Watch};
use uuid::Uuid;

use crate::terminal::{Progress, say, size};

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

/// A new store.
#[derive(Serialize)]
pub(super) struct Init {
    pub(super) store: Uuid,
    pub(super) recovery_key: String,
}

impl Report for Init {
    fn text(&self) -> String {
        format!(
            "store {}\nrecovery key (shown only now; keep it somewhere else):\n  {}",
            self.store, self.recovery_key
        )
    }
}

/// A new recovery point.
#[derive(Serialize)]
pub(super) struct Backup {
    pub(super) point: String,
    pub(super) parent: Option<String>,
    pub(super) size: u64,
    pub(super) bytes_read: u64,
    pub(super) bytes_zero: u64,
    pub(super) bytes_new: u64,
    pub(super) bytes_stored: u64,
    pub(super) bytes_deduplicated: u64,
    pub(super) chunks: u64,
    pub(super) seconds: f64,
}

impl Report for Backup {
    fn text(&self) -> String {
        format!(
            "point {}\nread {} of {}, new {}, stored {}, known already {}, in {:.2} s",
            self.point,
            size(self.bytes_read),
            size(self.size),
            size(self.bytes_new),
            size(self.bytes_stored),
            size(self.bytes_deduplicated),
            self.seconds
        )
    }
}

/// A restored recovery point.
#[derive(Serialize)]
pub(super) struct Restore {
    pub(super) point: String,
    pub(super) size: u64,
    pub(super) seconds: f64,
}

impl Report for Restore {
    fn text(&self) -> String {
        format!("restored {} ({}) in {:.2} s", self.point, size(self.size), self.seconds)
    }
}

/// All recovery points.
#[derive(Serialize)]
pub(super) struct List {
    points: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    point: String,
    time: String,
    size: u64,
    parent: Option<String>,
    image: Option<String>,
}

impl List {
    /// Oldest first.
    pub(super) fn of(points: &[PointRecord]) -> List {
        let mut points: Vec<Listed> = points
            .iter()
            .map(|record| Listed {
                point: record.key.to_string(),
                time: record.time.to_string(),
                size: record.size,
                parent: record.parent.as_ref().map(ToString::to_string),
                image: record.facts.get("image").cloned(),
            })
            .collect();
        points.sort_by(|a, b| (&a.time, &a.point).cmp(&(&b.time, &b.point)));
        List { points }
    }
}

impl Report for List {
    fn text(&self) -> String {
        let line = |point: &Listed| {
            let image = point.image.as_deref().unwrap_or_default();
            format!("{}  {:<30}  {:>10}  {image}", point.point, point.time, size(point.size))
        };
        match self.points.as_slice() {
            [] => "no recovery points".to_owned(),
            points => points.iter().map(line).collect::<Vec<_>>().join("\n"),
        }
    }
}

/// Shows the store's progress; silent when a machine reads.
pub(super) struct Watcher(Option<Progress>);

impl Watcher {
    /// Work that has not begun yet.
    pub(super) fn new(title: &str, silent: bool) -> Watcher {
        Watcher((!silent).then(|| Progress::bytes(title, 0)))
    }

    /// The work is done.
    pub(super) fn done(self) {
        if let Some(progress) = self.0 {
            progress.done("done");
        }
    }
}

impl Watch for Watcher {
    fn expect(&self, bytes: u64) {
        if let Some(progress) = &self.0 {
            progress.expect(bytes);
        }
    }

    fn advance(&self, bytes: u64, _stored: u64) {
        if let Some(progress) = &self.0 {
            progress.add(bytes);
        }
    }

    fn cancelled(&self) -> bool {
        false
    }
}

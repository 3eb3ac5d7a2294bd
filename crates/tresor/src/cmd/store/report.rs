//! What the actions tell: text for people, one JSON object for machines.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use jiff::SignedDuration;
use serde::Serialize;
use tresor_store::PointRecord;

use super::points::{ADDED, IMAGE};
use crate::terminal::say;
use crate::usage::Usage;

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

/// Reads a number of bytes: `K`, `M`, `G` and `T` are 1024 and its powers.
pub(super) fn bytes(text: &str) -> Result<u64, Usage> {
    let (digits, shift) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (text.get(..at), 10),
        Some((at, 'm' | 'M')) => (text.get(..at), 20),
        Some((at, 'g' | 'G')) => (text.get(..at), 30),
        Some((at, 't' | 'T')) => (text.get(..at), 40),
        _ => (Some(text), 0),
    };
    let number = digits.and_then(|digits| digits.parse::<u64>().ok());
    let number = number.and_then(|number| number.checked_mul(1 << shift));
    number.ok_or_else(|| Usage("a number of bytes is such as 4096, 64K or 50M".to_owned()))
}

/// Reads a time such as `24h` or `90m`.
pub(super) fn age(text: &str) -> Result<Duration, Usage> {
    let time = text.parse::<SignedDuration>().ok().and_then(|time| time.try_into().ok());
    time.ok_or_else(|| Usage("a time is such as 24h or 90m".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_have_units() {
        let read = |text| bytes(text).ok();
        assert_eq!(read("4096"), Some(4096));
        assert_eq!(
            (read("64k"), read("50M"), read("1G")),
            (Some(64 << 10), Some(50 << 20), Some(1 << 30))
        );
        for wrong in ["", "K", "-1", "1.5G", "12X", "99999999999T", "\u{e9}"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}

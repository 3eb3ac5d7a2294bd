//! Lists of changed ranges, as people and tools write them.
//!
//! Lines `offset length`, as `tresor store diff` prints them; or JSON as `rbd diff --format json`,
//! `nbdinfo --map=qemu:dirty-bitmap:X --json` or `qemu-img map --output=json` (of an overlay: what
//! it has over its backing file) print it.

use std::fs;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::usage::Usage;

/// Largest list that is read.
const LIST: u64 = 256 << 20;

/// Reads a list as ascending, disjoint ranges within `size`.
pub(in super::super) fn changed_ranges(path: &Path, size: u64) -> Result<Vec<Range<u64>>> {
    let shown = path.display();
    let context = || Usage(format!("cannot read {shown}"));
    if fs::metadata(path).with_context(context)?.len() > LIST {
        return Err(Usage::error(format!("{shown} is larger than {} MiB", LIST >> 20)));
    }
    let text = fs::read_to_string(path).with_context(context)?;
    let mut ranges = if text.trim_start().starts_with('[') {
        of_json(&text, size, path)?
    } else {
        of_lines(&text, size, path)?
    };
    ranges.retain(|range| !range.is_empty());
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    Ok(merged)
}

fn of_lines(text: &str, size: u64, path: &Path) -> Result<Vec<Range<u64>>> {
    let mut ranges = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let range = parse(line, size).ok_or_else(|| {
            let place = format!("{}:{}", path.display(), index + 1);
            Usage::error(format!("{place}: not `offset length` within {size} bytes: {line}"))
        })?;
        ranges.push(range);
    }
    Ok(ranges)
}

fn parse(line: &str, size: u64) -> Option<Range<u64>> {
    let mut words = line.split_whitespace();
    let mut number = || words.next()?.parse::<u64>().ok();
    let (offset, length) = (number()?, number()?);
    let end = offset.checked_add(length).filter(|end| *end <= size)?;
    let known = matches!(words.next(), None | Some("data" | "zero"));
    (known && words.next().is_none()).then_some(offset..end)
}

/// One range of any of the tools.
#[derive(Deserialize)]
struct Entry {
    /// Where it begins on the disk (qemu-img; its `offset` is a place in the file).
    start: Option<u64>,
    offset: Option<u64>,
    length: u64,
    /// qemu-img: how many files down it was found.
    depth: Option<u64>,
    /// qemu-img: whether it is in any file.
    present: Option<bool>,
    /// nbdinfo: bit 0 says that it is dirty.
    r#type: Option<u64>,
}

fn of_json(text: &str, size: u64, path: &Path) -> Result<Vec<Range<u64>>> {
    let shown = path.display();
    let entries: Vec<Entry> = serde_json::from_str(text)
        .with_context(|| Usage(format!("{shown}: not a list of ranges with offset and length")))?;
    let mut ranges = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let wrong = || Usage::error(format!("{shown}: range {index} is not within {size} bytes"));
        let start = entry.start.or(entry.offset).ok_or_else(wrong)?;
        let end = start.checked_add(entry.length).filter(|end| *end <= size).ok_or_else(wrong)?;
        let below = entry.depth.is_some_and(|depth| depth > 0) || entry.present == Some(false);
        let clean = entry.r#type.is_some_and(|kind| kind & 1 == 0);
        if !below && !clean {
            ranges.push(start..end);
        }
    }
    Ok(ranges)
}

//! Lists of changed ranges, as people and tools write them.
//!
//! Lines `offset length`, as `tresor store diff` prints them; or JSON as `rbd diff --format json`,
//! `nbdinfo --map=qemu:dirty-bitmap:X --json` or `qemu-img map --output=json` print it (of an
//! overlay: all that does not come from a file below it; of an image without a backing file:
//! everything).

use std::ops::Range;

use serde::Deserialize;

/// What cannot be read as a list.
#[derive(Debug, thiserror::Error)]
pub enum Unclear {
    /// A line, counted from 1.
    #[error("not `offset length` within {size} bytes: {text}")]
    Line {
        /// The line.
        number: usize,
        /// What is in it.
        text: String,
        /// Bytes of the disk.
        size: u64,
    },
    /// A range of a JSON list, counted from 0.
    #[error("range {number} is not within {size} bytes")]
    Range {
        /// The range.
        number: usize,
        /// Bytes of the disk.
        size: u64,
    },
    /// A range of a map that speaks of something else than changes, counted from 0.
    #[error(
        "range {number} does not say whether it changed: a map of what is allocated says nothing \
         about changes; `nbdinfo --map=qemu:dirty-bitmap:NAME --json` prints one that does"
    )]
    Other {
        /// The range.
        number: usize,
    },
    /// No JSON list.
    #[error("not a list of ranges with offset and length")]
    Json(#[source] serde_json::Error),
}

/// Reads a list as ranges within `size` that ascend and do not touch each other.
pub fn changes(text: &str, size: u64) -> Result<Vec<Range<u64>>, Unclear> {
    let mut ranges = if text.trim_start().starts_with('[') {
        of_json(text, size)?
    } else {
        of_lines(text, size)?
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

fn of_lines(text: &str, size: u64) -> Result<Vec<Range<u64>>, Unclear> {
    let mut ranges = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let unclear = || Unclear::Line { number: index + 1, text: line.to_owned(), size };
        ranges.push(parse(line, size).ok_or_else(unclear)?);
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
    /// qemu-img: how many files down it was found; what an overlay does not have is found in its
    /// backing file.
    depth: Option<u64>,
    /// nbdinfo: a number that each kind of map has meanings of its own for.
    r#type: Option<u64>,
    /// nbdinfo: the meaning, for the kinds of maps that it knows.
    description: Option<String>,
}

impl Entry {
    /// Whether the range changed, if the entry tells.
    fn changed(&self) -> Option<bool> {
        match (self.r#type, self.description.as_deref()) {
            // Also where nothing is there: a standalone image's range reads as zeros once it was
            // discarded, and what an overlay has behind the end of its backing file is its own.
            (None, _) => Some(self.depth.is_none_or(|depth| depth == 0)),
            (Some(0), Some("clean")) => Some(false),
            (Some(1), Some("dirty")) => Some(true),
            // In the map of allocation 1 is a hole; in one without descriptions, who knows what.
            _ => None,
        }
    }
}

fn of_json(text: &str, size: u64) -> Result<Vec<Range<u64>>, Unclear> {
    let entries: Vec<Entry> = serde_json::from_str(text).map_err(Unclear::Json)?;
    let mut ranges = Vec::new();
    for (number, entry) in entries.iter().enumerate() {
        let wrong = || Unclear::Range { number, size };
        let start = entry.start.or(entry.offset).ok_or_else(wrong)?;
        let end = start.checked_add(entry.length).filter(|end| *end <= size).ok_or_else(wrong)?;
        if entry.changed().ok_or(Unclear::Other { number })? {
            ranges.push(start..end);
        }
    }
    Ok(ranges)
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "lists of one range are meant")]
mod tests {
    use super::*;

    fn list(text: &str) -> Result<Vec<Range<u64>>, Unclear> {
        changes(text, 1000)
    }

    #[test]
    fn lists_are_sorted_and_merged() {
        assert_eq!(list("").unwrap(), []);
        assert_eq!(list("500 100\n0 10\n\n10 5\n550 60\n3 0\n").unwrap(), [0..15, 500..610]);
    }

    #[test]
    fn a_wrong_line_is_named() {
        for wrong in ["x 1", "1", "1 2 3", "999 2", "18446744073709551615 2", "-1 2"] {
            let unclear = list(&format!("0 1\n{wrong}\n")).unwrap_err();
            assert!(matches!(unclear, Unclear::Line { number: 2, .. }), "{wrong}: {unclear:?}");
        }
    }

    #[test]
    fn a_map_that_does_not_speak_of_changes_is_refused() {
        let entries = [
            r#""type":0,"description":"data""#,
            r#""type":0,"description":"allocated""#,
            r#""type":1,"description":"hole""#,
            r#""type":2,"description":"zero""#,
            r#""type":3,"description":"hole,zero""#,
            r#""type":1,"description":"local""#,
            r#""type":2,"description":"backing depth 2""#,
            r#""type":1,"description":"clean""#,
            r#""type":0"#,
            r#""type":1"#,
        ];
        for entry in entries {
            let clean = r#"{"offset":0,"length":8,"type":0,"description":"clean"}"#;
            let unclear = list(&format!(r#"[{clean},{{"offset":8,"length":8,{entry}}}]"#));
            let unclear = unclear.unwrap_err();
            assert!(matches!(unclear, Unclear::Other { number: 1 }), "{entry}: {unclear:?}");
            assert!(unclear.to_string().contains("--map=qemu:dirty-bitmap:NAME --json"));
        }
    }

    #[test]
    fn the_lists_of_other_tools_are_read() {
        let rbd =
            r#"[{"offset":0,"length":10,"exists":"true"},{"offset":20,"length":5,"exists":"x"}]"#;
        assert_eq!(list(rbd).unwrap(), [0..10, 20..25]);
        let nbdinfo = r#"[{"offset":0,"length":8,"type":0,"description":"clean"},
            {"offset":8,"length":8,"type":1,"description":"dirty"}]"#;
        assert_eq!(list(nbdinfo).unwrap(), [8..16]);
        let map = r#"[{"start":0,"length":8,"depth":1,"present":true,"zero":false,"data":true},
            {"start":8,"length":8,"depth":0,"present":true,"zero":true,"data":false},
            {"start":16,"length":8,"depth":0,"present":false,"zero":true,"data":false},
            {"start":24,"length":8,"depth":1,"present":false,"zero":true,"data":false},
            {"start":32,"length":8,"depth":0,"present":true,"data":true,"offset":999999}]"#;
        assert_eq!(list(map).unwrap(), [8..24, 32..40]);
        for wrong in ["[1]", "[{\"length\":1}]", "["] {
            assert!(list(wrong).is_err(), "{wrong}");
        }
        let beyond = list("[{\"offset\":999,\"length\":2}]").unwrap_err();
        assert!(matches!(beyond, Unclear::Range { number: 0, size: 1000 }), "{beyond:?}");
    }
}

//! What the demo found, as a table.

use std::fmt::Write;
use std::time::Duration;

use serde_json::Value;

use crate::terminal::size;

/// One line of the table.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    pub(super) step: &'static str,
    pub(super) took: Duration,
    /// Bytes that went over the wire or were read from the disk.
    pub(super) bytes: Option<u64>,
    /// Bytes that the store grew by.
    pub(super) stored: Option<u64>,
    pub(super) note: String,
}

/// The numbers of a job, from `extendedInfo.additionalDetails`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) read: Option<u64>,
    pub(super) stored: Option<u64>,
    pub(super) percent: Option<u64>,
    pub(super) rate: Option<u64>,
    pub(super) seconds_left: Option<u64>,
}

impl Cost {
    /// Reads the numbers of a job; those that the service does not tell stay out.
    pub(super) fn of(job: &Value) -> Cost {
        let details = job.pointer("/properties/extendedInfo/additionalDetails");
        let number = |name: &str| -> Option<f64> { details?.get(name)?.as_str()?.parse().ok() };
        let whole = |name: &str| number(name).map(|value| value.max(0.0) as u64);
        Cost {
            read: whole("BytesRead"),
            stored: whole("BytesStored"),
            percent: whole("PercentComplete"),
            rate: whole("BytesPerSecond"),
            seconds_left: whole("SecondsLeft"),
        }
    }

    /// Rate and time left, as far as they are told.
    pub(super) fn pace(&self) -> String {
        let rate = self.rate.map(|rate| format!("{}/s", size(rate)));
        let left = self.seconds_left.map(|seconds| format!("{seconds} s left"));
        rate.into_iter().chain(left).collect::<Vec<_>>().join(", ")
    }
}

/// The table, with a rule under its head.
pub(super) fn table(rows: &[Row]) -> String {
    let bytes = |value: Option<u64>| value.map_or_else(String::new, size);
    let head = ["step", "seconds", "bytes", "stored", ""].map(str::to_owned);
    let cells: Vec<[String; 5]> = std::iter::once(head)
        .chain(rows.iter().map(|row| {
            [
                row.step.to_owned(),
                format!("{:.2}", row.took.as_secs_f64()),
                bytes(row.bytes),
                bytes(row.stored),
                row.note.clone(),
            ]
        }))
        .collect();
    let width = |column: usize| {
        cells.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0)
    };
    let (step, seconds, read, stored) = (width(0), width(1), width(2), width(3));
    let mut text = String::new();
    for (line, [a, b, c, d, e]) in cells.iter().enumerate() {
        let row = format!("{a:<step$}  {b:>seconds$}  {c:>read$}  {d:>stored$}  {e}");
        let _ = writeln!(text, "{}", row.trim_end());
        if line == 0 {
            let _ = writeln!(text, "{}", "-".repeat(step + seconds + read + stored + 6));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_jobs_numbers_are_strings_on_the_wire() {
        let job = json!({"properties": {"extendedInfo": {"additionalDetails": {
            "BytesRead": "1048576", "BytesStored": "10", "PercentComplete": "42.5",
            "BytesPerSecond": "2048", "SecondsLeft": "7"}}}});
        let cost = Cost {
            read: Some(1 << 20),
            stored: Some(10),
            percent: Some(42),
            rate: Some(2048),
            seconds_left: Some(7),
        };
        assert_eq!(cost.pace(), "2.0 KiB/s, 7 s left");
        assert_eq!(Cost::default().pace(), "");
        assert_eq!(Cost::of(&job), cost);
        assert_eq!(Cost::of(&json!({"properties": {"extendedInfo": null}})), Cost::default());
    }

    #[test]
    fn columns_line_up() {
        let rows = [
            Row {
                step: "first backup",
                took: Duration::from_millis(1234),
                bytes: Some(512 << 20),
                stored: Some(100 << 20),
                note: "all".to_owned(),
            },
            Row { step: "x", took: Duration::from_secs(61), ..Row::default() },
        ];
        assert_eq!(
            table(&rows),
            "step          seconds      bytes     stored\n\
             -------------------------------------------\n\
             first backup     1.23  512.0 MiB  100.0 MiB  all\n\
             x               61.00\n"
        );
    }
}

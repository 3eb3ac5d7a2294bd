//! What the demo found, as a table.

use std::fmt::Write;
use std::time::Duration;

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
    use super::*;

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

//! What commands print: tables for people, the API's own JSON, tabs for scripts.
//!
//! JSON is what the API answered, to the letter; tables show a choice of it. Cells never hold what
//! could steer a terminal: names and tags are other people's texts.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::{Args, ValueEnum};
use comfy_table::{LineStyle, Table, TableStyle};
use serde_json::Value;

use crate::client::{last, text};
use crate::terminal::{say, size};

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Table,
    /// What the API answered (to pick from it: `-o json | jq`)
    Json,
    /// One line a row, tabs between the values, no head
    Tsv,
    /// Nothing
    None,
}

/// The flag of all commands that print something.
#[derive(Args)]
pub(super) struct Shown {
    /// How the result is printed on standard output
    #[arg(short, long, value_name = "FORMAT", value_enum, global = true)]
    #[arg(default_value = "table", help_heading = "Output", hide_possible_values = true)]
    #[arg(help = "How the result is printed: table, json, tsv or none")]
    pub(super) output: Format,
}

/// One column of a table, and where its cells come from.
pub(super) struct Column {
    head: &'static str,
    cell: Cell,
    /// Shown for one resource only, not in lists.
    wide: bool,
}

/// How a cell is made of a resource.
enum Cell {
    At(&'static str),
    Name(&'static str),
    Group(&'static str),
    Size(&'static str),
    Time(&'static str),
    Pairs(&'static str),
}

impl Column {
    const fn new(head: &'static str, cell: Cell) -> Column {
        Column { head, cell, wide: false }
    }

    /// What stands at a JSON pointer.
    pub(super) const fn at(head: &'static str, pointer: &'static str) -> Column {
        Column::new(head, Cell::At(pointer))
    }

    /// The name at the end of an id.
    pub(super) const fn name(head: &'static str, pointer: &'static str) -> Column {
        Column::new(head, Cell::Name(pointer))
    }

    /// The resource group within an id.
    pub(super) const fn group(head: &'static str, pointer: &'static str) -> Column {
        Column::new(head, Cell::Group(pointer))
    }

    /// A number of bytes.
    pub(super) const fn size(head: &'static str, pointer: &'static str) -> Column {
        Column::new(head, Cell::Size(pointer))
    }

    /// A time, to the second.
    pub(super) const fn time(head: &'static str, pointer: &'static str) -> Column {
        Column::new(head, Cell::Time(pointer))
    }

    /// An object as `name=value` pairs.
    pub(super) const fn pairs(head: &'static str, pointer: &'static str) -> Column {
        Column::new(head, Cell::Pairs(pointer))
    }

    /// Leaves the column out of lists.
    pub(super) const fn wide(mut self) -> Column {
        self.wide = true;
        self
    }

    fn cell(&self, row: &Value) -> String {
        let found = |pointer: &str| text(row, pointer).unwrap_or_default();
        let shown = match self.cell {
            Cell::At(pointer) => row.pointer(pointer).map(scalar).unwrap_or_default(),
            Cell::Name(pointer) => last(found(pointer)).to_owned(),
            Cell::Group(pointer) => group_of(found(pointer)).unwrap_or_default().to_owned(),
            Cell::Size(pointer) => {
                row.pointer(pointer).and_then(Value::as_u64).map(size).unwrap_or_default()
            }
            Cell::Time(pointer) => second(found(pointer)),
            Cell::Pairs(pointer) => pairs(row.pointer(pointer)),
        };
        shown.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
    }
}

/// The name of the resource group in an id.
pub(super) fn group_of(id: &str) -> Option<&str> {
    let mut parts = id.split('/');
    parts.find(|part| part.eq_ignore_ascii_case("resourceGroups"))?;
    parts.next()
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Array(items) => items.iter().map(scalar).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// A time without the fraction of its second: `2026-01-08T06:14:40.0501Z` is
/// `2026-01-08 06:14:40Z`.
fn second(time: &str) -> String {
    match (time.get(..10), time.get(10..11), time.get(11..19)) {
        (Some(day), Some("T"), Some(clock)) => format!("{day} {clock}Z"),
        _ => time.to_owned(),
    }
}

fn pairs(value: Option<&Value>) -> String {
    let sorted: BTreeMap<&String, String> = value
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, value)| (name, scalar(value)))
        .collect();
    sorted.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

impl Format {
    /// Prints a list.
    pub(super) fn list(self, columns: &[Column], rows: &[Value]) -> Result<()> {
        self.put(self.list_text(columns, rows)?)
    }

    /// Prints one resource.
    pub(super) fn one(self, columns: &[Column], row: &Value) -> Result<()> {
        self.put(self.one_text(columns, row)?)
    }

    /// Prints an answer that people get no table of: they are told in `words`.
    pub(super) fn answer(self, answer: &Value, words: &str) -> Result<()> {
        match self {
            Format::Json => self.put(Some(serde_json::to_string_pretty(answer)?)),
            Format::Table | Format::Tsv => self.put(Some(words.to_owned())),
            Format::None => Ok(()),
        }
    }

    fn put(self, text: Option<String>) -> Result<()> {
        match text.filter(|text| !text.is_empty()) {
            Some(text) => Ok(say(text)?),
            None => Ok(()),
        }
    }

    fn list_text(self, columns: &[Column], rows: &[Value]) -> Result<Option<String>> {
        let narrow: Vec<&Column> = columns.iter().filter(|column| !column.wide).collect();
        let cells = |row: &Value| narrow.iter().map(|column| column.cell(row)).collect();
        let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
        Ok(match self {
            Format::None => None,
            Format::Json => Some(serde_json::to_string_pretty(rows)?),
            Format::Tsv => {
                Some(cells.iter().map(|row| row.join("\t")).collect::<Vec<_>>().join("\n"))
            }
            Format::Table if rows.is_empty() => None,
            Format::Table => {
                let heads = narrow.iter().map(|column| column.head.to_owned()).collect();
                Some(table(Some(heads), cells))
            }
        })
    }

    fn one_text(self, columns: &[Column], row: &Value) -> Result<Option<String>> {
        let cells = columns.iter().map(|column| (column.head, column.cell(row)));
        Ok(match self {
            Format::None => None,
            Format::Json => Some(serde_json::to_string_pretty(row)?),
            Format::Tsv => {
                let narrow = columns.iter().filter(|column| !column.wide);
                Some(narrow.map(|column| column.cell(row)).collect::<Vec<_>>().join("\t"))
            }
            Format::Table => {
                let told = cells.filter(|(_, cell)| !cell.is_empty());
                Some(table(None, told.map(|(head, cell)| vec![head.to_owned(), cell]).collect()))
            }
        })
    }
}

/// Columns that line up, two blanks between them.
fn table(heads: Option<Vec<String>>, rows: Vec<Vec<String>>) -> String {
    let rule = LineStyle::none().fill('-').junction('-');
    let mut table = Table::new();
    table.load_style(TableStyle::new().header_separator(rule));
    if let Some(heads) = heads {
        table.set_header(heads);
    }
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 1));
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const COLUMNS: &[Column] = &[
        Column::at("Name", "/name"),
        Column::group("ResourceGroup", "/id"),
        Column::size("Size", "/properties/diskSizeBytes"),
        Column::time("Created", "/properties/timeCreated"),
        Column::pairs("Tags", "/tags").wide(),
    ];

    fn disk(name: &str, bytes: u64) -> Value {
        json!({
            "id": format!("/subscriptions/s/resourceGroups/rg-1/providers/p/disks/{name}"),
            "name": name,
            "tags": {"team": "a", "env": "test"},
            "properties": {
                "diskSizeBytes": bytes, "timeCreated": "2026-01-08T06:14:40.0501234Z",
            },
        })
    }

    #[test]
    fn a_list_is_a_table() {
        let rows = [disk("d", 5 << 20), disk("long-name", 512)];
        let text = Format::Table.list_text(COLUMNS, &rows).unwrap().unwrap();
        assert_eq!(
            text,
            "Name       ResourceGroup  Size     Created\n\
             --------------------------------------------------------\n\
             d          rg-1           5.0 MiB  2026-01-08 06:14:40Z\n\
             long-name  rg-1           512 B    2026-01-08 06:14:40Z"
        );
        assert_eq!(Format::Table.list_text(COLUMNS, &[]).unwrap(), None);
    }

    #[test]
    fn one_resource_is_shown_in_full() {
        let text = Format::Table.one_text(COLUMNS, &disk("d", 512)).unwrap().unwrap();
        assert_eq!(
            text,
            "Name           d\n\
             ResourceGroup  rg-1\n\
             Size           512 B\n\
             Created        2026-01-08 06:14:40Z\n\
             Tags           env=test team=a"
        );
    }

    #[test]
    fn json_is_what_the_api_said() {
        let row = disk("d", 1);
        let text = Format::Json.list_text(COLUMNS, std::slice::from_ref(&row)).unwrap().unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!([row]));
        let text = Format::Json.one_text(COLUMNS, &row).unwrap().unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), row);
        assert_eq!(Format::Json.list_text(COLUMNS, &[]).unwrap().unwrap(), "[]");
        assert_eq!(Format::None.one_text(COLUMNS, &row).unwrap(), None);
    }

    #[test]
    fn lines_of_scripts_have_tabs_only_between_values() {
        let text = Format::Tsv.list_text(COLUMNS, &[disk("d\t\u{1b}[2J", 512)]).unwrap().unwrap();
        assert_eq!(text, "d  [2J\trg-1\t512 B\t2026-01-08 06:14:40Z");
    }

    #[test]
    fn odd_values_do_not_break_a_table() {
        let row = json!({"name": ["a", 1, null], "properties": {"timeCreated": "soon"}});
        let text = Format::Tsv.one_text(COLUMNS, &row).unwrap().unwrap();
        assert_eq!(text, "a, 1, \t\t\tsoon");
        assert_eq!(Format::Tsv.one_text(COLUMNS, &Value::Null).unwrap().unwrap(), "\t\t\t");
    }
}

//! `docs/coverage.md`: its rows, and the last column of them.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, ensure};

use super::Proofs;
use super::client::Client;

/// What the last column says of a row that no client proves.
const UNPROVEN: &str = "unproven";
/// How the head of the table begins.
const HEAD: &str = "| operation |";

/// The document.
pub(super) struct Document {
    text: String,
}

/// A row of its table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row<'a> {
    pub(super) name: &'a str,
    /// False when the service refuses it.
    pub(super) served: bool,
    pub(super) proofs: BTreeSet<Client>,
}

impl Document {
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path);
        Ok(Self { text: text.with_context(|| format!("read {}", path.display()))? })
    }

    #[cfg(test)]
    pub(super) fn of(text: &str) -> Self {
        Self { text: text.to_owned() }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The rows. None at all is an error: the table has moved.
    pub(super) fn rows(&self) -> anyhow::Result<Vec<Row<'_>>> {
        let (before, after) = self.text.split_at(self.table());
        let rows: Vec<Row<'_>> = after.lines().filter_map(row).collect();
        ensure!(
            !rows.is_empty(),
            "docs/coverage.md lists no operation after {} bytes",
            before.len()
        );
        Ok(rows)
    }

    /// Writes the last column.
    pub(super) fn prove(&mut self, proofs: &Proofs) {
        let (before, after) = self.text.split_at(self.table());
        let lines = after.lines().map(|line| match split(line) {
            Some((name, head, _)) if proofs.contains_key(name) => {
                let clients = proofs.get(name).into_iter().flatten();
                format!("{head}| {} |\n", cell(clients))
            }
            _ => format!("{line}\n"),
        });
        self.text = format!("{before}{}", lines.collect::<String>());
    }

    /// Where the table begins.
    fn table(&self) -> usize {
        self.text.find(HEAD).unwrap_or(self.text.len())
    }
}

/// The last column of a row.
pub(super) fn cell<'a>(clients: impl Iterator<Item = &'a Client>) -> String {
    let names: Vec<&str> = clients.map(|client| client.name()).collect();
    if names.is_empty() { UNPROVEN.to_owned() } else { names.join(", ") }
}

/// Name, everything before the last column, and the last column.
fn split(line: &str) -> Option<(&str, &str, &str)> {
    let name = line.strip_prefix("| ")?.split(' ').next()?;
    let (head, proof) = line.strip_suffix(" |")?.rsplit_once("| ")?;
    Some((name, head, proof))
}

fn row(line: &str) -> Option<Row<'_>> {
    let (name, head, proof) = split(line)?;
    let served = head.trim_end().ends_with("| yes");
    if !served && !head.trim_end().ends_with("| refused") {
        return None;
    }
    let named = |client: &Client| proof.split(", ").any(|word| word == client.name());
    Some(Row { name, served, proofs: Client::ALL.into_iter().filter(named).collect() })
}

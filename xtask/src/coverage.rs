//! `cargo xtask coverage`: which client proves which operation.
//!
//! The service logs one line for each answer; the client tests keep these logs below
//! `target/xtask/requests/PART`. Here they are laid beside the rows of `docs/coverage.md`, which
//! `crates/arm` makes from its table of operations. A row that no client called says so: what the
//! document calls proved was called in this run, by this client, with success.

mod client;
mod document;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use crate::process;
use client::Client;
use document::{Document, Row};

/// The document, from the checkout.
const DOCUMENT: &str = "docs/coverage.md";
/// Answers that say nothing about an operation: no token, no right, too many, a fault.
const MUTE: [u16; 3] = [401, 403, 429];

/// Writes the document's last column anew; true when no client's proof was lost by it.
pub(crate) fn run(root: &Path) -> anyhow::Result<bool> {
    let requests = process::target_folder(root)?.join("xtask/requests");
    let report = check(root, &requests)?;
    print!("{}", report.text());
    let path = root.join(DOCUMENT);
    let mut document = Document::read(&path)?;
    document.prove(&report.proofs);
    std::fs::write(&path, document.text()).context("write docs/coverage.md")?;
    Ok(report.lost.is_empty() && report.unknown.is_empty())
}

/// Where the tests of a part leave the logs of their services.
pub(crate) fn logs(work: &Path, part: &str) -> PathBuf {
    work.join("requests").join(part)
}

/// What the logs say about the document.
#[derive(Debug, Default)]
pub(crate) struct Report {
    proofs: Proofs,
    /// Rows that no client called.
    unproven: Vec<String>,
    /// Rows whose proof is not in the logs any more, with the clients that are missing.
    pub(crate) lost: Vec<String>,
    /// Operations of the logs that the document does not list.
    pub(crate) unknown: Vec<String>,
    /// Rows with more proof than the document says.
    gained: Vec<String>,
    rows: usize,
}

/// The clients that prove an operation.
type Proofs = BTreeMap<String, BTreeSet<Client>>;

impl Report {
    /// Whether the document says what the logs say, or less.
    pub(crate) fn ok(&self) -> bool {
        self.lost.is_empty() && self.unknown.is_empty()
    }

    /// One line.
    pub(crate) fn note(&self) -> String {
        let (unproven, gained) = (self.unproven.len(), self.gained.len());
        format!("{} operations, {unproven} unproven, {gained} newly proved", self.rows)
    }

    /// Everything that a reader may want to act on.
    pub(crate) fn text(&self) -> String {
        let lists = [
            ("no client calls it", &self.unproven),
            ("proved no more", &self.lost),
            ("called, but not in docs/coverage.md", &self.unknown),
            ("newly proved, `cargo xtask coverage` writes it", &self.gained),
        ];
        let lines = lists.into_iter().flat_map(|(head, list)| {
            list.iter().map(move |entry| format!("coverage: {head}: {entry}\n"))
        });
        lines.collect()
    }
}

/// Lays the logs beside the document.
pub(crate) fn check(root: &Path, requests: &Path) -> anyhow::Result<Report> {
    let document = Document::read(&root.join(DOCUMENT))?;
    let answers = answers(requests)?;
    ensure!(!answers.is_empty(), "{} holds no log of a client test", requests.display());
    Ok(compare(&document.rows()?, &answers))
}

fn compare(rows: &[Row<'_>], answers: &BTreeSet<Answer>) -> Report {
    let mut report = Report { rows: rows.len(), ..Report::default() };
    let mut unknown: BTreeSet<&str> =
        answers.iter().map(|answer| answer.operation.as_str()).collect();
    for row in rows {
        unknown.remove(row.name);
        let proofs: BTreeSet<Client> = answers
            .iter()
            .filter(|answer| answer.operation == row.name && answer.proves(row.served))
            .map(|answer| answer.client)
            .collect();
        let kept = &row.proofs;
        let words = |clients: Vec<&Client>| document::cell(clients.into_iter());
        if proofs.is_empty() {
            report.unproven.push(row.name.to_owned());
        }
        let lost: Vec<&Client> = kept.difference(&proofs).collect();
        if !lost.is_empty() {
            report.lost.push(format!("{} by {}", row.name, words(lost)));
        }
        let gained: Vec<&Client> = proofs.difference(kept).collect();
        if !gained.is_empty() {
            report.gained.push(format!("{} by {}", row.name, words(gained)));
        }
        report.proofs.insert(row.name.to_owned(), proofs);
    }
    report.unknown = unknown.into_iter().map(str::to_owned).collect();
    report
}

/// One kind of answer that a client got.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Answer {
    operation: String,
    client: Client,
    status: u16,
}

impl Answer {
    /// A served operation is proved by success, a refused one by its refusal.
    fn proves(&self, served: bool) -> bool {
        let success = self.status < 400;
        success || (!served && self.status < 500 && !MUTE.contains(&self.status))
    }
}

/// A line of the service's log, as far as it matters here.
#[derive(Deserialize)]
struct Line {
    fields: Fields,
}

#[derive(Deserialize)]
struct Fields {
    #[serde(default)]
    message: String,
    #[serde(default)]
    operation: String,
    #[serde(default)]
    client: String,
    #[serde(default)]
    status: u16,
}

/// The answers in all logs of all parts.
fn answers(requests: &Path) -> anyhow::Result<BTreeSet<Answer>> {
    let mut found = BTreeSet::new();
    for entry in walkdir::WalkDir::new(requests).min_depth(2) {
        let entry = entry.context("read the logs of the client tests")?;
        let part = entry.path().parent().and_then(Path::file_name).unwrap_or_default();
        if entry.file_type().is_file() {
            read(entry.path(), &part.to_string_lossy(), &mut found)?;
        }
    }
    Ok(found)
}

/// The answers in one log. What is no line of ours, as the last one of a killed service, is no
/// answer.
fn read(path: &Path, part: &str, found: &mut BTreeSet<Answer>) -> anyhow::Result<()> {
    let file = std::fs::File::open(path).with_context(|| format!("open {}", path.display()))?;
    for line in BufReader::new(file).split(b'\n') {
        let line = line.with_context(|| format!("read {}", path.display()))?;
        let Ok(Line { fields }) = serde_json::from_slice::<Line>(&line) else {
            continue;
        };
        if fields.message != "answered" || fields.operation.is_empty() {
            continue;
        }
        if let Some(client) = Client::of(part, &fields.client) {
            let Fields { operation, status, .. } = fields;
            found.insert(Answer { operation, client, status });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;

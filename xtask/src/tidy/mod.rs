//! `cargo xtask tidy`: the rules that neither the compiler nor clippy knows.
//!
//! Every rule is a pure function of files' paths and texts to a list of findings, so that its
//! tests need no checkout. Only this module reads the disk.

mod allow;
mod calls;
mod layers;
mod lines;
mod names;
#[cfg(test)]
mod tests;
mod threats;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

pub(crate) use allow::Report;
use anyhow::Context as _;
use walkdir::{DirEntry, WalkDir};

/// A file larger than this is data, not text of ours.
const MAX_TEXT: u64 = 4 << 20;

/// Folders that no rule looks into: made, fetched or the tool's own state.
const SKIPPED: [&str; 6] = [".git", "target", "node_modules", "__pycache__", "data", "dist"];

/// One text file of the checkout, its path relative to the root and with `/`.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// One broken rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) rule: &'static str,
    pub(crate) text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}: {}", self.path, self.line, self.rule, self.text)
    }
}

/// All findings in the checkout at `root`, sorted by place, and the exceptions made.
pub(crate) fn check(root: &Path) -> anyhow::Result<Report> {
    let sources = sources(root)?;
    anyhow::ensure!(!sources.is_empty(), "no source found under {}", root.display());
    Ok(check_sources(&sources))
}

/// All findings in `sources`, and the exceptions that they make.
fn check_sources(sources: &[Source]) -> Report {
    let names: BTreeSet<&str> =
        sources.iter().filter_map(|source| source.path.rsplit('/').next()).collect();
    let test_only = calls::test_only_files(sources);
    let mut findings = Vec::new();
    for source in sources {
        findings.extend(lines::check(source));
        findings.extend(names::check(source, &names));
        findings.extend(layers::check(source));
        findings.extend(calls::check(source, test_only.contains(&source.path)));
    }
    findings.extend(threats::check(sources));
    allow::apply(findings, sources)
}

/// Reads the checkout's text files.
fn sources(root: &Path) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    for entry in WalkDir::new(root).sort_by_file_name().into_iter().filter_entry(wanted) {
        let entry = entry.context("walk the checkout")?;
        if !entry.file_type().is_file() || entry.metadata()?.len() > MAX_TEXT {
            continue;
        }
        let bytes = std::fs::read(entry.path())
            .with_context(|| format!("read {}", entry.path().display()))?;
        // What is not UTF-8 is an image or a sample: no rule speaks of it.
        if let Ok(text) = String::from_utf8(bytes) {
            let path = entry.path().strip_prefix(root)?.to_string_lossy().replace('\\', "/");
            sources.push(Source { path, text });
        }
    }
    Ok(sources)
}

fn wanted(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    !(entry.file_type().is_dir() && SKIPPED.contains(&name.as_ref()))
}

//! `docs/threat-model.md` keeps its word: each test that it names is there.
//!
//! A test is named as `path::test` between backticks, the path that of a Rust or Python file. The
//! file must be in the checkout and define a function of that name; the last part counts where a
//! module stands between.

use super::{Finding, Source};

const FILE: &str = "docs/threat-model.md";

/// The names of tests that no file defines, and lines that claim something without a test.
pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let Some(document) = sources.iter().find(|source| source.path == FILE) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    let mut add = |line: usize, text: String| {
        findings.push(Finding { path: FILE.to_owned(), line, rule: "threats", text });
    };
    for (index, line) in document.text.lines().enumerate() {
        let number = index.saturating_add(1);
        let mut named = 0;
        for (path, test) in tests(line) {
            named += 1;
            let source = sources.iter().find(|source| source.path == path);
            match source {
                None => add(number, format!("{path}: the checkout has no such file")),
                Some(source) if !defines(source, test) => {
                    add(number, format!("{path} has no test {test}"));
                }
                Some(_) => {}
            }
        }
        if line.starts_with("| ") && line.contains(" cannot ") && named == 0 {
            add(number, "a claim without a test".to_owned());
        }
    }
    findings
}

/// The tests that a line names: path and name.
fn tests(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let quoted = line.split('`').skip(1).step_by(2);
    quoted.filter_map(|text| {
        let (path, name) = text.split_once("::")?;
        let code = path.ends_with(".rs") || path.ends_with(".py");
        code.then(|| (path, name.rsplit("::").next().unwrap_or(name)))
    })
}

fn defines(source: &Source, test: &str) -> bool {
    let word = if source.path.ends_with(".py") { "def" } else { "fn" };
    let head = format!("{word} {test}");
    source.text.match_indices(&head).any(|(at, found)| {
        let rest = source.text.get(at.saturating_add(found.len())..).unwrap_or_default();
        rest.starts_with(['(', '<'])
    })
}

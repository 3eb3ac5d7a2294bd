//! Rules on names: of modules, and of papers that a text points to.

use std::collections::BTreeSet;

use super::{Finding, Source};

/// Names that say nothing of what a module does: such modules only grow.
const EMPTY: [&str; 10] = [
    "util", "utils", "common", "helper", "helpers", "manager", "managers", "misc", "shared",
    "stuff",
];

/// The module's own name, and each paper in capitals that the text points to: `names` are the
/// file names of the whole checkout.
pub(super) fn check(source: &Source, names: &BTreeSet<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |line: usize, rule: &'static str, text: String| {
        findings.push(Finding { path: source.path.clone(), line, rule, text });
    };
    let parts = source.path.trim_end_matches(".rs").split('/');
    if source.path.ends_with(".rs") {
        for part in parts.filter(|part| EMPTY.contains(part)) {
            add(1, "module-name", format!("{part:?} does not say what the module does"));
        }
    }
    for (index, line) in source.text.lines().enumerate() {
        for paper in papers(line).filter(|paper| !names.contains(paper)) {
            let number = index.saturating_add(1);
            add(number, "dangling", format!("{paper}: the checkout has no such file"));
        }
    }
    findings
}

/// File names in capitals with the ending of Markdown on this line.
fn papers(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split(|char: char| !(char.is_ascii_alphanumeric() || "._-".contains(char)));
    words.map(|word| word.trim_end_matches('.')).filter(|word| {
        word.strip_suffix(".md").is_some_and(|stem| {
            stem.len() > 2 && stem.chars().all(|char| char.is_ascii_uppercase() || char == '_')
        })
    })
}

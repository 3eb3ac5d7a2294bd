//! Rules on single lines and on the length of a file.

use super::{Finding, Source};

const MAX_LINES: usize = 500;
const MAX_COLUMNS: usize = 100;

/// Lengths, character set and open ends of one file.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |line: usize, rule: &'static str, text: String| {
        findings.push(Finding { path: source.path.clone(), line, rule, text });
    };
    let rust = source.path.ends_with(".rs");
    let code = rust || [".py", ".sh", ".js", ".ts", ".sql"].iter().any(ending(source));
    let total = source.text.lines().count();
    if code && total > MAX_LINES {
        add(MAX_LINES, "file-length", format!("{total} lines, at most {MAX_LINES}"));
    }
    for (index, line) in source.text.lines().enumerate() {
        let number = index.saturating_add(1);
        let columns = line.chars().count();
        if rust && columns > MAX_COLUMNS && !is_address(line) {
            add(number, "line-length", format!("{columns} columns, at most {MAX_COLUMNS}"));
        }
        if let Some(other) = line.chars().find(|char| !char.is_ascii()).filter(|_| code) {
            add(number, "ascii", format!("{:?}: sources are ASCII", other.escape_unicode()));
        }
        if let Some(word) = code.then(|| open_end(line)).flatten() {
            add(number, "open-end", format!("{word} without an issue, write {word}(#123)"));
        }
        if let Some(word) = outside(line) {
            add(number, "outside", format!("{word}: names what a clone does not hold"));
        }
    }
    findings
}

fn ending(source: &Source) -> impl Fn(&&str) -> bool + '_ {
    |ending| source.path.ends_with(*ending)
}

/// A comment that is one web address cannot be broken.
fn is_address(line: &str) -> bool {
    let text = line.trim_start().trim_start_matches(['/', '!', '#', '*', ' ']);
    let one_word = !text.trim_end().contains(char::is_whitespace);
    one_word && (text.starts_with("https://") || text.starts_with("http://"))
}

/// The marker of unfinished work on this line that names no issue.
fn open_end(line: &str) -> Option<&'static str> {
    // Written in halves, or this file would be its own finding.
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")].into_iter().find(|word| {
        line.match_indices(word).any(|(at, _)| {
            let before = line.get(..at).and_then(|text| text.chars().next_back());
            let after = line.get(at.saturating_add(word.len())..).unwrap_or_default();
            let whole = !before.is_some_and(is_word) && !after.starts_with(is_word);
            whole && !names_issue(after)
        })
    })
}

fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_'
}

/// True for `(#12)`.
fn names_issue(after: &str) -> bool {
    let digits = after.strip_prefix("(#").and_then(|rest| rest.split_once(')'));
    digits.is_some_and(|(number, _)| number.parse::<u32>().is_ok())
}

/// A place outside the checkout that this line names.
fn outside(line: &str) -> Option<&'static str> {
    let dotted = concat!(".lib", "rary");
    let places = [concat!("../", "shared"), concat!("/work/", "shared")];
    let hidden = line.match_indices(dotted).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        !before.is_some_and(|char| is_word(char) || char == ')')
    });
    let named = places.into_iter().find(|place| line.contains(place));
    named.or_else(|| hidden.then_some(dotted))
}

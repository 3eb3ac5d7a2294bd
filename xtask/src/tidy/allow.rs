//! Exceptions: `xtask/tidy.allow`, one line each, `rule | path | start of the text | reason`.
//!
//! An exception without a reason, and one that no finding needs any more, is itself a finding;
//! those in use are printed at every run.

use super::{Finding, Source};

/// Where the exceptions stand.
pub(super) const FILE: &str = "xtask/tidy.allow";

/// Rules that know exceptions; the others have to be obeyed.
const RULES: [&str; 3] = ["durable", "env", "layers"];

/// The findings that stand, and the exceptions that were used.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) findings: Vec<Finding>,
    pub(crate) allowed: Vec<String>,
}

/// One line of the file.
struct Exception<'a> {
    line: usize,
    rule: &'a str,
    path: &'a str,
    start: &'a str,
    reason: &'a str,
}

impl Exception<'_> {
    fn covers(&self, finding: &Finding) -> bool {
        self.rule == finding.rule
            && self.path == finding.path
            && finding.text.strip_prefix(self.start).is_some_and(|rest| rest.starts_with(':'))
    }
}

/// Takes out what the exceptions cover.
pub(super) fn apply(findings: Vec<Finding>, sources: &[Source]) -> Report {
    let source = sources.iter().find(|source| source.path == FILE);
    let lines = source.map(|source| source.text.as_str()).unwrap_or_default().lines();
    let mut report = Report { findings, allowed: Vec::new() };
    for (index, line) in lines.enumerate().filter(|(_, line)| is_entry(line)) {
        let number = index.saturating_add(1);
        let mut complain = |text: &str| {
            let (path, text) = (FILE.to_owned(), text.to_owned());
            report.findings.push(Finding { path, line: number, rule: "allow", text });
        };
        let Some(exception) = read(number, line) else {
            complain("not of the form: rule | path | start of the text | reason");
            continue;
        };
        let before = report.findings.len();
        report.findings.retain(|finding| !exception.covers(finding));
        let covered = before.saturating_sub(report.findings.len());
        if covered == 0 {
            let (path, text) = (FILE.to_owned(), "no finding needs it".to_owned());
            report.findings.push(Finding { path, line: exception.line, rule: "allow", text });
        } else {
            let Exception { rule, path, start, reason, .. } = exception;
            report.allowed.push(format!("{path}: {rule}: {start}: {covered} allowed: {reason}"));
        }
    }
    report.findings.sort();
    report
}

fn is_entry(line: &str) -> bool {
    !line.trim().is_empty() && !line.starts_with('#')
}

fn read(line: usize, text: &str) -> Option<Exception<'_>> {
    let mut parts = text.splitn(4, '|').map(str::trim);
    let (rule, path) = (parts.next()?, parts.next()?);
    let (start, reason) = (parts.next()?, parts.next()?);
    let whole = RULES.contains(&rule) && !start.is_empty() && reason.contains(' ');
    whole.then_some(Exception { line, rule, path, start, reason })
}

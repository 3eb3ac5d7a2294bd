//! `$filter`: the few forms of OData that clients send.
//!
//! Grammar: `term (and term)*` where a term is `name eq 'value'`, `name ge 'value'`,
//! `name le 'value'`, `name()` or `name('value')`. Names match without regard to case; a quote
//! inside a value is doubled. Behind `ge` and `le` a value without quotes ends at a blank: so `az`
//! writes times.

use super::body::Dialect;
use super::error::ArmError;
use jiff::Timestamp;

/// One term of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Term {
    /// `name eq 'value'`.
    Equals(String, String),
    /// `name ge 'value'`.
    AtLeast(String, String),
    /// `name le 'value'`.
    AtMost(String, String),
    /// `name()` or `name('value')`.
    Call(String, Option<String>),
}

/// The terms of a filter, all of which must hold; names in lower case.
///
/// # Errors
/// When the text is not of the grammar.
pub(crate) fn terms(text: &str) -> Result<Vec<Term>, ArmError> {
    let mut rest = text.trim();
    let mut found = vec![];
    while !rest.is_empty() {
        if !found.is_empty() {
            rest = word(rest, "and").ok_or_else(|| refusal(text))?;
        }
        let (term, after) = term(rest).ok_or_else(|| refusal(text))?;
        found.push(term);
        rest = after.trim_start();
    }
    Ok(found)
}

/// A refusal of a filter that shows it.
pub(crate) fn refusal(text: &str) -> ArmError {
    let shown: String = text.chars().take(200).collect();
    ArmError::bad(
        "InvalidFilterInQueryString",
        format!(
            "The $filter '{shown}' is not understood; use terms such as \"name eq 'value'\" \
             joined by \"and\"."
        ),
    )
}

/// A refusal of one part of a filter of data protection.
pub(crate) fn wrong(message: impl std::fmt::Display) -> ArmError {
    ArmError::invalid(Dialect::DataProtection, "$filter", format!("$filter: {message}"))
}

/// A time in a filter.
///
/// # Errors
/// When it is none.
pub(crate) fn instant(name: &str, value: &str) -> Result<Timestamp, ArmError> {
    let time = value.trim().parse().ok();
    time.ok_or_else(|| {
        wrong(format!("{name} is '{value}', not a time such as 2026-01-31T00:00:00Z."))
    })
}

/// A truth value in a filter.
///
/// # Errors
/// When it is none.
pub(crate) fn truth(name: &str, value: &str) -> Result<bool, ArmError> {
    match value.trim().to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(wrong(format!("{name} is '{value}', not true or false."))),
    }
}

fn term(text: &str) -> Option<(Term, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "_./".contains(c)))?;
    let (name, rest) = text.split_at_checked(end).filter(|(name, _)| !name.is_empty())?;
    let name = name.to_ascii_lowercase();
    if let Some(rest) = rest.strip_prefix('(') {
        let rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix(')') {
            return Some((Term::Call(name, None), after));
        }
        let (value, rest) = quoted(rest)?;
        let after = rest.trim_start().strip_prefix(')')?;
        return Some((Term::Call(name, Some(value)), after));
    }
    let rest = rest.trim_start();
    if let Some(rest) = word(rest, "eq") {
        let (value, after) = quoted(rest)?;
        return Some((Term::Equals(name, value), after));
    }
    if let Some(rest) = word(rest, "ge") {
        let (value, after) = quoted_or_bare(rest)?;
        return Some((Term::AtLeast(name, value), after));
    }
    let (value, after) = quoted_or_bare(word(rest, "le")?)?;
    Some((Term::AtMost(name, value), after))
}

fn quoted_or_bare(text: &str) -> Option<(String, &str)> {
    if text.starts_with('\'') {
        return quoted(text);
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (value, after) = text.split_at_checked(end)?;
    (!value.is_empty()).then(|| (value.to_owned(), after))
}

/// What follows a keyword and the blank behind it.
pub(crate) fn word<'a>(text: &'a str, keyword: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(keyword.len())?;
    let blank = rest.starts_with(char::is_whitespace);
    (head.eq_ignore_ascii_case(keyword) && blank).then(|| rest.trim_start())
}

/// A value in quotes, and what follows it.
pub(crate) fn quoted(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('\'')?;
    let mut value = String::new();
    loop {
        let (head, after) = rest.split_once('\'')?;
        value.push_str(head);
        match after.strip_prefix('\'') {
            Some(more) => {
                value.push('\'');
                rest = more;
            }
            None => return Some((value, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_of_known_clients() {
        let found = terms(
            "startDate eq '2021-08-01T00:00:00.0000000Z' AND endDate eq 'b' and atScope() and \
             assignedTo('x''y')",
        );
        assert_eq!(
            found.unwrap(),
            [
                Term::Equals("startdate".into(), "2021-08-01T00:00:00.0000000Z".into()),
                Term::Equals("enddate".into(), "b".into()),
                Term::Call("atscope".into(), None),
                Term::Call("assignedto".into(), Some("x'y".into())),
            ]
        );
        assert_eq!(terms("  ").unwrap(), []);
        let found = terms("eventTimestamp ge 2026-01-01T00:00:00+00:00 and eventTimestamp le 'b'");
        assert_eq!(
            found.unwrap(),
            [
                Term::AtLeast("eventtimestamp".into(), "2026-01-01T00:00:00+00:00".into()),
                Term::AtMost("eventtimestamp".into(), "b".into()),
            ]
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "a",
            "a eq b",
            "a eq 'b' or c eq 'd'",
            "a eq 'b",
            "a eq 'b' and",
            "a ne 'b'",
            "a('b'",
            "a ge",
            "a ge 'b",
            "a gt 'b'",
            "eq 'x'",
            "a eq 'b'c eq 'd'",
        ] {
            assert_eq!(terms(bad).unwrap_err().code, "InvalidFilterInQueryString", "{bad}");
        }
    }
}

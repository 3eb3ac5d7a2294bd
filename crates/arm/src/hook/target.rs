//! Which requests a fault is for: the name of an operation, or a method and a pattern of its path.
//!
//! In a pattern `*` stands for one segment and `**` at the end for any number of them; a method
//! `*` is any. Words and names compare without regard to case, as paths do everywhere.

use crate::table::Route;
use http::Method;

/// Segments of a pattern at most.
const SEGMENTS_MAX: usize = 64;
/// Names that a refusal suggests.
const SUGGESTIONS: usize = 3;

/// A target in its kept form: the operation's name as the table writes it, or the pattern.
pub(super) fn parse(text: &str, routes: &[&Route]) -> Result<String, String> {
    let text = text.trim();
    let Some((method, path)) = text.split_once(char::is_whitespace) else {
        let found = routes.iter().find(|route| route.name.eq_ignore_ascii_case(text));
        return found.map(|route| route.name.to_owned()).ok_or_else(|| {
            let names = nearest(text, routes.iter().map(|route| route.name));
            format!(
                "there is no operation '{}'; near are {}. A method and a path, such as \
                 'PUT /subscriptions/*/resourceGroups/*', is taken too.",
                text.chars().take(100).collect::<String>(),
                names.join(", ")
            )
        });
    };
    let (method, path) = (method.to_ascii_uppercase(), path.trim());
    let pattern: Vec<&str> = segments(path).collect();
    if !path.starts_with('/') || pattern.len() > SEGMENTS_MAX {
        return Err(format!("a path begins with / and has at most {SEGMENTS_MAX} parts."));
    }
    let reached = routes.iter().any(|route| {
        let parts: Vec<&str> = segments(route.path).collect();
        method_fits(&method, &route.method) && could(&pattern, &parts)
    });
    if !reached {
        return Err(format!("no operation has the method {method} and such a path."));
    }
    Ok(format!("{method} {path}"))
}

/// The path of a target, for its dialect: of a pattern, or of the named operation.
pub(super) fn path<'a>(target: &'a str, routes: &[&'a Route]) -> &'a str {
    match target.split_once(' ') {
        Some((_, path)) => path,
        None => routes.iter().find(|route| route.name == target).map_or("", |route| route.path),
    }
}

/// Whether it is for reading only, so that there can be no operation and no job.
pub(super) fn only_reads(target: &str, routes: &[&Route]) -> bool {
    let reads = |method: &str| ["GET", "HEAD"].contains(&method);
    match target.split_once(' ') {
        Some((method, _)) => reads(method),
        None => routes.iter().any(|r| r.name == target && reads(r.method.as_str())),
    }
}

/// Whether a request of this route and path is meant.
pub(super) fn fits(target: &str, route: &Route, path: &str) -> bool {
    match target.split_once(' ') {
        None => target == route.name,
        Some((method, pattern)) => {
            let pattern: Vec<&str> = segments(pattern).collect();
            let path: Vec<&str> = segments(path).collect();
            let same = |own: &str, other: &str| own == "*" || own.eq_ignore_ascii_case(other);
            method_fits(method, &route.method) && matches(&pattern, &path, same)
        }
    }
}

/// The words of `all` that are nearest to `text`.
pub(super) fn nearest<'a>(text: &str, all: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let text: String = text.chars().take(200).flat_map(char::to_lowercase).collect();
    let score = |word: &str| strsim::normalized_levenshtein(&text, &word.to_lowercase());
    let mut scored: Vec<(f64, &str)> = all.map(|word| (score(word), word)).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.dedup_by_key(|(_, word)| *word);
    scored.into_iter().take(SUGGESTIONS).map(|(_, word)| word).collect()
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

fn method_fits(pattern: &str, method: &Method) -> bool {
    pattern == "*" || pattern == method.as_str()
}

fn matches(pattern: &[&str], path: &[&str], same: impl Fn(&str, &str) -> bool) -> bool {
    let (pattern, rest) = match pattern.split_last() {
        Some((&"**", head)) => (head, true),
        _ => (pattern, false),
    };
    let long = if rest { path.len() >= pattern.len() } else { path.len() == pattern.len() };
    long && pattern.iter().zip(path).all(|(own, other)| same(own, other))
}

/// Whether a path of a route can fit a pattern.
fn could(pattern: &[&str], parts: &[&str]) -> bool {
    if parts.first().is_some_and(|part| part.starts_with("{*")) {
        // Its beginning stands for any path: only its end can tell.
        let tail = parts.get(1..).unwrap_or_default();
        let open = pattern.last() == Some(&"**");
        let begin = pattern.len().saturating_sub(tail.len());
        let end = pattern.get(begin..).unwrap_or_default();
        return open || (pattern.len() >= tail.len() && matches(end, tail, can_be));
    }
    matches(pattern, parts, can_be)
}

fn can_be(own: &str, part: &str) -> bool {
    own == "*" || part.starts_with('{') || own.eq_ignore_ascii_case(part)
}

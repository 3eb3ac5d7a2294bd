//! The table of operations: the one list that routes, authorises and documents.
//!
//! A path is matched segment by segment without regard to case; where several routes fit, the one
//! with more words of its own wins, so that a name can never hide a word. `{name}` is one segment;
//! `{*name}`, at the start only, is any number of them. The data plane of disks is no part of the
//! table: its URLs carry their own right (see [`crate::blob`]).

use crate::wire::error::ArmError;
use crate::wire::reply::Reply;
use crate::wire::request::{Params, Request};
use crate::wire::version::Versions;
use http::Method;
use std::future::Future;
use std::pin::Pin;

/// What a handler gives back.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Reply, ArmError>> + Send>>;
/// Parses, asks the domain and maps what comes back.
pub(crate) type Handler = fn(Request) -> Answer;

/// Makes a [`Handler`] of an async function.
macro_rules! handler {
    ($function:path) => {
        |request| ::std::boxed::Box::pin($function(request))
    };
}
pub(crate) use handler;

/// What a caller needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A role with this action at the request's id.
    Rbac(&'static str),
    /// A token; the handler decides the rest, for the reason given.
    Open(&'static str),
    /// Nothing, not even a token.
    Public,
}

/// One operation.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) method: Method,
    /// Such as `/subscriptions/{subscriptionId}/locations`.
    pub(crate) path: &'static str,
    pub(crate) versions: Versions,
    /// The api-version that brought it, when not all have it.
    pub(crate) since: Option<&'static str>,
    pub(crate) action: Action,
    pub(crate) handler: Handler,
    /// Name in Azure's specification, such as `BackupVaults_Get`.
    pub(crate) name: &'static str,
}

/// Every operation.
pub(crate) fn routes() -> Vec<Route> {
    [
        crate::auth::routes(),
        crate::resources::routes(),
        crate::authorization::routes(),
        crate::wire::poll::routes(),
        crate::compute::routes(),
        crate::dataprotection::routes(),
        crate::managed_identity::routes(),
        crate::graph::routes(),
        crate::resource_graph::routes(),
        crate::hook::routes(),
        crate::insights::routes(),
    ]
    .concat()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Word(&'static str),
    Name(&'static str),
    Rest(&'static str),
}

#[derive(Debug)]
struct Line {
    route: Route,
    parts: Vec<Part>,
}

/// The table, ready to be asked.
#[derive(Debug)]
pub(crate) struct Table {
    lines: Vec<Line>,
}

/// What the table knows of a method and a path.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// The route and the names in the path.
    Route(&'a Route, Params),
    /// Other methods only.
    Methods(Vec<Method>),
    /// Nothing.
    Nothing,
}

impl Table {
    /// A table of these routes.
    pub(crate) fn new(routes: Vec<Route>) -> Self {
        let lines = routes.into_iter().map(|route| {
            let parts = parts(route.path);
            Line { route, parts }
        });
        Self { lines: lines.collect() }
    }

    /// The routes.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &Route> {
        self.lines.iter().map(|line| &line.route)
    }

    /// Finds the route of a method and a path.
    pub(crate) fn find(&self, method: &Method, segments: &[String]) -> Found<'_> {
        let mut best: Option<(&Line, Vec<bool>, Params)> = None;
        let mut methods: Vec<Method> = vec![];
        for line in &self.lines {
            let Some((words, params)) = matched(&line.parts, segments) else {
                continue;
            };
            if line.route.method != *method {
                if !methods.contains(&line.route.method) {
                    methods.push(line.route.method.clone());
                }
            } else if best.as_ref().is_none_or(|(_, most, _)| words > *most) {
                best = Some((line, words, params));
            }
        }
        match best {
            Some((line, _, params)) => Found::Route(&line.route, params),
            None if methods.is_empty() => Found::Nothing,
            None => Found::Methods(methods),
        }
    }
}

fn parts(path: &'static str) -> Vec<Part> {
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    let part = |segment: &'static str| {
        let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        match name {
            Some(name) => match name.strip_prefix('*') {
                Some(rest) => Part::Rest(rest),
                None => Part::Name(name),
            },
            None => Part::Word(segment),
        }
    };
    segments.map(part).collect()
}

/// The names in a path that fits, and per segment whether a word matched it.
fn matched(parts: &[Part], segments: &[String]) -> Option<(Vec<bool>, Params)> {
    let mut words = vec![];
    let mut params = Params::default();
    let (parts, segments) = match parts.split_first() {
        Some((Part::Rest(name), tail)) => {
            let (head, rest) =
                segments.split_at_checked(segments.len().checked_sub(tail.len())?)?;
            params.0.push((name, head.join("/")));
            words.extend(head.iter().map(|_| false));
            (tail, rest)
        }
        _ => (parts, segments),
    };
    if parts.len() != segments.len() {
        return None;
    }
    for (part, segment) in parts.iter().zip(segments) {
        match part {
            Part::Word(word) if word.eq_ignore_ascii_case(segment) => words.push(true),
            Part::Word(_) => return None,
            Part::Name(name) | Part::Rest(name) => {
                params.0.push((name, segment.clone()));
                words.push(false);
            }
        }
    }
    Some((words, params))
}

/// The number of leading segments that end in a name, longest first: candidates for the id.
pub(crate) fn named_lengths(path: &'static str, segments: usize) -> Vec<usize> {
    let parts = parts(path);
    let names = parts.iter().enumerate().filter(|(_, part)| !matches!(part, Part::Word(_)));
    // A beginning of any number of segments shifts all that follows it.
    let mut lengths: Vec<usize> = names
        .filter_map(|(at, _)| (segments + at + 1).checked_sub(parts.len()))
        .filter(|length| *length > 0)
        .collect();
    lengths.reverse();
    lengths
}

#[cfg(test)]
mod coverage;
#[cfg(test)]
mod tests;

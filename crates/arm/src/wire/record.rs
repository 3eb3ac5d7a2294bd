//! What the log says of each answer: one line with the operation, the client and the outcome.
//!
//! `cargo xtask coverage` reads these lines back: they prove which client called what. Nothing
//! else of a request is logged: not its query, which may hold a signature, not its body, and no
//! other header.

use axum::body::Body;
use http::{HeaderMap, Request, header};

/// Most bytes that are kept of a client's name, and of a version.
const CLIENT_MAX: usize = 200;
const VERSION_MAX: usize = 32;
/// The data plane takes its version from a header.
const STORAGE_VERSION: &str = "x-ms-version";

/// What a request says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record {
    client: String,
    version: String,
}

impl Record {
    /// Reads a request.
    pub(crate) fn of(request: &Request<Body>) -> Self {
        let headers = request.headers();
        let query = request.uri().query().unwrap_or_default();
        let named = query.split('&').filter_map(|pair| pair.split_once('='));
        let mut named = named.filter(|(name, _)| name.eq_ignore_ascii_case("api-version"));
        let version = named.next().map_or_else(|| text(headers, STORAGE_VERSION), |(_, v)| v);
        Self {
            client: cut(text(headers, header::USER_AGENT.as_str()), CLIENT_MAX),
            version: cut(version, VERSION_MAX),
        }
    }

    /// Writes the line. `operation` is its name in the table; empty for what the table lacks.
    pub(crate) fn write(&self, operation: &str, status: u16, milliseconds: u64) {
        let Self { client, version } = self;
        tracing::info!(operation, client, version, status, milliseconds, "answered");
    }
}

/// A header that is visible ASCII, else nothing.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(uri: &str, headers: &[(&str, &str)]) -> Record {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Record::of(&request.body(Body::empty()).unwrap())
    }

    #[test]
    fn client_and_version_are_kept_and_nothing_else() {
        let secret = "/a?sig=secret&Api-Version=2025-07-01&x=api-version";
        let read = record(secret, &[("user-agent", "az/1"), ("authorization", "Bearer x")]);
        assert_eq!(read, Record { client: "az/1".into(), version: "2025-07-01".into() });
        let read = record("/a?sig=secret", &[("x-ms-version", "2021-12-02")]);
        assert_eq!(read, Record { client: String::new(), version: "2021-12-02".into() });
    }

    #[test]
    fn long_words_are_cut() {
        let long = "x".repeat(5000);
        let read = record(&format!("/a?api-version={long}"), &[("user-agent", &long)]);
        assert_eq!((read.client.len(), read.version.len()), (CLIENT_MAX, VERSION_MAX));
    }
}

//! The names of the data plane's operations, as the specification of Azure Storage has them.
//!
//! Only the log and `docs/coverage.md` need them: what a request may do follows from its URL.

use super::pages::PREVIOUS;
use axum::body::Body;
use http::{Method, Request};

/// Every operation: its name, and the request that calls it.
#[cfg(test)]
pub(crate) const OPERATIONS: [(&str, &str); 7] = [
    (PROPERTIES, "HEAD `<SAS>`"),
    (DOWNLOAD, "GET `<SAS>`"),
    (RANGES, "GET `<SAS>&comp=pagelist`"),
    (CHANGES, "GET `<SAS>&comp=pagelist` with `prevsnapshot` or `x-ms-previous-snapshot-url`"),
    (CREATE, "PUT `<SAS>`"),
    (UPLOAD, "PUT `<SAS>&comp=page` with `x-ms-page-write: update`"),
    (CLEAR, "PUT `<SAS>&comp=page` with `x-ms-page-write: clear`"),
];

const PROPERTIES: &str = "Blob_GetProperties";
const DOWNLOAD: &str = "Blob_Download";
const RANGES: &str = "PageBlob_GetPageRanges";
const CHANGES: &str = "PageBlob_GetPageRangesDiff";
const CREATE: &str = "PageBlob_Create";
const UPLOAD: &str = "PageBlob_UploadPages";
const CLEAR: &str = "PageBlob_ClearPages";

/// The name of the operation that a request calls; empty where there is none. Reading an exported
/// document is the end of an operation of the table and has no name of its own.
pub(crate) fn of(request: &Request<Body>) -> &'static str {
    if super::document::is_document(request.uri().path()) {
        return "";
    }
    let query = request.uri().query().unwrap_or_default();
    let named = |name: &str| {
        let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    let comp = named("comp").map(str::to_ascii_lowercase);
    let compares = || named("prevsnapshot").is_some() || request.headers().contains_key(PREVIOUS);
    let write = request.headers().get("x-ms-page-write");
    let clears = || write.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"clear"));
    match (request.method(), comp.as_deref()) {
        (&Method::HEAD, None) => PROPERTIES,
        (&Method::GET, None) => DOWNLOAD,
        (&Method::GET, Some("pagelist")) if compares() => CHANGES,
        (&Method::GET, Some("pagelist")) => RANGES,
        (&Method::PUT, None) => CREATE,
        (&Method::PUT, Some("page")) if clears() => CLEAR,
        (&Method::PUT, Some("page")) => UPLOAD,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_recognised() {
        let cases = [
            ("HEAD", "/a/b/c?sig=x", None, PROPERTIES),
            ("GET", "/a/b/c?sig=x", None, DOWNLOAD),
            ("GET", "/a/b/c?sig=x&COMP=PageList", None, RANGES),
            ("GET", "/a/b/c?comp=pagelist&prevsnapshot=u", None, CHANGES),
            ("GET", "/a/b/c?comp=pagelist", Some(("x-ms-previous-snapshot-url", "u")), CHANGES),
            ("PUT", "/a/b/c?sig=x", None, CREATE),
            ("PUT", "/a/b/c?comp=page", Some(("x-ms-page-write", "update")), UPLOAD),
            ("PUT", "/a/b/c?comp=page", Some(("x-ms-page-write", "Clear")), CLEAR),
            ("PUT", "/a/b/c?comp=block", None, ""),
            ("DELETE", "/a/b/c", None, ""),
            ("GET", "/ex-1/b/c?sig=x", None, ""),
        ];
        let mut seen = vec![""];
        for (method, uri, header, expected) in cases {
            let mut request = Request::builder().method(method).uri(uri);
            if let Some((name, value)) = header {
                request = request.header(name, value);
            }
            let request = request.body(Body::empty()).unwrap();
            assert_eq!(of(&request), expected, "{method} {uri}");
            seen.push(expected);
        }
        assert!(OPERATIONS.iter().all(|(name, _)| seen.contains(name)));
    }
}

//! Conditional requests.

use super::fault::BlobFault;
use crate::types::time;
use http::{HeaderMap, StatusCode, header};
use jiff::{Timestamp, Unit};

/// Refuses a request whose conditions do not hold. For reads a match of `If-None-Match` and an
/// unchanged blob are 304, for writes they are 412.
pub(super) fn check(
    headers: &HeaderMap,
    etag: &str,
    modified: Timestamp,
    reads: bool,
) -> Result<(), BlobFault> {
    let text = |name: &header::HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
    if headers.contains_key("x-ms-lease-id") {
        let message = "There is no lease on a managed disk.";
        let code = "LeaseNotPresentWithBlobOperation";
        return Err(BlobFault::new(StatusCode::PRECONDITION_FAILED, code, message));
    }
    if text(&header::IF_MATCH).is_some_and(|tags| !names(tags, etag)) {
        return Err(BlobFault::condition("If-Match"));
    }
    // HTTP dates have whole seconds.
    let modified = modified.round(Unit::Second).unwrap_or(modified);
    let modified = modified.as_second();
    if let Some(limit) = date(text(&header::IF_UNMODIFIED_SINCE))
        && modified > limit
    {
        return Err(BlobFault::condition("If-Unmodified-Since"));
    }
    let not_changed = |name: &str| {
        if reads {
            let message = "The blob has not changed.";
            return BlobFault::new(StatusCode::NOT_MODIFIED, "ConditionNotMet", message);
        }
        BlobFault::condition(name)
    };
    if let Some(tags) = text(&header::IF_NONE_MATCH) {
        if names(tags, etag) {
            return Err(not_changed("If-None-Match"));
        }
        return Ok(());
    }
    match date(text(&header::IF_MODIFIED_SINCE)) {
        Some(limit) if modified <= limit => Err(not_changed("If-Modified-Since")),
        _ => Ok(()),
    }
}

fn names(tags: &str, etag: &str) -> bool {
    let own = etag.trim_matches('"');
    tags.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_matches('"') == own)
}

fn date(text: Option<&str>) -> Option<i64> {
    time::parse_http_date(text?).map(Timestamp::as_second)
}

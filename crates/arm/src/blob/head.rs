//! Headers of the data plane.

use crate::App;
use crate::types::time;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tresor_core::blob::Blob;
use uuid::Uuid;

/// The version that is named when the client names none.
const VERSION: HeaderValue = HeaderValue::from_static("2018-03-28");
const X_VERSION: HeaderName = HeaderName::from_static("x-ms-version");
const X_REQUEST: HeaderName = HeaderName::from_static("x-ms-request-id");
const X_CLIENT: HeaderName = HeaderName::from_static("x-ms-client-request-id");
/// Longest echoed header.
const ECHO_MAX: usize = 256;

/// What every answer says about its request.
pub(super) struct Marks {
    pub(super) request: Uuid,
    pub(super) time: String,
    version: HeaderValue,
    client: Option<HeaderValue>,
}

impl Marks {
    pub(super) fn of(app: &App, request: &Parts) -> Self {
        let echo = |name| request.headers.get(name).filter(|v| v.len() <= ECHO_MAX).cloned();
        let env = app.service.env();
        Self {
            request: env.uuid(),
            time: time::instant(env.real()),
            version: echo(&X_VERSION).unwrap_or(VERSION),
            client: echo(&X_CLIENT),
        }
    }

    pub(super) fn stamp(&self, headers: &mut HeaderMap) {
        set(headers, X_REQUEST, &self.request.to_string());
        headers.insert(X_VERSION, self.version.clone());
        if let Some(client) = &self.client {
            headers.insert(X_CLIENT, client.clone());
        }
    }
}

/// Sets a header; the values here are all ASCII.
pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Entity tag and time of the last change, which every good answer carries.
pub(super) fn validators(headers: &mut HeaderMap, blob: &Blob) {
    set(headers, header::ETAG, &blob.etag());
    set(headers, header::LAST_MODIFIED, &time::http_date(blob.last_modified()));
    let number = HeaderName::from_static("x-ms-blob-sequence-number");
    headers.insert(number, HeaderValue::from_static("0"));
}

/// What a read says about the blob.
pub(super) fn properties(headers: &mut HeaderMap, blob: &Blob) {
    validators(headers, blob);
    let fixed = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::ACCEPT_RANGES, "bytes"),
        (HeaderName::from_static("x-ms-blob-type"), "PageBlob"),
        (HeaderName::from_static("x-ms-lease-status"), "unlocked"),
        (HeaderName::from_static("x-ms-lease-state"), "available"),
        (HeaderName::from_static("x-ms-server-encrypted"), "true"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

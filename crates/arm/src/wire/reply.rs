//! Answers, before they become HTTP.

use super::request::Request;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::Value;

/// An answer: a status, headers of its own and perhaps a JSON body.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Option<Value>,
}

/// The headers by which a client follows an operation.
#[derive(Clone, Debug)]
pub(crate) struct AsyncHeaders {
    /// Absolute URL of the status document, if that style is spoken.
    pub(crate) status: Option<String>,
    /// Absolute URL of the result.
    pub(crate) location: Option<String>,
    /// What Azure tells clients to wait, in seconds.
    pub(crate) retry_after: u32,
}

impl Reply {
    /// Any status with a body.
    pub(crate) fn new(status: StatusCode, body: Value) -> Self {
        Self { status, headers: vec![], body: Some(body) }
    }

    /// 200 with a body.
    pub(crate) fn ok(body: Value) -> Self {
        Self::new(StatusCode::OK, body)
    }

    /// 201 with a body.
    pub(crate) fn created(body: Value) -> Self {
        Self::new(StatusCode::CREATED, body)
    }

    /// 204.
    pub(crate) fn no_content() -> Self {
        Self::empty(StatusCode::NO_CONTENT)
    }

    /// Any status without a body.
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self { status, headers: vec![], body: None }
    }

    /// 202 without a body.
    pub(crate) fn accepted(request: &Request, headers: AsyncHeaders) -> Self {
        Self::empty(StatusCode::ACCEPTED).polled(request, headers)
    }

    /// Adds the headers by which a client follows an operation.
    #[must_use]
    pub(crate) fn polled(self, request: &Request, headers: AsyncHeaders) -> Self {
        let seconds = request.app.wire.retry_after.seconds(headers.retry_after);
        let mut reply = self.header(header::RETRY_AFTER, &seconds.to_string());
        if let Some(url) = headers.status {
            reply = reply.header(HeaderName::from_static("azure-asyncoperation"), &url);
        }
        if let Some(url) = headers.location {
            reply = reply.header(header::LOCATION, &url);
        }
        reply
    }

    /// Adds a header; a value that HTTP cannot carry is left out.
    #[must_use]
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        match HeaderValue::from_str(value) {
            Ok(value) => self.headers.push((name, value)),
            Err(_) => tracing::warn!(header = %name, "a header value cannot be sent"),
        }
        self
    }
}

//! Refusals of the data plane, in the XML form of the storage service.

use super::head::Marks;
use axum::body::Body;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};
use std::io;
use tresor_core::error::{Error, FaultKind};

/// A refusal: status, code and what is wrong.
#[derive(Debug)]
pub(super) struct BlobFault {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
    /// A header that goes with it.
    header: Option<(HeaderName, HeaderValue)>,
}

impl BlobFault {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), header: None }
    }

    fn with(mut self, name: HeaderName, value: &str) -> Self {
        self.header = HeaderValue::from_str(value).ok().map(|value| (name, value));
        self
    }

    /// The signature does not hold, whatever the reason: the answer must not help to guess one.
    pub(super) fn unauthenticated() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "AuthenticationFailed",
            "Server failed to authenticate the request. The shared access signature is not one \
             of this service, has expired or was revoked.",
        )
    }

    /// The signature holds and does not allow this.
    pub(super) fn mismatch() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "AuthorizationPermissionMismatch",
            "This request is not authorized to perform this operation using this permission: the \
             shared access signature allows reading only.",
        )
    }

    /// A header is wrong.
    pub(super) fn header(name: &str, why: &str) -> Self {
        let message = format!("The value of the header {name} is wrong: {why}");
        Self::new(StatusCode::BAD_REQUEST, "InvalidHeaderValue", message)
    }

    /// A header must be there.
    pub(super) fn missing(name: &str) -> Self {
        let message = format!("The header {name} is required.");
        Self::new(StatusCode::BAD_REQUEST, "MissingRequiredHeader", message)
    }

    /// A header asks for what is not done here.
    pub(super) fn unsupported(name: &str) -> Self {
        let message = format!("The header {name} is not supported on a managed disk.");
        Self::new(StatusCode::BAD_REQUEST, "UnsupportedHeader", message)
    }

    /// The query is wrong.
    pub(super) fn query(why: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidQueryParameterValue", why)
    }

    /// No such method here.
    pub(super) fn verb(method: &Method) -> Self {
        let message = format!("The method {method} is not supported on a managed disk.");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "UnsupportedHttpVerb", message)
            .with(header::ALLOW, "GET, HEAD, PUT")
    }

    /// A range to read lies behind the end.
    pub(super) fn unsatisfiable(name: &str, length: u64) -> Self {
        let message =
            format!("The range in {name} begins behind the end of the blob of {length} bytes.");
        Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange", message)
            .with(header::CONTENT_RANGE, &format!("bytes */{length}"))
    }

    /// A range to write is no run of whole pages inside the blob.
    pub(super) fn bad_pages(why: impl Into<String>) -> Self {
        Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidPageRange", why)
    }

    /// A precondition does not hold.
    pub(super) fn condition(name: &str) -> Self {
        let message = format!("The condition specified using {name} is not met.");
        Self::new(StatusCode::PRECONDITION_FAILED, "ConditionNotMet", message)
    }

    /// Too many transfers.
    pub(super) fn busy() -> Self {
        let message = "The service moves as many disks' bytes as it may; try again in a moment.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServerBusy", message)
            .with(header::RETRY_AFTER, "1")
    }

    /// Too many signatures that are none of ours.
    pub(super) fn too_many() -> Self {
        let message = "Too many requests of this address were not signed by this service.";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "ServerBusy", message)
            .with(header::RETRY_AFTER, "10")
    }

    /// Something of ours broke.
    pub(super) fn internal(cause: impl std::error::Error) -> Self {
        tracing::error!(%cause, "a call of the data plane failed");
        let message = "The server encountered an internal error; its log says more.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
    }

    /// The answer.
    pub(super) fn response(&self, marks: &Marks, is_head: bool) -> Response<Body> {
        let body = if is_head || self.status == StatusCode::NOT_MODIFIED {
            Body::empty()
        } else {
            let message =
                format!("{}\nRequestId:{}\nTime:{}", self.message, marks.request, marks.time);
            Body::from(document(self.code, &message).unwrap_or_default())
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert("x-ms-error-code", HeaderValue::from_static(self.code));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        if let Some((name, value)) = &self.header {
            headers.insert(name.clone(), value.clone());
        }
        response
    }
}

fn document(code: &str, message: &str) -> io::Result<Vec<u8>> {
    let mut writer = Writer::new(Vec::new());
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("utf-8"), None)))?;
    writer.create_element("Error").write_inner_content(|writer| {
        writer.create_element("Code").write_text_content(BytesText::new(code))?;
        writer.create_element("Message").write_text_content(BytesText::new(message))?;
        Ok(())
    })?;
    Ok(writer.into_inner())
}

impl From<Error> for BlobFault {
    fn from(error: Error) -> Self {
        let message = error.fault.message.clone();
        match error.kind() {
            FaultKind::InvalidInput => Self::new(StatusCode::BAD_REQUEST, "InvalidInput", message),
            FaultKind::NotFound => Self::new(StatusCode::NOT_FOUND, "BlobNotFound", message),
            FaultKind::Conflict => Self::new(StatusCode::CONFLICT, "Conflict", message),
            // Trying again reads the same damage, and clients try 5xx again for minutes.
            FaultKind::PointDamaged => Self::new(StatusCode::CONFLICT, "BlobDamaged", message),
            FaultKind::StoreFull => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "AccountIsFull", message)
            }
            FaultKind::Unavailable | FaultKind::Cancelled => Self::busy(),
            _ => Self::internal(error),
        }
    }
}

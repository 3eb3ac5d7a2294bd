//! Writing a blob: pages, and the Put Blob with which some clients begin an upload.

use super::fault::BlobFault;
use super::{Call, PAGE, PART, condition, digest, footer, head, on_blob, range};
use crate::App;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderName, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use std::ops::Range;
use std::time::Duration;
use tresor_core::model::Access;

/// Headers that would change what a write means and that are not honoured here.
const REFUSED: [&str; 3] = ["x-ms-copy-source", "x-ms-structured-body", "x-ms-encryption-key"];
const CRC64: &str = "x-ms-content-crc64";
/// How long a body may be silent.
const SILENCE: Duration = Duration::from_secs(30);
/// How long it may take as a whole: a part of the largest size takes minutes on a slow line that
/// still moves, and whoever sends a byte now and then must not hold a place for ever.
const WHOLE: Duration = Duration::from_secs(600);

/// PUT with `comp=page`.
pub(super) async fn page(app: &App, call: Call, body: Body) -> Result<Response<Body>, BlobFault> {
    allowed(&call)?;
    let length = call.length();
    let asked = range::of(&call.head.headers)?
        .ok_or_else(|| BlobFault::missing("x-ms-range (or range)"))?;
    let pages = asked.pages(length)?;
    let write = call.header("x-ms-page-write").unwrap_or_default().to_ascii_lowercase();
    let digest = match write.as_str() {
        "update" => Some(update(app, &call, asked.header, pages, body).await?),
        "clear" => {
            clear(app, &call, pages).await?;
            None
        }
        "" => return Err(BlobFault::missing("x-ms-page-write")),
        _ => return Err(BlobFault::header("x-ms-page-write", "use update or clear.")),
    };
    Ok(written(&call, digest))
}

/// PUT of the blob itself: the disk as it is, made all zeros.
pub(super) async fn whole(app: &App, call: Call) -> Result<Response<Body>, BlobFault> {
    allowed(&call)?;
    let kind = call.header("x-ms-blob-type").ok_or_else(|| BlobFault::missing("x-ms-blob-type"))?;
    if !kind.eq_ignore_ascii_case("PageBlob") {
        return Err(BlobFault::header("x-ms-blob-type", "a managed disk is a PageBlob."));
    }
    let name = "x-ms-blob-content-length";
    let sent = call.header(name).ok_or_else(|| BlobFault::missing(name))?;
    if sent.trim().parse() != Ok(call.length()) {
        let why = format!("the disk and its VHD footer have {} bytes.", call.length());
        return Err(BlobFault::header(name, &why));
    }
    if content_length(&call)? != 0 {
        return Err(BlobFault::header("Content-Length", "Put Blob of pages has no body."));
    }
    on_blob(app, &call.blob, |blob| blob.clear(0..blob.size())).await?;
    Ok(written(&call, None))
}

/// Refuses a request that may not write, or that asks for what is not done here.
fn allowed(call: &Call) -> Result<(), BlobFault> {
    if call.blob.grant.access != Access::Write {
        return Err(BlobFault::mismatch());
    }
    let headers = &call.head.headers;
    if let Some(name) = REFUSED.iter().chain([&CRC64]).find(|name| headers.contains_key(**name)) {
        return Err(BlobFault::unsupported(name));
    }
    sequence(call)?;
    condition::check(headers, &call.blob.etag(), call.blob.last_modified(), false)
}

/// A header about the sequence number, and whether 0 meets its value.
type SequenceRule = (&'static str, fn(u64) -> bool);

/// The sequence number of a managed disk is always 0.
fn sequence(call: &Call) -> Result<(), BlobFault> {
    let holds: [SequenceRule; 3] = [
        ("x-ms-if-sequence-number-le", |_| true),
        ("x-ms-if-sequence-number-lt", |limit| limit > 0),
        ("x-ms-if-sequence-number-eq", |limit| limit == 0),
    ];
    for (name, holds) in holds {
        let Some(text) = call.header(name) else {
            continue;
        };
        let limit = text.trim().parse();
        let limit = limit.map_err(|_| BlobFault::header(name, "use a whole number."))?;
        if !holds(limit) {
            let code = "SequenceNumberConditionNotMet";
            let message = format!("The condition specified using {name} is not met.");
            return Err(BlobFault::new(StatusCode::PRECONDITION_FAILED, code, message));
        }
    }
    Ok(())
}

fn content_length(call: &Call) -> Result<u64, BlobFault> {
    let Some(text) = call.header("content-length") else {
        return Ok(0);
    };
    text.trim().parse().map_err(|_| BlobFault::header("Content-Length", "use a whole number."))
}

/// Writes pages; the digest of what was written.
async fn update(
    app: &App,
    call: &Call,
    range: &str,
    pages: Range<u64>,
    body: Body,
) -> Result<String, BlobFault> {
    let count = pages.end - pages.start;
    if count > PART {
        let message = format!("One Put Page carries at most {PART} bytes; {range} has {count}.");
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        return Err(BlobFault::new(status, "RequestBodyTooLarge", message));
    }
    let fits = |found: u64| {
        let why = format!("{range} has {count} bytes and the body {found}.");
        if found == count { Ok(()) } else { Err(BlobFault::header("Content-Length", &why)) }
    };
    if call.head.headers.contains_key(header::CONTENT_LENGTH) {
        fits(content_length(call)?)?;
    }
    let received = tokio::time::timeout(WHOLE, receive(body, count, SILENCE)).await;
    let bytes = received.map_err(|_| late(WHOLE))??;
    fits(bytes.len() as u64)?;
    let digest = digest::md5(&bytes);
    if call.header("content-md5").is_some_and(|sent| sent.trim() != digest) {
        let message = "The Content-MD5 sent is not that of the bytes received.";
        return Err(BlobFault::new(StatusCode::BAD_REQUEST, "Md5Mismatch", message));
    }
    let size = call.blob.size();
    let on_disk = usize::try_from(size.saturating_sub(pages.start)).unwrap_or(usize::MAX);
    let (disk, behind) = bytes.split_at(on_disk.min(bytes.len()));
    if !behind.is_empty()
        && let Some(problem) = footer::problem(behind, size)
    {
        let message = format!(
            "The last page that {range} names must be the VHD footer of this disk, but {problem}."
        );
        return Err(BlobFault::new(StatusCode::BAD_REQUEST, "InvalidInput", message));
    }
    if !disk.is_empty() {
        let disk = bytes.slice(..disk.len());
        on_blob(app, &call.blob, move |blob| blob.write(pages.start, &disk)).await?;
    }
    Ok(digest)
}

/// The body, of `expected` bytes if the client keeps its word.
async fn receive(body: Body, expected: u64, silence: Duration) -> Result<Bytes, BlobFault> {
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut body = Limited::new(body, size(PART));
    let mut bytes = BytesMut::with_capacity(size(expected.min(PART)));
    let silent = |_| late(silence);
    while let Some(frame) = tokio::time::timeout(silence, body.frame()).await.map_err(silent)? {
        let frame = frame.map_err(|_| {
            let why = "The body ended before its Content-Length or is longer than a Put Page's.";
            BlobFault::new(StatusCode::BAD_REQUEST, "IncompleteBody", why)
        })?;
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.freeze())
}

/// The body did not come. Storage clients send a request again after a 408, and give up after a
/// 400.
fn late(waited: Duration) -> BlobFault {
    let message = format!("The body did not arrive within {} s.", waited.as_secs_f32());
    BlobFault::new(StatusCode::REQUEST_TIMEOUT, "OperationTimedOut", message)
}

async fn clear(app: &App, call: &Call, pages: Range<u64>) -> Result<(), BlobFault> {
    if content_length(call)? != 0 {
        return Err(BlobFault::header(
            "Content-Length",
            "with x-ms-page-write clear there is no body.",
        ));
    }
    if pages.end > call.blob.size() {
        return Err(BlobFault::bad_pages(format!(
            "The last {PAGE} bytes are the VHD footer of the disk; x-ms-page-write clear cannot \
             clear them."
        )));
    }
    on_blob(app, &call.blob, move |blob| blob.clear(pages)).await
}

fn written(call: &Call, digest: Option<String>) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::CREATED;
    let headers = response.headers_mut();
    head::validators(headers, &call.blob);
    let encrypted = HeaderName::from_static("x-ms-request-server-encrypted");
    head::set(headers, encrypted, "true");
    if let Some(digest) = digest {
        head::set(headers, HeaderName::from_static("content-md5"), &digest);
    }
    response
}

#[cfg(test)]
mod tests;

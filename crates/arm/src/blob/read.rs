//! Reading a blob: its properties and its bytes, in parts.

use super::fault::BlobFault;
use super::{Call, PART, condition, digest, head, on_blob, range, watch};
use crate::App;
use axum::body::Body;
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use http::{HeaderMap, HeaderName, Response, StatusCode, header};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tresor_core::blob::Blob;

const WANTS_MD5: &str = "x-ms-range-get-content-md5";

/// HEAD.
pub(super) fn properties(call: &Call) -> Result<Response<Body>, BlobFault> {
    check(call)?;
    let mut response = Response::new(Body::empty());
    head::properties(response.headers_mut(), &call.blob);
    head::set(response.headers_mut(), header::CONTENT_LENGTH, &call.length().to_string());
    Ok(response)
}

/// GET, of all or of a range.
pub(super) async fn get(app: &Arc<App>, call: Call) -> Result<Response<Body>, BlobFault> {
    check(&call)?;
    let length = call.length();
    let asked = range::of(&call.head.headers)?;
    let wanted = match asked {
        Some(asked) => asked.within(length)?,
        None => 0..length,
    };
    let digest = wants_md5(&call.head.headers, asked.is_some(), &wanted)?;
    // The first part is read before the answer begins, so that a failure can still be told.
    let first = part(app, &call.blob, wanted.clone()).await?;
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    head::properties(headers, &call.blob);
    let bytes = wanted.end - wanted.start;
    head::set(headers, header::CONTENT_LENGTH, &bytes.to_string());
    if digest {
        head::set(headers, HeaderName::from_static("content-md5"), &digest::md5(&first));
    }
    if asked.is_some() {
        let shown = format!("bytes {}-{}/{length}", wanted.start, wanted.end.saturating_sub(1));
        head::set(headers, header::CONTENT_RANGE, &shown);
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    *response.body_mut() = body(Arc::clone(app), call.blob, first, wanted, call.permit);
    Ok(response)
}

fn check(call: &Call) -> Result<(), BlobFault> {
    let blob = &call.blob;
    condition::check(&call.head.headers, &blob.etag(), blob.last_modified(), true)
}

/// Whether the client wants a digest, which it can have of one part at most.
pub(super) fn wants_md5(
    headers: &HeaderMap,
    ranged: bool,
    wanted: &Range<u64>,
) -> Result<bool, BlobFault> {
    if !headers.get(WANTS_MD5).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true")) {
        return Ok(false);
    }
    if !ranged || wanted.end - wanted.start > PART {
        let why = "a digest is given with a range of at most 4 MiB.";
        return Err(BlobFault::header(WANTS_MD5, why));
    }
    Ok(true)
}

/// The first part of a range.
async fn part(app: &App, blob: &Blob, range: Range<u64>) -> Result<Bytes, BlobFault> {
    let end = range.start.saturating_add(PART).min(range.end);
    on_blob(app, blob, move |blob| blob.read(range.start..end)).await.map(Bytes::from)
}

/// A body of parts, each read when the one before has gone.
fn body(
    app: Arc<App>,
    blob: Blob,
    first: Bytes,
    range: Range<u64>,
    permit: OwnedSemaphorePermit,
) -> Body {
    let from = range.start + first.len() as u64;
    let start = (app, blob, from..range.end);
    let rest = stream::try_unfold(start, |(app, blob, left)| async move {
        if left.is_empty() {
            return Ok(None);
        }
        // An error here breaks the connection off: the length was promised already.
        let read = part(&app, &blob, left.clone()).await;
        let bytes = read.map_err(|fault| io::Error::other(fault.message))?;
        let next = left.start + bytes.len() as u64;
        Ok::<_, io::Error>(Some((bytes, (app, blob, next..left.end))))
    });
    let parts = stream::once(async { Ok(first) }).chain(rest);
    watch::body(parts, permit, watch::PATIENCE)
}

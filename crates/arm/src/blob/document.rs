//! Exported documents behind signed URLs: read only, one document each, for as long as it is kept.
//!
//! The URL says when it ends, and the signature covers that and the export's id. The key is that of
//! the data plane under a context of its own, so that neither kind of URL is good for the other.

use super::fault::BlobFault;
use super::{Plane, condition, digest, head, range, read, watch};
use crate::App;
use crate::wire::limit;
use crate::wire::path;
use crate::wire::request::Query;
use aws_lc_rs::hmac;
use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use jiff::Timestamp;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use tresor_core::service::Document;
use uuid::Uuid;

/// Changing what a signature covers changes this, so that old URLs end.
const CONTEXT: &str = "tresor export 1";
/// What the accounts of documents begin with.
const ACCOUNT: &str = "ex-";
/// The name of every document.
const NAME: &str = "jobs.json";

/// Whether a request is for a document: three segments, the first one an export's account.
pub(super) fn is_document(path: &str) -> bool {
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    segments.next().is_some_and(|account| account.starts_with(ACCOUNT)) && segments.count() == 2
}

impl Plane {
    /// The URL of an export's document, and the key that opens it until it ends.
    pub(crate) fn document(&self, base: &str, id: Uuid, expires: Timestamp) -> (String, String) {
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&self.key, &covered(id, expires)));
        let until = expires.strftime("%Y-%m-%dT%H:%M:%SZ");
        (
            format!("{base}/{}/{}/{NAME}", account(id), id.simple()),
            format!("?sv=2018-03-28&sr=b&sp=r&se={until}&sig={signature}"),
        )
    }
}

fn account(id: Uuid) -> String {
    let text = id.simple().to_string();
    format!("{ACCOUNT}{}", text.get(..8).unwrap_or_default())
}

fn covered(id: Uuid, expires: Timestamp) -> Vec<u8> {
    format!("{CONTEXT}\n{id}\n{}\nread", expires.as_second()).into_bytes()
}

/// The export and the end that a URL names, if its signature holds.
fn checked(app: &App, path: &str, query: &Query) -> Option<(Uuid, Timestamp)> {
    let segments = path::segments(path).ok()?;
    let [first, container, name] = segments.as_slice() else {
        return None;
    };
    let id = Uuid::try_parse(container).ok()?;
    let expires: Timestamp = query.get("se")?.parse().ok()?;
    let signature = URL_SAFE_NO_PAD.decode(query.get("sig")?.trim_end_matches('=')).ok()?;
    hmac::verify(&app.blob.key, &covered(id, expires), &signature).ok()?;
    (*first == account(id) && name == NAME).then_some((id, expires))
}

/// Answers a request for a document.
pub(super) async fn serve(app: Arc<App>, request: Request<Body>) -> Response<Body> {
    let (parts, _) = request.into_parts();
    let marks = head::Marks::of(&app, &parts);
    let is_head = parts.method == Method::HEAD;
    let answer = match answer(&app, &parts).await {
        Err(fault) if fault.status == StatusCode::FORBIDDEN => {
            let peer = limit::peer(&parts.extensions);
            Err(super::stranger(&app, fault, &parts.method, peer, marks.request).await)
        }
        other => other,
    };
    let mut response = answer.unwrap_or_else(|fault| fault.response(&marks, is_head));
    marks.stamp(response.headers_mut());
    response
}

async fn answer(app: &Arc<App>, parts: &Parts) -> Result<Response<Body>, BlobFault> {
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let (id, expires) =
        checked(app, parts.uri.path(), &query).ok_or_else(BlobFault::unauthenticated)?;
    let document = app.service.document(id, expires).await?;
    let document = document.ok_or_else(BlobFault::unauthenticated)?;
    if query.get("comp").is_some() {
        return Err(BlobFault::query("A document has no parts that a query could name."));
    }
    match parts.method {
        Method::HEAD => properties(parts, &document),
        Method::GET => get(app, parts, document, expires).await,
        _ => Err(BlobFault::mismatch()),
    }
}

fn properties(parts: &Parts, document: &Document) -> Result<Response<Body>, BlobFault> {
    let etag = format!("\"0x{:X}\"", document.id.as_u64_pair().0);
    condition::check(&parts.headers, &etag, document.modified, true)?;
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    head::set(headers, header::ETAG, &etag);
    head::set(headers, header::LAST_MODIFIED, &crate::types::time::http_date(document.modified));
    head::set(headers, header::CONTENT_LENGTH, &document.size().to_string());
    let fixed = [
        (header::CONTENT_TYPE, "application/json"),
        (header::ACCEPT_RANGES, "bytes"),
        (HeaderName::from_static("x-ms-blob-type"), "BlockBlob"),
        (HeaderName::from_static("x-ms-server-encrypted"), "false"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

async fn get(
    app: &Arc<App>,
    parts: &Parts,
    document: Document,
    expires: Timestamp,
) -> Result<Response<Body>, BlobFault> {
    let mut response = properties(parts, &document)?;
    let place = Arc::clone(&app.blob.transfers).acquire_owned();
    let permit = tokio::time::timeout(app.wire.request_timeout, place).await;
    let permit = permit.ok().and_then(Result::ok).ok_or_else(BlobFault::busy)?;
    let length = document.size();
    let asked = range::of(&parts.headers)?;
    let wanted = match asked {
        Some(asked) => asked.within(length)?,
        None => 0..length,
    };
    let wants_md5 = read::wants_md5(&parts.headers, asked.is_some(), &wanted)?;
    // The first part is read before the answer begins, so that a failure can still be told.
    let (first, left) = part(&document, wanted.clone()).await?;
    let headers = response.headers_mut();
    head::set(headers, header::CONTENT_LENGTH, &(wanted.end - wanted.start).to_string());
    if wants_md5 {
        head::set(headers, HeaderName::from_static("content-md5"), &digest::md5(&first));
    }
    if asked.is_some() {
        let shown = format!("bytes {}-{}/{length}", wanted.start, wanted.end.saturating_sub(1));
        head::set(headers, header::CONTENT_RANGE, &shown);
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    let rest = rest(Arc::clone(app), document, left, expires);
    let all = stream::once(async { Ok(first) }).chain(rest);
    *response.body_mut() = watch::body(all, permit, watch::PATIENCE);
    Ok(response)
}

/// The parts after the first, each read when the one before has gone and while the URL holds.
fn rest(
    app: Arc<App>,
    document: Document,
    left: Range<u64>,
    expires: Timestamp,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::try_unfold((app, document, left), move |(app, document, left)| async move {
        if left.is_empty() {
            return Ok(None);
        }
        if app.service.env().real() >= expires {
            return Err(io::Error::other("the document's time is over"));
        }
        let read = part(&document, left).await;
        let (bytes, left) = read.map_err(|fault| io::Error::other(fault.message))?;
        Ok(Some((bytes, (app, document, left))))
    })
}

/// The first part of a range, and what is left of it.
async fn part(document: &Document, range: Range<u64>) -> Result<(Bytes, Range<u64>), BlobFault> {
    let end = range.start.saturating_add(super::PART).min(range.end);
    let (document, now) = (document.clone(), range.start..end);
    let read = tokio::task::spawn_blocking(move || document.read(now)).await;
    let bytes = read.map_err(BlobFault::internal)??;
    Ok((Bytes::from(bytes), end..range.end))
}

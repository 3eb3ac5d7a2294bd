//! The data plane of opened disks and snapshots: page blobs behind signed URLs; and exported
//! documents behind theirs.
//!
//! A URL carries its own right: its signature binds it to one grant for one incarnation of one
//! disk. Nothing here looks at bearer tokens, and nothing is fetched: the URL of an older snapshot
//! that a difference is asked against is checked like any other and names a grant of ours.
//!
//! What must always hold: at most [`TRANSFERS`] requests move bytes at one time, each with at most
//! one part of [`PART`] bytes in memory, and none of them for longer than its client keeps it
//! moving ([`watch`]). Every part is moved by [`on_blob`], which looks for the grant again: a
//! request that began before its URL was closed does not outlive it.

mod condition;
mod digest;
mod document;
mod fault;
mod footer;
mod head;
mod operation;
mod pages;
mod put;
mod range;
mod read;
mod sas;
#[cfg(test)]
mod tests;
mod watch;

#[cfg(test)]
pub(crate) use operation::OPERATIONS;
pub(crate) use operation::of as operation;
pub(crate) use sas::Plane;

use crate::App;
use crate::wire::request::Query;
use crate::wire::{audit, limit};
use axum::body::Body;
use fault::BlobFault;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tresor_core::blob::Blob;
use uuid::Uuid;

/// Requests that move bytes at one time.
const TRANSFERS: usize = 64;
/// Bytes that one request holds at a time; also the most that one Put Page may carry.
const PART: u64 = 4 << 20;
/// Bytes of a page.
const PAGE: u64 = 512;

/// Whether a request is for the data plane: three segments, the first one the account of a disk or
/// of a document.
pub(crate) fn is_blob(request: &Request<Body>) -> bool {
    let path = request.uri().path();
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    let disk = segments.next().is_some_and(|account| account.starts_with("md-"));
    disk && segments.count() == 2 || document::is_document(path)
}

/// A request that passed the gates: what it may touch, and its place among the transfers.
struct Call {
    blob: Blob,
    head: Parts,
    query: Query,
    permit: OwnedSemaphorePermit,
}

impl Call {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Bytes of the blob: the disk and its footer.
    fn length(&self) -> u64 {
        self.blob.size() + PAGE
    }
}

/// Answers a request of the data plane.
pub(crate) async fn serve(app: Arc<App>, request: Request<Body>) -> Response<Body> {
    if document::is_document(request.uri().path()) {
        return document::serve(app, request).await;
    }
    let (parts, body) = request.into_parts();
    let marks = head::Marks::of(&app, &parts);
    let (method, peer) = (parts.method.clone(), limit::peer(&parts.extensions));
    let is_head = method == Method::HEAD;
    let answer = match admit(&app, parts).await {
        Ok(call) => route(&app, call, body).await,
        Err(fault) => Err(fault),
    };
    let answer = match answer {
        Err(fault) if fault.status == StatusCode::FORBIDDEN => {
            Err(stranger(&app, fault, &method, peer, marks.request).await)
        }
        other => other,
    };
    let mut response = answer.unwrap_or_else(|fault| fault.response(&marks, is_head));
    marks.stamp(response.headers_mut());
    response
}

/// Whoever shows no signature that allows what they ask is counted by address, and recorded.
async fn stranger(
    app: &App,
    fault: BlobFault,
    method: &Method,
    peer: Option<IpAddr>,
    request: Uuid,
) -> BlobFault {
    if app.limits.anonymous(peer, app.service.env().monotonic()).is_err() {
        return BlobFault::too_many();
    }
    audit::refused_pages(app, method, peer, request, (fault.status, fault.code)).await;
    fault
}

/// Checks the signature and waits for a place.
async fn admit(app: &Arc<App>, head: Parts) -> Result<Call, BlobFault> {
    let query = Query::parse(head.uri.query().unwrap_or_default());
    let blob = sas::open(app, head.uri.path(), &query).await?;
    let place = Arc::clone(&app.blob.transfers).acquire_owned();
    let permit = tokio::time::timeout(app.wire.request_timeout, place).await;
    let permit = permit.ok().and_then(Result::ok).ok_or_else(BlobFault::busy)?;
    Ok(Call { blob, head, query, permit })
}

async fn route(app: &Arc<App>, call: Call, body: Body) -> Result<Response<Body>, BlobFault> {
    if ["snapshot", "versionid"].iter().any(|name| call.query.get(name).is_some()) {
        return Err(BlobFault::query("A managed disk has no snapshots or versions of its blob."));
    }
    let comp = call.query.get("comp").map(str::to_ascii_lowercase);
    match (call.head.method.clone(), comp.as_deref()) {
        (Method::HEAD, None) => read::properties(&call),
        (Method::GET, None) => read::get(app, call).await,
        (Method::GET, Some("pagelist")) => pages::list(app, call).await,
        (Method::PUT, None) => put::whole(app, call).await,
        (Method::PUT, Some("page")) => put::page(app, call, body).await,
        (Method::GET | Method::HEAD | Method::PUT, Some(other)) => {
            Err(BlobFault::query(&format!("comp={other} is not supported on a managed disk.")))
        }
        (method, _) => Err(BlobFault::verb(&method)),
    }
}

/// Does something with the bytes of a blob where it may block, if its grant is still open.
async fn on_blob<T: Send + 'static>(
    app: &App,
    blob: &Blob,
    work: impl FnOnce(&Blob) -> tresor_core::error::Result<T> + Send + 'static,
) -> Result<T, BlobFault> {
    app.service.on_blob(blob, work).await?.ok_or_else(BlobFault::unauthenticated)
}

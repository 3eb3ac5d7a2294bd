//! Page lists: which pages hold data, and what changed since an older snapshot.
//!
//! A client reads a page that the list leaves out as zeros, so a list must be complete. It is
//! written window by window as it is sent: its size does not depend on memory.

use super::fault::BlobFault;
use super::{Call, condition, head, on_blob, range, sas, watch};
use crate::App;
use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use http::{HeaderName, HeaderValue, Response, header};
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tresor_core::blob::Blob;

/// Bytes of the blob that one window looks at.
const WINDOW: u64 = 256 << 20;
/// Ranges of a difference that one window of the answer holds.
const CHANGES: usize = 8192;
/// The older snapshot that a difference is asked against.
pub(super) const PREVIOUS: &str = "x-ms-previous-snapshot-url";

/// A range, and whether it is to be cleared.
type Found = (Range<u64>, bool);

/// GET with `comp=pagelist`.
pub(super) async fn list(app: &Arc<App>, call: Call) -> Result<Response<Body>, BlobFault> {
    let blob = &call.blob;
    condition::check(&call.head.headers, &blob.etag(), blob.last_modified(), true)?;
    let length = call.length();
    let wanted = match range::of(&call.head.headers)? {
        Some(asked) => asked.within(length)?,
        None => 0..length,
    };
    let source = match previous(app, &call).await? {
        Some(older) => {
            let range = wanted.clone();
            let found = on_blob(app, &call.blob, move |blob| blob.diff(&older, range)).await?;
            Source::Changes(found.into_iter())
        }
        None => Source::Data(Arc::clone(app), call.blob.clone(), wanted.clone()),
    };
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    head::validators(headers, &call.blob);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    let name = HeaderName::from_static("x-ms-blob-content-length");
    head::set(headers, name, &length.to_string());
    *response.body_mut() = body(source, call.permit);
    Ok(response)
}

/// The older snapshot that the request names, if it names one.
async fn previous(app: &App, call: &Call) -> Result<Option<Blob>, BlobFault> {
    let (name, url) = match (call.query.get("prevsnapshot"), call.header(PREVIOUS)) {
        (Some(url), _) => ("prevsnapshot", url),
        (None, Some(url)) => (PREVIOUS, url),
        (None, None) => return Ok(None),
    };
    let claim = sas::claim_of_url(url).ok_or_else(|| {
        BlobFault::query(&format!("{name} must be the signed URL of a snapshot of this service."))
    })?;
    sas::open_claim(app, &claim).await.map(Some)
}

/// Where ranges come from.
enum Source {
    Data(Arc<App>, Blob, Range<u64>),
    Changes(std::vec::IntoIter<Found>),
}

impl Source {
    /// The ranges of the next window; None at the end.
    async fn next(&mut self) -> Result<Option<Vec<Found>>, BlobFault> {
        match self {
            Self::Data(_, _, left) if left.is_empty() => Ok(None),
            Self::Data(app, blob, left) => {
                let window = left.start..left.start.saturating_add(WINDOW).min(left.end);
                left.start = window.end;
                let found = on_blob(app, blob, |blob| blob.extents(window)).await?;
                Ok(Some(found.into_iter().map(|range| (range, false)).collect()))
            }
            Self::Changes(left) => {
                let found: Vec<Found> = left.by_ref().take(CHANGES).collect();
                Ok((!found.is_empty()).then_some(found))
            }
        }
    }
}

struct Listing {
    source: Source,
    joined: Joined,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Begin,
    Ranges,
    Done,
}

fn body(source: Source, permit: OwnedSemaphorePermit) -> Body {
    let listing = Listing { source, joined: Joined::default(), stage: Stage::Begin };
    let parts = stream::try_unfold(listing, |mut listing| async move {
        let bytes = listing.next().await?;
        Ok::<_, io::Error>(bytes.map(|bytes| (bytes, listing)))
    });
    watch::body(parts, permit, watch::PATIENCE)
}

impl Listing {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if self.stage == Stage::Done {
            return Ok(None);
        }
        let mut writer = Writer::new(Vec::new());
        if self.stage == Stage::Begin {
            self.stage = Stage::Ranges;
            begin(&mut writer)?;
        }
        match self.source.next().await.map_err(|fault| io::Error::other(fault.message))? {
            Some(found) => {
                for found in found {
                    if let Some(whole) = self.joined.push(found) {
                        element(&mut writer, &whole)?;
                    }
                }
            }
            None => {
                self.stage = Stage::Done;
                if let Some(last) = self.joined.take() {
                    element(&mut writer, &last)?;
                }
                writer.write_event(Event::End(BytesEnd::new("PageList")))?;
            }
        }
        Ok(Some(Bytes::from(writer.into_inner())))
    }
}

/// Joins ranges that touch, also over the bounds of windows.
#[derive(Default)]
pub(super) struct Joined(Option<Found>);

impl Joined {
    /// Takes a range in; gives the one before out once nothing can join it any more.
    pub(super) fn push(&mut self, next: Found) -> Option<Found> {
        if next.0.is_empty() {
            return None;
        }
        match &mut self.0 {
            Some((range, cleared)) if *cleared == next.1 && range.end == next.0.start => {
                range.end = next.0.end;
                None
            }
            _ => self.0.replace(next),
        }
    }

    /// The last range.
    pub(super) fn take(&mut self) -> Option<Found> {
        self.0.take()
    }
}

pub(super) fn begin(writer: &mut Writer<Vec<u8>>) -> io::Result<()> {
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("utf-8"), None)))?;
    writer.write_event(Event::Start(BytesStart::new("PageList")))
}

pub(super) fn element(writer: &mut Writer<Vec<u8>>, found: &Found) -> io::Result<()> {
    let (range, cleared) = found;
    let name = if *cleared { "ClearRange" } else { "PageRange" };
    writer.create_element(name).write_inner_content(|writer| {
        let last = range.end.saturating_sub(1);
        for (name, value) in [("Start", range.start), ("End", last)] {
            let text = value.to_string();
            writer.create_element(name).write_text_content(BytesText::new(&text))?;
        }
        Ok(())
    })?;
    Ok(())
}

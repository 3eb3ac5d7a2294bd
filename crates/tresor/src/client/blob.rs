//! The bytes of a disk behind a shared access signature: a page blob.
//!
//! The signature is the right to the bytes, so no error shows the URL.

use std::ops::Range;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use quick_xml::Reader;
use quick_xml::events::{BytesText, Event};
use reqwest::{RequestBuilder, Response};
use serde_json::json;

use super::refusal::Refusal;
use super::{Api, Client, patiently, text};

/// The version of the data plane that is spoken.
const VERSION: &str = "2021-12-02";
/// What follows a disk's bytes in its blob: the footer of a VHD.
pub(crate) const FOOTER: u64 = 512;
/// Bytes of a page list at most; it is read whole.
const LIST: usize = 64 << 20;

/// What a signature allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

impl Access {
    /// Azure's word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Access::Read => "Read",
            Access::Write => "Write",
        }
    }
}

impl Client {
    /// A signed URL for the bytes of a disk or snapshot.
    pub(crate) async fn grant(&self, id: &str, access: Access, seconds: u32) -> Result<String> {
        let body = json!({"access": access.word(), "durationInSeconds": seconds});
        let output = self.post(&format!("{id}/beginGetAccess"), Api::Compute, &body).await?;
        let url = text(&output, "/accessSAS").context("beginGetAccess gave no accessSAS")?;
        Ok(url.to_owned())
    }

    /// Ends all access to the bytes of a disk or snapshot.
    pub(crate) async fn revoke(&self, id: &str) -> Result<()> {
        self.post(&format!("{id}/endGetAccess"), Api::Compute, &json!({})).await.map(drop)
    }

    async fn blob(&self, what: &str, build: impl Fn() -> RequestBuilder) -> Result<Response> {
        let built = || build().header("x-ms-version", VERSION);
        let context = || what.to_owned();
        let response = patiently(built, true).await;
        let response = response.map_err(reqwest::Error::without_url).with_context(context)?;
        let status = response.status();
        if matches!(status.as_u16(), 200 | 201 | 206) {
            return Ok(response);
        }
        let code = response.headers().get("x-ms-error-code");
        let code = code.and_then(|value| value.to_str().ok()).unwrap_or("Unknown");
        let said = status.canonical_reason().unwrap_or_default();
        Err(anyhow::Error::new(Refusal::new(status.as_u16(), code, said)).context(context()))
    }

    /// Put Page: writes `bytes` at `offset`.
    pub(crate) async fn put_page(&self, sas: &str, offset: u64, bytes: Bytes) -> Result<()> {
        let range = byte_range(&(offset..offset + bytes.len() as u64));
        let build = || {
            let request = self.http.put(format!("{sas}&comp=page"));
            let request = request.header("x-ms-page-write", "update").header("x-ms-range", &range);
            request.body(bytes.clone())
        };
        self.blob(&format!("Put Page {range}"), build).await.map(drop)
    }

    /// Put Page that makes a range all zeros.
    pub(crate) async fn clear_pages(&self, sas: &str, range: &Range<u64>) -> Result<()> {
        let range = byte_range(range);
        let build = || {
            let request = self.http.put(format!("{sas}&comp=page"));
            let request = request.header("x-ms-page-write", "clear").header("x-ms-range", &range);
            request.header("content-length", "0")
        };
        self.blob(&format!("Clear Pages {range}"), build).await.map(drop)
    }

    /// Get Blob: the bytes of a range.
    pub(crate) async fn get_range(&self, sas: &str, range: &Range<u64>) -> Result<Bytes> {
        let shown = byte_range(range);
        let build = || self.http.get(sas).header("x-ms-range", &shown);
        let response = self.blob(&format!("Get Blob {shown}"), build).await?;
        let bytes = response.bytes().await.map_err(reqwest::Error::without_url);
        let bytes = bytes.with_context(|| format!("Get Blob {shown}"))?;
        ensure!(
            bytes.len() as u64 == range.end - range.start,
            "Get Blob {shown} gave {} bytes",
            bytes.len()
        );
        Ok(bytes)
    }

    /// Bytes of the disk: the blob's, without the footer.
    pub(crate) async fn blob_size(&self, sas: &str) -> Result<u64> {
        let response = self.blob("Get Blob Properties", || self.http.head(sas)).await?;
        let length = response.headers().get("content-length");
        let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let length = length.and_then(|length| length.checked_sub(FOOTER));
        length.context("Get Blob Properties told no length")
    }

    /// The ranges of the disk's first `size` bytes that hold data, ascending; all others are zeros.
    pub(crate) async fn page_ranges(&self, sas: &str, size: u64) -> Result<Vec<Range<u64>>> {
        let build = || self.http.get(format!("{sas}&comp=pagelist"));
        let mut response = self.blob("Get Page Ranges", build).await?;
        let mut document = Vec::new();
        while let Some(part) = response.chunk().await.map_err(reqwest::Error::without_url)? {
            document.extend_from_slice(&part);
            ensure!(document.len() <= LIST, "the list of pages has more than {LIST} bytes");
        }
        let document = std::str::from_utf8(&document).context("the list of pages is no text")?;
        pages(document, size)
    }
}

/// A range as headers name it: the last byte is part of it.
fn byte_range(range: &Range<u64>) -> String {
    format!("bytes={}-{}", range.start, range.end.saturating_sub(1))
}

/// Reads a page list. What it leaves out is read as zeros, so one that cannot be understood, or
/// that is cut off, is an error.
fn pages(document: &str, size: u64) -> Result<Vec<Range<u64>>> {
    let mut reader = Reader::from_str(document);
    let (mut ranges, mut inside, mut start, mut whole) = (Vec::new(), Vec::new(), None, false);
    loop {
        match reader.read_event().context("the list of pages is no XML")? {
            Event::Start(tag) => inside = tag.name().as_ref().to_vec(),
            Event::Text(text) if inside == b"Start" => start = Some(number(&text)?),
            Event::Text(text) if inside == b"End" => {
                let start = start.take().context("a range of pages has no start")?;
                push(&mut ranges, start..number(&text)?.saturating_add(1).min(size))?;
            }
            Event::Empty(tag) => whole |= tag.name().as_ref() == b"PageList",
            Event::End(tag) => {
                whole |= tag.name().as_ref() == b"PageList";
                inside.clear();
            }
            Event::Eof => break,
            _ => {}
        }
    }
    ensure!(whole, "the list of pages is cut off");
    Ok(ranges)
}

fn number(text: &BytesText<'_>) -> Result<u64> {
    let text = text.decode().context("the list of pages is no text")?;
    text.trim().parse().context("the list of pages has a range that is none")
}

fn push(ranges: &mut Vec<Range<u64>>, range: Range<u64>) -> Result<()> {
    let ascending = ranges.last().is_none_or(|last| last.end <= range.start);
    ensure!(ascending, "the list of pages is not ascending");
    if !range.is_empty() {
        ranges.push(range);
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "lists of one range are meant")]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_inclusive() {
        assert_eq!(byte_range(&(0..512)), "bytes=0-511");
        assert_eq!(byte_range(&(4096..4096 + (4 << 20))), "bytes=4096-4198399");
    }

    #[test]
    fn a_page_list_is_read_whole_or_not_at_all() {
        let list = |entries: &str| format!("<?xml?><PageList>{entries}</PageList>");
        let one = "<PageRange><Start>0</Start><End>4095</End></PageRange>";
        let two = "<PageRange><Start>8192</Start><End>10751</End></PageRange>";
        let read = |text: &str| pages(text, 10240).ok();
        assert_eq!(read(&list("")), Some(vec![]));
        // The footer lies behind the disk.
        assert_eq!(read(&list(&format!("{one}{two}"))), Some(vec![0..4096, 8192..10240]));
        let footer = "<PageRange><Start>10240</Start><End>10751</End></PageRange>";
        assert_eq!(read(&list(&format!("{one}{footer}"))), Some(vec![0..4096]));
        assert_eq!(read(&list(&format!("{two}{one}"))), None, "not ascending");
        assert_eq!(read(&format!("<PageList>{one}")), None, "cut off");
        let bad = "<PageRange><Start>x</Start><End>1</End></PageRange>";
        assert_eq!(read(&list(bad)), None);
    }
}

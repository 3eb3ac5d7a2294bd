//! Byte ranges of requests.

use super::PAGE;
use super::fault::BlobFault;
use http::HeaderMap;
use std::ops::Range;

/// The range as the client wrote it; `x-ms-range` wins over `Range`.
pub(super) fn of(headers: &HeaderMap) -> Result<Option<Asked>, BlobFault> {
    for name in ["x-ms-range", "range"] {
        if let Some(value) = headers.get(name) {
            let text = value.to_str().unwrap_or_default();
            let why = "use bytes=first-last or bytes=first-.";
            return parse(name, text).map(Some).ok_or_else(|| BlobFault::header(name, why));
        }
    }
    Ok(None)
}

/// The header with the range, its first byte and, when it was named, the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) header: &'static str,
    pub(super) first: u64,
    pub(super) last: Option<u64>,
}

/// Reads `bytes=a-b` or `bytes=a-`, the value of `header`.
pub(super) fn parse(header: &'static str, text: &str) -> Option<Asked> {
    let (unit, range) = text.trim().split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = range.split_once('-')?;
    let first = number(first)?;
    let last = match last.trim() {
        "" => None,
        last => Some(number(last)?),
    };
    last.is_none_or(|last| last >= first).then_some(Asked { header, first, last })
}

fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl Asked {
    /// The bytes to read of a blob this long: what lies behind its end is left out.
    pub(super) fn within(self, length: u64) -> Result<Range<u64>, BlobFault> {
        if self.first >= length {
            return Err(BlobFault::unsatisfiable(self.header, length));
        }
        let end = self.last.map_or(length, |last| last.saturating_add(1)).min(length);
        Ok(self.first..end)
    }

    /// The pages to write to a blob this long.
    pub(super) fn pages(self, length: u64) -> Result<Range<u64>, BlobFault> {
        let Some(last) = self.last else {
            let message = format!("The range of pages in {} needs its last byte.", self.header);
            return Err(BlobFault::bad_pages(message));
        };
        let end = last.saturating_add(1);
        if !self.first.is_multiple_of(PAGE) || !end.is_multiple_of(PAGE) {
            return Err(BlobFault::bad_pages(format!(
                "The range of pages in {} must begin at a multiple of {PAGE} and end one byte \
                 before one.",
                self.header
            )));
        }
        if end > length {
            return Err(BlobFault::bad_pages(format!(
                "The range in {} ends behind the end of the blob of {length} bytes.",
                self.header
            )));
        }
        Ok(self.first..end)
    }
}

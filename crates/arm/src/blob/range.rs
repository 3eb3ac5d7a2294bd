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
            return parse(text).map(Some).ok_or_else(|| BlobFault::header(name, why));
        }
    }
    Ok(None)
}

/// First byte and, when it was named, the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) first: u64,
    pub(super) last: Option<u64>,
}

/// Reads `bytes=a-b` or `bytes=a-`.
pub(super) fn parse(text: &str) -> Option<Asked> {
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
    last.is_none_or(|last| last >= first).then_some(Asked { first, last })
}

fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl Asked {
    /// The bytes to read of a blob this long: what lies behind its end is left out.
    pub(super) fn within(self, length: u64) -> Result<Range<u64>, BlobFault> {
        if self.first >= length {
            return Err(BlobFault::unsatisfiable(length));
        }
        let end = self.last.map_or(length, |last| last.saturating_add(1)).min(length);
        Ok(self.first..end)
    }

    /// The pages to write to a blob this long.
    pub(super) fn pages(self, length: u64) -> Result<Range<u64>, BlobFault> {
        let Some(last) = self.last else {
            return Err(BlobFault::bad_pages("A range of pages needs its last byte."));
        };
        let end = last.saturating_add(1);
        if !self.first.is_multiple_of(PAGE) || !end.is_multiple_of(PAGE) {
            return Err(BlobFault::bad_pages(format!(
                "A range of pages begins at a multiple of {PAGE} and ends one byte before one."
            )));
        }
        if end > length {
            return Err(BlobFault::bad_pages(format!(
                "The range ends behind the end of the blob of {length} bytes."
            )));
        }
        Ok(self.first..end)
    }
}

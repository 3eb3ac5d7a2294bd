//! Instants as Azure writes them.
//!
//! The services behind ARM count in ticks of 100 ns, so instants have seven fraction digits and
//! versions that derive from them are tick counts since the year 1.

use jiff::Timestamp;

/// Ticks between 0001-01-01 and 1970-01-01.
const EPOCH_TICKS: i128 = 621_355_968_000_000_000;

/// RFC 3339 in UTC with seven fraction digits: `2021-08-30T10:02:11.6354913Z`.
pub(crate) fn instant(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.7fZ").to_string()
}

/// RFC 3339 in UTC in whole seconds, as Microsoft Graph writes instants.
pub(crate) fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The date of HTTP headers: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) fn http_date(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Reads the date of an HTTP header.
pub(crate) fn parse_http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()
}

/// Ticks of 100 ns since the year 1, as versions are written.
pub(crate) fn ticks(at: Timestamp) -> String {
    (EPOCH_TICKS + at.as_nanosecond() / 100).to_string()
}

/// The entity tag of a job: its last change.
pub(crate) fn job_etag(changed: Timestamp) -> String {
    let digits = changed.strftime("%.7f").to_string();
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    let text = changed.strftime("%Y-%m-%dT%H%%3A%M%%3A%S");
    format!("W/\"datetime'{text}{digits}Z'\"")
}

//! Paths: decoding, encoding and the base of absolute URLs.

use super::error::ArmError;
use http::{HeaderMap, Uri, header};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// What must not stand bare in a path. `=` may: operation names end in it, and clients compare.
const RESERVED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'\\')
    .add(b'^')
    .add(b'[')
    .add(b']')
    .add(b'|');

/// The segments of a path, each decoded once; empty ones are skipped.
///
/// # Errors
/// When a segment decodes to something that no name may hold.
pub(crate) fn segments(path: &str) -> Result<Vec<String>, ArmError> {
    path.split('/').filter(|segment| !segment.is_empty()).map(decode).collect()
}

fn decode(segment: &str) -> Result<String, ArmError> {
    let bad = |why: &str| {
        let shown: String = segment.chars().take(100).collect();
        ArmError::bad("InvalidRequestUri", format!("The path's segment '{shown}' {why}."))
    };
    let text = percent_decode_str(segment).decode_utf8().map_err(|_| bad("is not UTF-8"))?;
    if text.chars().any(|c| c.is_control() || c == '/' || c == '\\') {
        return Err(bad("has a character that names must not have"));
    }
    if text == "." || text == ".." {
        return Err(bad("is relative"));
    }
    Ok(text.into_owned())
}

/// A decoded path as it goes into a URL.
pub(crate) fn encode(path: &str) -> String {
    utf8_percent_encode(path, RESERVED).to_string()
}

/// `https://host:port` of a request. Tokens may only travel over TLS, so the scheme is fixed.
///
/// # Errors
/// When the request names no host or one that no URL can hold.
pub(crate) fn base(
    fixed: Option<&str>,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<String, ArmError> {
    if let Some(base) = fixed {
        return Ok(base.trim_end_matches('/').to_owned());
    }
    let named = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    let host = uri.authority().map(http::uri::Authority::as_str).or(named).unwrap_or_default();
    let plain = !host.is_empty()
        && host.len() <= 255
        && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._:[]".contains(c));
    if plain {
        return Ok(format!("https://{}", host.to_ascii_lowercase()));
    }
    Err(ArmError::bad("InvalidHostHeader", "The request's Host header is missing or malformed."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn segments_are_decoded_once() {
        assert_eq!(segments("//a/b%20c/d%3D%3d/%2525/").unwrap(), ["a", "b c", "d==", "%25"]);
        for bad in ["/a%2Fb", "/%2e%2e/x", "/..", "/%00", "/%ff", "/a%5cb"] {
            assert_eq!(segments(bad).unwrap_err().code, "InvalidRequestUri", "{bad}");
        }
    }

    #[test]
    fn encoding_is_the_reverse() {
        let path = "/subscriptions/1/x/ZmM=="; // An operation's name keeps its `==`.
        assert_eq!(encode(path), path);
        assert_eq!(encode("/a b/50%/\u{e9}"), "/a%20b/50%25/%C3%A9");
    }

    #[test]
    fn the_base_comes_from_the_host() {
        let mut headers = HeaderMap::new();
        let uri = Uri::from_static("/x");
        assert!(base(None, &uri, &headers).is_err());
        headers.insert(header::HOST, HeaderValue::from_static("LocalHost:8443"));
        assert_eq!(base(None, &uri, &headers).unwrap(), "https://localhost:8443");
        assert_eq!(base(Some("https://b/"), &uri, &headers).unwrap(), "https://b");
        headers.insert(header::HOST, HeaderValue::from_static("a/b@c"));
        assert!(base(None, &uri, &headers).is_err());
    }
}

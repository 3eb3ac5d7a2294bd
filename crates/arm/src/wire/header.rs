//! Headers that every answer carries.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use jiff::Timestamp;
use uuid::Uuid;

/// Names the request in the log and in the answer.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
/// Names the client's whole undertaking.
pub(crate) const CORRELATION_ID: HeaderName =
    HeaderName::from_static("x-ms-correlation-request-id");
/// The code of an error answer.
pub(crate) const ERROR_CODE: HeaderName = HeaderName::from_static("x-ms-error-code");
const ROUTING_ID: HeaderName = HeaderName::from_static("x-ms-routing-request-id");
const CLIENT_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");
const RETURN_CLIENT_ID: HeaderName = HeaderName::from_static("x-ms-return-client-request-id");

/// The ids of one request.
#[derive(Clone, Debug)]
pub(crate) struct Ids {
    /// Ours.
    pub(crate) request: Uuid,
    /// The client's, or ours when it sent none that is a GUID.
    pub(crate) correlation: Uuid,
    /// The client's own, when it wants to see it again.
    client: Option<HeaderValue>,
}

impl Ids {
    /// Reads the ids of a request; `fresh` names those that are missing.
    pub(crate) fn read(headers: &HeaderMap, fresh: Uuid) -> Self {
        let text = |name| headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok());
        let correlation = text(CORRELATION_ID).and_then(|t| Uuid::try_parse(t).ok());
        let wanted = text(RETURN_CLIENT_ID).is_some_and(|t| t.eq_ignore_ascii_case("true"));
        let client = headers.get(CLIENT_ID).filter(|v| wanted && v.len() <= 256).cloned();
        Self { request: fresh, correlation: correlation.unwrap_or(fresh), client }
    }

    /// Adds the headers that every answer carries.
    pub(crate) fn stamp(&self, headers: &mut HeaderMap, region: &str, now: Timestamp) {
        let mut set = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.entry(name).or_insert(value);
            }
        };
        set(REQUEST_ID, &self.request.to_string());
        set(CORRELATION_ID, &self.correlation.to_string());
        let at = now.strftime("%Y%m%dT%H%M%SZ");
        let region = region.to_ascii_uppercase();
        set(ROUTING_ID, &format!("{region}:{at}:{}", self.request));
        set(header::CACHE_CONTROL, "no-cache");
        set(header::PRAGMA, "no-cache");
        set(header::EXPIRES, "-1");
        set(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000; includeSubDomains");
        set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        if let Some(client) = &self.client {
            headers.insert(CLIENT_ID, client.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_echoed_or_made() {
        let mut asked = HeaderMap::new();
        let own = Uuid::from_u128(5);
        asked.insert(CORRELATION_ID, HeaderValue::from_static("not a guid"));
        asked.insert(CLIENT_ID, HeaderValue::from_static("abc"));
        let ids = Ids::read(&asked, own);
        assert_eq!(ids.correlation, own);
        asked.insert(
            CORRELATION_ID,
            HeaderValue::from_static("00000000-0000-0000-0000-000000000009"),
        );
        asked.insert(RETURN_CLIENT_ID, HeaderValue::from_static("True"));
        let ids = Ids::read(&asked, own);
        let mut answer = HeaderMap::new();
        ids.stamp(&mut answer, "westus", Timestamp::UNIX_EPOCH);
        assert_eq!(answer[CORRELATION_ID], Uuid::from_u128(9).to_string());
        assert_eq!(answer[CLIENT_ID], "abc");
        assert_eq!(answer[ROUTING_ID], format!("WESTUS:19700101T000000Z:{own}"));
    }
}

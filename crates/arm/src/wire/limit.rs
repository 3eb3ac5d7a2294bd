//! How often each may ask.
//!
//! - A principal has three buckets, as in Azure: reads, writes, deletes. What is left in them
//!   stands in the header of every answer.
//! - An address has one for requests that show no valid token. It never stands in the way of who
//!   has one, behind whatever address.
//! - Wrong secrets are counted by client id *and* address. When that bucket is empty no secret is
//!   looked at any more, not even the right one: a brake that opens for it would be none. Guesses
//!   that were on their way already are owed. The rightful owner is kept out only where the guesses
//!   come from, never at another address.
//!
//! Bodies take room in memory before anything is known of them: all of them together get
//! [`ROOM`], whatever the number of requests.
//!
//! An IPv6 address counts by its first 64 bits, which one customer has of a provider.

use super::bucket::{Buckets, Rate, Taken};
use super::error::ArmError;
use super::fair::Fair;
use super::settings::WireSettings;
use axum::body::{Body, HttpBody};
use axum::extract::ConnectInfo;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

/// Limits over time; each has a default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Reads of one principal.
    pub reads: Rate,
    /// Writes of one principal, deletes not counted.
    pub writes: Rate,
    /// Deletes of one principal.
    pub deletes: Rate,
    /// Requests without a valid token from one address.
    pub anonymous: Rate,
    /// Wrong secrets for one client id from one address.
    pub secrets: Rate,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            reads: Rate { burst: 60_000, per_minute: 600_000 },
            writes: Rate { burst: 12_000, per_minute: 60_000 },
            deletes: Rate { burst: 12_000, per_minute: 60_000 },
            anonymous: Rate { burst: 3_000, per_minute: 6_000 },
            secrets: Rate { burst: 20, per_minute: 20 },
        }
    }
}

/// What a request counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Read,
    Write,
    Delete,
}

impl Kind {
    fn of(method: &Method) -> Self {
        match *method {
            Method::DELETE => Self::Delete,
            Method::GET | Method::HEAD => Self::Read,
            _ => Self::Write,
        }
    }

    fn header(self) -> HeaderName {
        HeaderName::from_static(match self {
            Self::Delete => "x-ms-ratelimit-remaining-subscription-deletes",
            Self::Read => "x-ms-ratelimit-remaining-subscription-reads",
            Self::Write => "x-ms-ratelimit-remaining-subscription-writes",
        })
    }

    fn word(self) -> &'static str {
        match self {
            Self::Delete => "deletes",
            Self::Read => "reads",
            Self::Write => "writes",
        }
    }
}

/// The buckets of a service, and the places of held polls.
#[derive(Debug)]
pub(crate) struct Limits {
    reads: Buckets<Uuid>,
    writes: Buckets<Uuid>,
    deletes: Buckets<Uuid>,
    anonymous: Buckets<Option<IpAddr>>,
    secrets: Buckets<(Uuid, Option<IpAddr>)>,
    /// Polls that may be held.
    pub(crate) polls: Fair,
    /// Room for bodies, in [`UNIT`]s.
    room: Arc<Semaphore>,
}

/// Bytes of all bodies at one time.
const ROOM: usize = 256 << 20;
/// Bytes by which room is given.
const UNIT: usize = 64 << 10;

impl Limits {
    /// Full buckets.
    pub(crate) fn new(settings: &WireSettings) -> Self {
        let rates = settings.rates;
        Self {
            reads: Buckets::new(rates.reads),
            writes: Buckets::new(rates.writes),
            deletes: Buckets::new(rates.deletes),
            anonymous: Buckets::new(rates.anonymous),
            secrets: Buckets::new(rates.secrets),
            polls: Fair::new(settings.max_polls),
            room: Arc::new(Semaphore::new(ROOM / UNIT)),
        }
    }

    /// Counts a request of a principal; what is left, as a header.
    ///
    /// # Errors
    /// 429 when nothing is left.
    pub(crate) fn principal(
        &self,
        who: Uuid,
        method: &Method,
        now: Duration,
    ) -> Result<Option<Remaining>, ArmError> {
        let kind = Kind::of(method);
        let buckets = match kind {
            Kind::Read => &self.reads,
            Kind::Write => &self.writes,
            Kind::Delete => &self.deletes,
        };
        match buckets.take(&who, now) {
            Taken::Unlimited => Ok(None),
            Taken::Left(left) => Ok(Some(Remaining { name: kind.header(), left })),
            Taken::Wait(seconds) => {
                let text = format!(
                    "The number of {} of the client exceeds what it may make; try again after \
                     {seconds} seconds.",
                    kind.word()
                );
                Err(too_many(text, seconds).header(kind.header(), "0"))
            }
        }
    }

    /// Counts a request that shows no valid token.
    ///
    /// # Errors
    /// 429 when nothing is left.
    pub(crate) fn anonymous(&self, peer: Option<IpAddr>, now: Duration) -> Result<(), ArmError> {
        match self.anonymous.take(&peer.map(network), now) {
            Taken::Unlimited | Taken::Left(_) => Ok(()),
            Taken::Wait(seconds) => {
                let text = format!(
                    "Too many requests without a valid token come from this address; try again \
                     after {seconds} seconds."
                );
                Err(too_many(text, seconds))
            }
        }
    }

    /// Room for a body of which at most `limit` bytes are read.
    ///
    /// # Errors
    /// 429 when others have it all.
    pub(crate) fn room(&self, body: &Body, limit: usize) -> Result<OwnedSemaphorePermit, ArmError> {
        let announced = body.size_hint().upper().and_then(|bytes| usize::try_from(bytes).ok());
        let units = announced.unwrap_or(limit).min(limit).div_ceil(UNIT);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        Arc::clone(&self.room).try_acquire_many_owned(units).map_err(|_| {
            let text = "The service reads as many bodies as it may; come back in a moment.";
            too_many(text.to_owned(), 1)
        })
    }

    /// Whether a secret of this client may be looked at.
    ///
    /// # Errors
    /// 429 when too many were wrong.
    pub(crate) fn secret(
        &self,
        client: Option<Uuid>,
        peer: Option<IpAddr>,
        now: Duration,
    ) -> Result<(), ArmError> {
        let key = (client.unwrap_or_default(), peer.map(network));
        match self.secrets.look(&key, now) {
            Taken::Unlimited | Taken::Left(_) => Ok(()),
            Taken::Wait(seconds) => {
                let text = format!(
                    "Too many wrong secrets of this client came from this address; try again \
                     after {seconds} seconds."
                );
                Err(too_many(text, seconds))
            }
        }
    }

    /// Counts a wrong secret.
    pub(crate) fn wrong_secret(&self, client: Option<Uuid>, peer: Option<IpAddr>, now: Duration) {
        self.secrets.charge(&(client.unwrap_or_default(), peer.map(network)), now);
    }
}

/// What a principal has left.
#[derive(Clone, Debug)]
pub(crate) struct Remaining {
    name: HeaderName,
    left: u32,
}

impl Remaining {
    /// Writes the header.
    pub(crate) fn stamp(&self, headers: &mut HeaderMap) {
        headers.entry(self.name.clone()).or_insert(HeaderValue::from(self.left));
    }
}

fn too_many(text: String, seconds: u64) -> ArmError {
    ArmError::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", text)
        .header(header::RETRY_AFTER, &seconds.to_string())
}

/// The address that a request came from; None in tests without a socket.
pub(crate) fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_canonical())
}

/// What counts as one address.
fn network(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V6(address) => {
            let bits = address.to_bits() >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Refuses requests whose framing two readers could take for different ones. The server below
/// refuses most of them itself; what it lets through is refused here.
///
/// # Errors
/// 400, after which the connection is closed.
pub(crate) fn framing(headers: &HeaderMap) -> Result<(), ArmError> {
    let many = |name| headers.get_all(name).iter().count() > 1;
    let ambiguous = many(header::HOST)
        || many(header::CONTENT_LENGTH)
        || (headers.contains_key(header::CONTENT_LENGTH)
            && headers.contains_key(header::TRANSFER_ENCODING));
    if !ambiguous {
        return Ok(());
    }
    let text = "The request names its host or the length of its body more than once.";
    Err(ArmError::bad("InvalidHeaderValue", text).header(header::CONNECTION, "close"))
}

/// The body of a 429 of the token endpoint: clients of it read the words of OAuth.
pub(crate) fn oauth(error: &ArmError, correlation: Uuid) -> Value {
    json!({
        "error": "temporarily_unavailable",
        "error_description": format!("AADSTS90055: {}", error.message),
        "error_codes": [90_055],
        "trace_id": correlation.to_string(),
        "correlation_id": correlation.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> WireSettings {
        let two = Rate { burst: 2, per_minute: 1 };
        let rates = Rates { reads: two, writes: two, deletes: two, anonymous: two, secrets: two };
        WireSettings { rates, ..WireSettings::default() }
    }

    #[test]
    fn kinds_and_principals_do_not_touch_each_other() {
        let limits = Limits::new(&settings());
        let (one, other, now) = (Uuid::from_u128(1), Uuid::from_u128(2), Duration::ZERO);
        let left = |who, method| limits.principal(who, &method, now).map(|r| r.unwrap().left);
        assert_eq!(left(one, Method::GET).unwrap(), 1);
        assert_eq!(left(one, Method::HEAD).unwrap(), 0);
        let refused = left(one, Method::GET).unwrap_err();
        assert_eq!((refused.status.as_u16(), refused.code.as_str()), (429, "TooManyRequests"));
        let told = |name: &str| refused.headers.iter().find(|(n, _)| n == name).unwrap().1.clone();
        assert_eq!(told("retry-after"), "60");
        assert_eq!(told("x-ms-ratelimit-remaining-subscription-reads"), "0");
        assert_eq!(left(one, Method::POST).unwrap(), 1);
        assert_eq!(left(one, Method::DELETE).unwrap(), 1);
        assert_eq!(left(other, Method::GET).unwrap(), 1);
    }

    #[test]
    fn guesses_keep_nobody_out_at_another_address() {
        let limits = Limits::new(&settings());
        let (client, now) = (Some(Uuid::from_u128(1)), Duration::ZERO);
        let (bad, good) = (Some([10, 0, 0, 1].into()), Some([10, 0, 0, 2].into()));
        for _ in 0..2 {
            limits.secret(client, bad, now).unwrap();
            limits.wrong_secret(client, bad, now);
        }
        assert_eq!(limits.secret(client, bad, now).unwrap_err().status.as_u16(), 429);
        limits.secret(client, good, now).unwrap();
        limits.secret(Some(Uuid::from_u128(2)), bad, now).unwrap();
        limits.secret(client, bad, Duration::from_secs(60)).unwrap();
    }

    #[test]
    fn one_customer_is_one_address() {
        let limits = Limits::new(&settings());
        let ask = |text: &str| limits.anonymous(Some(text.parse().unwrap()), Duration::ZERO);
        ask("2001:db8::1").unwrap();
        ask("2001:db8::2").unwrap();
        assert!(ask("2001:db8::3").is_err());
        ask("2001:db8:0:1::1").unwrap();
        ask("10.0.0.1").unwrap();
    }

    #[test]
    fn bodies_share_the_room() {
        let limits = Limits::new(&settings());
        let unknown = || Body::from_stream(futures::stream::pending::<Result<&[u8], String>>());
        let mut held: Vec<_> = (0..64).map(|_| limits.room(&unknown(), 4 << 20).unwrap()).collect();
        let small = Body::from("{}");
        assert_eq!(limits.room(&small, 4 << 20).unwrap_err().status.as_u16(), 429);
        assert!(limits.room(&Body::empty(), 4 << 20).is_ok());
        held.pop();
        let _rest: Vec<_> = (0..64).map(|_| limits.room(&small, 4 << 20).unwrap()).collect();
        assert!(limits.room(&small, 4 << 20).is_err());
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("a"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("1"));
        framing(&headers).unwrap();
        for (name, value) in
            [(header::HOST, "b"), (header::CONTENT_LENGTH, "1"), (header::TRANSFER_ENCODING, "x")]
        {
            let mut headers = headers.clone();
            headers.append(name, HeaderValue::from_static(value));
            assert_eq!(framing(&headers).unwrap_err().status.as_u16(), 400);
        }
    }
}

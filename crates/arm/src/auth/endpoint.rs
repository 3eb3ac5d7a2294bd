//! Tokens of managed identities for programs on this machine: what Azure's hosts offer at
//! `IDENTITY_ENDPOINT` (App Service), at `MSI_ENDPOINT` (its first version) and at the instance
//! metadata address.
//!
//! It is plain HTTP, because clients of these protocols speak nothing else, so it is served on a
//! loopback address only, by a listener of its own. What must always hold: it speaks for the
//! configured identities and for nobody else; the App Service form asks for a secret that only the
//! owner of the data folder can read; the metadata form has none, so it is off unless configured.
//! Nothing that a browser or a forwarding proxy sends by itself is answered with a token: a custom
//! header is asked for, the `Host` must be the machine's own, and forwarded requests are refused.

mod select;
#[cfg(test)]
mod tests;

use super::claims::{audience, is_audience};
use crate::App;
use crate::wire::audit;
use crate::wire::request::Query;
use axum::body::Body;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tresor_core::error::Error;
use tresor_core::model::Principal;
use zeroize::Zeroizing;

/// Tokens that are made at once; further requests are told to come back.
const REQUESTS: usize = 16;
/// Bytes of a path and query at most.
const TARGET_MAX: usize = 4 << 10;
/// The path of the App Service form.
pub(crate) const PATH: &str = "/msi/token";
const METADATA_PATH: &str = "/metadata/identity/oauth2/token";
/// The metadata address of Azure's machines, which a client may be routed from.
const METADATA_HOST: &str = "169.254.169.254";

/// What the endpoint of managed identities does.
#[derive(Clone, Debug)]
pub struct IdentitySettings {
    /// The public address of the service, `https://host:port`: tokens are issued for it.
    pub base_url: String,
    /// The identities that it speaks for: resource ids of user-assigned identities or of vaults,
    /// or client or object ids of managed identities.
    pub identities: Vec<String>,
    /// Whether the metadata form is served too.
    pub imds: bool,
}

/// The endpoint, ready to be asked.
pub(crate) struct Endpoint {
    app: Arc<App>,
    settings: IdentitySettings,
    secret: Zeroizing<String>,
    places: Semaphore,
}

/// Why no token is given.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    error: &'static str,
    text: String,
}

impl Refusal {
    fn new(status: StatusCode, error: &'static str, text: impl Into<String>) -> Self {
        Self { status, error, text: text.into() }
    }

    fn bad(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", text)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        tracing::error!(%error, cause = ?error.cause, "a token of a managed identity failed");
        let text = "The request met a fault of the service, which is in its log.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", text)
    }
}

impl Endpoint {
    /// An endpoint whose App Service form asks for this secret.
    pub(crate) fn new(
        app: Arc<App>,
        settings: IdentitySettings,
        secret: Zeroizing<String>,
    ) -> Self {
        Self { app, settings, secret, places: Semaphore::new(REQUESTS) }
    }

    /// Answers one request; its body is never read.
    pub(crate) async fn serve(&self, request: http::Request<Body>) -> Response<Body> {
        let (head, _) = request.into_parts();
        let answer = match self.places.try_acquire() {
            Ok(_place) => self.answer(&head).await,
            Err(_) => {
                let text = "Too many requests at once; come back in a moment.";
                Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable", text))
            }
        };
        match answer {
            Ok((who, body)) => {
                // Nobody has a token before it is recorded.
                audit::identity_token(&self.app, &head, Ok(&who)).await;
                reply(StatusCode::OK, &body)
            }
            Err(refusal) => {
                let status = refusal.status.as_u16();
                let told = (refusal.status, refusal.error);
                audit::identity_token(&self.app, &head, Err(told)).await;
                tracing::info!(status, why = refusal.text, "no token of a managed identity");
                // Clients of the one form print the first two, clients of the other the others.
                reply(
                    refusal.status,
                    &json!({
                        "error": refusal.error,
                        "error_description": refusal.text,
                        "statusCode": status,
                        "message": refusal.text,
                    }),
                )
            }
        }
    }

    async fn answer(&self, head: &http::request::Parts) -> Result<(Principal, Value), Refusal> {
        let length = head.uri.path_and_query().map_or(0, |text| text.as_str().len());
        if length > TARGET_MAX {
            return Err(Refusal::bad(format!("At most {TARGET_MAX} bytes of URL fit.")));
        }
        local(&head.headers)?;
        let query = Query::parse(head.uri.query().unwrap_or_default());
        let path = head.uri.path().trim_end_matches('/');
        let version = query.get("api-version").unwrap_or_default();
        if path.eq_ignore_ascii_case(PATH) {
            let name = if version == "2017-09-01" { "secret" } else { "x-identity-header" };
            self.check_secret(&head.headers, name)?;
        } else if path.eq_ignore_ascii_case(METADATA_PATH) && self.settings.imds {
            check_metadata(&head.headers)?;
        } else {
            let text = format!("There is nothing at '{path}'.");
            return Err(Refusal::new(StatusCode::NOT_FOUND, "not_found", text));
        }
        if head.method != Method::GET {
            let text = "Only GET is supported.";
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", text));
        }
        if version.is_empty() {
            return Err(Refusal::bad("The query parameter api-version is required."));
        }
        self.token(&query).await
    }

    fn check_secret(&self, headers: &HeaderMap, name: &str) -> Result<(), Refusal> {
        let sent = only(headers, name).unwrap_or_default().as_bytes();
        let own = self.secret.as_bytes();
        aws_lc_rs::constant_time::verify_slices_are_equal(sent, own).map_err(|_| {
            let text = format!("The header {name} must hold the endpoint's secret.");
            Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized_client", text)
        })
    }

    async fn token(&self, query: &Query) -> Result<(Principal, Value), Refusal> {
        let Some(resource) = query.get("resource") else {
            return Err(Refusal::bad("The query parameter resource is required."));
        };
        let (base, wanted) = (self.settings.base_url.as_str(), audience(resource));
        if !is_audience(wanted, base) {
            let shown: String = wanted.chars().take(200).collect();
            let text = format!("The resource '{shown}' is not this service; use '{base}'.");
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "invalid_resource", text));
        }
        let who = select::identity(&self.app.service, &self.settings.identities, query).await?;
        let (service, authority) = (&self.app.service, &self.app.authority);
        authority.refresh(service).await;
        let now = service.env().real();
        let token = authority.issue(&who, wanted, base, now)?;
        let seconds = authority.lifetime();
        let ends = now.as_second().saturating_add(seconds);
        let left = seconds.saturating_sub(1).to_string();
        // All of these are texts in Azure's answers, and some clients read texts only.
        let body = json!({
            "access_token": token,
            "client_id": who.client_id.to_string(),
            "expires_in": left,
            "expires_on": ends.to_string(),
            "ext_expires_in": left,
            "not_before": now.as_second().to_string(),
            "resource": resource,
            "token_type": "Bearer",
        });
        Ok((who, body))
    }
}

/// Refuses what does not come from this machine by itself.
fn local(headers: &HeaderMap) -> Result<(), Refusal> {
    for name in ["x-forwarded-for", "x-forwarded-host", "forwarded"] {
        if headers.contains_key(name) {
            return Err(Refusal::bad(format!("Requests with the header {name} are refused.")));
        }
    }
    let host = only(headers, "host").unwrap_or_default();
    let host = match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => host,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let own = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if own || host.eq_ignore_ascii_case("localhost") || host == METADATA_HOST {
        return Ok(());
    }
    Err(Refusal::bad("The header Host must name this machine."))
}

fn check_metadata(headers: &HeaderMap) -> Result<(), Refusal> {
    match only(headers, "metadata") {
        Some(value) if value.eq_ignore_ascii_case("true") => Ok(()),
        _ => Err(Refusal::bad("The header Metadata: true is required.")),
    }
}

/// The value of a header that was sent exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut all = headers.get_all(name).iter();
    let first = all.next()?;
    if all.next().is_some() { None } else { first.to_str().ok() }
}

fn reply(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

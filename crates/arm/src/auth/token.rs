//! The token endpoint: client credentials for an access token (RFC 6749, section 4.4).

use super::claims::{audience, is_audience};
use super::place::Place;
use crate::types::time::instant;
use crate::wire::error::ArmError;
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{StatusCode, header};
use serde_json::json;
use tresor_core::service::SignIn;
use uuid::Uuid;
use zeroize::Zeroizing;

/// Longest secret that is looked at, in bytes.
const SECRET_MAX: usize = 1024;

/// What a token request holds; what else clients send is ignored.
#[derive(Default)]
struct Form {
    grant: String,
    client: String,
    secret: Zeroizing<String>,
    scope: String,
    assertion: bool,
}

/// Why no token is given.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    status: StatusCode,
    error: &'static str,
    code: u32,
    text: String,
}

impl Refusal {
    fn new(error: &'static str, code: u32, text: impl Into<String>) -> Self {
        let client = error == "invalid_client";
        let status = if client { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
        Self { status, error, code, text: text.into() }
    }
}

/// Answers a token request.
pub(super) async fn issue(request: Request) -> Result<Reply, ArmError> {
    let form = Form::read(&request);
    let (service, authority) = (&request.app.service, &request.app.authority);
    let token = match form.check(&request) {
        Ok((client, audience)) => match service.authenticate(client, &form.secret).await? {
            SignIn::Granted(who) => {
                authority.refresh(service).await;
                Ok(authority.issue(&who, audience, &request.base, service.env().real())?)
            }
            SignIn::Expired => {
                let text =
                    format!("The provided client secret of app '{client}' is not valid now.");
                Err(Refusal::new("invalid_client", 7_000_222, text))
            }
            SignIn::Wrong => {
                Err(Refusal::new("invalid_client", 7_000_215, "Invalid client secret provided."))
            }
        },
        Err(refusal) => Err(refusal),
    };
    let lifetime = authority.lifetime().saturating_sub(1);
    Ok(match token {
        Ok(token) => Reply::ok(json!({
            "token_type": "Bearer",
            "expires_in": lifetime,
            "ext_expires_in": lifetime,
            "access_token": token,
        })),
        Err(refusal) => refused(&request, &refusal),
    }
    .header(header::CACHE_CONTROL, "no-store"))
}

fn refused(request: &Request, refusal: &Refusal) -> Reply {
    let now = request.app.service.env().real();
    let body = json!({
        "error": refusal.error,
        "error_description": format!("AADSTS{}: {}", refusal.code, refusal.text),
        "error_codes": [refusal.code],
        "timestamp": instant(now),
        "trace_id": request.caller.correlation.to_string(),
        "correlation_id": request.caller.correlation.to_string(),
    });
    Reply::new(refusal.status, body)
}

impl Form {
    fn read(request: &Request) -> Self {
        let mut form = Self::default();
        for (name, value) in form_urlencoded::parse(&request.form) {
            match name.to_ascii_lowercase().as_str() {
                "grant_type" => form.grant = value.into_owned(),
                "client_id" => form.client = value.into_owned(),
                "client_secret" => form.secret = Zeroizing::new(value.into_owned()),
                "scope" | "resource" => form.scope = value.into_owned(),
                "client_assertion" => form.assertion = true,
                _ => {}
            }
        }
        if let Some((client, secret)) = basic(request) {
            form.client = client;
            form.secret = secret;
        }
        form
    }

    /// The client and the audience, when everything but the secret is right.
    fn check(&self, request: &Request) -> Result<(Uuid, &str), Refusal> {
        let place = Place::of(request);
        if !place.is(request.app.authority.tenant()) {
            let text = format!("Tenant '{}' not found.", place.tenant());
            return Err(Refusal::new("invalid_request", 90_002, text));
        }
        let (client, audience) = self.check_fields()?;
        if is_audience(audience, &request.base) {
            return Ok((client, audience));
        }
        let text = format!("The resource principal named {audience} was not found in the tenant.");
        Err(Refusal::new("invalid_resource", 500_011, text))
    }

    fn check_fields(&self) -> Result<(Uuid, &str), Refusal> {
        let missing = |name: &str| {
            let text = format!("The request body must contain the following parameter: '{name}'.");
            Refusal::new("invalid_request", 900_144, text)
        };
        if self.grant.is_empty() {
            return Err(missing("grant_type"));
        }
        if self.grant != "client_credentials" {
            let text = format!("The grant type '{}' is not supported.", shown(&self.grant));
            return Err(Refusal::new("unsupported_grant_type", 70_003, text));
        }
        if self.client.is_empty() {
            return Err(missing("client_id"));
        }
        let client = Uuid::try_parse(&self.client).map_err(|_| {
            let text = format!("Application '{}' was not found.", shown(&self.client));
            Refusal::new("unauthorized_client", 700_016, text)
        })?;
        if self.secret.is_empty() {
            let text = if self.assertion {
                "Client assertions are not supported; use client_secret."
            } else {
                "The request body must contain the following parameter: 'client_secret'."
            };
            return Err(Refusal::new("invalid_client", 7_000_216, text));
        }
        if self.secret.len() > SECRET_MAX {
            let text = "Invalid client secret provided.";
            return Err(Refusal::new("invalid_client", 7_000_215, text));
        }
        // Several scopes may be asked for; the first that names a resource counts.
        let scope = self.scope.split_whitespace().find(|scope| scope.contains("://"));
        match scope {
            Some(scope) => Ok((client, audience(scope))),
            None => Err(missing("scope")),
        }
    }
}

/// The client's id and secret in the header of RFC 6749, section 2.3.1.
fn basic(request: &Request) -> Option<(String, Zeroizing<String>)> {
    let value = request.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, text) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = Zeroizing::new(STANDARD.decode(text.trim()).ok()?);
    let (client, secret) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
    let plain = |text: &str| {
        // Both halves are form-encoded inside the pair.
        let pair = Zeroizing::new(format!("x={text}"));
        form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned())
    };
    Some((plain(client)?, Zeroizing::new(plain(secret)?)))
}

fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> Form {
        Form {
            grant: "client_credentials".into(),
            client: Uuid::from_u128(1).to_string(),
            secret: Zeroizing::new("s".into()),
            scope: "openid https://localhost:8443//.default".into(),
            assertion: false,
        }
    }

    fn code(change: impl FnOnce(&mut Form)) -> (u32, StatusCode) {
        let mut form = form();
        change(&mut form);
        let refusal = form.check_fields().unwrap_err();
        (refusal.code, refusal.status)
    }

    #[test]
    fn a_good_form_names_client_and_audience() {
        let form = form();
        assert_eq!(form.check_fields(), Ok((Uuid::from_u128(1), "https://localhost:8443")));
    }

    #[test]
    fn each_fault_has_the_code_that_clients_print() {
        let (bad, unauthorized) = (StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED);
        assert_eq!(code(|f| f.grant.clear()), (900_144, bad));
        assert_eq!(code(|f| f.grant = "password".into()), (70_003, bad));
        assert_eq!(code(|f| f.client = "me".into()), (700_016, bad));
        assert_eq!(code(|f| f.secret = Zeroizing::default()), (7_000_216, unauthorized));
        assert_eq!(
            code(|f| f.secret = Zeroizing::new("x".repeat(2000))),
            (7_000_215, unauthorized)
        );
        assert_eq!(code(|f| f.scope.clear()), (900_144, bad));
    }
}

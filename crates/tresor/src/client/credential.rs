//! Who calls: a service principal, a token that was kept, or the machine's own identity.
//!
//! Secrets and tokens are zeroised and show in no `Debug`, error or URL.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use zeroize::Zeroizing;

use super::operation::answer;
use super::refusal::SignedOut;
use super::text;
use crate::usage::Usage;

/// Tokens are renewed when they have less left.
const MARGIN: SignedDuration = SignedDuration::from_secs(300);
/// What a token is taken to last when the answer does not say.
const LIFETIME: i64 = 3600;
/// The machine's own identity endpoint answers at once or not at all.
const IDENTITY: Duration = Duration::from_secs(20);

/// How tokens are come by.
pub(crate) enum Credential {
    /// By a service principal's secret.
    Secret { tenant: String, client_id: String, secret: Zeroizing<String> },
    /// One that was got earlier, until it ends.
    Kept(Token),
    /// From the machine's identity endpoint (`IDENTITY_ENDPOINT`).
    Machine { endpoint: String, header: Zeroizing<String>, client_id: Option<String> },
}

/// A token, and when it ends.
#[derive(Clone)]
pub(crate) struct Token {
    text: Zeroizing<String>,
    pub(crate) ends: Timestamp,
}

impl Token {
    /// A token with this text.
    pub(crate) fn new(text: Zeroizing<String>, ends: Timestamp) -> Token {
        Token { text, ends }
    }

    /// What is sent.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is good for a while yet.
    pub(super) fn lasts(&self, now: Timestamp) -> bool {
        now.saturating_add(MARGIN).is_ok_and(|soon| soon < self.ends)
    }
}

impl Credential {
    /// A new token.
    pub(super) async fn token(
        &self,
        http: &reqwest::Client,
        base_url: &str,
        now: Timestamp,
    ) -> Result<Token> {
        match self {
            Credential::Kept(token) if now < token.ends => Ok(token.clone()),
            Credential::Kept(_) => Err(SignedOut("the sign-in has ended").into()),
            Credential::Secret { tenant, client_id, secret } => {
                let url = format!("{base_url}/{tenant}/oauth2/v2.0/token");
                let form = [
                    ("grant_type", "client_credentials"),
                    ("client_id", client_id.as_str()),
                    ("client_secret", secret.as_str()),
                    ("scope", &format!("{base_url}/.default")),
                ];
                let response = http.post(url).form(&form).send().await;
                let response = response.context("signing in")?;
                let answer = answer(response).await.context("signing in")?;
                read(answer.body, now)
            }
            Credential::Machine { endpoint, header, client_id } => {
                machine(endpoint, header, client_id.as_deref(), base_url, now).await
            }
        }
    }
}

/// Asks the endpoint that the machine's environment names, as App Service defines it.
async fn machine(
    endpoint: &str,
    header: &str,
    client_id: Option<&str>,
    base_url: &str,
    now: Timestamp,
) -> Result<Token> {
    let http = reqwest::Client::builder().no_proxy().timeout(IDENTITY).build()?;
    let mut query = vec![("api-version", "2019-08-01"), ("resource", base_url)];
    query.extend(client_id.map(|id| ("client_id", id)));
    let url = url::Url::parse_with_params(endpoint, &query)
        .context(Usage("IDENTITY_ENDPOINT is no URL".to_owned()))?;
    let told = || format!("asking {endpoint} for a token");
    let request = http.get(url).header("X-IDENTITY-HEADER", header);
    let response = request.send().await.map_err(reqwest::Error::without_url).with_context(told)?;
    read(answer(response).await.with_context(told)?.body, now)
}

/// The token of an answer. Times come as numbers or as texts.
fn read(mut body: Value, now: Timestamp) -> Result<Token> {
    let number = |name: &str| {
        let value = body.get(name)?;
        value.as_i64().or_else(|| value.as_str()?.parse().ok())
    };
    let lasts = number("expires_in").unwrap_or(LIFETIME).clamp(0, 24 * 3600);
    let ends = now.saturating_add(SignedDuration::from_secs(lasts))?;
    let Some(Value::String(text)) = body.get_mut("access_token").map(Value::take) else {
        bail!("the answer holds no access_token");
    };
    Ok(Token { text: Zeroizing::new(text), ends })
}

/// What a token says of its bearer, unchecked: only the service can check it.
pub(crate) fn claim(token: &Token, name: &str) -> Option<String> {
    use base64::Engine as _;
    let payload = token.text().split('.').nth(1)?;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: Value = serde_json::from_slice(&bytes).ok()?;
    text(&claims, &format!("/{name}")).map(str::to_owned)
}

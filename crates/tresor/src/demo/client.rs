//! A small client of Azure's wire: tokens, resources, long-running operations, page blobs.
//!
//! It knows what any Azure client knows and nothing of this project's insides, so that the demo
//! proves the wire: it polls by the headers it is given and takes results where Azure puts them.
//! Every wait ends: requests by a time-out, operations and jobs by a patience.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tresor_store::env::Env;
use zeroize::Zeroizing;

use crate::serve::credentials::Owner;

/// The api-versions of the walk-through.
pub(super) mod version {
    pub(in crate::demo) const PROTECTION: &str = "2025-07-01";
    pub(in crate::demo) const COMPUTE: &str = "2024-03-02";
    pub(in crate::demo) const GROUPS: &str = "2021-04-01";
    pub(in crate::demo) const ROLES: &str = "2022-04-01";
    /// Of the page-blob data plane.
    pub(in crate::demo) const BLOB: &str = "2021-12-02";
}

/// One request, body and answer included, may take so long.
const REQUEST: Duration = Duration::from_secs(120);
/// One operation or job may take so long.
const PATIENCE: Duration = Duration::from_secs(6 * 3600);
/// Tokens are renewed when they have less left.
const TOKEN_MARGIN: Duration = Duration::from_secs(300);
/// How often a running job is looked at.
const JOB_PAUSE: Duration = Duration::from_millis(250);

/// A client with the owner's credentials.
pub(super) struct Client {
    http: reqwest::Client,
    base_url: String,
    owner: Owner,
    env: Env,
    token: Mutex<Option<Token>>,
}

struct Token {
    text: Zeroizing<String>,
    expires: Duration,
}

/// An answer that was not an error.
pub(super) struct Answer {
    headers: HeaderMap,
    /// The JSON body; `null` when it was empty.
    pub(super) body: Value,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn pause(&self) -> Duration {
        let seconds = self.header("retry-after").and_then(|text| text.parse().ok());
        Duration::from_secs(seconds.unwrap_or(1).clamp(1, 60))
    }
}

impl Client {
    /// A client that trusts the given CA and nothing else.
    pub(super) fn new(base_url: &str, ca_file: &Path, owner: Owner, env: Env) -> Result<Client> {
        let ca = reqwest::Certificate::from_pem_bundle(&std::fs::read(ca_file)?)?;
        let http = reqwest::Client::builder()
            .tls_certs_only(ca)
            .https_only(true)
            .no_proxy()
            .timeout(REQUEST)
            .user_agent(concat!("tresor-demo/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Client { http, base_url: base_url.to_owned(), owner, env, token: Mutex::new(None) })
    }

    /// The subscription of the owner.
    pub(super) fn subscription(&self) -> String {
        format!("/subscriptions/{}", self.owner.subscription)
    }

    /// The real monotonic clock.
    pub(super) fn elapsed(&self) -> Duration {
        self.env.monotonic()
    }

    /// A token that is good for a while; asked for again when it nears its end.
    async fn token(&self) -> Result<Zeroizing<String>> {
        let mut held = self.token.lock().await;
        let now = self.env.monotonic();
        if let Some(token) = held.as_ref()
            && now + TOKEN_MARGIN < token.expires
        {
            return Ok(token.text.clone());
        }
        let url = format!("{}/{}/oauth2/v2.0/token", self.base_url, self.owner.tenant);
        let form = [
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", self.owner.client_id.to_string()),
            ("client_secret", self.owner.client_secret.to_string()),
            ("scope", format!("{}/.default", self.base_url)),
        ];
        let response = self.http.post(url).form(&form).send().await?;
        let mut answer = answer(response).await.context("a token was refused")?;
        let seconds = answer.body.get("expires_in").and_then(Value::as_u64).unwrap_or(3600);
        let Some(Value::String(text)) = answer.body.pointer_mut("/access_token").map(Value::take)
        else {
            bail!("the token endpoint answered without access_token");
        };
        let text = Zeroizing::new(text);
        *held = Some(Token { text: text.clone(), expires: now + Duration::from_secs(seconds) });
        Ok(text)
    }

    /// Signs in, so that a wrong secret is found before anything else.
    pub(super) async fn sign_in(&self) -> Result<()> {
        self.token().await.map(drop)
    }

    async fn send(&self, method: Method, url: &str, body: Option<&Value>) -> Result<Answer> {
        let token = self.token().await?;
        let mut request = self.http.request(method.clone(), url).bearer_auth(token.as_str());
        if let Some(body) = body {
            request = request.json(body);
        }
        let shown = url.split('?').next().unwrap_or(url);
        let context = || format!("{method} {shown}");
        let response = request.send().await.with_context(context)?;
        answer(response).await.with_context(context)
    }

    fn url(&self, path: &str, version: &str) -> String {
        format!("{}{path}?api-version={version}", self.base_url)
    }

    /// GET of a resource or a list.
    pub(super) async fn get(&self, path: &str, version: &str) -> Result<Value> {
        Ok(self.send(Method::GET, &self.url(path, version), None).await?.body)
    }

    /// PUT of a resource, waited for; gives the resource as it then is.
    pub(super) async fn put(&self, path: &str, version: &str, body: &Value) -> Result<Value> {
        let answer = self.send(Method::PUT, &self.url(path, version), Some(body)).await?;
        if answer.header("azure-asyncoperation").is_none() {
            return Ok(answer.body);
        }
        self.finish(&answer).await.with_context(|| format!("PUT {path}"))?;
        self.get(path, version).await
    }

    /// POST of an action, waited for; gives the action's result.
    pub(super) async fn post(&self, path: &str, version: &str, body: &Value) -> Result<Value> {
        let answer = self.send(Method::POST, &self.url(path, version), Some(body)).await?;
        if answer.header("azure-asyncoperation").is_none() {
            return Ok(answer.body);
        }
        self.finish(&answer).await.with_context(|| format!("POST {path}"))?;
        match answer.header("location") {
            Some(url) => Ok(self.send(Method::GET, url, None).await?.body),
            None => bail!("POST {path}: the answer has no Location"),
        }
    }

    /// Polls an operation to its end.
    async fn finish(&self, accepted: &Answer) -> Result<()> {
        let url = accepted.header("azure-asyncoperation").context("no Azure-AsyncOperation")?;
        let deadline = self.env.monotonic() + PATIENCE;
        loop {
            let answer = self.send(Method::GET, url, None).await?;
            match text(&answer.body, "/status").unwrap_or_default().to_lowercase().as_str() {
                "succeeded" => return Ok(()),
                "failed" | "canceled" => return Err(refused(answer.body.get("error"))),
                _ if self.env.monotonic() > deadline => bail!("the operation does not end"),
                _ => tokio::time::sleep(answer.pause()).await,
            }
        }
    }

    /// Looks at a job until it ends; `watch` sees every look.
    pub(super) async fn job(&self, id: &str, mut watch: impl FnMut(&Value)) -> Result<Value> {
        let deadline = self.env.monotonic() + PATIENCE;
        loop {
            let job = self.get(id, version::PROTECTION).await?;
            watch(&job);
            match text(&job, "/properties/status").unwrap_or_default() {
                "Completed" => return Ok(job),
                "InProgress" | "NotStarted" => {}
                other => {
                    let error = refused(job.pointer("/properties/errorDetails/0"));
                    return Err(error.context(format!("the job ended as {other}")));
                }
            }
            if self.env.monotonic() > deadline {
                bail!("the job does not end");
            }
            tokio::time::sleep(JOB_PAUSE).await;
        }
    }

    /// A SAS URL for the bytes of a disk.
    pub(super) async fn grant(&self, disk: &str, access: &str) -> Result<String> {
        let path = format!("{disk}/beginGetAccess");
        let body = json!({"access": access, "durationInSeconds": 86_400});
        let output = self.post(&path, version::COMPUTE, &body).await?;
        let url = text(&output, "/accessSAS").context("beginGetAccess gave no accessSAS")?;
        Ok(url.to_owned())
    }

    /// Ends all access to a disk's bytes.
    pub(super) async fn revoke(&self, disk: &str) -> Result<()> {
        let path = format!("{disk}/endGetAccess");
        self.post(&path, version::COMPUTE, &json!({})).await.map(drop)
    }

    /// Put Page: writes `bytes` at `offset` of the disk behind the SAS.
    pub(super) async fn put_page(&self, sas: &str, offset: u64, bytes: Vec<u8>) -> Result<()> {
        let range = byte_range(offset, bytes.len() as u64);
        let response = self
            .http
            .put(format!("{sas}&comp=page"))
            .header("x-ms-version", version::BLOB)
            .header("x-ms-page-write", "update")
            .header("x-ms-range", &range)
            .body(bytes)
            .send()
            .await
            .map_err(reqwest::Error::without_url)?;
        blob(response).await.with_context(|| format!("Put Page {range}"))?;
        Ok(())
    }

    /// Get Blob: `len` bytes at `offset` of the disk behind the SAS.
    pub(super) async fn get_range(&self, sas: &str, offset: u64, len: u64) -> Result<Vec<u8>> {
        let range = byte_range(offset, len);
        let response = self
            .http
            .get(sas)
            .header("x-ms-version", version::BLOB)
            .header("x-ms-range", &range)
            .send()
            .await
            .map_err(reqwest::Error::without_url)?;
        let response = blob(response).await.with_context(|| format!("Get Blob {range}"))?;
        let bytes = response.bytes().await.map_err(reqwest::Error::without_url)?;
        if bytes.len() as u64 != len {
            bail!("Get Blob {range} gave {} bytes", bytes.len());
        }
        Ok(bytes.into())
    }
}

fn byte_range(offset: u64, len: u64) -> String {
    format!("bytes={offset}-{}", (offset + len).saturating_sub(1))
}

/// The answer, or the error that the service told.
async fn answer(response: reqwest::Response) -> Result<Answer> {
    let status = response.status();
    let headers = response.headers().clone();
    let bytes = response.bytes().await?;
    let body = if bytes.is_empty() {
        Value::Null
    } else {
        let parsed = serde_json::from_slice(&bytes);
        parsed.with_context(|| format!("status {status}, and the body is no JSON"))?
    };
    if status.is_success() {
        return Ok(Answer { headers, body });
    }
    Err(match body.get("error") {
        // The token endpoint's errors are of OAuth's shape.
        Some(Value::String(code)) => {
            let description = text(&body, "/error_description").unwrap_or_default();
            anyhow!("{status}: {code}: {description}")
        }
        error => refused(error).context(status.to_string()),
    })
}

/// An ARM error as one line per cause.
fn refused(error: Option<&Value>) -> anyhow::Error {
    let Some(error) = error else {
        return anyhow!("no error was told");
    };
    let line = |error: &Value| {
        let part = |at: &str| text(error, at).unwrap_or_default().to_owned();
        format!("{}: {}", part("/code"), part("/message"))
    };
    let details = error.get("details").and_then(Value::as_array);
    let details = details.map(Vec::as_slice).unwrap_or_default();
    let lines: Vec<String> = std::iter::once(error).chain(details).map(line).collect();
    anyhow!(lines.join("\n  "))
}

/// The text at a JSON pointer.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str()
}

async fn blob(response: reqwest::Response) -> Result<reqwest::Response> {
    let status = response.status();
    if status == StatusCode::OK || status == StatusCode::CREATED || status.as_u16() == 206 {
        return Ok(response);
    }
    let code = response.headers().get("x-ms-error-code").and_then(|value| value.to_str().ok());
    Err(anyhow!("{status}: {}", code.unwrap_or("no x-ms-error-code")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_inclusive() {
        assert_eq!(byte_range(0, 512), "bytes=0-511");
        assert_eq!(byte_range(4096, 4 << 20), "bytes=4096-4198399");
    }

    #[test]
    fn every_cause_of_a_refusal_is_told() {
        let error = json!({"code": "A", "message": "whole", "details": [
            {"code": "B", "message": "first"}, {"code": "C", "message": "second"}]});
        assert_eq!(refused(Some(&error)).to_string(), "A: whole\n  B: first\n  C: second");
        assert_eq!(refused(Some(&json!({"code": "A", "message": "x"}))).to_string(), "A: x");
    }
}

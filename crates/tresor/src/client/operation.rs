//! Answers, and operations that go on after them.
//!
//! The rules are those of the Azure SDKs: `Azure-AsyncOperation` is polled to its end when it is
//! there, else `Location`; the result of a PUT or PATCH is the resource itself, that of a POST is
//! where `Location` points, a DELETE has none.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::refusal::Refusal;
use super::{Client, PATIENCE, text};

/// An answer that was not an error.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    /// The JSON body; `null` when it was empty.
    pub(crate) body: Value,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// How long the service asks to wait, within bounds.
pub(super) fn pause(headers: &HeaderMap) -> Duration {
    let seconds = headers.get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(1).clamp(1, 60))
}

/// An operation that was accepted, or a request that was answered at once.
pub(crate) struct Begun {
    pub(super) method: Method,
    pub(super) url: String,
    pub(crate) answer: Answer,
}

impl Client {
    /// Waits for an operation; gives its result.
    pub(crate) async fn end(&self, begun: Begun) -> Result<Value> {
        let Begun { method, url, answer } = begun;
        let shown = url.split('?').next().unwrap_or(&url).to_owned();
        let shown = shown.strip_prefix(self.base_url()).unwrap_or(&shown);
        let context = || format!("{method} {shown}");
        let location = answer.header("location").map(|url| self.own_url(url)).transpose()?;
        let last = match (answer.header("azure-asyncoperation"), &location) {
            (Some(status), _) => {
                let status = self.own_url(status)?;
                self.poll_status(&status).await.with_context(context)?;
                None
            }
            (None, Some(location)) if answer.status == StatusCode::ACCEPTED => {
                Some(self.poll_location(location).await.with_context(context)?)
            }
            _ => return Ok(answer.body),
        };
        if method == Method::DELETE {
            return Ok(Value::Null);
        }
        if method == Method::PUT || method == Method::PATCH {
            return Ok(self.send(&Method::GET, &url, None).await?.body);
        }
        match (last, location) {
            (Some(body), _) => Ok(body),
            (None, Some(location)) => Ok(self.send(&Method::GET, &location, None).await?.body),
            (None, None) => bail!("{method} {shown}: the answer has no Location"),
        }
    }

    async fn poll_status(&self, url: &str) -> Result<()> {
        let deadline = self.env.monotonic() + PATIENCE;
        loop {
            let answer = self.send(&Method::GET, url, None).await?;
            match text(&answer.body, "/status").unwrap_or_default().to_lowercase().as_str() {
                "succeeded" => return Ok(()),
                "failed" | "canceled" => {
                    return Err(Refusal::read(0, answer.body.get("error")).into());
                }
                _ if self.env.monotonic() > deadline => bail!("the operation does not end"),
                _ => tokio::time::sleep(pause(&answer.headers)).await,
            }
        }
    }

    async fn poll_location(&self, url: &str) -> Result<Value> {
        let deadline = self.env.monotonic() + PATIENCE;
        loop {
            let answer = self.send(&Method::GET, url, None).await?;
            if answer.status != StatusCode::ACCEPTED {
                return Ok(answer.body);
            }
            if self.env.monotonic() > deadline {
                bail!("the operation does not end");
            }
            tokio::time::sleep(pause(&answer.headers)).await;
        }
    }
}

/// The answer, or the error that the service told.
pub(super) async fn answer(response: reqwest::Response) -> Result<Answer> {
    let status = response.status();
    let headers = response.headers().clone();
    let bytes = response.bytes().await.map_err(reqwest::Error::without_url)?;
    let body = if bytes.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&bytes) };
    match (status.is_success(), body) {
        (true, Ok(body)) => Ok(Answer { status, headers, body }),
        (true, Err(error)) => Err(anyhow!(error).context("the answer is no JSON")),
        // An error of another shape comes from something between us and the service.
        (false, Err(_)) => Err(Refusal::read(status.as_u16(), None).into()),
        (false, Ok(body)) => Err(match body.get("error") {
            // The token endpoint's errors are of OAuth's shape.
            Some(Value::String(code)) => {
                let told = text(&body, "/error_description").unwrap_or_default();
                Refusal::new(status.as_u16(), code, told)
            }
            error => Refusal::read(status.as_u16(), error),
        }
        .into()),
    }
}

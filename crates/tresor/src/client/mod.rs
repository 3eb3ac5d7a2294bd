//! The one client of the wire: for the commands of `tresor` and for the demo.
//!
//! It knows what any Azure client knows and nothing of this project's insides, so that using it
//! proves the wire: it polls by the headers it is given and takes results where Azure puts them.
//! Every wait ends: requests by a time-out, retries by a count, operations and jobs by a patience.
//! A token goes to the service's own address only, whatever host an answer names.

pub(crate) mod blob;
pub(crate) mod body;
pub(crate) mod credential;
pub(crate) mod job;
mod operation;
pub(crate) mod policy;
pub(crate) mod refusal;
pub(crate) mod transfer;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tokio::sync::Mutex;
use tresor_store::env::Env;
use url::form_urlencoded;
use zeroize::Zeroizing;

use crate::usage::Usage;
use credential::{Credential, Token};
pub(crate) use operation::Begun;
use operation::{Answer, answer};
use refusal::{Refusal, SignedOut};

/// One request, body and answer included, may take so long.
const REQUEST: Duration = Duration::from_secs(120);
/// One operation or job may take so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(6 * 3600);
/// How often a request is sent again that the service was too busy for.
const RETRIES: u32 = 5;
/// Pages of one list; at 200 rows a page that is far more than the service holds.
const PAGES: usize = 1000;

/// The parts of the wire, each with the api-version that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    Protection,
    Compute,
    Groups,
    Roles,
    Subscriptions,
    Metadata,
    /// Directory objects: its version is part of the path.
    Graph,
}

impl Api {
    fn version(self) -> Option<&'static str> {
        match self {
            Api::Protection => Some("2025-07-01"),
            Api::Compute => Some("2024-03-02"),
            Api::Groups => Some("2021-04-01"),
            Api::Roles => Some("2022-04-01"),
            Api::Subscriptions | Api::Metadata => Some("2022-09-01"),
            Api::Graph => None,
        }
    }
}

/// Where a service is, and the authority whose certificates are believed there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Site {
    pub(crate) base_url: String,
    /// Without it the machine's own list of authorities counts.
    pub(crate) ca_file: Option<PathBuf>,
}

impl Site {
    /// A site, its address checked.
    pub(crate) fn new(base_url: &str, ca_file: Option<PathBuf>) -> Result<Site> {
        let base_url = base_url.trim_end_matches('/').to_owned();
        let parsed = url::Url::parse(&base_url);
        let plain = parsed.as_ref().is_ok_and(|url| {
            url.scheme() == "https" && url.path() == "/" && url.query().is_none() && url.has_host()
        });
        if !plain {
            return Err(Usage::error(format!(
                "'{base_url}' is no address of a service; it is such as https://localhost:8443"
            )));
        }
        Ok(Site { base_url, ca_file })
    }

    fn http(&self) -> Result<reqwest::Client> {
        let mut builder = reqwest::Client::builder()
            .https_only(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(REQUEST)
            .user_agent(concat!("tresor/", env!("CARGO_PKG_VERSION")));
        if let Some(file) = &self.ca_file {
            let unreadable =
                || Usage(format!("cannot read the CA file {} (see CA_FILE)", file.display()));
            let pem = std::fs::read(file).with_context(unreadable)?;
            let ca = reqwest::Certificate::from_pem_bundle(&pem).with_context(unreadable)?;
            builder = builder.tls_certs_only(ca);
        }
        Ok(builder.build()?)
    }
}

/// A client with one caller's credentials.
pub(crate) struct Client {
    http: reqwest::Client,
    site: Site,
    credential: Credential,
    env: Env,
    token: Mutex<Option<Token>>,
}

impl Client {
    /// A client; nothing is sent yet.
    pub(crate) fn new(site: Site, credential: Credential, env: Env) -> Result<Client> {
        let http = site.http()?;
        Ok(Client { http, site, credential, env, token: Mutex::new(None) })
    }

    /// The service's address.
    pub(crate) fn base_url(&self) -> &str {
        &self.site.base_url
    }

    /// A new random id, for what clients name themselves.
    pub(crate) fn fresh_id(&self) -> String {
        self.env.uuid().to_string()
    }

    /// Signs in, so that a wrong secret is found before anything else; gives the token.
    pub(crate) async fn sign_in(&self) -> Result<Token> {
        let mut held = self.token.lock().await;
        let now = self.env.real();
        if let Some(token) = held.as_ref()
            && token.lasts(now)
        {
            return Ok(token.clone());
        }
        let token = self.credential.token(&self.http, self.base_url(), now).await?;
        *held = Some(token.clone());
        Ok(token)
    }

    fn url(&self, path: &str, api: Api, query: &[(&str, &str)]) -> String {
        let mut pairs = form_urlencoded::Serializer::new(String::new());
        if let Some(version) = api.version() {
            pairs.append_pair("api-version", version);
        }
        let pairs = pairs.extend_pairs(query).finish();
        let mark = if pairs.is_empty() { "" } else { "?" };
        format!("{}{path}{mark}{pairs}", self.base_url())
    }

    /// A URL out of an answer, at the address that this client uses itself.
    fn own_url(&self, url: &str) -> Result<String> {
        let parsed = url::Url::parse(url).context("the service sent a URL that is none")?;
        let query = parsed.query().map(|query| format!("?{query}")).unwrap_or_default();
        Ok(format!("{}{}{query}", self.base_url(), parsed.path()))
    }

    async fn send(&self, method: &Method, url: &str, body: Option<&Value>) -> Result<Answer> {
        let token = self.sign_in().await?;
        let build = || {
            let request = self.http.request(method.clone(), url).bearer_auth(token.text());
            match body {
                Some(body) => request.json(body),
                None => request,
            }
        };
        let shown = url.split('?').next().unwrap_or(url);
        let shown = shown.strip_prefix(self.base_url()).unwrap_or(shown);
        let context = || format!("{method} {shown}");
        let again = *method != Method::POST;
        let response = patiently(build, again).await.with_context(context)?;
        let answered = answer(response).await;
        answered.map_err(|error| self.explained(error)).with_context(context)
    }

    /// A token that was kept and is not believed any more asks for a new sign-in.
    fn explained(&self, error: anyhow::Error) -> anyhow::Error {
        let refused = error.downcast_ref::<Refusal>().is_some_and(|found| found.status == 401);
        if refused && matches!(self.credential, Credential::Kept(_)) {
            return error.context(SignedOut("the service does not accept the kept token"));
        }
        error
    }

    /// GET of a document that takes no token.
    pub(crate) async fn open(&self, path: &str, api: Api) -> Result<Value> {
        let url = self.url(path, api, &[]);
        let response = patiently(|| self.http.get(&url), true).await;
        let context = || format!("GET {path}");
        Ok(answer(response.with_context(context)?).await.with_context(context)?.body)
    }

    /// GET of a resource.
    pub(crate) async fn get(&self, path: &str, api: Api) -> Result<Value> {
        Ok(self.send(&Method::GET, &self.url(path, api, &[]), None).await?.body)
    }

    /// GET of a resource that may not be there.
    pub(crate) async fn find(&self, path: &str, api: Api) -> Result<Option<Value>> {
        match self.get(path, api).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if refusal::not_found(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All rows of a list, page after page.
    pub(crate) async fn list(
        &self,
        path: &str,
        api: Api,
        query: &[(&str, &str)],
    ) -> Result<Vec<Value>> {
        let mut url = self.url(path, api, query);
        let mut rows = Vec::new();
        for _ in 0..PAGES {
            let mut page = self.send(&Method::GET, &url, None).await?.body;
            let Some(Value::Array(more)) = page.get_mut("value").map(Value::take) else {
                bail!("GET {path}: the answer is no list");
            };
            rows.extend(more);
            let next = text(&page, "/nextLink").or_else(|| text(&page, "/@odata.nextLink"));
            match next.filter(|link| !link.is_empty()) {
                Some(link) => url = self.own_url(link)?,
                None => return Ok(rows),
            }
        }
        bail!("GET {path}: the list does not end")
    }

    /// PUT of a resource, waited for; gives the resource as it then is.
    pub(crate) async fn put(&self, path: &str, api: Api, body: &Value) -> Result<Value> {
        self.run(Method::PUT, path, api, Some(body)).await
    }

    /// POST of an action, waited for; gives the action's result.
    pub(crate) async fn post(&self, path: &str, api: Api, body: &Value) -> Result<Value> {
        self.run(Method::POST, path, api, Some(body)).await
    }

    async fn run(
        &self,
        method: Method,
        path: &str,
        api: Api,
        body: Option<&Value>,
    ) -> Result<Value> {
        let begun = self.begin(method, path, api, body).await?;
        self.end(begun).await
    }

    /// Sends a request that may begin an operation, and does not wait for that.
    pub(crate) async fn begin(
        &self,
        method: Method,
        path: &str,
        api: Api,
        body: Option<&Value>,
    ) -> Result<Begun> {
        let url = self.url(path, api, &[]);
        let answer = self.send(&method, &url, body).await?;
        Ok(Begun { method, url, answer })
    }
}

/// Sends a request, again after a pause while the service says that it is too busy. A request that
/// is not safe to repeat is repeated only when it was turned away at the door (429).
async fn patiently(
    build: impl Fn() -> RequestBuilder,
    repeatable: bool,
) -> Result<Response, reqwest::Error> {
    let mut tries = 0;
    loop {
        let response = build().send().await?;
        let busy = match response.status() {
            StatusCode::TOO_MANY_REQUESTS => true,
            StatusCode::SERVICE_UNAVAILABLE => repeatable,
            _ => false,
        };
        if !busy || tries >= RETRIES {
            return Ok(response);
        }
        tries += 1;
        tokio::time::sleep(operation::pause(response.headers())).await;
    }
}

/// The text at a JSON pointer.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str()
}

/// The last part of a resource id: its name.
pub(crate) fn last(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

/// The credentials of the owner of a data folder.
pub(crate) fn owner(owner: &crate::serve::credentials::Owner) -> Credential {
    Credential::Secret {
        tenant: owner.tenant.to_string(),
        client_id: owner.client_id.to_string(),
        secret: Zeroizing::new(owner.client_secret.to_string()),
    }
}

#[cfg(test)]
mod tests;

//! Buckets of S3 and containers of Azure Blob: settings from the environment, time limits, and
//! what a refused connection means.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::StreamExt;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::prefix::PrefixStore;
use object_store::{
    BackoffConfig, ClientConfigKey, ClientOptions, Error, ObjectStore, RetryConfig,
};
use tokio::runtime::Handle;

use tresor_input::Provider;

use super::Bucket;
use crate::usage::Usage;

/// For one request with its body: a pack of 32 MiB passes at 1 Mbit/s. A peer that is gone is
/// noticed much earlier, by unanswered probes of the connection.
const REQUEST: Duration = Duration::from_secs(300);

/// For making a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// For the first list, with all retries: longer than an unanswered connection takes.
const FIRST: Duration = Duration::from_secs(60);

/// Retries of one request inside the client. Few: the store above has more patience, and knows
/// which failed put has in truth succeeded.
const RETRIES: usize = 2;

impl Bucket {
    /// A client for the bucket that has had one answer.
    pub(super) fn connect(
        &self,
        environment: &BTreeMap<String, String>,
        rt: &Handle,
    ) -> Result<Arc<dyn ObjectStore>> {
        let objects = self.client(environment)?;
        let asked = rt.block_on(async {
            // A timer needs the runtime: it is made inside.
            let first = async { objects.list(None).next().await.transpose() };
            tokio::time::timeout(FIRST, first).await
        });
        match asked {
            Ok(Ok(_)) => Ok(objects),
            Ok(Err(e)) => {
                let (advice, cause) = (self.advice(Some(&e)), cause(&e));
                anyhow::bail!("{} cannot be used: {advice} (it said: {cause})", self.0.url)
            }
            Err(_) => {
                let (advice, limit) = (self.advice(None), FIRST.as_secs());
                anyhow::bail!("{} gave no answer within {limit} s: {advice}", self.0.url)
            }
        }
    }

    /// A client for the bucket; nothing is sent yet.
    pub(super) fn client(
        &self,
        environment: &BTreeMap<String, String>,
    ) -> Result<Arc<dyn ObjectStore>> {
        match self.0.provider {
            Provider::S3 => self.s3(environment),
            Provider::Azure => self.azure(environment),
        }
    }

    fn s3(&self, environment: &BTreeMap<String, String>) -> Result<Arc<dyn ObjectStore>> {
        let mut builder = AmazonS3Builder::new()
            .with_url(self.0.url.as_str())
            .with_client_options(limits())
            .with_retry(retries());
        for (key, value) in settings::<AmazonS3ConfigKey>(environment, "AWS_") {
            // The place comes from the URL alone.
            if key != AmazonS3ConfigKey::Bucket {
                builder = builder.with_config(key, value);
            }
        }
        let keys = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint];
        let endpoint = keys.iter().find_map(|key| builder.get_config_value(key));
        let allow = AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp);
        check_plain(endpoint, builder.get_config_value(&allow), "AWS_ALLOW_HTTP")?;
        let client = builder.build().context(Usage(format!("{} cannot be used", self.0.url)))?;
        Ok(Arc::new(PrefixStore::new(client, self.0.prefix.clone())))
    }

    fn azure(&self, environment: &BTreeMap<String, String>) -> Result<Arc<dyn ObjectStore>> {
        let mut builder = MicrosoftAzureBuilder::new()
            .with_url(self.0.url.as_str())
            .with_client_options(limits())
            .with_retry(retries());
        let given = match environment.get(CONNECTION_STRING) {
            Some(text) => connection_string(text)?,
            None => Vec::new(),
        };
        // What the environment says one by one comes second and wins.
        for (key, value) in
            given.into_iter().chain(settings::<AzureConfigKey>(environment, "AZURE_"))
        {
            if key != AzureConfigKey::ContainerName {
                builder = builder.with_config(key, value);
            }
        }
        let endpoint = builder.get_config_value(&AzureConfigKey::Endpoint);
        let allow = AzureConfigKey::Client(ClientConfigKey::AllowHttp);
        check_plain(endpoint, builder.get_config_value(&allow), "AZURE_ALLOW_HTTP")?;
        let client = builder.build().with_context(|| {
            let (url, keys) = (&self.0.url, self.0.provider.keys());
            Usage(format!("{url} cannot be used; the environment must name the account ({keys})"))
        })?;
        Ok(Arc::new(PrefixStore::new(client, self.0.prefix.clone())))
    }

    /// What to do about a first request that failed.
    fn advice(&self, error: Option<&Error>) -> String {
        let keys = self.0.provider.keys();
        let (bucket, endpoint) = match self.0.provider {
            Provider::S3 => ("bucket", "AWS_ENDPOINT_URL and AWS_REGION"),
            Provider::Azure => ("container", "AZURE_STORAGE_ENDPOINT"),
        };
        // A failed list says its status in words only.
        let said = error.map(|e| chain(e)).unwrap_or_default();
        let says = |codes: &[&str]| {
            codes.iter().any(|code| said.contains(&format!("status code: {code}")))
        };
        if matches!(error, Some(Error::NotFound { .. })) || says(&["404"]) {
            return format!("there is no such {bucket}; make it, or correct its name");
        }
        let denied =
            matches!(error, Some(Error::PermissionDenied { .. } | Error::Unauthenticated { .. }));
        if denied || says(&["401", "403"]) {
            return format!(
                "the credentials were refused; they must allow to list, read, write and delete \
                 in this {bucket} ({keys})"
            );
        }
        format!("check the network, {endpoint}, and the credentials ({keys})")
    }
}

/// An error with everything behind it.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let links: Vec<String> = anyhow::Chain::new(error).map(ToString::to_string).collect();
    links.join(": ")
}

/// What a server or the network said, without the papers around it.
fn cause(error: &dyn std::error::Error) -> String {
    let links = std::iter::successors(Some(error), |link| link.source());
    let said = links.last().map(ToString::to_string).unwrap_or_default();
    let line = said.split(['<', '\n']).next().unwrap_or_default().trim_end_matches([':', ' ']);
    let code = said.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    match code {
        Some((code, _)) => format!("{line}, {code}"),
        None => line.to_owned(),
    }
}

/// The settings of one provider in the environment; names that are none of its are left alone.
fn settings<K: FromStr>(
    environment: &BTreeMap<String, String>,
    prefix: &str,
) -> impl Iterator<Item = (K, String)> {
    environment
        .iter()
        .filter(move |(name, _)| name.starts_with(prefix))
        .filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value.clone())))
}

fn limits() -> ClientOptions {
    ClientOptions::new().with_timeout(REQUEST).with_connect_timeout(CONNECT)
}

fn retries() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: RETRIES, retry_timeout: REQUEST }
}

/// Refuses an endpoint without TLS that was not allowed explicitly.
fn check_plain(endpoint: Option<String>, allowed: Option<String>, variable: &str) -> Result<()> {
    let plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
    let allowed = allowed.is_some_and(|text| text.eq_ignore_ascii_case("true") || text == "1");
    if plain && !allowed {
        let text = format!("the endpoint is plain http; set {variable}=true if that is meant");
        return Err(Usage::error(text));
    }
    Ok(())
}

const CONNECTION_STRING: &str = "AZURE_STORAGE_CONNECTION_STRING";

/// The settings in a connection string of the Azure portal.
fn connection_string(text: &str) -> Result<Vec<(AzureConfigKey, String)>> {
    let mut fields = BTreeMap::new();
    for field in text.split(';').map(str::trim).filter(|field| !field.is_empty()) {
        let (name, value) = field.split_once('=').ok_or_else(|| {
            Usage(format!("{CONNECTION_STRING} is no list of NAME=VALUE with \";\" between"))
        })?;
        fields.insert(name.trim().to_ascii_lowercase(), value.to_owned());
    }
    let mut out = Vec::new();
    for (name, key) in [
        ("accountname", AzureConfigKey::AccountName),
        ("accountkey", AzureConfigKey::AccessKey),
        ("sharedaccesssignature", AzureConfigKey::SasKey),
        ("blobendpoint", AzureConfigKey::Endpoint),
        ("usedevelopmentstorage", AzureConfigKey::UseEmulator),
    ] {
        out.extend(fields.get(name).map(|value| (key, value.clone())));
    }
    if let (Some(suffix), Some(account), None) =
        (fields.get("endpointsuffix"), fields.get("accountname"), fields.get("blobendpoint"))
    {
        let scheme = fields.get("defaultendpointsprotocol").map_or("https", String::as_str);
        out.push((AzureConfigKey::Endpoint, format!("{scheme}://{account}.blob.{suffix}")));
    }
    Ok(out)
}

#[cfg(test)]
mod tests;

//! Where a store is: a folder, or a place in a bucket of S3 or a container of Azure Blob.
//!
//! The text that a user gives names the place and never a secret: credentials and endpoints come
//! from the environment, under the names that the providers' own tools use. Plain HTTP, which
//! shows the traffic (though never the contents of a store) to the network, must be allowed
//! explicitly. Every request has a time limit and few retries of its own; the store above retries
//! with a growing delay.

mod remote;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreScheme};
use tokio::runtime::Handle;
use tresor_store::LocalObjects;
use url::Url;

use crate::config::Sources;
use crate::usage::Usage;

/// A place for a store. `Display` shows it as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A part of a bucket.
    Bucket(Bucket),
}

/// A part of a bucket: all names below a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bucket {
    provider: Provider,
    url: Url,
    prefix: Path,
}

/// Whose protocol a bucket speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Provider {
    S3,
    Azure,
}

const FORMS: &str = "a path, file:///PATH, s3://BUCKET/PREFIX, az://CONTAINER/PREFIX or \
                     https://ACCOUNT.blob.core.windows.net/CONTAINER/PREFIX";

impl Target {
    /// Reads a path or a URL. Nothing is looked up.
    pub(crate) fn parse(text: &OsStr) -> Result<Target, Usage> {
        let Some(address) = text.to_str().filter(|text| text.contains("://")) else {
            if text.is_empty() {
                return Err(Usage(format!("the store is an empty text; it is {FORMS}")));
            }
            return Ok(Target::Folder(PathBuf::from(text)));
        };
        // What follows never repeats the whole text: it may hold a secret by mistake.
        let url = Url::parse(address).map_err(|e| Usage(format!("the store is no URL: {e}")))?;
        let advice =
            format!("give credentials in the environment instead ({S3_KEYS}; {AZURE_KEYS})");
        let hadoop = matches!(url.scheme(), "abfs" | "abfss");
        if url.password().is_some() || !url.username().is_empty() && !hadoop {
            return Err(Usage(format!("the store's URL holds credentials; {advice}")));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(Usage(format!(
                "the store's URL has a part after \"?\" or \"#\"; {advice}"
            )));
        }
        let unknown = || Usage(format!("{url} is no place for a store; a place is {FORMS}"));
        let (scheme, prefix) = ObjectStoreScheme::parse(&url).map_err(|_| unknown())?;
        let bucket = |provider| Target::Bucket(Bucket { provider, url: url.clone(), prefix });
        match scheme {
            ObjectStoreScheme::Local => {
                url.to_file_path().map(Target::Folder).map_err(|()| unknown())
            }
            ObjectStoreScheme::AmazonS3 => Ok(bucket(Provider::S3)),
            ObjectStoreScheme::MicrosoftAzure => Ok(bucket(Provider::Azure)),
            ObjectStoreScheme::Http => Err(Usage(format!(
                "{url} is no bucket that can be told from its address; for another server of the \
                 S3 protocol give s3://BUCKET/PREFIX and its address in AWS_ENDPOINT_URL, for \
                 Azure Blob az://CONTAINER/PREFIX and its address in AZURE_STORAGE_ENDPOINT"
            ))),
            _ => Err(unknown()),
        }
    }

    /// The objects of a store that is there. A bucket is asked for one list, so that a wrong
    /// name, key or address is told at once and not as a damaged store.
    pub(crate) fn open(&self, rt: &Handle) -> Result<Arc<dyn ObjectStore>> {
        match self {
            Target::Folder(folder) if !folder.is_dir() => {
                let text = format!("{self} is no folder; `tresor store init` makes one");
                Err(Usage::error(text))
            }
            Target::Folder(_) => self.local(),
            Target::Bucket(bucket) => bucket.connect(&environment(), rt),
        }
    }

    /// The place for a new store. A folder is made; a bucket must be there.
    pub(crate) fn make(&self, rt: &Handle) -> Result<Arc<dyn ObjectStore>> {
        if let Target::Folder(folder) = self {
            crate::durable::folder(folder)?;
        }
        self.open(rt)
    }

    fn local(&self) -> Result<Arc<dyn ObjectStore>> {
        let Target::Folder(folder) = self else {
            anyhow::bail!("{self} is no folder");
        };
        let opened = LocalObjects::open(folder);
        Ok(Arc::new(opened.with_context(|| format!("cannot use the folder {self}"))?))
    }
}

/// Where credentials belong.
const S3_KEYS: &str = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
const AZURE_KEYS: &str = "AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or \
                          AZURE_STORAGE_SAS_TOKEN";

/// The environment, in a fixed order.
fn environment() -> BTreeMap<String, String> {
    Sources::process_environment().into_iter().collect()
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Folder(folder) => write!(f, "{}", folder.display()),
            Target::Bucket(bucket) => write!(f, "{}", bucket.url),
        }
    }
}

#[cfg(test)]
#[cfg(feature = "servers")]
mod servers;
#[cfg(test)]
mod tests;

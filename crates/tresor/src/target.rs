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
use object_store::ObjectStore;
use tokio::runtime::Handle;
use tresor_input::Address;
use tresor_store::LocalObjects;

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

/// A part of a bucket that can be connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bucket(tresor_input::Bucket);

impl Target {
    /// Reads a path or a URL. Nothing is looked up.
    pub(crate) fn parse(text: &OsStr) -> Result<Target, Usage> {
        Ok(match Address::parse(text).map_err(Usage)? {
            Address::Folder(folder) => Target::Folder(folder),
            Address::Bucket(bucket) => Target::Bucket(Bucket(bucket)),
        })
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

/// The environment, in a fixed order.
fn environment() -> BTreeMap<String, String> {
    Sources::process_environment().into_iter().collect()
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Folder(folder) => write!(f, "{}", folder.display()),
            Target::Bucket(bucket) => write!(f, "{}", bucket.0.url),
        }
    }
}

#[cfg(test)]
#[cfg(feature = "servers")]
mod servers;
#[cfg(test)]
mod tests;

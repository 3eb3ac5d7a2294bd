//! Objects: the only thing that a store keeps.
//!
//! Every object is written once, by one create-only put, and then only read or deleted. Nothing
//! needs compare-and-swap. A put that fails may still have succeeded (a lost reply, a retry
//! inside the client): every failure is settled by reading the object back and comparing it,
//! never by believing the error.
//!
//! What may go away by itself is tried again, a few times, with pauses that grow: a server that
//! throttles or restarts is left alone for a while. How long one try may take is the business of
//! the client below: one for a network has a limit for each request.

mod local;
mod patience;
mod probe;
mod reading;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{
    GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
};
use tokio::runtime::Handle;

use crate::env::Env;
use crate::error::{self, Error, ErrorKind, Result};

use patience::Patience;

pub use local::LocalObjects;

/// What became of a create-only put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    /// The object holds our bytes.
    Ours,
    /// Another object had the name first.
    Theirs,
}

/// Blocking access to an object store.
#[derive(Clone)]
pub(crate) struct Objects {
    store: Arc<dyn ObjectStore>,
    rt: Handle,
    env: Env,
}

impl Objects {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, rt: Handle, env: Env) -> Self {
        Self { store, rt, env }
    }

    /// Creates an object. `Theirs` only if an object with other bytes has the name.
    pub(crate) fn create(&self, name: &str, bytes: Bytes) -> Result<Put> {
        let path = Path::from(name);
        let mut patience = Patience::new(&self.env);
        loop {
            let options = PutOptions::from(PutMode::Create);
            let payload = PutPayload::from_bytes(bytes.clone());
            let put = self.rt.block_on(self.store.put_opts(&path, payload, options));
            let Err(source) = put else {
                return Ok(Put::Ours);
            };
            let error = Error::object(format!("object {name} cannot be written"), source);
            if error.kind() == ErrorKind::Poisoned {
                // The object may be visible and yet not durable: reading it proves nothing.
                return Err(error);
            }
            if let Some(outcome) = self.settle(name, &bytes)? {
                return Ok(outcome);
            }
            // Refused because somebody else is at it, and yet nothing is there: a server that
            // was asked twice at once, or an object that went away since.
            let worth = matches!(error.kind(), ErrorKind::Transient | ErrorKind::Exists);
            if !worth || !patience.pause(&error) {
                return Err(error);
            }
        }
    }

    /// Creates an object whose name is random, so that only a repeat of this very put can have
    /// the name.
    pub(crate) fn create_unique(&self, name: &str, bytes: Bytes) -> Result<()> {
        match self.create(name, bytes)? {
            Put::Ours => Ok(()),
            Put::Theirs => Err(Error::corrupt(format!(
                "object {name} holds other bytes than were written: the object store keeps parts \
                 of a failed write"
            ))),
        }
    }

    /// After a failed put: whose bytes are there, if any?
    fn settle(&self, name: &str, bytes: &Bytes) -> Result<Option<Put>> {
        match self.get(name, bytes.len() as u64) {
            Ok(found) if found == bytes => Ok(Some(Put::Ours)),
            Ok(_) => Ok(Some(Put::Theirs)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) if e.kind() == ErrorKind::Corrupt => Ok(Some(Put::Theirs)),
            Err(e) => Err(e),
        }
    }

    /// A whole object of at most `limit` bytes.
    pub(crate) fn get(&self, name: &str, limit: u64) -> Result<Bytes> {
        self.retry(|| self.rt.block_on(self.get_whole(name, limit)))
    }

    async fn get_whole(&self, name: &str, limit: u64) -> Result<Bytes> {
        let path = Path::from(name);
        let options = GetOptions::default();
        let found = self.store.get_opts(&path, options).await.map_err(|e| unread(name, e))?;
        let size = found.meta.size;
        if size > limit {
            return Err(Error::corrupt(format!("object {name} is larger than {limit} bytes")));
        }
        let bytes = found.bytes().await.map_err(|e| unread(name, e))?;
        if bytes.len() as u64 == size {
            return Ok(bytes);
        }
        // The object is whole: what came of it is not.
        let context = format!("{} of {size} bytes of object {name} came", bytes.len());
        Err(Error::new(ErrorKind::Transient, context))
    }

    /// Exactly `range` of an object.
    pub(crate) fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes> {
        self.retry(|| {
            let path = Path::from(name);
            let got = self.rt.block_on(self.store.get_range(&path, range.clone()));
            let want = range.end.saturating_sub(range.start);
            let error = match got {
                Ok(bytes) if bytes.len() as u64 == want => return Ok(bytes),
                Ok(bytes) => {
                    let context = format!("{} of {want} bytes of object {name} came", bytes.len());
                    Error::new(ErrorKind::Transient, context)
                }
                Err(source) => unread(name, source),
            };
            if error.kind() == ErrorKind::Transient
                && self.try_size(name).is_ok_and(|size| size < range.end)
            {
                return Err(truncated(name).because(error));
            }
            Err(error)
        })
    }

    /// The size of an object.
    pub(crate) fn size(&self, name: &str) -> Result<u64> {
        self.retry(|| self.try_size(name))
    }

    fn try_size(&self, name: &str) -> Result<u64> {
        let path = Path::from(name);
        let meta = self.rt.block_on(self.store.head(&path));
        meta.map(|m| m.size).map_err(|e| Error::object(format!("object {name} cannot be found"), e))
    }

    /// Whether an object is there.
    pub(crate) fn exists(&self, name: &str) -> Result<bool> {
        match self.size(name) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// The last parts of the names of all objects in a folder, sorted.
    pub(crate) fn list(&self, folder: &str) -> Result<Vec<String>> {
        Ok(self.sizes(folder)?.into_iter().map(|(name, _)| name).collect())
    }

    /// Those of them that are wanted; only they are in memory.
    pub(crate) fn list_some(
        &self,
        folder: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<String>> {
        let name = |meta: &ObjectMeta| {
            meta.location.filename().filter(|name| wanted(name)).map(str::to_owned)
        };
        let mut found = self.list_with(folder, name)?;
        found.sort_unstable();
        Ok(found)
    }

    /// The last parts of the names of all objects in a folder, sorted, and their sizes.
    pub(crate) fn sizes(&self, folder: &str) -> Result<Vec<(String, u64)>> {
        let name = |meta: &ObjectMeta| meta.location.filename().unwrap_or_default().to_owned();
        let mut found = self.list_with(folder, |meta| Some((name(meta), meta.size)))?;
        found.sort_unstable();
        Ok(found)
    }

    /// The number and the bytes of all objects, by the first part of their names.
    pub(crate) fn count(&self) -> Result<BTreeMap<String, (u64, u64)>> {
        self.retry(|| {
            let listed = self.store.list(None);
            let counted = listed.try_fold(BTreeMap::new(), async |mut counts, meta| {
                let folder = meta.location.parts().next();
                let name = folder.map_or_else(String::new, |part| part.as_ref().to_owned());
                let (objects, bytes): &mut (u64, u64) = counts.entry(name).or_default();
                *objects += 1;
                *bytes += meta.size;
                Ok(counts)
            });
            self.rt.block_on(counted).map_err(|e| Error::list("the store cannot be listed", e))
        })
    }

    /// What `pick` makes of all objects in a folder and below it, in no order.
    pub(crate) fn list_with<T>(
        &self,
        folder: &str,
        pick: impl Fn(&ObjectMeta) -> Option<T>,
    ) -> Result<Vec<T>> {
        let prefix = Path::from(folder);
        self.retry(|| {
            let listed = self.store.list(Some(&prefix));
            let found = listed.try_fold(Vec::new(), |mut found, meta| {
                found.extend(pick(&meta));
                async move { Ok(found) }
            });
            self.rt
                .block_on(found)
                .map_err(|e| Error::list(format!("folder {folder} cannot be listed"), e))
        })
    }

    /// Deletes an object; one that is gone already is no error.
    pub(crate) fn delete(&self, name: &str) -> Result<()> {
        let path = Path::from(name);
        self.retry(|| match self.rt.block_on(self.store.delete(&path)) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(Error::object(format!("object {name} cannot be deleted"), e)),
        })
    }

    fn retry<T>(&self, mut action: impl FnMut() -> Result<T>) -> Result<T> {
        let mut patience = Patience::new(&self.env);
        loop {
            match action() {
                Err(e) if e.kind() == ErrorKind::Transient && patience.pause(&e) => {}
                other => return other,
            }
        }
    }
}

/// A failed read. A place that the medium cannot read is damage, and not worth another try.
fn unread(name: &str, source: object_store::Error) -> Error {
    let context = format!("object {name} cannot be read");
    if error::is_of_medium(&source) {
        return Error::corrupt(context).because(source);
    }
    Error::object(context, source)
}

fn truncated(name: &str) -> Error {
    Error::corrupt(format!("object {name} is truncated"))
}

#[cfg(test)]
mod tests;

//! Objects: the only thing that a store keeps.
//!
//! Every object is written once, by one create-only put, and then only read or deleted. Nothing
//! needs compare-and-swap. A put that fails may still have succeeded (a lost reply, a retry
//! inside the client): every failure is settled by reading the object back and comparing it,
//! never by believing the error.

mod local;

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
use crate::error::{Error, ErrorKind, Result};
use crate::margins;

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
}

impl Objects {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, rt: Handle) -> Self {
        Self { store, rt }
    }

    /// Creates an object. `Theirs` only if an object with other bytes has the name.
    pub(crate) fn create(&self, name: &str, bytes: Bytes) -> Result<Put> {
        let path = Path::from(name);
        let mut last = None;
        for _ in 0..margins::TRIES {
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
            match self.settle(name, &bytes)? {
                Some(outcome) => return Ok(outcome),
                None if error.kind() == ErrorKind::Transient => last = Some(error),
                None => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| Error::internal("no try was made")))
    }

    /// Creates an object whose name is random, so that only a repeat of this very put can have
    /// the name.
    pub(crate) fn create_unique(&self, name: &str, bytes: Bytes) -> Result<()> {
        match self.create(name, bytes)? {
            Put::Ours => Ok(()),
            Put::Theirs => Err(Error::corrupt(format!("object {name} holds foreign bytes"))),
        }
    }

    /// After a failed put: whose bytes are there, if any?
    fn settle(&self, name: &str, bytes: &Bytes) -> Result<Option<Put>> {
        match self.get(name, bytes.len() as u64 + 1) {
            Ok(found) if found == bytes => Ok(Some(Put::Ours)),
            Ok(_) => Ok(Some(Put::Theirs)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) if e.kind() == ErrorKind::Corrupt => Ok(Some(Put::Theirs)),
            Err(e) => Err(e),
        }
    }

    /// A whole object of at most `limit` bytes.
    pub(crate) fn get(&self, name: &str, limit: u64) -> Result<Bytes> {
        self.retry(name, || self.rt.block_on(self.get_whole(name, limit)))
    }

    async fn get_whole(&self, name: &str, limit: u64) -> Result<Bytes> {
        let fail = |e| Error::object(format!("object {name} cannot be read"), e);
        let path = Path::from(name);
        let found = self.store.get_opts(&path, GetOptions::default()).await.map_err(fail)?;
        if found.meta.size > limit {
            return Err(Error::corrupt(format!("object {name} is larger than {limit} bytes")));
        }
        found.bytes().await.map_err(fail)
    }

    /// Exactly `range` of an object.
    pub(crate) fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes> {
        self.retry(name, || {
            let path = Path::from(name);
            let got = self.rt.block_on(self.store.get_range(&path, range.clone()));
            let want = range.end.saturating_sub(range.start);
            match got {
                Ok(bytes) if bytes.len() as u64 == want => Ok(bytes),
                Ok(_) => Err(truncated(name)),
                Err(source) => {
                    let error = Error::object(format!("object {name} cannot be read"), source);
                    if error.kind() == ErrorKind::Transient
                        && self.size(name).is_ok_and(|size| size < range.end)
                    {
                        return Err(truncated(name).because(error));
                    }
                    Err(error)
                }
            }
        })
    }

    /// The size of an object.
    pub(crate) fn size(&self, name: &str) -> Result<u64> {
        let path = Path::from(name);
        let meta = self.rt.block_on(self.store.head(&path));
        meta.map(|m| m.size).map_err(|e| Error::object(format!("object {name} cannot be found"), e))
    }

    /// Whether an object is there.
    pub(crate) fn exists(&self, name: &str) -> Result<bool> {
        match self.retry(name, || self.size(name)) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// The last parts of the names of all objects in a folder, sorted.
    pub(crate) fn list(&self, folder: &str) -> Result<Vec<String>> {
        let mut names =
            self.list_with(folder, |meta| meta.location.filename().map(str::to_owned))?;
        names.sort_unstable();
        Ok(names)
    }

    /// What `pick` makes of all objects in a folder and below it, in no order.
    pub(crate) fn list_with<T>(
        &self,
        folder: &str,
        pick: impl Fn(&ObjectMeta) -> Option<T>,
    ) -> Result<Vec<T>> {
        let prefix = Path::from(folder);
        self.retry(folder, || {
            let listed = self.store.list(Some(&prefix));
            let found = listed.try_fold(Vec::new(), |mut found, meta| {
                found.extend(pick(&meta));
                async move { Ok(found) }
            });
            self.rt
                .block_on(found)
                .map_err(|e| Error::object(format!("folder {folder} cannot be listed"), e))
        })
    }

    /// Deletes an object; one that is gone already is no error.
    pub(crate) fn delete(&self, name: &str) -> Result<()> {
        let path = Path::from(name);
        match self.rt.block_on(self.store.delete(&path)) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(Error::object(format!("object {name} cannot be deleted"), e)),
        }
    }

    /// Refuses a target whose promises do not hold: create-only puts, listing after writing,
    /// absence after deleting.
    pub(crate) fn probe(&self, env: &Env) -> Result<()> {
        let leaf = env.uuid().simple().to_string();
        let name = format!("probe/{leaf}");
        let refuse =
            |why: &str| Err(Error::new(ErrorKind::Unsupported, format!("the object store {why}")));
        self.create_unique(&name, Bytes::from_static(b"first"))?;
        let second = self.create(&name, Bytes::from_static(b"second"))?;
        let held = self.get(&name, margins::RECORD)?;
        let listed = self.list("probe")?.contains(&leaf);
        self.delete(&name)?;
        if second == Put::Ours || held != b"first".as_slice() {
            return refuse("overwrites objects that were to be created only");
        }
        if !listed {
            return refuse("does not list an object that was just written");
        }
        match self.get(&name, margins::RECORD) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
            Ok(_) => refuse("still returns an object that was just deleted"),
        }
    }

    fn retry<T>(&self, name: &str, mut action: impl FnMut() -> Result<T>) -> Result<T> {
        let mut tries = 1;
        loop {
            match action() {
                Err(e) if e.kind() == ErrorKind::Transient && tries < margins::TRIES => {
                    tracing::debug!(object = name, error = %e, "trying again");
                    tries += 1;
                }
                other => return other,
            }
        }
    }
}

fn truncated(name: &str) -> Error {
    Error::corrupt(format!("object {name} is truncated"))
}

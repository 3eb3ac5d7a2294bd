//! The opened store.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use object_store::ObjectStore;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use uuid::Uuid;

use crate::chunk::Rule;
use crate::config::{self, StoreConfig};
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::index::Index;
use crate::keys::{self, Domain, KeyRing, RecoveryKey, Secret, Slots};
use crate::load::Loader;
use crate::margins;
use crate::object::{Objects, Put};
use crate::point::{self, PointKey, PointRecord};
use crate::seal::{self, Record};

const CONFIG: &str = "config";
const CONFIG_CODE: &str = "tresor 0 configuration";

/// An opened store. Cheap to clone; all clones share one index and one set of caches.
///
/// Every call blocks and must come from a plain thread, never from an asynchronous task.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) id: Uuid,
    pub(crate) config: StoreConfig,
    pub(crate) env: Env,
    pub(crate) objects: Objects,
    pub(crate) ring: Arc<KeyRing>,
    pub(crate) rule: Rule,
    pub(crate) index: Arc<Index>,
    pub(crate) loader: Loader,
    probed: Mutex<bool>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Store").field(&self.0.id).finish()
    }
}

impl Store {
    /// Makes a store that `secret` opens, in a dedup domain of its own. The recovery key opens
    /// it too; it is not kept anywhere and must be shown to a person now.
    pub fn init(
        objects: Arc<dyn ObjectStore>,
        rt: Handle,
        cache: &Path,
        config: StoreConfig,
        secret: &Secret,
        env: Env,
    ) -> Result<(Self, RecoveryKey)> {
        let domain = Domain::random(&env);
        Self::init_in(domain, objects, rt, cache, config, secret, env)
    }

    /// The same, in the domain of another store: both will give equal contents equal names.
    pub fn init_in(
        domain: Domain,
        objects: Arc<dyn ObjectStore>,
        rt: Handle,
        cache: &Path,
        config: StoreConfig,
        secret: &Secret,
        env: Env,
    ) -> Result<(Self, RecoveryKey)> {
        config.check()?;
        let objects = Objects::new(objects, rt, env.clone());
        objects.probe()?;
        let id = env.uuid();
        let ring = KeyRing::random(id, domain, &env);
        let recovery = RecoveryKey::random(&env);
        let mut slots = Slots::new(id);
        slots.add(&ring, secret, &config, &env)?;
        slots.add(&ring, &Secret::Recovery(recovery.clone()), &config, &env)?;
        let slots = Bytes::from(slots.encode()?);
        for copy in 0..margins::SLOT_COPIES {
            objects.create_unique(&keys::object(id, 0, copy), slots.clone())?;
        }
        // The configuration comes last: a store exists once it does, and only one can.
        let mut object = config::encode(id, &config)?;
        let code = ring.code(CONFIG_CODE, &object)?;
        object.extend_from_slice(&code);
        if objects.create(CONFIG, object.into())? == Put::Theirs {
            return Err(Error::new(ErrorKind::Exists, "there is a store already"));
        }
        let store = Self::assemble(objects, ring, config, cache, env)?;
        *store.0.probed.lock().unwrap_or_else(PoisonError::into_inner) = true;
        Ok((store, recovery))
    }

    /// Opens a store. `cache` is a folder for copies of the index; it may be deleted at any time
    /// while no handle uses it.
    pub fn open(
        objects: Arc<dyn ObjectStore>,
        rt: Handle,
        cache: &Path,
        secret: &Secret,
        env: Env,
    ) -> Result<Self> {
        let objects = Objects::new(objects, rt, env.clone());
        let found = objects.get(CONFIG, margins::RECORD).map_err(|e| match e.kind() {
            ErrorKind::NotFound => Error::new(ErrorKind::NotFound, "there is no store").because(e),
            _ => e,
        })?;
        let decoded = config::decode(&found)?;
        let ring = unlock(&objects, decoded.store, secret)?;
        if ring.code(CONFIG_CODE, &decoded.covered)? != decoded.code {
            return Err(Error::corrupt("the configuration object is not authentic"));
        }
        Self::assemble(objects, ring, decoded.config, cache, env)
    }

    fn assemble(
        objects: Objects,
        ring: KeyRing,
        config: StoreConfig,
        cache: &Path,
        env: Env,
    ) -> Result<Self> {
        let ring = Arc::new(ring);
        let index = Index::open(objects.clone(), Arc::clone(&ring), env.clone(), cache)?;
        let index = Arc::new(index);
        let loader = Loader::new(objects.clone(), Arc::clone(&ring), Arc::clone(&index));
        let rule = Rule::new(&config, &ring.domain.seed);
        let (id, probed) = (ring.store, Mutex::new(false));
        let inner = Inner { id, config, env, objects, ring, rule, index, loader, probed };
        Ok(Self(Arc::new(inner)))
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    /// The store's name.
    pub fn id(&self) -> Uuid {
        self.0.id
    }

    /// The store's parameters.
    pub fn config(&self) -> &StoreConfig {
        &self.0.config
    }

    /// The dedup domain, for making another store in it.
    pub fn domain(&self) -> Domain {
        self.0.ring.domain.clone()
    }

    /// All committed points, by key.
    pub fn points(&self) -> Result<Vec<PointRecord>> {
        let mut out = Vec::new();
        for name in self.0.objects.list(point::FOLDER)? {
            let key: PointKey = name.parse().map_err(|e| {
                Error::corrupt(format!("object {}/{name} is no point", point::FOLDER)).because(e)
            })?;
            // Gone since it was listed: removed, no error.
            out.extend(self.point(&key)?);
        }
        Ok(out)
    }

    /// A committed point.
    pub fn point(&self, key: &PointKey) -> Result<Option<PointRecord>> {
        let name = key.object();
        let bytes = match self.0.objects.get(&name, margins::RECORD) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let body = seal::open(&self.0.ring, Record::Point, &name, &bytes)?;
        PointRecord::decode(&body, key, &self.0.loader.hasher).map(Some)
    }

    /// Removes a point, durably; one that is gone already is no error. A pinned point stays and
    /// the call fails with [`ErrorKind::Pinned`]. What only this point reached becomes garbage.
    pub fn remove_point(&self, key: &PointKey) -> Result<()> {
        if let Some(pin) = self.pins()?.into_iter().find(|pin| pin.point.key == *key) {
            let context = format!("point {key} is pinned by {}", pin.holder);
            return Err(Error::new(ErrorKind::Pinned, context));
        }
        self.0.objects.delete(&key.object())
    }
}

impl Inner {
    /// Before the first write through a handle: is the target fit for it?
    pub(crate) fn probe(&self) -> Result<()> {
        let mut probed = self.probed.lock().unwrap_or_else(PoisonError::into_inner);
        if !*probed {
            self.objects.probe()?;
            *probed = true;
        }
        Ok(())
    }

    /// Creates an encrypted record under a random name.
    pub(crate) fn create_record(
        &self,
        record: Record,
        name: &str,
        body: &impl Serialize,
    ) -> Result<()> {
        let json = serde_json::to_vec(body)
            .map_err(|e| Error::internal("a record cannot be encoded").because(e))?;
        let sealed = seal::seal(&self.ring, &self.env, record, name, &json)?;
        self.objects.create_unique(name, sealed.into())
    }

    /// All records in a folder.
    pub(crate) fn read_records<T: DeserializeOwned>(
        &self,
        record: Record,
        folder: &str,
    ) -> Result<Vec<T>> {
        let mut out = Vec::new();
        for leaf in self.objects.list(folder)? {
            let name = format!("{folder}/{leaf}");
            let bytes = match self.objects.get(&name, margins::RECORD) {
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                other => other?,
            };
            let body = seal::open(&self.ring, record, &name, &bytes)?;
            let decoded = serde_json::from_slice(&body)
                .map_err(|e| Error::corrupt(format!("record {name} cannot be read")).because(e))?;
            out.push(decoded);
        }
        Ok(out)
    }
}

/// Opens the newest whole copy of the key slots with `secret`.
fn unlock(objects: &Objects, store: Uuid, secret: &Secret) -> Result<KeyRing> {
    let prefix = format!("{}-", store.simple());
    let mut names = objects.list(keys::folder())?;
    names.retain(|name| name.starts_with(&prefix));
    let mut damage = Error::new(ErrorKind::Corrupt, "the store has no key slots");
    for name in names.iter().rev() {
        let slots = objects
            .get(&format!("{}/{name}", keys::folder()), margins::RECORD)
            .and_then(|bytes| Slots::decode(&bytes));
        match slots {
            Ok(slots) if slots.store() == store => return slots.open(secret),
            Ok(_) => damage = Error::corrupt("the key slots belong to another store"),
            Err(e) => damage = e,
        }
    }
    Err(damage)
}

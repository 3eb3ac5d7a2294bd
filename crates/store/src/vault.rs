//! The opened store.

use std::collections::BTreeSet;
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
use crate::damage::{self, Damaged, Points, Records};
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
    /// Names of the quarantine records that the index knows of.
    pub(crate) quarantine: Mutex<BTreeSet<String>>,
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
        let objects = Objects::new(objects, rt);
        objects.probe(&env)?;
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
        let objects = Objects::new(objects, rt);
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
        let (id, probed, quarantine) = (ring.store, Mutex::new(false), Mutex::default());
        let inner =
            Inner { id, config, env, objects, ring, rule, index, loader, quarantine, probed };
        inner.learn_quarantine()?;
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

    /// All committed points that can be read, by key. Those that cannot are in the log; see
    /// [`Store::all_points`].
    pub fn points(&self) -> Result<Vec<PointRecord>> {
        let points = self.all_points()?;
        for damaged in &points.damaged {
            let Damaged { object, why, .. } = damaged;
            tracing::warn!(object, why, "a damaged point is left out");
        }
        Ok(points.good)
    }

    /// All committed points, by key, and what is in their place where one is damaged. Whoever
    /// deletes must not go on while there are damaged ones: they reach what nobody can know.
    pub fn all_points(&self) -> Result<Points> {
        let mut out = Points::default();
        for name in self.0.objects.list(point::FOLDER)? {
            let found = name.parse().and_then(|key: PointKey| self.point(&key));
            match found {
                // Gone since it was listed: removed, no error.
                Ok(found) => out.good.extend(found),
                Err(e) if damage::is_damage(&e) || e.kind() == ErrorKind::Invalid => {
                    let object = format!("{}/{name}", point::FOLDER);
                    out.damaged.push(Damaged::new(object, &e));
                }
                Err(e) => return Err(e),
            }
        }
        Ok(out)
    }

    /// The index runs that cannot be read. What only they name is not found until the store is
    /// repaired; all else is.
    pub fn damaged_runs(&self) -> Vec<Damaged> {
        self.0.index.damaged()
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
    /// Reads the configuration object and fails unless it is authentic and the one in use.
    pub(crate) fn check_config(&self) -> Result<()> {
        let decoded = config::decode(&self.objects.get(CONFIG, margins::RECORD)?)?;
        let authentic = self.ring.code(CONFIG_CODE, &decoded.covered)? == decoded.code;
        if !authentic || decoded.store != self.id || decoded.config != self.config {
            return Err(Error::corrupt("the configuration object is not authentic"));
        }
        Ok(())
    }

    /// Before the first write through a handle: is the target fit for it?
    pub(crate) fn probe(&self) -> Result<()> {
        let mut probed = self.probed.lock().unwrap_or_else(PoisonError::into_inner);
        if !*probed {
            self.objects.probe(&self.env)?;
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

    /// All records in a folder, damaged ones apart.
    pub(crate) fn read_records<T: DeserializeOwned>(
        &self,
        record: Record,
        folder: &str,
    ) -> Result<Records<T>> {
        let mut out = Records { good: Vec::new(), damaged: Vec::new() };
        for leaf in self.objects.list(folder)? {
            let name = format!("{folder}/{leaf}");
            match self.read_record(record, &name) {
                Ok(decoded) => out.good.push((name, decoded)),
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) if damage::is_damage(&e) => out.damaged.push((name, e)),
                Err(e) => return Err(e),
            }
        }
        Ok(out)
    }

    /// One encrypted record.
    fn read_record<T: DeserializeOwned>(&self, record: Record, name: &str) -> Result<T> {
        let bytes = self.objects.get(name, margins::RECORD)?;
        let body = seal::open(&self.ring, record, name, &bytes)?;
        serde_json::from_slice(&body)
            .map_err(|e| Error::corrupt(format!("record {name} cannot be read")).because(e))
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

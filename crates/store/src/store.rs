//! The opened store.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use object_store::ObjectStore;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use uuid::Uuid;

use crate::chunk::Rule;
use crate::config::{self, StoreConfig};
use crate::damage::{self, Damaged, Records};
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result, chain};
use crate::id::Kind;
use crate::index::Index;
use crate::keys::{self, Domain, KeyRing, RecoveryKey, Secret};
use crate::load::Loader;
use crate::margins;
use crate::memory::Pool;
use crate::object::{Objects, Put};
use crate::pack::Writer;
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
    /// The configuration was lost: what would be written would not fit what is there.
    remains: bool,
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
        let objects = Objects::new(objects, rt, env.clone());
        objects.probe()?;
        let id = env.uuid();
        let recovery = RecoveryKey::random(&env);
        let secrets = [(secret, "first"), (&Secret::Recovery(recovery.clone()), "recovery")];
        let ring = keys::found(&objects, id, domain, &secrets, &config, &env)?;
        // The configuration comes last: a store exists once it does, and only one can.
        let mut object = config::encode(id, &config)?;
        let code = ring.code(CONFIG_CODE, &object)?;
        object.extend_from_slice(&code);
        if objects.create(CONFIG, object.into())? == Put::Theirs {
            return Err(Error::new(ErrorKind::Exists, "there is a store already"));
        }
        let store = Self::assemble(objects, ring, Some(config), cache, env)?;
        *store.0.probed.lock().unwrap_or_else(PoisonError::into_inner) = true;
        // The store is there, and its recovery key must be shown: whoever begins the first point
        // makes the reserve, or says why not.
        if let Err(e) = store.0.keep_reserve() {
            tracing::warn!(error = chain(&e), "the store has no reserve yet");
        }
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
        let ring = KeyRing::unlock(&objects, decoded.store, secret)?;
        if ring.code(CONFIG_CODE, &decoded.covered)? != decoded.code {
            return Err(Error::corrupt("the configuration object is not authentic"));
        }
        Self::assemble(objects, ring, Some(decoded.config), cache, env)
    }

    /// Opens a store for reading although its configuration is lost or damaged: `secret` and a
    /// copy of the key slots are enough. A store that is whole is opened as ever.
    ///
    /// Nothing can be written through a handle without its configuration. What the index lacks
    /// is found by a repair, which need not change the store.
    pub fn open_remains(
        objects: Arc<dyn ObjectStore>,
        rt: Handle,
        cache: &Path,
        secret: &Secret,
        env: Env,
    ) -> Result<Self> {
        let opened = Self::open(objects.clone(), rt.clone(), cache, secret, env.clone());
        let why = match opened {
            Err(e) if e.kind() == ErrorKind::NotFound || damage::is_damage(&e) => e,
            other => return other,
        };
        tracing::warn!(error = chain(&why), "the store is opened without its configuration");
        let objects = Objects::new(objects, rt, env.clone());
        let mut failed = why;
        for id in KeyRing::stores(&objects)? {
            match KeyRing::unlock(&objects, id, secret) {
                Ok(ring) => return Self::assemble(objects, ring, None, cache, env),
                Err(e) => failed = e,
            }
        }
        Err(failed)
    }

    fn assemble(
        objects: Objects,
        ring: KeyRing,
        config: Option<StoreConfig>,
        cache: &Path,
        env: Env,
    ) -> Result<Self> {
        let remains = config.is_none();
        let config = config.unwrap_or_default();
        let ring = Arc::new(ring);
        let index = Index::open(objects.clone(), Arc::clone(&ring), env.clone(), cache)?;
        let index = Arc::new(index);
        let loader = Loader::new(objects.clone(), Arc::clone(&ring), Arc::clone(&index));
        let rule = Rule::new(&config, &ring.domain.seed)?;
        let (id, probed, quarantine) = (ring.store, Mutex::new(false), Mutex::default());
        let inner = Inner {
            id,
            config,
            env,
            objects,
            ring,
            rule,
            index,
            loader,
            remains,
            quarantine,
            probed,
        };
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

    /// The index runs that cannot be read. What only they name is not found until the store is
    /// repaired; all else is.
    pub fn damaged_runs(&self) -> Vec<Damaged> {
        self.0.index.damaged()
    }
}

impl Inner {
    /// Memory for packs that are made one after another.
    pub(crate) fn pack_memory(&self) -> Arc<Pool> {
        Pool::new(margins::PACKS_KEPT, self.pack_room())
    }

    /// Begins a pack in such memory.
    pub(crate) fn begin_pack(&self, kind: Kind, memory: &Arc<Pool>) -> Result<Writer> {
        Writer::new(&self.ring, &self.env, kind, memory.lend(self.pack_room())?)
    }

    fn pack_room(&self) -> usize {
        self.config.pack_bytes as usize + margins::PACK_SPARE
    }

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
        if self.remains {
            let context = "the store's configuration is lost: it can only be read; copy its points \
                           to a new store";
            return Err(Error::new(ErrorKind::Unsupported, context));
        }
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
        match self.offer_record(record, name, body)? {
            Put::Ours => Ok(()),
            Put::Theirs => Err(Error::corrupt(format!("object {name} holds foreign bytes"))),
        }
    }

    /// Creates an encrypted record under a name that somebody else may have taken.
    pub(crate) fn offer_record(
        &self,
        record: Record,
        name: &str,
        body: &impl Serialize,
    ) -> Result<Put> {
        let json = serde_json::to_vec(body)
            .map_err(|e| Error::internal("a record cannot be encoded").because(e))?;
        let sealed = seal::seal(&self.ring, &self.env, record, name, &json)?;
        self.objects.create(name, sealed.into())
    }

    /// All records in a folder, damaged ones apart. Their names are random; other files are none.
    pub(crate) fn read_records<T: DeserializeOwned>(
        &self,
        record: Record,
        folder: &str,
    ) -> Result<Records<T>> {
        self.read_some(record, folder, |leaf| Uuid::try_parse(leaf).is_ok())
    }

    /// Those of them whose names are wanted; the others are not read.
    pub(crate) fn read_some<T: DeserializeOwned>(
        &self,
        record: Record,
        folder: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Records<T>> {
        let mut out = Records { good: Vec::new(), damaged: Vec::new() };
        for leaf in self.objects.list_some(folder, wanted)? {
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
    pub(crate) fn read_record<T: DeserializeOwned>(&self, record: Record, name: &str) -> Result<T> {
        let bytes = self.objects.get(name, margins::RECORD)?;
        let body = seal::open(&self.ring, record, name, &bytes)?;
        serde_json::from_slice(&body)
            .map_err(|e| Error::corrupt(format!("record {name} cannot be read")).because(e))
    }
}

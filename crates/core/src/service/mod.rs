//! Everything that can be asked of the domain.
//!
//! [`Service`] holds what the parts need: the catalogue, the store, the disks and the environment.
//! Each file of this folder answers the questions about one noun. Decisions that read and then
//! write configuration hold [`Service::change`], so that no two of them interleave; the writes
//! themselves are one list each, so a crash leaves either none or all of them.

mod backup;
mod consent;
mod deleted;
mod disk;
mod door;
mod event;
mod export;
mod first;
mod folder;
mod grant;
mod group;
mod guard_proxy;
mod identity;
mod instance;
mod job;
mod operation;
mod policy;
mod prerequisite;
mod principal;
mod resource;
mod resource_guard;
mod restore;
mod role;
mod settle;
mod snapshot;
mod sync;
mod vault;

pub(crate) use backup::running;
pub(crate) use disk::volume_name;
pub(crate) use export::{ends, exporting, output};
pub(crate) use instance::whole;
pub(crate) use operation::log;
pub(crate) use snapshot::{parse_key, stored};

pub use disk::{DISK_BYTES_MAX, DiskPatch, DiskSpec, FOOTER_BYTES, OriginSpec, SECTOR};
pub use export::{Document, JobForm};
pub use first::FirstStart;
pub use group::GroupSpec;
pub use identity::{IDENTITY_ASSIGN, IdentityChanges, UserIdentitySpec};
pub use instance::{InstanceSpec, Transition};
pub use job::{JobQuery, PointQuery};
pub use operation::Outcome;
pub use principal::{
    PRINCIPAL_DELETE, PRINCIPAL_NAME_MAX, PRINCIPAL_WRITE, PRINCIPALS_MAX, PrincipalQuery,
    SECRETS_MAX, SecretSpec, SignIn,
};
pub use resource_guard::GuardSpec;
pub use restore::RestoreSpec;
pub use role::{ASSIGNMENTS_MAX, AssignmentSpec, ROLES_MAX, Rights};
pub use settle::Rest;
pub use snapshot::SnapshotSpec;
pub use vault::{IdentitySpec, VaultPatch, VaultSettings, VaultSpec};

use crate::audit::{AuditSettings, Recorder};
use crate::catalogue::{Catalogue, CatalogueError, Write, sqlite::SqliteCatalogue};
use crate::error::{Error, Fault, FaultKind, Result};
use crate::hook::Hooks;
use crate::limits::Limits;
use crate::model::ResourceId;
use crate::work::Meters;
use door::Doors;
use folder::Folder;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinSet;
use tresor_disk::Pool;
use tresor_store::env::Env;
use tresor_store::{Store, StoreConfig};
use uuid::Uuid;
use zeroize::Zeroizing;

/// What an operator can set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Folder of the disks' volumes.
    pub pool: PathBuf,
    /// Folder of the operational store.
    pub store: PathBuf,
    /// Folders whose image files may be imported.
    pub import: Vec<PathBuf>,
    /// Which quotas hold.
    pub limits: Limits,
    /// Jobs that run at the same time.
    pub workers: usize,
    /// Locations that this site answers for, canonical names such as `westus`.
    pub locations: Vec<String>,
    /// Parameters of a store that is made at first start.
    pub store_config: StoreConfig,
    /// Nothing is flushed to stable storage: for services that are thrown away.
    pub volatile: bool,
    /// What those who test their automation may do to the service; None is nothing.
    pub hooks: Option<Arc<Hooks>>,
    /// The audit trail.
    pub audit: AuditSettings,
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Object id, which role assignments name.
    pub object_id: Uuid,
    /// Client id, which sign-in names.
    pub client_id: Uuid,
    /// Name shown to people.
    pub name: String,
    /// Correlation id of the request.
    pub correlation: Uuid,
    /// Object ids of others whose tokens the request carries. They count where a resource guard
    /// asks for consent, and nowhere else.
    pub auxiliary: Vec<Uuid>,
    /// Requests of a resource guard that the request's body names.
    pub guard_requests: Vec<ResourceId>,
}

impl Caller {
    /// A caller who comes alone.
    #[must_use]
    pub fn new(object_id: Uuid, client_id: Uuid, name: String, correlation: Uuid) -> Self {
        let (auxiliary, guard_requests) = (vec![], vec![]);
        Self { object_id, client_id, name, correlation, auxiliary, guard_requests }
    }
}

/// The domain, opened on a data folder.
pub struct Service {
    pub(crate) catalogue: Arc<dyn Catalogue>,
    pub(crate) env: Env,
    pub(crate) settings: Settings,
    pub(crate) pool: Arc<Pool>,
    pub(crate) store: Store,
    pub(crate) tenant: Uuid,
    pub(crate) subscription: Uuid,
    /// Held while configuration is decided and written.
    pub(crate) change: Mutex<()>,
    /// Counts ended operations: held polls wait for it.
    pub(crate) ended: watch::Sender<u64>,
    /// Wakes workers.
    pub(crate) nudge: Notify,
    /// True once the service stops.
    pub(crate) stopping: watch::Sender<bool>,
    pub(crate) meters: Meters,
    /// What is opened behind grants.
    pub(crate) doors: Doors,
    pub(crate) recorder: Recorder,
    workers: Mutex<JoinSet<()>>,
    pub(crate) exports: export::Exports,
    folder: Folder,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

impl Service {
    /// Opens the data folder, making it at first start. No worker runs before [`Service::start`].
    ///
    /// # Errors
    /// When another process owns the folder, or when the catalogue, the store or the disks cannot
    /// be opened.
    pub async fn open(
        data: &Path,
        settings: Settings,
        env: Env,
    ) -> Result<(Arc<Self>, Option<FirstStart>)> {
        let folder = Folder::own(data, settings.volatile)?;
        let file = folder.join("catalogue.db");
        let catalogue = match settings.volatile {
            false => SqliteCatalogue::open(&file).await,
            true => SqliteCatalogue::open_volatile(&file).await,
        };
        let catalogue = catalogue.map_err(|e| Error::internal("opening the catalogue", e))?;
        folder.keep_private("catalogue.db")?;
        let catalogue: Arc<dyn Catalogue> = Arc::new(catalogue);
        let Settings { audit, volatile, .. } = settings;
        let recorder = Recorder::open(data, audit, volatile, &env, &catalogue).await?;
        let opened = first::open(&folder, &settings, &env, &*catalogue).await?;
        catalogue.void_leases().await?;
        let pool = Pool::open(&settings.pool)
            .map_err(|e| Error::internal("opening the pool of volumes", e))?;
        let service = Arc::new(Self {
            catalogue,
            env,
            pool: Arc::new(pool),
            store: opened.store,
            tenant: opened.tenant,
            subscription: opened.subscription,
            change: Mutex::new(()),
            ended: watch::Sender::new(0),
            nudge: Notify::new(),
            stopping: watch::Sender::new(false),
            meters: Meters::default(),
            doors: Doors::default(),
            recorder,
            workers: Mutex::new(JoinSet::new()),
            exports: export::Exports::open(&folder)?,
            folder,
            settings,
        });
        Ok((service, opened.first))
    }

    /// Marks the first start as done: its secrets are kept. Until then every start makes new ones.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn confirm_first_start(&self) -> Result<()> {
        self.catalogue.set_setting(first::READY, "1").await?;
        self.folder.finish_store()
    }

    /// Starts the workers; work left by a crash goes on.
    pub async fn start(self: &Arc<Self>) {
        let mut workers = self.workers.lock().await;
        workers.spawn(crate::work::tidy(Arc::clone(self)));
        for _ in 0..self.settings.workers.max(1) {
            workers.spawn(crate::work::run(Arc::clone(self)));
        }
        workers.spawn(Arc::clone(self).sweep_doors());
    }

    /// Releases held polls, cancels running work at its next step and waits for the workers. Work
    /// that was cancelled this way goes on at the next start.
    pub async fn stop(&self) {
        self.stopping.send_replace(true);
        self.nudge.notify_waiters();
        let mut workers = self.workers.lock().await;
        while let Some(ended) = workers.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a worker did not end well");
            }
        }
        self.recorder.flush().await;
    }

    /// Whether requests can be answered.
    pub async fn ready(&self) -> bool {
        !*self.stopping.borrow() && self.catalogue.work_count().await.is_ok()
    }

    /// Work items that are queued or running.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn queued(&self) -> Result<u64> {
        Ok(self.catalogue.work_count().await?)
    }

    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> Uuid {
        self.tenant
    }

    /// The subscription.
    #[must_use]
    pub fn subscription(&self) -> Uuid {
        self.subscription
    }

    /// Time and chance.
    #[must_use]
    pub fn env(&self) -> &Env {
        &self.env
    }

    /// What tests may do to the service, if that was asked for.
    #[must_use]
    pub fn hooks(&self) -> Option<&Arc<Hooks>> {
        self.settings.hooks.as_ref()
    }

    /// Canonical names of the locations of this site.
    #[must_use]
    pub fn locations(&self) -> &[String] {
        &self.settings.locations
    }

    /// The canonical name of a location written in any way, such as `West US`.
    ///
    /// # Errors
    /// When this site does not answer for it; the fault names `location`.
    pub fn location(&self, text: &str) -> Result<String> {
        let name = canonical_location(text);
        if self.settings.locations.contains(&name) {
            return Ok(name);
        }
        let known = self.settings.locations.join(", ");
        Err(Fault::invalid(
            "location",
            format!("The location '{text}' is not one of this site: {known}."),
        )
        .into())
    }

    /// A key of the wire, kept in the data folder; blocking.
    ///
    /// # Errors
    /// When the file cannot be read or made.
    pub fn key_file(
        &self,
        name: &str,
        make: impl FnOnce() -> Zeroizing<Vec<u8>>,
    ) -> Result<Zeroizing<Vec<u8>>> {
        self.folder.key(name, make)
    }

    /// Names of the keys of the wire that begin so; blocking.
    ///
    /// # Errors
    /// When the folder of keys cannot be read.
    pub fn key_names(&self, prefix: &str) -> Result<Vec<String>> {
        self.folder.key_names(prefix)
    }

    /// Removes a key of the wire for good; blocking.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn forget_key(&self, name: &str) -> Result<()> {
        self.folder.forget_key(name)
    }

    /// Applies writes; a failed expectation becomes a conflict. What was opened behind grants that
    /// are removed is let go.
    pub(crate) async fn apply(&self, writes: Vec<Write>) -> Result<()> {
        Ok(self.commit(writes).await?)
    }

    /// The same, for who tells apart why the catalogue refuses.
    pub(crate) async fn commit(&self, writes: Vec<Write>) -> Result<(), CatalogueError> {
        let writes = crate::hook::altered(self, writes);
        let closed = door::closed_by(&writes);
        self.catalogue.apply(writes).await?;
        for resource in closed {
            door::release(self.doors.forget(&resource)).await;
        }
        Ok(())
    }
}

/// Lower case without blanks: the form in which locations compare.
#[must_use]
pub fn canonical_location(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect()
}

impl From<CatalogueError> for Error {
    fn from(error: CatalogueError) -> Self {
        match error {
            CatalogueError::Conflict(what) => Fault::new(
                FaultKind::Conflict,
                format!("Another request changed '{what}' at the same time."),
            )
            .advise("Read it again and retry.")
            .into(),
            CatalogueError::Cursor => {
                let message = "The $skipToken is none that this service gave out.";
                Fault::invalid("$skipToken", message)
                    .advise("Start again at the first page.")
                    .into()
            }
            other => Self::internal("a look into the catalogue", other),
        }
    }
}

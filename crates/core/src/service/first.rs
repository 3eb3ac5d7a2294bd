//! The first start: tenant, subscription, an owner and the operational store.

use super::Settings;
use super::folder::Folder;
use crate::access;
use crate::catalogue::{Catalogue, Write};
use crate::error::{Error, Fault, FaultKind, Result};
use crate::model::{Principal, PrincipalKind, ResourceId, RoleAssignment};
use std::io;
use std::path::Path;
use std::sync::Arc;
use tresor_store::env::Env;

use tresor_store::{LocalObjects, RecoveryKey, Secret, Store};
use uuid::Uuid;
use zeroize::Zeroizing;

/// What a first start made; the secrets exist nowhere else.
pub struct FirstStart {
    /// The tenant.
    pub tenant: Uuid,
    /// The subscription.
    pub subscription: Uuid,
    /// Client id of the owner.
    pub client_id: Uuid,
    /// Secret of the owner.
    pub client_secret: Zeroizing<String>,
    /// Opens the operational store when its key file is lost.
    pub recovery_key: RecoveryKey,
}

impl std::fmt::Debug for FirstStart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FirstStart").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

/// What every start needs.
pub(super) struct Opened {
    pub(super) store: Store,
    pub(super) tenant: Uuid,
    pub(super) subscription: Uuid,
    pub(super) first: Option<FirstStart>,
}

/// Set once the secrets of the first start are kept by whoever asked for it.
pub(super) const READY: &str = "first_start_done";

/// Opens the store, making everything first when this folder was never started to its end.
pub(super) async fn open(
    folder: &Folder,
    settings: &Settings,
    env: &Env,
    catalogue: &dyn Catalogue,
) -> Result<Opened> {
    let ready = catalogue.setting(READY).await?.is_some();
    let store = open_store(folder, settings, env, !ready).await?;
    let tenant = setting(catalogue, "tenant", env).await?;
    let subscription = setting(catalogue, "subscription", env).await?;
    let Some(recovery_key) = store.1 else {
        return Ok(Opened { store: store.0, tenant, subscription, first: None });
    };
    let (owner, client_secret) = owner(env);
    let client_id = owner.client_id;
    let grant = owner_grant(env, &owner)?;
    catalogue.apply(vec![Write::PutPrincipal(owner), Write::AddAssignment(grant)]).await?;
    let first = FirstStart { tenant, subscription, client_id, client_secret, recovery_key };
    Ok(Opened { store: store.0, tenant, subscription, first: Some(first) })
}

async fn setting(catalogue: &dyn Catalogue, name: &str, env: &Env) -> Result<Uuid> {
    if let Some(kept) = catalogue.setting(name).await? {
        return Uuid::parse_str(&kept).map_err(|e| Error::internal("reading a setting", e));
    }
    let made = env.uuid();
    catalogue.set_setting(name, &made.to_string()).await?;
    Ok(made)
}

fn owner(env: &Env) -> (Principal, Zeroizing<String>) {
    let (kept, secret) = super::principal::fresh(env, Some("first start".into()), env.real(), None);
    let principal = Principal {
        object_id: env.uuid(),
        client_id: env.uuid(),
        name: "owner".into(),
        kind: PrincipalKind::Application,
        secrets: vec![kept],
        created: Some(env.domain()),
        resource: None,
    };
    (principal, secret)
}

fn owner_grant(env: &Env, owner: &Principal) -> Result<RoleAssignment> {
    let id = format!("/providers/Microsoft.Authorization/roleAssignments/{}", env.uuid());
    Ok(RoleAssignment {
        id: ResourceId::parse(&id).map_err(|e| Error::internal("naming an assignment", e))?,
        scope: ResourceId::root(),
        role: access::OWNER,
        principal: owner.object_id,
        principal_type: "ServicePrincipal".into(),
        description: Some("made at first start".into()),
        created_by: owner.object_id.to_string(),
        created_at: env.domain(),
    })
}

/// Empties the folder of a store that this data folder began and never finished; anything else in
/// it is somebody's and is not touched.
fn clear(path: &Path, unfinished: bool) -> Result<()> {
    let fail = |e: io::Error| Error::internal("looking into the store's folder", e);
    let used = |path: &Path| -> io::Result<bool> {
        Ok(path.try_exists()? && path.read_dir()?.next().is_some())
    };
    if !used(path).map_err(fail)? {
        return Ok(());
    }
    if !unfinished || used(&path.join("points")).map_err(fail)? {
        let message = format!(
            "The store's folder '{}' is not empty, and this data folder does not know it.",
            path.display()
        );
        return Err(Fault::new(FaultKind::Conflict, message)
            .advise("Name an empty folder, or the data folder that the store belongs to.")
            .into());
    }
    crate::durable::discard(path).map_err(|e| Error::internal("clearing an unfinished store", e))
}

/// A folder whose first start broke off holds nothing that anybody was told of: its store is made
/// anew, so that the recovery key that is handed out is the one that opens it.
async fn open_store(
    folder: &Folder,
    settings: &Settings,
    env: &Env,
    make: bool,
) -> Result<(Store, Option<RecoveryKey>)> {
    let key = folder.key("store.key", || Zeroizing::new(env.bytes::<32>().to_vec()))?;
    let key: [u8; 32] = key
        .as_slice()
        .try_into()
        .map_err(|e| Error::internal("reading the store's key file: it is not 32 bytes", e))?;
    let secret = Secret::KeyFile(Zeroizing::new(key));
    let (path, env, config) = (settings.store.clone(), env.clone(), settings.store_config.clone());
    let files = super::folder::files(settings.volatile);
    let cache = folder.join("cache");
    let unfinished = make && folder.begin_store()?;
    let runtime = tokio::runtime::Handle::current();
    let opening = tokio::task::spawn_blocking(move || {
        if make {
            clear(&path, unfinished)?;
        }
        let objects = LocalObjects::open_on(&path, files)
            .map_err(|e| Error::internal("opening the store's folder", e))?;
        let objects = Arc::new(objects);
        let fail = |e| Error::internal("opening the operational store", e);
        if make {
            let (store, key) =
                Store::init(objects, runtime, &cache, config, &secret, env).map_err(fail)?;
            Ok((store, Some(key)))
        } else {
            Ok((Store::open(objects, runtime, &cache, &secret, env).map_err(fail)?, None))
        }
    });
    opening.await.map_err(|e| Error::internal("opening the operational store", e))?
}

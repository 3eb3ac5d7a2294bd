//! Backup vaults.

use super::{group_path, route, rows, subscription_path, vault_of, vault_path};
use crate::table::{Route, handler};
use crate::types::name::{self, Named};
use crate::types::time::instant;
use crate::types::{guard, vault};
use crate::wire::error::ArmError;
use crate::wire::operation::{StatusScope, accept, begin};
use crate::wire::paging;
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use http::{HeaderName, Method, StatusCode};
use serde_json::{Value, json};
use tresor_core::model::{Resource, ResourceId, SoftDeleteState, Vault};
use tresor_core::service::VaultSettings;

const KIND: &str = "microsoft.dataprotection/backupvaults";
/// From here on a request can set no other soft delete than AlwaysOn.
const ALWAYS_ON_SINCE: &str = "2025-09-01";
/// From here on the deletion of a vault is followed like other operations.
const DELETE_FOLLOWED_SINCE: &str = "2022-12-01";
/// From here on a deleted vault can be had back.
const RESTORED_SINCE: &str = "2025-09-01";
/// Names the deleted vault that a PUT wants back.
const DELETED_ID: &str = "x-ms-deleted-vault-id";
/// From here on a new vault need not name its storage.
const STORAGE_OPTIONAL_SINCE: &str = "2025-01-01";
const RETRY_AFTER: u32 = 10;
const SYSTEM_DATA: HeaderName = HeaderName::from_static("x-ms-arm-resource-system-data");

pub(super) fn routes() -> Vec<Route> {
    let read = "Microsoft.DataProtection/backupVaults/read";
    let write = "Microsoft.DataProtection/backupVaults/write";
    let remove = "Microsoft.DataProtection/backupVaults/delete";
    let subscription = subscription_path!("/backupVaults");
    let group = group_path!("/backupVaults");
    let one = vault_path!("");
    vec![
        route(
            Method::GET,
            subscription,
            read,
            handler!(list_all),
            "BackupVaults_GetInSubscription",
        ),
        route(Method::GET, group, read, handler!(list_all), "BackupVaults_GetInResourceGroup"),
        route(Method::GET, one, read, handler!(get), "BackupVaults_Get"),
        route(Method::PUT, one, write, handler!(put), "BackupVaults_CreateOrUpdate"),
        route(Method::PATCH, one, write, handler!(patch), "BackupVaults_Update"),
        route(Method::DELETE, one, remove, handler!(delete), "BackupVaults_Delete"),
    ]
}

fn json_of(request: &Request, resource: &Resource, state: &str, guarded: bool) -> Option<Value> {
    let tenant = request.app.service.tenant();
    resource.as_vault().map(|model| vault::json(resource, model, tenant, state, guarded))
}

async fn shown(request: &Request, resource: &Resource, state: &str) -> Result<Value, ArmError> {
    let guarded = !request.app.service.guarded(&[&resource.id]).await?.is_empty();
    Ok(json_of(request, resource, state, guarded).unwrap_or_default())
}

async fn list_all(request: Request) -> Result<Reply, ArmError> {
    let service = &request.app.service;
    if request.id.group().is_some() {
        service.require_group(&request.id).await?;
    }
    let page = rows(&request, KIND).await?;
    let ids: Vec<&ResourceId> = page.rows.iter().map(|row| &row.id).collect();
    let guarded = service.guarded(&ids).await?;
    let json = |row| json_of(&request, row, "Succeeded", guarded.contains(&row.id));
    let rows: Vec<Value> = page.rows.iter().filter_map(json).collect();
    Ok(Reply::ok(paging::page(&request, rows, page.after)?))
}

async fn get(request: Request) -> Result<Reply, ArmError> {
    let found = vault_of(&request).await?;
    Ok(Reply::ok(shown(&request, &found, "Succeeded").await?))
}

async fn put(request: Request) -> Result<Reply, ArmError> {
    let root = request.root()?;
    name::check(Named::Vault, request.id.name())?;
    let service = &request.app.service;
    let deleted = deleted_id(&request)?;
    let mut spec = vault::spec(request.id.clone(), root.clone())?;
    let before = match &deleted {
        Some(id) => Some(service.deleted_vault(id).await?.1.vault),
        None => service.find(&request.id).await?.and_then(|r| r.as_vault().cloned()),
    };
    need_storage(&request, before.as_ref(), &spec.settings)?;
    settle_soft_delete(&request, before.as_ref(), &mut spec.settings)?;
    let caller = guard::caller(&request.caller, &root.get("properties"))?;
    let outcome = match &deleted {
        Some(id) => service.vault_restore(&caller, id, spec).await?,
        None => service.vault_put(&caller, spec).await?,
    };
    let resource = &outcome.resource;
    let state = if outcome.created { "Provisioning" } else { "Updating" };
    let reply = Reply::created(shown(&request, resource, state).await?)
        .header(SYSTEM_DATA, &system_data(resource).to_string());
    let scope = StatusScope::Vault;
    let operation = &outcome.operation;
    Ok(begin(reply, &request, operation, scope, &resource.location, RETRY_AFTER, false))
}

/// The deleted vault that the request wants back.
fn deleted_id(request: &Request) -> Result<Option<ResourceId>, ArmError> {
    let Some(value) = request.headers.get(DELETED_ID) else {
        return Ok(None);
    };
    let refuse = |why: &str| {
        let message = format!("{DELETED_ID}: {why}");
        Err(ArmError::invalid(request.dialect, DELETED_ID, message))
    };
    if !request.version.at_least(RESTORED_SINCE) {
        return refuse(&format!("it is known from api-version {RESTORED_SINCE} on."));
    }
    let id = value.to_str().ok().and_then(|text| ResourceId::parse(text.trim()).ok());
    match id.filter(|id| id.kind() == "microsoft.dataprotection/locations/deletedvaults") {
        Some(id) => Ok(Some(id)),
        None => refuse("it must be the id of a deleted vault, as the list of them gives it."),
    }
}

/// Older api-versions insist on storage settings where there are none yet.
fn need_storage(
    request: &Request,
    before: Option<&Vault>,
    settings: &VaultSettings,
) -> Result<(), ArmError> {
    if before.is_none()
        && settings.storage.is_none()
        && !request.version.at_least(STORAGE_OPTIONAL_SINCE)
    {
        request.root()?.get("properties").get("storageSettings").need_items()?;
    }
    Ok(())
}

/// What newer api-versions make of a soft-delete state. The present one passes whatever it is, so
/// that what a GET gave can be PUT again, and a vault that exists is never switched unasked.
fn settle_soft_delete(
    request: &Request,
    before: Option<&Vault>,
    settings: &mut VaultSettings,
) -> Result<(), ArmError> {
    if !request.version.at_least(ALWAYS_ON_SINCE) {
        return Ok(());
    }
    let now = before.map(|vault| vault.soft_delete.state);
    match (settings.soft_delete, now) {
        (None, Some(_)) | (Some(SoftDeleteState::AlwaysOn), _) => Ok(()),
        (None, None) => {
            settings.soft_delete = Some(SoftDeleteState::AlwaysOn);
            Ok(())
        }
        (wanted, now) if wanted == now => Ok(()),
        _ => Err(vault::soft_delete_state(&request.root()?).invalid(format!(
            "from api-version {ALWAYS_ON_SINCE} on it can only stay as it is or become AlwaysOn; \
             use an older api-version for other states."
        ))),
    }
}

fn system_data(resource: &Resource) -> Value {
    json!({
        "createdBy": resource.created.by,
        "createdByType": "Application",
        "createdAt": instant(resource.created.at),
        "lastModifiedBy": resource.modified.by,
        "lastModifiedByType": "Application",
        "lastModifiedAt": instant(resource.modified.at),
    })
}

async fn patch(request: Request) -> Result<Reply, ArmError> {
    let root = request.root()?;
    let mut patch = vault::patch(root.clone())?;
    let caller = guard::caller(&request.caller, &root.get("properties"))?;
    let before = vault_of(&request).await?;
    settle_soft_delete(&request, before.as_vault(), &mut patch.settings)?;
    let changed = request.app.service.vault_patch(&caller, &request.id, patch).await?;
    Ok(Reply::ok(shown(&request, &changed, "Succeeded").await?))
}

async fn delete(request: Request) -> Result<Reply, ArmError> {
    let service = &request.app.service;
    let found = service.find(&request.id).await?;
    let location = found.map(|resource| resource.location).unwrap_or_default();
    let Some(operation) = service.vault_delete(&request.caller, &request.id).await? else {
        return Ok(Reply::no_content());
    };
    if !request.version.at_least(DELETE_FOLLOWED_SINCE) {
        return Ok(Reply::empty(StatusCode::OK));
    }
    let scope = StatusScope::GroupLocation;
    Ok(accept(&request, &operation, scope, &location, RETRY_AFTER))
}

//! Backup instances: protecting a disk and ending that.

use super::{accepted, instance_path, list, route, since, vault_of, vault_path};
use crate::table::{Action, Route, handler};
use crate::types::guard;
use crate::types::instance::{self, Phase};
use crate::types::name::{self, Named};
use crate::wire::error::ArmError;
use crate::wire::operation::{StatusScope, begin};
use crate::wire::paging;
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use http::Method;
use serde_json::Value;
use tresor_core::error::Fault;
use tresor_core::model::Resource;

const KIND: &str = "microsoft.dataprotection/backupvaults/backupinstances";
const RETRY_AFTER_PUT: u32 = 15;
const RETRY_AFTER_DELETE: u32 = 30;
const RETRY_AFTER_VALIDATE: u32 = 10;

pub(super) fn routes() -> Vec<Route> {
    let read = "Microsoft.DataProtection/backupVaults/backupInstances/read";
    let write = "Microsoft.DataProtection/backupVaults/backupInstances/write";
    let remove = "Microsoft.DataProtection/backupVaults/backupInstances/delete";
    let validate = "Microsoft.DataProtection/backupVaults/validateForBackup/action";
    let modify =
        "Microsoft.DataProtection/backupVaults/backupInstances/validateForModifyBackup/action";
    let one = instance_path!("");
    vec![
        route(
            Method::GET,
            vault_path!("/backupInstances"),
            read,
            handler!(list_all),
            "BackupInstances_List",
        ),
        route(Method::GET, one, read, handler!(get), "BackupInstances_Get"),
        route(Method::PUT, one, write, handler!(put), "BackupInstances_CreateOrUpdate"),
        route(Method::DELETE, one, remove, handler!(delete), "BackupInstances_Delete"),
        route(
            Method::POST,
            vault_path!("/validateForBackup"),
            validate,
            handler!(validate_backup),
            "BackupInstances_ValidateForBackup",
        ),
        since(
            "2025-07-01",
            route(
                Method::POST,
                instance_path!("/validateForModifyBackup"),
                modify,
                handler!(validate_modify),
                "BackupInstances_ValidateForModifyBackup",
            ),
        ),
        since(
            "2022-09-01",
            Route {
                action: Action::Open("shows a caller no more than the instances that it may read"),
                ..route(
                    Method::GET,
                    "/{*resourceId}/providers/Microsoft.DataProtection/backupInstances",
                    read,
                    handler!(list_of_datasource),
                    "BackupInstancesExtensionRouting_List",
                )
            },
        ),
    ]
}

fn shown(resource: &Resource, phase: Phase) -> Option<Value> {
    resource.as_instance().map(|model| instance::json(resource, model, phase))
}

async fn list_all(request: Request) -> Result<Reply, ArmError> {
    vault_of(&request).await?;
    list(&request, KIND, |resource| shown(resource, Phase::Settled)).await
}

async fn list_of_datasource(request: Request) -> Result<Reply, ArmError> {
    let (cursor, limit) = (paging::cursor(&request)?, paging::limit(&request)?);
    let service = &request.app.service;
    let page = service.instances_of(&request.caller, &request.id, cursor, limit).await?;
    let rows = page.rows.iter().filter_map(|row| shown(row, Phase::Settled)).collect();
    Ok(Reply::ok(paging::page(&request, rows, page.after)?))
}

async fn get(request: Request) -> Result<Reply, ArmError> {
    let found = request.app.service.resource(&request.id).await?;
    let found = shown(&found, Phase::Settled);
    let named = request.id.name();
    found.map(Reply::ok).ok_or_else(|| Fault::not_found("backup instance", named).into())
}

async fn put(request: Request) -> Result<Reply, ArmError> {
    name::check(Named::Instance, request.id.name())?;
    let root = request.root()?;
    let properties = root.get("properties").need_object()?;
    let caller = guard::caller(&request.caller, &properties)?;
    let mut spec = instance::spec(Some(request.id.clone()), properties)?;
    spec.tags = root.get("tags").tags()?;
    let location = vault_of(&request).await?.location;
    let outcome = request.app.service.instance_put(&caller, spec).await?;
    let phase = if outcome.created { Phase::Creating } else { Phase::Updating };
    let reply = Reply::created(shown(&outcome.resource, phase).unwrap_or_default());
    let (operation, scope) = (&outcome.operation, StatusScope::Vault);
    Ok(begin(reply, &request, operation, scope, &location, RETRY_AFTER_PUT, false))
}

async fn delete(request: Request) -> Result<Reply, ArmError> {
    let service = &request.app.service;
    match service.instance_delete(&request.caller, &request.id).await? {
        Some(operation) => accepted(&request, &operation, RETRY_AFTER_DELETE).await,
        None => Ok(Reply::no_content()),
    }
}

async fn validate_backup(request: Request) -> Result<Reply, ArmError> {
    let at = request.root()?.get("backupInstance").need_object()?;
    let spec = instance::spec(None, at)?;
    let service = &request.app.service;
    let operation = service.validate_backup(&request.caller, &request.id, spec).await?;
    accepted(&request, &operation, RETRY_AFTER_VALIDATE).await
}

async fn validate_modify(request: Request) -> Result<Reply, ArmError> {
    let at = request.root()?.get("backupInstance").need_object()?;
    let spec = instance::spec(None, at)?;
    let service = &request.app.service;
    let operation = service.validate_modify(&request.caller, &request.id, spec).await?;
    accepted(&request, &operation, RETRY_AFTER_VALIDATE).await
}

//! Deleted backup instances that can still be had back.

use super::{accepted, list, route, since, vault_of, vault_path};
use crate::table::{Route, handler};
use crate::types::instance;
use crate::wire::error::ArmError;
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use http::Method;
use serde_json::Value;
use tresor_core::error::Fault;
use tresor_core::model::{Resource, ResourceId};

const KIND: &str = "microsoft.dataprotection/backupvaults/deletedbackupinstances";
const RETRY_AFTER: u32 = 10;
const SINCE: &str = "2022-01-01";

pub(super) fn routes() -> Vec<Route> {
    let read = "Microsoft.DataProtection/backupVaults/deletedBackupInstances/read";
    let all = vault_path!("/deletedBackupInstances");
    let one = vault_path!("/deletedBackupInstances/{backupInstanceName}");
    let undelete = "Microsoft.DataProtection/backupVaults/deletedBackupInstances/undelete/action";
    vec![
        since(
            SINCE,
            route(Method::GET, all, read, handler!(list_all), "DeletedBackupInstances_List"),
        ),
        since(SINCE, route(Method::GET, one, read, handler!(get), "DeletedBackupInstances_Get")),
        since(
            SINCE,
            route(
                Method::POST,
                vault_path!("/deletedBackupInstances/{backupInstanceName}/undelete"),
                undelete,
                handler!(undelete_one),
                "DeletedBackupInstances_Undelete",
            ),
        ),
    ]
}

fn shown(vault: &ResourceId, resource: &Resource) -> Option<Value> {
    let model = resource.as_instance()?;
    let deletion = model.deletion.as_ref()?;
    Some(instance::deleted_json(vault, resource, model, deletion))
}

async fn list_all(request: Request) -> Result<Reply, ArmError> {
    let vault = vault_of(&request).await?.id;
    list(&request, KIND, |resource| shown(&vault, resource)).await
}

async fn get(request: Request) -> Result<Reply, ArmError> {
    let vault = vault_of(&request).await?.id;
    let found = request.app.service.resource(&request.id).await?;
    let named = request.id.name();
    let absent = || Fault::not_found("deleted backup instance", named).into();
    shown(&vault, &found).map(Reply::ok).ok_or_else(absent)
}

async fn undelete_one(request: Request) -> Result<Reply, ArmError> {
    request.optional_root()?;
    vault_of(&request).await?;
    let service = &request.app.service;
    let operation = service.instance_undelete(&request.caller, &request.id).await?;
    accepted(&request, &operation, RETRY_AFTER).await
}

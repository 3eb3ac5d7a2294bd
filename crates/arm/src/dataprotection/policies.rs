//! Backup policies; all of it is synchronous.

use super::{list, route, vault_of, vault_path};
use crate::table::{Route, handler};
use crate::types::name::{self, Named};
use crate::types::policy;
use crate::wire::error::ArmError;
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use http::{Method, StatusCode};
use serde_json::Value;
use tresor_core::error::Fault;
use tresor_core::model::Resource;

const KIND: &str = "microsoft.dataprotection/backupvaults/backuppolicies";

pub(super) fn routes() -> Vec<Route> {
    let read = "Microsoft.DataProtection/backupVaults/backupPolicies/read";
    let write = "Microsoft.DataProtection/backupVaults/backupPolicies/write";
    let remove = "Microsoft.DataProtection/backupVaults/backupPolicies/delete";
    let all = vault_path!("/backupPolicies");
    let one = vault_path!("/backupPolicies/{backupPolicyName}");
    vec![
        route(Method::GET, all, read, handler!(list_all), "BackupPolicies_List"),
        route(Method::GET, one, read, handler!(get), "BackupPolicies_Get"),
        route(Method::PUT, one, write, handler!(put), "BackupPolicies_CreateOrUpdate"),
        route(Method::DELETE, one, remove, handler!(delete), "BackupPolicies_Delete"),
    ]
}

fn shown(resource: &Resource) -> Option<Value> {
    resource.as_policy().map(|model| policy::json(resource, model))
}

async fn list_all(request: Request) -> Result<Reply, ArmError> {
    vault_of(&request).await?;
    list(&request, KIND, shown).await
}

async fn get(request: Request) -> Result<Reply, ArmError> {
    let found = request.app.service.resource(&request.id).await?;
    let named = request.id.name();
    shown(&found).map(Reply::ok).ok_or_else(|| Fault::not_found("backup policy", named).into())
}

async fn put(request: Request) -> Result<Reply, ArmError> {
    name::check(Named::Policy, request.id.name())?;
    let (types, rules) = policy::read(request.root()?)?;
    let service = &request.app.service;
    let made = service.policy_put(&request.caller, &request.id, types, rules).await?;
    Ok(Reply::ok(shown(&made).unwrap_or_default()))
}

async fn delete(request: Request) -> Result<Reply, ArmError> {
    let there = request.app.service.policy_delete(&request.caller, &request.id).await?;
    Ok(if there { Reply::empty(StatusCode::OK) } else { Reply::no_content() })
}

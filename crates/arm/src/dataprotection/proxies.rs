//! Proxies: what puts a vault under a resource guard, and the unlocking of deletions.

use super::{route, since, vault_of, vault_path};
use crate::table::{Route, handler};
use crate::types::guard;
use crate::types::name::{self, Named};
use crate::types::time::instant;
use crate::wire::error::ArmError;
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tresor_core::error::Fault;
use tresor_core::model::{Resource, ResourceGuard, ResourceId};

const KIND: &str = "microsoft.dataprotection/backupvaults/backupresourceguardproxies";
/// The api-versions that know proxies.
const SINCE: &str = "2022-09-01";
/// What stands in place of an end when nothing was locked.
const NEVER: &str = "0001-01-01T00:00:00Z";

macro_rules! action {
    ($tail:literal) => {
        concat!("Microsoft.DataProtection/backupVaults/backupResourceGuardProxies/", $tail)
    };
}

pub(super) fn routes() -> Vec<Route> {
    let all = vault_path!("/backupResourceGuardProxies");
    let one = vault_path!("/backupResourceGuardProxies/{resourceGuardProxyName}");
    let post = vault_path!("/backupResourceGuardProxies/{resourceGuardProxyName}/unlockDelete");
    let (read, write, remove) = (action!("read"), action!("write"), action!("delete"));
    let unlock_action = action!("unlockDelete/action");
    [
        route(Method::GET, all, read, handler!(list_all), "DppResourceGuardProxy_List"),
        route(Method::GET, one, read, handler!(get), "DppResourceGuardProxy_Get"),
        route(Method::PUT, one, write, handler!(put), "DppResourceGuardProxy_CreateOrUpdate"),
        route(Method::DELETE, one, remove, handler!(delete), "DppResourceGuardProxy_Delete"),
        route(
            Method::POST,
            post,
            unlock_action,
            handler!(unlock),
            "DppResourceGuardProxy_UnlockDelete",
        ),
    ]
    .into_iter()
    .map(|route| since(SINCE, route))
    .collect()
}

/// A proxy, with what its guard protects now.
async fn shown(request: &Request, resource: &Resource) -> Result<Option<Value>, ArmError> {
    let Some(proxy) = resource.as_guard_proxy() else {
        return Ok(None);
    };
    let guard = request.app.service.find(&proxy.guard).await?;
    let everything = ResourceGuard::default();
    let guard = guard.as_ref().and_then(Resource::as_guard).unwrap_or(&everything);
    Ok(Some(guard::proxy_json(resource, proxy, guard)))
}

async fn list_all(request: Request) -> Result<Reply, ArmError> {
    vault_of(&request).await?;
    let page = super::rows(&request, KIND).await?;
    let mut rows = vec![];
    for row in &page.rows {
        rows.extend(shown(&request, row).await?);
    }
    Ok(Reply::ok(crate::wire::paging::page(&request, rows, page.after)?))
}

async fn get(request: Request) -> Result<Reply, ArmError> {
    let found = request.app.service.resource(&request.id).await?;
    let named = request.id.name();
    let found = shown(&request, &found).await?;
    found.map(Reply::ok).ok_or_else(|| Fault::not_found("resource guard proxy", named).into())
}

async fn put(request: Request) -> Result<Reply, ArmError> {
    name::check(Named::Proxy, request.id.name())?;
    let root = request.root()?;
    let guard = guard::guard_of(root.clone())?;
    let caller = guard::caller(&request.caller, &root.get("properties"))?;
    let made = request.app.service.proxy_put(&caller, &request.id, guard).await?;
    Ok(Reply::ok(shown(&request, &made).await?.unwrap_or_default()))
}

async fn delete(request: Request) -> Result<Reply, ArmError> {
    match request.app.service.proxy_delete(&request.caller, &request.id).await? {
        true => Ok(Reply::empty(StatusCode::OK)),
        false => Ok(Reply::no_content()),
    }
}

async fn unlock(request: Request) -> Result<Reply, ArmError> {
    let root = request.root()?;
    let caller = guard::caller(&request.caller, &root)?;
    let doomed: Option<ResourceId> = root.get("resourceToBeDeleted").id()?;
    let service = &request.app.service;
    let until = service.proxy_unlock(&caller, &request.id, doomed.as_ref()).await?;
    let until = until.map_or_else(|| NEVER.to_owned(), instant);
    Ok(Reply::ok(json!({ "unlockDeleteExpiryTime": until })))
}

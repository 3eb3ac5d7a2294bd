//! Microsoft.DataProtection for disks.
//!
//! Handlers parse, ask the domain and map what comes back. What Azure has and Tresor does not is in
//! the table too, with an honest refusal, so that a client learns what is missing and not that a
//! path is unknown.

mod checks;
mod deleted;
mod deleted_vaults;
mod guards;
mod instances;
mod jobs;
mod operations;
mod points;
mod policies;
mod protection;
mod proxies;
mod refusals;
mod vaults;

use crate::table::{Action, Handler, Route};
use crate::wire::error::ArmError;
use crate::wire::operation::{StatusScope, accept};
use crate::wire::paging;
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use crate::wire::version::Versions;
use http::Method;
use serde_json::Value;
use tresor_core::catalogue::{Page, ResourceFilter};
use tresor_core::error::Fault;
use tresor_core::model::{Operation, Resource, ResourceId};

/// A path of this provider in a resource group.
macro_rules! group_path {
    ($tail:literal) => {
        concat!(
            "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}",
            "/providers/Microsoft.DataProtection",
            $tail
        )
    };
}

/// A path of this provider in a subscription.
macro_rules! subscription_path {
    ($tail:literal) => {
        concat!("/subscriptions/{subscriptionId}/providers/Microsoft.DataProtection", $tail)
    };
}

/// A vault's path.
macro_rules! vault_path {
    ($tail:literal) => {
        concat!(
            "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}",
            "/providers/Microsoft.DataProtection/backupVaults/{vaultName}",
            $tail
        )
    };
}

/// A backup instance's path.
macro_rules! instance_path {
    ($tail:literal) => {
        concat!(
            "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}",
            "/providers/Microsoft.DataProtection/backupVaults/{vaultName}",
            "/backupInstances/{backupInstanceName}",
            $tail
        )
    };
}

use {group_path, instance_path, subscription_path, vault_path};

/// The provider's routes.
pub(crate) fn routes() -> Vec<Route> {
    [
        vaults::routes(),
        policies::routes(),
        instances::routes(),
        protection::routes(),
        points::routes(),
        jobs::routes(),
        deleted::routes(),
        guards::routes(),
        proxies::routes(),
        deleted_vaults::routes(),
        checks::routes(),
        operations::routes(),
        refusals::routes(),
    ]
    .concat()
}

/// The routes that are refused, or answered with nothing, because Tresor has no such thing yet.
#[cfg(test)]
pub(crate) fn refused() -> Vec<Route> {
    refusals::routes()
}

/// A route that every api-version has.
fn route(
    method: Method,
    path: &'static str,
    action: &'static str,
    handler: Handler,
    name: &'static str,
) -> Route {
    let action = Action::Rbac(action);
    Route { method, path, versions: Versions::DataProtection, since: None, action, handler, name }
}

/// The same since an api-version.
fn since(date: &'static str, mut route: Route) -> Route {
    route.since = Some(date);
    route
}

/// The vault that an id is or lies in.
fn vault_id(id: &ResourceId) -> Result<ResourceId, ArmError> {
    let mut at = Some(id.clone());
    while let Some(found) = at {
        if found.kind() == "microsoft.dataprotection/backupvaults" {
            return Ok(found);
        }
        at = found.parent();
    }
    Err(Fault::not_found("backup vault", id).into())
}

/// The vault that the request is about or below.
async fn vault_of(request: &Request) -> Result<Resource, ArmError> {
    let id = vault_id(&request.id)?;
    let found = request.app.service.resource(&id).await?;
    match found.as_vault() {
        Some(_) => Ok(found),
        None => Err(Fault::not_found("backup vault", id.name()).into()),
    }
}

/// 202 for an operation of the request's vault.
async fn accepted(
    request: &Request,
    operation: &Operation,
    retry_after: u32,
) -> Result<Reply, ArmError> {
    let location = vault_of(request).await?.location;
    Ok(accept(request, operation, StatusScope::Vault, &location, retry_after))
}

/// A page of one kind of resource below the request's scope.
async fn list(
    request: &Request,
    kind: &str,
    json: impl Fn(&Resource) -> Option<Value>,
) -> Result<Reply, ArmError> {
    let page = rows(request, kind).await?;
    let rows: Vec<Value> = page.rows.iter().filter_map(json).collect();
    Ok(Reply::ok(paging::page(request, rows, page.after)?))
}

/// The resources of such a page.
async fn rows(request: &Request, kind: &str) -> Result<Page<Resource>, ArmError> {
    let filter = ResourceFilter {
        kind: Some(kind.to_owned()),
        under: Some(request.id.clone()),
        after: paging::cursor(request)?,
        limit: paging::limit(request)?,
        ..ResourceFilter::default()
    };
    Ok(request.app.service.resources(&filter).await?)
}

#[cfg(test)]
pub(crate) mod tests;

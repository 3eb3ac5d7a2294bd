//! Disks.

use super::{DISKS, RETRY_AFTER, access, json};
use crate::table::{Action, Route, handler};
use crate::types::disk;
use crate::types::name::{self, Named};
use crate::wire::error::ArmError;
use crate::wire::operation::{StatusScope, accept, begin};
use crate::wire::paging;
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use crate::wire::version::Versions;
use http::{Method, StatusCode};
use serde_json::Value;
use tresor_core::catalogue::ResourceFilter;
use tresor_core::error::Fault;
use tresor_core::model::Disk;
use tresor_core::service::Outcome;

macro_rules! disk_path {
    ($tail:literal) => {
        concat!(
            "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}",
            "/providers/Microsoft.Compute/disks",
            $tail
        )
    };
}

const OF_SUBSCRIPTION: &str = "/subscriptions/{subscriptionId}/providers/Microsoft.Compute/disks";

pub(super) fn routes() -> Vec<Route> {
    let route = |method, path, action, handler, name| Route {
        method,
        path,
        versions: Versions::AnyDate,
        since: None,
        action: Action::Rbac(action),
        handler,
        name,
    };
    let read = "Microsoft.Compute/disks/read";
    let write = "Microsoft.Compute/disks/write";
    let open = "Microsoft.Compute/disks/beginGetAccess/action";
    let close = "Microsoft.Compute/disks/endGetAccess/action";
    let remove = "Microsoft.Compute/disks/delete";
    let one = disk_path!("/{diskName}");
    vec![
        route(Method::GET, OF_SUBSCRIPTION, read, handler!(list), "Disks_List"),
        route(Method::GET, disk_path!(""), read, handler!(list), "Disks_ListByResourceGroup"),
        route(Method::GET, one, read, handler!(get), "Disks_Get"),
        route(Method::PUT, one, write, handler!(put), "Disks_CreateOrUpdate"),
        route(Method::PATCH, one, write, handler!(patch), "Disks_Update"),
        route(Method::DELETE, one, remove, handler!(delete), "Disks_Delete"),
        route(
            Method::POST,
            disk_path!("/{diskName}/beginGetAccess"),
            open,
            handler!(access::begin),
            "Disks_GrantAccess",
        ),
        route(
            Method::POST,
            disk_path!("/{diskName}/endGetAccess"),
            close,
            handler!(access::end),
            "Disks_RevokeAccess",
        ),
    ]
}

async fn list(request: Request) -> Result<Reply, ArmError> {
    list_of(request, DISKS).await
}

/// A page of one kind of resource below the request's scope.
pub(super) async fn list_of(request: Request, kind: &str) -> Result<Reply, ArmError> {
    if request.id.group().is_some() {
        request.app.service.require_group(&request.id).await?;
    }
    let filter = ResourceFilter {
        kind: Some(kind.to_owned()),
        under: Some(request.id.clone()),
        after: paging::cursor(&request)?,
        limit: paging::limit(&request)?,
        ..ResourceFilter::default()
    };
    let page = request.app.service.resources(&filter).await?;
    let rows: Vec<Value> = page.rows.iter().filter_map(json).collect();
    Ok(Reply::ok(paging::page(&request, rows, page.after)?))
}

async fn get(request: Request) -> Result<Reply, ArmError> {
    let resource = request.app.service.resource(&request.id).await?;
    let shown = json(&resource);
    shown.map(Reply::ok).ok_or_else(|| Fault::not_found("disk", &request.id).into())
}

async fn put(request: Request) -> Result<Reply, ArmError> {
    let there = request.app.service.find(&request.id).await?;
    let size = there.as_ref().and_then(|r| r.as_disk()).map(|disk: &Disk| disk.size);
    name::check(Named::Disk, request.id.name())?;
    let spec = disk::spec(request.id.clone(), request.root()?, size)?;
    let outcome = request.app.service.disk_put(&request.caller, spec).await?;
    Ok(changed(&request, &outcome))
}

async fn patch(request: Request) -> Result<Reply, ArmError> {
    let there = request.app.service.resource(&request.id).await?;
    let size = there.as_disk().map_or(0, |disk| disk.size);
    let patch = disk::patch(request.root()?, size)?;
    let outcome = request.app.service.disk_patch(&request.caller, &request.id, patch).await?;
    Ok(changed(&request, &outcome))
}

async fn delete(request: Request) -> Result<Reply, ArmError> {
    let location = location(&request).await?;
    let operation = request.app.service.disk_delete(&request.caller, &request.id).await?;
    Ok(operation.map_or_else(Reply::no_content, |operation| {
        accept(&request, &operation, StatusScope::Compute, &location, RETRY_AFTER)
    }))
}

/// The location of the request's resource; empty when it is not there.
pub(super) async fn location(request: &Request) -> Result<String, ArmError> {
    let found = request.app.service.find(&request.id).await?;
    Ok(found.map(|resource| resource.location).unwrap_or_default())
}

/// 202 with the resource as it is becoming.
pub(super) fn changed(request: &Request, outcome: &Outcome) -> Reply {
    let mut shown = json(&outcome.resource).unwrap_or_default();
    if let Some(state) = shown.pointer_mut("/properties/provisioningState") {
        *state = "Updating".into();
    }
    let reply = Reply::new(StatusCode::ACCEPTED, shown);
    let location = &outcome.resource.location;
    let operation = &outcome.operation;
    begin(reply, request, operation, StatusScope::Compute, location, RETRY_AFTER, true)
}

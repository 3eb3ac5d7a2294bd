//! Snapshots.

use super::disks::{changed, list_of, location};
use super::{RETRY_AFTER, SNAPSHOTS, access, json};
use crate::table::{Action, Route, handler};
use crate::types::name::{self, Named};
use crate::types::snapshot;
use crate::wire::error::ArmError;
use crate::wire::operation::{StatusScope, accept};
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use crate::wire::version::Versions;
use http::Method;
use tresor_core::error::Fault;

macro_rules! snapshot_path {
    ($tail:literal) => {
        concat!(
            "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}",
            "/providers/Microsoft.Compute/snapshots",
            $tail
        )
    };
}

const OF_SUBSCRIPTION: &str =
    "/subscriptions/{subscriptionId}/providers/Microsoft.Compute/snapshots";

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
    let read = "Microsoft.Compute/snapshots/read";
    let write = "Microsoft.Compute/snapshots/write";
    let open = "Microsoft.Compute/snapshots/beginGetAccess/action";
    let close = "Microsoft.Compute/snapshots/endGetAccess/action";
    let remove = "Microsoft.Compute/snapshots/delete";
    let one = snapshot_path!("/{snapshotName}");
    let group = snapshot_path!("");
    vec![
        route(Method::GET, OF_SUBSCRIPTION, read, handler!(list), "Snapshots_List"),
        route(Method::GET, group, read, handler!(list), "Snapshots_ListByResourceGroup"),
        route(Method::GET, one, read, handler!(get), "Snapshots_Get"),
        route(Method::PUT, one, write, handler!(put), "Snapshots_CreateOrUpdate"),
        route(Method::PATCH, one, write, handler!(patch), "Snapshots_Update"),
        route(Method::DELETE, one, remove, handler!(delete), "Snapshots_Delete"),
        route(
            Method::POST,
            snapshot_path!("/{snapshotName}/beginGetAccess"),
            open,
            handler!(access::begin),
            "Snapshots_GrantAccess",
        ),
        route(
            Method::POST,
            snapshot_path!("/{snapshotName}/endGetAccess"),
            close,
            handler!(access::end),
            "Snapshots_RevokeAccess",
        ),
    ]
}

async fn list(request: Request) -> Result<Reply, ArmError> {
    list_of(request, SNAPSHOTS).await
}

async fn get(request: Request) -> Result<Reply, ArmError> {
    let resource = request.app.service.resource(&request.id).await?;
    let shown = json(&resource);
    shown.map(Reply::ok).ok_or_else(|| Fault::not_found("snapshot", &request.id).into())
}

async fn put(request: Request) -> Result<Reply, ArmError> {
    let exists = request.app.service.find(&request.id).await?.is_some();
    name::check(Named::Disk, request.id.name())?;
    let spec = snapshot::spec(request.id.clone(), request.root()?, exists)?;
    let outcome = request.app.service.snapshot_put(&request.caller, spec).await?;
    Ok(changed(&request, &outcome))
}

async fn patch(request: Request) -> Result<Reply, ArmError> {
    let (tags, sku) = snapshot::patch(request.root()?)?;
    let service = &request.app.service;
    let outcome = service.snapshot_patch(&request.caller, &request.id, tags, sku).await?;
    Ok(changed(&request, &outcome))
}

async fn delete(request: Request) -> Result<Reply, ArmError> {
    let location = location(&request).await?;
    let operation = request.app.service.snapshot_delete(&request.caller, &request.id).await?;
    Ok(operation.map_or_else(Reply::no_content, |operation| {
        accept(&request, &operation, StatusScope::Compute, &location, RETRY_AFTER)
    }))
}

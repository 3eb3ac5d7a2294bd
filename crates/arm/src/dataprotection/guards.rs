//! Resource guards and their requests.

use super::{group_path, list, route, subscription_path};
use crate::table::{Route, handler};
use crate::types::guard;
use crate::types::name::{self, Named};
use crate::wire::error::ArmError;
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use http::Method;
use serde_json::{Value, json};
use tresor_core::error::Fault;
use tresor_core::model::{Resource, ResourceId};

const KIND: &str = "microsoft.dataprotection/resourceguards";
/// From here on a guard that is new answers 201.
const CREATED_SINCE: &str = "2023-01-01";

/// Azure's names of the rights at guards, which its roles for multi-user authorization have.
macro_rules! guard_action {
    ($tail:literal) => {
        concat!(
            "Microsoft.DataProtection/subscriptions/resourceGroups/providers/resourceGuards/",
            $tail
        )
    };
}

pub(super) fn routes() -> Vec<Route> {
    let read = guard_action!("read");
    let write = guard_action!("write");
    let remove = guard_action!("delete");
    let in_subscription = "Microsoft.DataProtection/subscriptions/providers/resourceGuards/read";
    // The braces are a part of Azure's own name.
    let requests = guard_action!("{operationName}/read");
    let one = group_path!("/resourceGuards/{resourceGuardsName}");
    let get = |path, action, handler, name| route(Method::GET, path, action, handler, name);
    vec![
        get(
            subscription_path!("/resourceGuards"),
            in_subscription,
            handler!(list_all),
            "ResourceGuards_GetResourcesInSubscription",
        ),
        get(
            group_path!("/resourceGuards"),
            read,
            handler!(list_all),
            "ResourceGuards_GetResourcesInResourceGroup",
        ),
        get(one, read, handler!(get_one), "ResourceGuards_Get"),
        route(Method::PUT, one, write, handler!(put), "ResourceGuards_Put"),
        route(Method::PATCH, one, write, handler!(patch), "ResourceGuards_Patch"),
        route(Method::DELETE, one, remove, handler!(delete), "ResourceGuards_Delete"),
        get(
            group_path!("/resourceGuards/{resourceGuardsName}/{requestKind}"),
            requests,
            handler!(list_requests),
            "ResourceGuards_GetRequestsObjects",
        ),
        get(
            group_path!("/resourceGuards/{resourceGuardsName}/{requestKind}/{requestName}"),
            requests,
            handler!(get_request),
            "ResourceGuards_GetDefaultRequestsObject",
        ),
    ]
}

fn shown(resource: &Resource) -> Option<Value> {
    resource.as_guard().map(|model| guard::json(resource, model))
}

async fn list_all(request: Request) -> Result<Reply, ArmError> {
    if request.id.group().is_some() {
        request.app.service.require_group(&request.id).await?;
    }
    list(&request, KIND, shown).await
}

async fn get_one(request: Request) -> Result<Reply, ArmError> {
    let found = shown(&request.app.service.resource(&request.id).await?);
    let named = request.id.name();
    found.map(Reply::ok).ok_or_else(|| Fault::not_found("resource guard", named).into())
}

async fn put(request: Request) -> Result<Reply, ArmError> {
    name::check(Named::Guard, request.id.name())?;
    let spec = guard::spec(request.id.clone(), request.root()?)?;
    let (resource, created) = request.app.service.guard_put(&request.caller, spec).await?;
    let body = shown(&resource).unwrap_or_default();
    let told = created && request.version.at_least(CREATED_SINCE);
    Ok(if told { Reply::created(body) } else { Reply::ok(body) })
}

/// Only tags can be patched; a list that were left unread would leave its sender in a false belief.
async fn patch(request: Request) -> Result<Reply, ArmError> {
    let root = request.root()?;
    let list = root.get("properties").get("vaultCriticalOperationExclusionList");
    if list.is_present() {
        return Err(list.invalid("a PATCH changes tags only; use PUT for the exclusions."));
    }
    let tags = root.get("tags").tags()?;
    let changed = request.app.service.guard_patch(&request.caller, &request.id, tags).await?;
    Ok(Reply::ok(shown(&changed).unwrap_or_default()))
}

async fn delete(request: Request) -> Result<Reply, ArmError> {
    match request.app.service.guard_delete(&request.caller, &request.id).await? {
        true => Ok(Reply::empty(http::StatusCode::OK)),
        false => Ok(Reply::no_content()),
    }
}

async fn list_requests(request: Request) -> Result<Reply, ArmError> {
    let found = requests(&request, &request.id).await?;
    Ok(Reply::ok(json!({ "value": [found], "nextLink": null })))
}

async fn get_request(request: Request) -> Result<Reply, ArmError> {
    let guard = request.id.parent().unwrap_or_else(ResourceId::root);
    let found = requests(&request, &guard).await?;
    let asked = request.params.get("requestName");
    if asked.eq_ignore_ascii_case("default") {
        return Ok(Reply::ok(found));
    }
    Err(Fault::not_found("resource guard request", asked).into())
}

async fn requests(request: &Request, guard: &ResourceId) -> Result<Value, ArmError> {
    let kind = request.params.get("requestKind");
    let (found, kind) = request.app.service.guard_requests(guard, kind).await?;
    Ok(guard::request_json(&found.id, kind))
}

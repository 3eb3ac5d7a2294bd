//! Microsoft.ManagedIdentity: user-assigned identities.

#[cfg(test)]
mod tests;

use crate::table::{Action, Handler, Route, handler};
use crate::types::name::{self, Named};
use crate::wire::error::ArmError;
use crate::wire::paging;
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use crate::wire::version::Versions;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tresor_core::catalogue::ResourceFilter;
use tresor_core::error::Fault;
use tresor_core::model::Resource;
use tresor_core::service::UserIdentitySpec;

/// Type of user-assigned identities, as the catalogue writes it.
const KIND: &str = "microsoft.managedidentity/userassignedidentities";

/// A path of this provider.
macro_rules! path {
    ($scope:literal, $tail:literal) => {
        concat!(
            "/subscriptions/{subscriptionId}",
            $scope,
            "/providers/Microsoft.ManagedIdentity/userAssignedIdentities",
            $tail
        )
    };
}

const IN_SUBSCRIPTION: &str = path!("", "");
const IN_GROUP: &str = path!("/resourceGroups/{resourceGroupName}", "");
const ONE: &str = path!("/resourceGroups/{resourceGroupName}", "/{resourceName}");

/// The provider's routes.
pub(crate) fn routes() -> Vec<Route> {
    let read = "Microsoft.ManagedIdentity/userAssignedIdentities/read";
    let write = "Microsoft.ManagedIdentity/userAssignedIdentities/write";
    let remove = "Microsoft.ManagedIdentity/userAssignedIdentities/delete";
    let (in_subscription, in_group) =
        ("UserAssignedIdentities_ListBySubscription", "UserAssignedIdentities_ListByResourceGroup");
    let (made, gone) = ("UserAssignedIdentities_CreateOrUpdate", "UserAssignedIdentities_Delete");
    let (seen, changed) = ("UserAssignedIdentities_Get", "UserAssignedIdentities_Update");
    vec![
        route(Method::GET, IN_SUBSCRIPTION, read, handler!(list), in_subscription),
        route(Method::GET, IN_GROUP, read, handler!(list), in_group),
        route(Method::GET, ONE, read, handler!(get), seen),
        route(Method::PUT, ONE, write, handler!(put), made),
        route(Method::PATCH, ONE, write, handler!(patch), changed),
        route(Method::DELETE, ONE, remove, handler!(delete), gone),
    ]
}

fn route(
    method: Method,
    path: &'static str,
    action: &'static str,
    handler: Handler,
    name: &'static str,
) -> Route {
    let action = Action::Rbac(action);
    Route { method, path, versions: Versions::AnyDate, since: None, action, handler, name }
}

/// An identity as ARM shows it.
fn document(request: &Request, resource: &Resource) -> Option<Value> {
    let model = resource.as_user_identity()?;
    Some(json!({
        "id": resource.id.as_str(),
        "name": resource.id.name(),
        "type": "Microsoft.ManagedIdentity/userAssignedIdentities",
        "location": resource.location,
        "tags": resource.tags,
        "properties": {
            "tenantId": request.app.service.tenant().to_string(),
            "principalId": model.principal.to_string(),
            "clientId": model.client.to_string(),
        },
    }))
}

/// The answer that shows an identity, which must be one.
fn shown(request: &Request, resource: &Resource, status: StatusCode) -> Result<Reply, ArmError> {
    let document = document(request, resource);
    let document = document.ok_or_else(|| Fault::not_found("identity", &resource.id))?;
    Ok(Reply::new(status, document))
}

async fn list(request: Request) -> Result<Reply, ArmError> {
    if request.id.group().is_some() {
        request.app.service.require_group(&request.id).await?;
    }
    let filter = ResourceFilter {
        kind: Some(KIND.into()),
        under: Some(request.id.clone()),
        after: paging::cursor(&request)?,
        limit: paging::limit(&request)?,
        ..ResourceFilter::default()
    };
    let page = request.app.service.resources(&filter).await?;
    let rows: Vec<Value> = page.rows.iter().filter_map(|row| document(&request, row)).collect();
    Ok(Reply::ok(paging::page(&request, rows, page.after)?))
}

async fn get(request: Request) -> Result<Reply, ArmError> {
    let found = request.app.service.resource(&request.id).await?;
    shown(&request, &found, StatusCode::OK)
}

async fn put(request: Request) -> Result<Reply, ArmError> {
    name::check(Named::Identity, request.id.name())?;
    let body = request.root()?;
    let isolation = body.get("properties").get("isolationScope");
    isolation.word(&["None"])?;
    let spec = UserIdentitySpec {
        id: request.id.clone(),
        location: body.get("location").need_str()?.to_owned(),
        tags: body.get("tags").tags()?.unwrap_or_default(),
    };
    let (made, new) = request.app.service.user_identity_put(&request.caller, spec).await?;
    shown(&request, &made, if new { StatusCode::CREATED } else { StatusCode::OK })
}

async fn patch(request: Request) -> Result<Reply, ArmError> {
    let tags = request.root()?.get("tags").tags()?;
    let service = &request.app.service;
    let changed = service.user_identity_patch(&request.caller, &request.id, tags).await?;
    shown(&request, &changed, StatusCode::OK)
}

async fn delete(request: Request) -> Result<Reply, ArmError> {
    let gone = request.app.service.user_identity_delete(&request.caller, &request.id).await?;
    Ok(Reply::empty(if gone { StatusCode::OK } else { StatusCode::NO_CONTENT }))
}

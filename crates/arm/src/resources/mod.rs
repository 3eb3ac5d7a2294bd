//! Microsoft.Resources: tenants, subscriptions, locations, providers, groups and lists of all.

mod group;
mod list;
mod provider;
mod subscription;
#[cfg(test)]
mod tests;

use crate::table::{Action, Handler, Route, handler};
use crate::wire::version::Versions;
use http::Method;

const GROUPS: &str = "/subscriptions/{subscriptionId}/resourceGroups";
const GROUP: &str = "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}";
const GROUP_READ: Action = Action::Rbac("Microsoft.Resources/subscriptions/resourceGroups/read");
const GROUP_WRITE: Action = Action::Rbac("Microsoft.Resources/subscriptions/resourceGroups/write");
const GROUP_DELETE: Action =
    Action::Rbac("Microsoft.Resources/subscriptions/resourceGroups/delete");
const PROVIDER_READ: Action = Action::Rbac("Microsoft.Resources/subscriptions/providers/read");
const RESOURCES_READ: Action = Action::Rbac("Microsoft.Resources/subscriptions/resources/read");

fn route(
    method: Method,
    path: &'static str,
    action: Action,
    handler: Handler,
    name: &'static str,
) -> Route {
    Route { method, path, versions: Versions::AnyDate, since: None, action, handler, name }
}

/// The routes of this module.
pub(crate) fn routes() -> Vec<Route> {
    [top(), groups()].concat()
}

fn top() -> Vec<Route> {
    let own = Action::Open("shows a caller no more than the scopes where it holds a role");
    let get = |path, action, handler, name| route(Method::GET, path, action, handler, name);
    vec![
        get("/tenants", own, handler!(subscription::tenants), "Tenants_List"),
        get("/subscriptions", own, handler!(subscription::list), "Subscriptions_List"),
        get(
            "/subscriptions/{subscriptionId}",
            Action::Rbac("Microsoft.Resources/subscriptions/read"),
            handler!(subscription::get),
            "Subscriptions_Get",
        ),
        get(
            "/subscriptions/{subscriptionId}/locations",
            Action::Rbac("Microsoft.Resources/subscriptions/locations/read"),
            handler!(subscription::locations),
            "Subscriptions_ListLocations",
        ),
        get(
            "/subscriptions/{subscriptionId}/providers",
            PROVIDER_READ,
            handler!(provider::list),
            "Providers_List",
        ),
        get(
            "/subscriptions/{subscriptionId}/providers/{namespace}",
            PROVIDER_READ,
            handler!(provider::get),
            "Providers_Get",
        ),
        route(
            Method::POST,
            "/subscriptions/{subscriptionId}/providers/{namespace}/register",
            Action::Rbac("Microsoft.Resources/subscriptions/providers/register/action"),
            handler!(provider::get),
            "Providers_Register",
        ),
        get(
            "/subscriptions/{subscriptionId}/resources",
            RESOURCES_READ,
            handler!(list::list),
            "Resources_List",
        ),
        get(
            "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/resources",
            RESOURCES_READ,
            handler!(list::list),
            "Resources_ListByResourceGroup",
        ),
    ]
}

fn groups() -> Vec<Route> {
    vec![
        route(Method::GET, GROUPS, GROUP_READ, handler!(group::list), "ResourceGroups_List"),
        route(Method::GET, GROUP, GROUP_READ, handler!(group::get), "ResourceGroups_Get"),
        route(
            Method::HEAD,
            GROUP,
            GROUP_READ,
            handler!(group::exists),
            "ResourceGroups_CheckExistence",
        ),
        route(
            Method::PUT,
            GROUP,
            GROUP_WRITE,
            handler!(group::put),
            "ResourceGroups_CreateOrUpdate",
        ),
        route(Method::PATCH, GROUP, GROUP_WRITE, handler!(group::patch), "ResourceGroups_Update"),
        route(
            Method::DELETE,
            GROUP,
            GROUP_DELETE,
            handler!(group::delete),
            "ResourceGroups_Delete",
        ),
    ]
}

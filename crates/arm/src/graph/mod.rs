//! Microsoft Graph, as far as `az` asks for it, and the administration of principals in its shape.
//!
//! The directory of this service knows principals only: an application and its service principal
//! are one thing here, made by one POST. Whoever has a token may read names and ids, as in any
//! directory; what people tell secrets apart by is shown to those who may administer them.
//! Everything else of Graph is refused in Graph's words.

mod filter;
mod principal;
#[cfg(test)]
mod tests;

use crate::table::{Action, Handler, Route, handler};
use crate::wire::error::ArmError;
use crate::wire::version::Versions;
use http::{Method, StatusCode};
use tresor_core::service::{PRINCIPAL_DELETE, PRINCIPAL_WRITE};

/// First words of Graph's paths.
const VERSIONS: [&str; 2] = ["v1.0", "beta"];

/// Whether a path is one of Graph's.
pub(crate) fn is_graph(path: &str) -> bool {
    let first = path.split('/').find(|segment| !segment.is_empty()).unwrap_or_default();
    VERSIONS.iter().any(|version| version.eq_ignore_ascii_case(first))
}

/// The refusal of what is not served.
pub(crate) fn unsupported(method: &Method, segments: &[String]) -> ArmError {
    let text = format!(
        "{method} '/{}' of Microsoft Graph is not supported here: this directory serves \
         /v1.0/servicePrincipals and /v1.0/directoryObjects/getByIds.",
        segments.join("/")
    );
    ArmError::new(StatusCode::BAD_REQUEST, "notSupported", text)
}

/// The routes of this module.
pub(crate) fn routes() -> Vec<Route> {
    let read = Action::Open("whoever has a token may read names, as in any directory");
    let (write, remove) = (Action::Rbac(PRINCIPAL_WRITE), Action::Rbac(PRINCIPAL_DELETE));
    let (all, one) = ("/v1.0/servicePrincipals", "/v1.0/servicePrincipals/{id}");
    let add = "/v1.0/servicePrincipals/{id}/addPassword";
    let take = "/v1.0/servicePrincipals/{id}/removePassword";
    let by_ids = "/v1.0/directoryObjects/getByIds";
    let (get, post) = (Method::GET, Method::POST);
    let (list, seen) = ("Graph_ServicePrincipals_List", "Graph_ServicePrincipals_Get");
    let (made, gone) = ("Graph_ServicePrincipals_Create", "Graph_ServicePrincipals_Delete");
    let added = "Graph_ServicePrincipals_AddPassword";
    let taken = "Graph_ServicePrincipals_RemovePassword";
    vec![
        route(get.clone(), all, read, handler!(principal::list), list),
        route(get, one, read, handler!(principal::get), seen),
        route(post.clone(), all, write, handler!(principal::create), made),
        route(Method::DELETE, one, remove, handler!(principal::delete), gone),
        route(post.clone(), add, write, handler!(principal::add_password), added),
        route(post.clone(), take, write, handler!(principal::remove_password), taken),
        route(post, by_ids, read, handler!(principal::by_ids), "Graph_DirectoryObjects_GetByIds"),
    ]
}

fn route(
    method: Method,
    path: &'static str,
    action: Action,
    handler: Handler,
    name: &'static str,
) -> Route {
    Route { method, path, versions: Versions::None, since: None, action, handler, name }
}

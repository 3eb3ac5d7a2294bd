//! Microsoft.Authorization: role definitions and assignments at any scope.

mod assignment;
mod definition;
#[cfg(test)]
mod tests;

use crate::table::{Action, Handler, Route, handler};
use crate::wire::error::ArmError;
use crate::wire::request::Request;
use crate::wire::version::Versions;
use http::Method;
use tresor_core::model::ResourceId;
use uuid::Uuid;

const DEFINITIONS: &str = "/{*scope}/providers/Microsoft.Authorization/roleDefinitions";
const DEFINITION: &str =
    "/{*scope}/providers/Microsoft.Authorization/roleDefinitions/{roleDefinitionId}";
const ASSIGNMENTS: &str = "/{*scope}/providers/Microsoft.Authorization/roleAssignments";
const ASSIGNMENT: &str =
    "/{*scope}/providers/Microsoft.Authorization/roleAssignments/{roleAssignmentName}";

/// The routes of this module.
pub(crate) fn routes() -> Vec<Route> {
    [definitions(), assignments()].concat()
}

fn definitions() -> Vec<Route> {
    let (read, write, delete) = (
        "Microsoft.Authorization/roleDefinitions/read",
        "Microsoft.Authorization/roleDefinitions/write",
        "Microsoft.Authorization/roleDefinitions/delete",
    );
    let (get, put, del) = (Method::GET, Method::PUT, Method::DELETE);
    let (list, one) = ("RoleDefinitions_List", "RoleDefinitions_Get");
    let (made, gone) = ("RoleDefinitions_CreateOrUpdate", "RoleDefinitions_Delete");
    vec![
        route(get.clone(), DEFINITIONS, read, handler!(definition::list), list),
        route(get, DEFINITION, read, handler!(definition::get), one),
        route(put, DEFINITION, write, handler!(definition::put), made),
        route(del, DEFINITION, delete, handler!(definition::delete), gone),
    ]
}

fn assignments() -> Vec<Route> {
    let (read, write, delete) = (
        "Microsoft.Authorization/roleAssignments/read",
        "Microsoft.Authorization/roleAssignments/write",
        "Microsoft.Authorization/roleAssignments/delete",
    );
    let (get, put, del) = (Method::GET, Method::PUT, Method::DELETE);
    let (list, one) = ("RoleAssignments_ListForScope", "RoleAssignments_Get");
    let (made, gone) = ("RoleAssignments_Create", "RoleAssignments_Delete");
    vec![
        route(get.clone(), ASSIGNMENTS, read, handler!(assignment::list), list),
        route(get, ASSIGNMENT, read, handler!(assignment::get), one),
        route(put, ASSIGNMENT, write, handler!(assignment::put), made),
        route(del, ASSIGNMENT, delete, handler!(assignment::delete), gone),
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

/// The scope before `/providers/Microsoft.Authorization`.
fn scope(request: &Request) -> Result<ResourceId, ArmError> {
    let text = format!("/{}", request.params.get("scope"));
    let id = ResourceId::parse(&text);
    id.map_err(|error| ArmError::bad("InvalidScope", format!("The scope is malformed: {error}.")))
}

/// The GUID that must name a definition or an assignment.
fn guid(text: &str, what: &str, code: &str) -> Result<Uuid, ArmError> {
    Uuid::try_parse(text).map_err(|_| {
        let shown: String = text.chars().take(100).collect();
        ArmError::bad(code, format!("The {what} '{shown}' is not a valid GUID."))
    })
}

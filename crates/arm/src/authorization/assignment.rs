//! Role assignments.

use super::definition::id_of;
use super::{guid, scope};
use crate::types::time::instant;
use crate::wire::error::ArmError;
use crate::wire::filter::{self, Term};
use crate::wire::paging;
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use http::StatusCode;
use serde_json::{Value, json};
use tresor_core::error::{Fault, FaultKind};
use tresor_core::model::{ResourceId, RoleAssignment};
use tresor_core::service::AssignmentSpec;
use uuid::Uuid;

/// Kinds of principals that clients name.
const PRINCIPALS: [&str; 5] = ["ServicePrincipal", "User", "Group", "ForeignGroup", "Device"];

fn document(request: &Request, assignment: &RoleAssignment) -> Value {
    let created = instant(assignment.created_at);
    json!({
        "properties": {
            "roleDefinitionId": id_of(request.app.service.subscription(), assignment.role),
            "principalId": assignment.principal.to_string(),
            "principalType": assignment.principal_type,
            "scope": assignment.scope.as_str(),
            "condition": null,
            "conditionVersion": null,
            "createdOn": created,
            "updatedOn": created,
            "createdBy": assignment.created_by,
            "updatedBy": assignment.created_by,
            "delegatedManagedIdentityResourceId": null,
            "description": assignment.description,
        },
        "id": assignment.id.as_str(),
        "type": "Microsoft.Authorization/roleAssignments",
        "name": assignment.id.name(),
    })
}

/// Which assignments a list shows: without a filter those above, at and below its scope.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    /// Only those at the scope and above it.
    at_or_above: bool,
    /// Only those of one principal.
    principal: Option<Uuid>,
}

impl Wanted {
    fn read(text: &str) -> Result<Self, ArmError> {
        let mut wanted = Self::default();
        for term in filter::terms(text)? {
            match term {
                Term::Call(name, None) if name == "atscope" => wanted.at_or_above = true,
                Term::Equals(name, id) | Term::Call(name, Some(id))
                    if name == "principalid" || name == "assignedto" =>
                {
                    let id = guid(&id, "principal id", "InvalidFilterInQueryString")?;
                    wanted.principal = Some(id);
                }
                _ => return Err(filter::refusal(text)),
            }
        }
        Ok(wanted)
    }
}

pub(super) async fn list(request: Request) -> Result<Reply, ArmError> {
    let at = scope(&request)?;
    let wanted = Wanted::read(&paging::filter(&request)?.unwrap_or_default())?;
    let mut rows = request.app.service.assignments(&at, false).await?;
    if !wanted.at_or_above {
        let below = request.app.service.assignments(&at, true).await?;
        // Those at the scope itself are in both lists.
        let more = below.into_iter().filter(|row| row.scope != at);
        rows.extend(more);
    }
    rows.retain(|row| wanted.principal.is_none_or(|id| id == row.principal));
    let rows: Vec<Value> = rows.iter().map(|row| document(&request, row)).collect();
    Ok(Reply::ok(json!({ "value": rows })))
}

/// The name must be a GUID; clients make one up.
fn check_name(request: &Request) -> Result<(), ArmError> {
    let text = request.params.get("roleAssignmentName");
    guid(text, "role assignment ID", "InvalidRoleAssignmentId").map(drop)
}

pub(super) async fn get(request: Request) -> Result<Reply, ArmError> {
    match request.app.service.assignment(&request.id).await? {
        Some(found) => Ok(Reply::ok(document(&request, &found))),
        None => {
            let name = request.params.get("roleAssignmentName");
            let message = format!("The role assignment '{name}' is not found.");
            Err(Fault::new(FaultKind::RoleAssignmentNotFound, message).into())
        }
    }
}

pub(super) async fn put(request: Request) -> Result<Reply, ArmError> {
    check_name(&request)?;
    let body = request.root()?;
    // The oldest clients send the members without `properties`.
    let nested = body.get("properties").object()?;
    let properties = nested.as_ref().unwrap_or(&body);
    let role = properties.get("roleDefinitionId");
    let role_id = role.need_str()?.rsplit('/').next().unwrap_or_default();
    let principal = properties.get("principalId");
    let spec = AssignmentSpec {
        id: request.id.clone(),
        scope: assigned_scope(&request).await?,
        role: Uuid::try_parse(role_id)
            .map_err(|_| role.invalid("must be the id of a role definition, ending in a GUID."))?,
        principal: Uuid::try_parse(principal.need_str()?)
            .map_err(|_| principal.invalid("must be the object id (a GUID) of a principal."))?,
        principal_type: properties.get("principalType").word(&PRINCIPALS)?.map(str::to_owned),
        description: properties.get("description").str()?.map(str::to_owned),
    };
    if properties.get("condition").is_present() {
        let text = "conditions are not supported; leave it out.";
        return Err(properties.get("condition").invalid(text));
    }
    let (made, created) = request.app.service.assignment_put(&request.caller, spec).await?;
    let document = document(&request, &made);
    Ok(if created { Reply::created(document) } else { Reply::ok(document) })
}

/// The scope of the path. It must exist, so that a slip of the pen gives no right that appears with
/// a later resource of that name.
async fn assigned_scope(request: &Request) -> Result<ResourceId, ArmError> {
    let at = scope(request)?;
    if at.group().is_some() {
        request.app.service.resource(&at).await?;
    }
    Ok(at)
}

pub(super) async fn delete(request: Request) -> Result<Reply, ArmError> {
    Ok(match request.app.service.assignment_delete(&request.caller, &request.id).await? {
        Some(gone) => Reply::ok(document(&request, &gone)),
        None => Reply::empty(StatusCode::NO_CONTENT),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_of_known_clients() {
        let id = Uuid::from_u128(1);
        assert_eq!(Wanted::read("").unwrap(), Wanted::default());
        assert!(Wanted::read("atScope()").unwrap().at_or_above);
        for text in [format!("principalId eq '{id}'"), format!("assignedTo('{id}')")] {
            assert_eq!(Wanted::read(&text).unwrap().principal, Some(id));
        }
        let both = Wanted::read(&format!("atScope() and assignedTo('{id}')")).unwrap();
        assert_eq!(both, Wanted { at_or_above: true, principal: Some(id) });
        for bad in ["principalId eq 'me'", "roleName eq 'x'", "asTarget()"] {
            assert!(Wanted::read(bad).is_err(), "{bad}");
        }
    }
}

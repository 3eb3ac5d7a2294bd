//! Role definitions: the built-in ones and those of the operator.

use super::{guid, scope};
use crate::wire::body::Field;
use crate::wire::error::ArmError;
use crate::wire::filter::{self, Term};
use crate::wire::paging;
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use http::StatusCode;
use serde_json::{Value, json};
use tresor_core::error::{Fault, FaultKind};
use tresor_core::model::{ResourceId, RoleDefinition};
use uuid::Uuid;

/// The id by which assignments name a role.
pub(super) fn id_of(subscription: Uuid, role: Uuid) -> String {
    format!(
        "/subscriptions/{subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}"
    )
}

fn kind(role: &RoleDefinition) -> &'static str {
    if role.built_in { "BuiltInRole" } else { "CustomRole" }
}

fn document(request: &Request, role: &RoleDefinition) -> Value {
    let scopes: Vec<&str> = role.assignable_scopes.iter().map(ResourceId::as_str).collect();
    json!({
        "properties": {
            "roleName": role.name,
            "type": kind(role),
            "description": role.description,
            "assignableScopes": scopes,
            "permissions": [{
                "actions": role.actions,
                "notActions": role.not_actions,
                "dataActions": role.data_actions,
                "notDataActions": role.not_data_actions,
            }],
        },
        "id": id_of(request.app.service.subscription(), role.id),
        "type": "Microsoft.Authorization/roleDefinitions",
        "name": role.id.to_string(),
    })
}

pub(super) async fn list(request: Request) -> Result<Reply, ArmError> {
    let at = scope(&request)?;
    let text = paging::filter(&request)?.unwrap_or_default();
    let mut rows = request.app.service.role_definitions().await?;
    // A role shows where it can be assigned.
    rows.retain(|role| {
        let mut scopes = role.assignable_scopes.iter();
        role.built_in || scopes.any(|s| at.is_within(s) || s.is_within(&at))
    });
    for term in filter::terms(&text)? {
        match term {
            Term::Equals(name, value) if name == "rolename" => {
                rows.retain(|role| role.name.eq_ignore_ascii_case(&value));
            }
            Term::Equals(name, value) if name == "type" => {
                let is = |word: &str| word.eq_ignore_ascii_case(&value);
                rows.retain(|role| is(kind(role)));
            }
            Term::Call(name, None) if name == "atscopeandbelow" => {}
            _ => return Err(filter::refusal(&text)),
        }
    }
    let rows: Vec<Value> = rows.iter().map(|role| document(&request, role)).collect();
    Ok(Reply::ok(json!({ "value": rows })))
}

fn role_id(request: &Request) -> Result<Uuid, ArmError> {
    let text = request.params.get("roleDefinitionId");
    guid(text, "role definition id", "InvalidRoleDefinitionId")
}

fn absent(id: Uuid) -> ArmError {
    let message = format!("The specified role definition with ID '{id}' does not exist.");
    Fault::new(FaultKind::RoleDefinitionNotFound, message).into()
}

pub(super) async fn get(request: Request) -> Result<Reply, ArmError> {
    let id = role_id(&request)?;
    let all = request.app.service.role_definitions().await?;
    let found = all.iter().find(|role| role.id == id);
    found.map(|role| Reply::ok(document(&request, role))).ok_or_else(|| absent(id))
}

pub(super) async fn put(request: Request) -> Result<Reply, ArmError> {
    let body = request.root()?;
    let properties = body.get("properties").need_object()?;
    let mut role = RoleDefinition {
        id: role_id(&request)?,
        name: properties.get("roleName").need_str()?.to_owned(),
        description: properties.get("description").str()?.unwrap_or_default().to_owned(),
        built_in: false,
        actions: vec![],
        not_actions: vec![],
        data_actions: vec![],
        not_data_actions: vec![],
        assignable_scopes: vec![],
    };
    let permissions = properties.get("permissions");
    let permissions_sent = permissions.need_items()?;
    if permissions_sent.len() > 1 {
        // Exceptions of one would have to leave the actions of another alone.
        return Err(permissions.invalid("a custom role has one permission; put all into it."));
    }
    for permission in permissions_sent {
        role.actions.extend(texts(&permission.get("actions"))?);
        role.not_actions.extend(texts(&permission.get("notActions"))?);
        role.data_actions.extend(texts(&permission.get("dataActions"))?);
        role.not_data_actions.extend(texts(&permission.get("notDataActions"))?);
    }
    for item in properties.get("assignableScopes").need_items()? {
        role.assignable_scopes.push(item.need_id()?);
    }
    let role = request.app.service.role_put(&request.caller, role).await?;
    Ok(Reply::created(document(&request, &role)))
}

fn texts(field: &Field<'_>) -> Result<Vec<String>, ArmError> {
    let items = field.items()?.unwrap_or_default();
    items.iter().map(|item| item.need_str().map(str::to_owned)).collect()
}

pub(super) async fn delete(request: Request) -> Result<Reply, ArmError> {
    let id = role_id(&request)?;
    Ok(match request.app.service.role_delete(&request.caller, id).await? {
        Some(role) => Reply::ok(document(&request, &role)),
        None => Reply::empty(StatusCode::NO_CONTENT),
    })
}

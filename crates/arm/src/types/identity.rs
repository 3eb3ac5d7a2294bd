//! The identities of a vault, and which of them works for an instance or a restore.

use crate::wire::body::Field;
use crate::wire::error::ArmError;
use serde_json::{Map, Value, json};
use tresor_core::model::{Identity, IdentityChoice};
use tresor_core::service::IdentitySpec;
use uuid::Uuid;

const TYPES: &str = "None, SystemAssigned, UserAssigned, SystemAssigned,UserAssigned";

/// Reads a vault's `identity`; None when it is absent, which keeps what there is.
///
/// # Errors
/// When the type is unknown, or user-assigned identities are asked for and none is named.
pub(crate) fn spec(field: Field<'_>) -> Result<Option<IdentitySpec>, ArmError> {
    if field.object()?.is_none() {
        return Ok(None);
    }
    let kind = field.get("type");
    let mut spec = IdentitySpec { system: false, user: Vec::new() };
    let mut by_user = false;
    for word in kind.need_str()?.split(',').map(str::trim) {
        match word.to_ascii_lowercase().as_str() {
            "none" | "" => {}
            "systemassigned" => spec.system = true,
            "userassigned" => by_user = true,
            _ => {
                return Err(kind.invalid(format!("'{word}' is not allowed; use one of {TYPES}.")));
            }
        }
    }
    if by_user {
        spec.user = named(&field)?;
    }
    Ok(Some(spec))
}

fn named(field: &Field<'_>) -> Result<Vec<String>, ArmError> {
    let list = field.get("userAssignedIdentities");
    let names: Vec<String> = match list.need_object()?.value() {
        Some(Value::Object(members)) => {
            members.iter().filter(|(_, v)| !v.is_null()).map(|(name, _)| name.clone()).collect()
        }
        _ => Vec::new(),
    };
    if names.is_empty() {
        return Err(list.invalid("the type UserAssigned needs the id of at least one identity."));
    }
    Ok(names)
}

/// A vault's identities as ARM shows them.
pub(crate) fn json(identity: &Identity, tenant: Uuid) -> Value {
    let kind = match (identity.system.is_some(), !identity.user.is_empty()) {
        (false, false) => "None",
        (true, false) => "SystemAssigned",
        (false, true) => "UserAssigned",
        (true, true) => "SystemAssigned,UserAssigned",
    };
    let mut out = Map::new();
    out.insert("type".into(), kind.into());
    if let Some(principal) = identity.system {
        out.insert("principalId".into(), principal.to_string().into());
        out.insert("tenantId".into(), tenant.to_string().into());
    }
    if !identity.user.is_empty() {
        let user: Map<String, Value> = identity
            .user
            .iter()
            .map(|(id, (principal, client))| {
                let ids = json!({
                    "principalId": principal.to_string(),
                    "clientId": client.to_string(),
                });
                (id.clone(), ids)
            })
            .collect();
        out.insert("userAssignedIdentities".into(), Value::Object(user));
    }
    Value::Object(out)
}

/// Reads `identityDetails`; None is the vault's system-assigned identity.
///
/// # Errors
/// When a member has the wrong type.
pub(crate) fn choice(field: Field<'_>) -> Result<Option<IdentityChoice>, ArmError> {
    if field.object()?.is_none() {
        return Ok(None);
    }
    let user = field.get("userAssignedIdentityArmUrl").str()?.filter(|url| !url.is_empty());
    let system = field.get("useSystemAssignedIdentity").bool()?.unwrap_or(user.is_none());
    if !system && user.is_none() {
        let url = field.get("userAssignedIdentityArmUrl");
        return Err(url.invalid("name a user-assigned identity, or use the system-assigned one."));
    }
    Ok(Some(IdentityChoice { system, user: user.map(str::to_owned) }))
}

/// An instance's choice as ARM shows it.
pub(crate) fn choice_json(choice: &IdentityChoice) -> Value {
    json!({
        "useSystemAssignedIdentity": choice.system,
        "userAssignedIdentityArmUrl": choice.user,
    })
}

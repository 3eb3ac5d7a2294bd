//! The identities of a vault, and which of them works for an instance or a restore.

use crate::wire::body::Field;
use crate::wire::error::ArmError;
use serde_json::{Map, Value, json};
use tresor_core::model::{Identity, IdentityChoice};
use tresor_core::service::{IdentityChanges, IdentitySpec};
use uuid::Uuid;

const TYPES: &str = "None, SystemAssigned, UserAssigned, SystemAssigned,UserAssigned";

/// Reads a vault's `identity`; None when it is absent, which keeps what there is.
///
/// # Errors
/// When the type is unknown, or user-assigned identities are asked for and none is named.
pub(crate) fn spec(field: Field<'_>) -> Result<Option<IdentitySpec>, ArmError> {
    let Some((system, by_user)) = kinds(&field)? else {
        return Ok(None);
    };
    let user = if by_user { named(&field)? } else { Vec::new() };
    Ok(Some(IdentitySpec { system, user }))
}

/// What a PATCH of a vault says of its identities.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Patch {
    /// The new kinds; None keeps what there is.
    pub(crate) spec: Option<IdentitySpec>,
    /// User-assigned identities that come (true) and go (false: their value is null), when the
    /// new kinds have such at all.
    pub(crate) changes: Option<IdentityChanges>,
}

/// Reads the `identity` of a PATCH: what it does not name stays.
///
/// # Errors
/// When the type is unknown.
pub(crate) fn patch(field: Field<'_>) -> Result<Patch, ArmError> {
    let Some((system, by_user)) = kinds(&field)? else {
        return Ok(Patch::default());
    };
    let spec = Some(IdentitySpec { system, user: Vec::new() });
    if !by_user {
        return Ok(Patch { spec, changes: None });
    }
    let list = field.get("userAssignedIdentities");
    let changes = match list.object()?.and_then(|list| list.value()) {
        Some(Value::Object(members)) => {
            members.iter().map(|(name, value)| (name.clone(), !value.is_null())).collect()
        }
        _ => IdentityChanges::new(),
    };
    Ok(Patch { spec, changes: Some(changes) })
}

/// Whether the type has a system-assigned identity, and whether user-assigned ones.
fn kinds(field: &Field<'_>) -> Result<Option<(bool, bool)>, ArmError> {
    if field.object()?.is_none() {
        return Ok(None);
    }
    let kind = field.get("type");
    let (mut system, mut by_user) = (false, false);
    for word in kind.need_str()?.split(',').map(str::trim) {
        match word.to_ascii_lowercase().as_str() {
            "none" | "" => {}
            "systemassigned" => system = true,
            "userassigned" => by_user = true,
            _ => {
                return Err(kind.invalid(format!("'{word}' is not allowed; use one of {TYPES}.")));
            }
        }
    }
    Ok(Some((system, by_user)))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::body::Dialect;

    fn read<T>(
        body: Value,
        read: impl Fn(Field<'_>) -> Result<T, ArmError>,
    ) -> Result<T, ArmError> {
        read(Field::root(&body, Dialect::DataProtection))
    }

    #[test]
    fn types_come_in_any_case_and_order() {
        let spec_of = |kind: &str| {
            let body = json!({"type": kind, "userAssignedIdentities": {"/a": {}, "/gone": null}});
            read(body, spec).unwrap().unwrap()
        };
        let both = IdentitySpec { system: true, user: vec!["/a".into()] };
        assert_eq!(spec_of("SystemAssigned,UserAssigned"), both);
        assert_eq!(spec_of("userassigned, systemassigned"), both);
        assert_eq!(spec_of("UserAssigned"), IdentitySpec { system: false, ..both });
        assert_eq!(spec_of("None"), IdentitySpec { system: false, user: vec![] });
        assert_eq!(read(json!(null), spec).unwrap(), None);
        let error = read(json!({"type": "Robot"}), spec).unwrap_err();
        assert!(error.message.contains("use one of None, SystemAssigned"), "{}", error.message);
        assert!(read(json!({"type": "UserAssigned"}), spec).is_err());
    }

    #[test]
    fn a_patch_takes_away_by_null() {
        let body =
            json!({"type": "UserAssigned", "userAssignedIdentities": {"/a": {}, "/b": null}});
        let found = read(body, patch).unwrap();
        let changes = IdentityChanges::from([("/a".into(), true), ("/b".into(), false)]);
        assert_eq!(found.changes, Some(changes));
        assert!(!found.spec.unwrap().system);
        let plain = read(json!({"type": "SystemAssigned"}), patch).unwrap();
        assert!(plain.spec.unwrap().system && plain.changes.is_none());
        assert_eq!(read(json!(null), patch).unwrap(), Patch::default());
        let kept = read(json!({"type": "UserAssigned"}), patch).unwrap();
        assert_eq!(kept.changes, Some(IdentityChanges::new()), "what there is stays");
    }
}

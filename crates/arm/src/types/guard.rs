//! Resource guards, the proxies of vaults that use them, and the guard's requests.

use super::time::instant;
use crate::wire::body::Field;
use crate::wire::error::ArmError;
use serde_json::{Value, json};
use tresor_core::guard::{Critical, protects};
use tresor_core::model::{GuardProxy, Resource, ResourceGuard, ResourceId};
use tresor_core::service::{Caller, GuardSpec};

/// Requests of a guard that one body can name.
const REQUESTS_MAX: usize = 20;
const DESCRIPTION: &str =
    "Ask the owner of this resource guard for access before a critical operation.";

/// A guard as ARM shows it: its operations are those that it protects.
pub(crate) fn json(resource: &Resource, guard: &ResourceGuard) -> Value {
    let operations = protected(guard).map(|critical| {
        json!({
            "vaultCriticalOperation": critical.operation(),
            "requestResourceType": request_type(critical.request()),
        })
    });
    json!({
        "location": resource.location,
        "tags": resource.tags,
        "properties": {
            "provisioningState": "Succeeded",
            "allowAutoApprovals": true,
            "resourceGuardOperations": operations.collect::<Vec<_>>(),
            "vaultCriticalOperationExclusionList": guard.exclusions,
            "description": DESCRIPTION,
        },
        "id": resource.id.as_str(),
        "name": resource.id.name(),
        "type": "Microsoft.DataProtection/resourceGuards",
    })
}

fn protected(guard: &ResourceGuard) -> impl Iterator<Item = Critical> {
    Critical::ALL.into_iter().filter(|critical| protects(&guard.exclusions, *critical))
}

fn request_type(kind: &str) -> String {
    format!("Microsoft.DataProtection/resourceGuards/{kind}")
}

/// The one request of a kind at a guard.
pub(crate) fn request_json(guard: &ResourceId, kind: &str) -> Value {
    json!({
        "id": format!("{guard}/{kind}/default"),
        "name": "default",
        "type": request_type(kind),
    })
}

/// A proxy as ARM shows it; a guard that is gone protects everything.
pub(crate) fn proxy_json(resource: &Resource, proxy: &GuardProxy, guard: &ResourceGuard) -> Value {
    let details = protected(guard).map(|critical| {
        json!({
            "vaultCriticalOperation": critical.operation(),
            "defaultResourceRequest": format!("{}/{}/default", proxy.guard, critical.request()),
        })
    });
    json!({
        "properties": {
            "resourceGuardResourceId": proxy.guard.as_str(),
            "resourceGuardOperationDetails": details.collect::<Vec<_>>(),
            "lastUpdatedTime": instant(proxy.updated),
            "description": DESCRIPTION,
        },
        "id": resource.id.as_str(),
        "name": resource.id.name(),
        "type": "Microsoft.DataProtection/backupVaults/backupResourceGuardProxies",
    })
}

/// A request to make or replace a guard.
///
/// # Errors
/// Names the field that is wrong.
pub(crate) fn spec(id: ResourceId, root: Field<'_>) -> Result<GuardSpec, ArmError> {
    let properties = root.get("properties");
    properties.object()?;
    let list = properties.get("vaultCriticalOperationExclusionList").items()?.unwrap_or_default();
    let exclusions = list.iter().map(|item| item.need_str().map(str::to_owned));
    Ok(GuardSpec {
        location: root.get("location").need_str()?.to_owned(),
        tags: root.get("tags").tags()?.unwrap_or_default(),
        exclusions: exclusions.collect::<Result<_, _>>()?,
        id,
    })
}

/// The guard that a proxy shall name.
///
/// # Errors
/// Names the field that is wrong.
pub(crate) fn guard_of(root: Field<'_>) -> Result<ResourceId, ArmError> {
    let field = root.get("properties").need_object()?.get("resourceGuardResourceId");
    let id = field.need_id()?;
    if id.kind() == "microsoft.dataprotection/resourceguards" {
        return Ok(id);
    }
    Err(field.invalid(format!("'{id}' is not a Microsoft.DataProtection/resourceGuards id.")))
}

/// The caller, with the requests of a guard that the body names at `at`.
///
/// # Errors
/// When they are no list of ids, or too many.
pub(crate) fn caller(caller: &Caller, at: &Field<'_>) -> Result<Caller, ArmError> {
    let field = at.get("resourceGuardOperationRequests");
    let items = field.items()?.unwrap_or_default();
    if items.len() > REQUESTS_MAX {
        return Err(field.invalid(format!("must have at most {REQUESTS_MAX} items.")));
    }
    let requests = items.iter().map(Field::need_id).collect::<Result<_, _>>()?;
    Ok(Caller { guard_requests: requests, ..caller.clone() })
}

//! The tenant, its one subscription and the locations of this site.

use crate::wire::error::ArmError;
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use serde_json::{Value, json};

fn document(request: &Request) -> Value {
    let id = request.app.service.subscription();
    json!({
        "id": format!("/subscriptions/{id}"),
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionId": id.to_string(),
        "tenantId": request.app.service.tenant().to_string(),
        "displayName": "Tresor",
        "state": "Enabled",
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01",
            "quotaId": "PayAsYouGo_2014-09-01",
            "spendingLimit": "Off",
        },
    })
}

pub(super) async fn tenants(request: Request) -> Result<Reply, ArmError> {
    let id = request.app.service.tenant();
    let tenant = json!({
        "id": format!("/tenants/{id}"),
        "tenantId": id.to_string(),
        "displayName": "Tresor",
        "tenantCategory": "Home",
        "domains": [],
    });
    Ok(Reply::ok(json!({ "value": [tenant] })))
}

/// The subscription, for a caller that holds a role anywhere in it.
pub(super) async fn list(request: Request) -> Result<Reply, ArmError> {
    let held = request.app.service.assignments_of(request.caller.object_id).await?;
    let rows = if held.is_empty() { vec![] } else { vec![document(&request)] };
    let count = json!({"type": "Total", "value": rows.len()});
    Ok(Reply::ok(json!({ "value": rows, "count": count })))
}

pub(super) async fn get(request: Request) -> Result<Reply, ArmError> {
    Ok(Reply::ok(document(&request)))
}

pub(super) async fn locations(request: Request) -> Result<Reply, ArmError> {
    let subscription = request.app.service.subscription();
    let rows = request.app.service.locations().iter().map(|name| {
        json!({
            "id": format!("/subscriptions/{subscription}/locations/{name}"),
            "name": name,
            "type": "Region",
            "displayName": name,
            "regionalDisplayName": name,
            "metadata": {"regionType": "Physical", "regionCategory": "Recommended"},
        })
    });
    Ok(Reply::ok(json!({ "value": rows.collect::<Vec<_>>() })))
}

//! Questions that a client asks before it makes something.

use super::{group_path, instance_path, route, subscription_path};
use crate::table::{Route, handler};
use crate::types::datasource::DISKS;
use crate::types::name::{self, Named};
use crate::wire::body::Field;
use crate::wire::error::ArmError;
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use http::Method;
use jiff::Timestamp;
use serde_json::json;
use tresor_core::error::Fault;

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(
            Method::POST,
            group_path!("/locations/{location}/checkNameAvailability"),
            "Microsoft.DataProtection/locations/checkNameAvailability/action",
            handler!(vault_name),
            "BackupVaults_CheckNameAvailability",
        ),
        route(
            Method::POST,
            subscription_path!("/locations/{location}/checkFeatureSupport"),
            "Microsoft.DataProtection/locations/checkFeatureSupport/action",
            handler!(feature),
            "DataProtection_CheckFeatureSupport",
        ),
        route(
            Method::POST,
            instance_path!("/findRestorableTimeRanges"),
            "Microsoft.DataProtection/backupVaults/backupInstances/findRestorableTimeRanges/action",
            handler!(time_ranges),
            "RestorableTimeRanges_Find",
        ),
    ]
}

async fn vault_name(request: Request) -> Result<Reply, ArmError> {
    let root = request.root()?;
    let wanted = root.get("name").need_str()?;
    root.get("type").need_word(&["Microsoft.DataProtection/backupVaults"])?;
    let service = &request.app.service;
    service.location(request.params.get("location"))?;
    service.require_group(&request.id).await?;
    if let Some(rule) = name::problem(Named::Vault, wanted) {
        return Ok(Reply::ok(json!({
            "nameAvailable": false,
            "reason": "Invalid",
            "message": format!("The name '{wanted}' {rule}"),
        })));
    }
    let group = request.id.group_id().ok_or_else(|| Fault::invalid("id", "No resource group."))?;
    let vault = group.join(&format!("providers/Microsoft.DataProtection/backupVaults/{wanted}"));
    let vault = vault.map_err(|error| root.get("name").invalid(error))?;
    if service.find(&vault).await?.is_some() {
        return Ok(Reply::ok(json!({
            "nameAvailable": false,
            "reason": "AlreadyExists",
            "message": format!("A backup vault named '{wanted}' exists in this resource group."),
        })));
    }
    Ok(Reply::ok(json!({ "nameAvailable": true })))
}

async fn feature(request: Request) -> Result<Reply, ArmError> {
    let root = request.root()?;
    root.get("objectType").need_word(&["FeatureValidationRequest"])?;
    root.get("featureType").need_word(&["DataSourceType"])?;
    // Without a name all that there is is listed.
    let wanted = root.get("featureName").str()?.unwrap_or(DISKS);
    request.app.service.location(request.params.get("location"))?;
    let known = wanted.eq_ignore_ascii_case(DISKS);
    Ok(Reply::ok(json!({
        "objectType": "FeatureValidationResponse",
        "featureType": "DataSourceType",
        "features": [{
            "featureName": wanted,
            "supportStatus": if known { "GenerallyAvailable" } else { "NotSupported" },
            "exposureControlledFeatures": [],
        }],
    })))
}

fn instant(field: &Field<'_>) -> Result<Option<Timestamp>, ArmError> {
    let read = |text: &str| text.trim().parse();
    let wrong = |_| field.invalid("must be a time such as 2026-01-31T00:00:00Z.");
    field.str()?.map(read).transpose().map_err(wrong)
}

/// Disks have discrete points only, so there is no range of time to restore to.
async fn time_ranges(request: Request) -> Result<Reply, ArmError> {
    let root = request.root()?;
    crate::types::policy::read_store(root.get("sourceDataStoreType"))?;
    let (start, end) = (root.get("startTime"), root.get("endTime"));
    if let (Some(from), Some(to)) = (instant(&start)?, instant(&end)?)
        && to < from
    {
        return Err(end.invalid("must not be before startTime."));
    }
    let found = request.app.service.resource(&request.id).await?;
    let absent = || Fault::not_found("backup instance", request.id.name());
    let id = found.as_instance().map(|_| &found.id).ok_or_else(absent)?;
    Ok(Reply::ok(json!({
        "properties": {
            "restorableTimeRanges": [],
            "objectType": "AzureBackupFindRestorableTimeRangesResponse",
        },
        "id": format!("{id}/findRestorableTimeRanges"),
        "name": "findRestorableTimeRanges",
        "type": "Microsoft.DataProtection/backupVaults/backupInstances/findRestorableTimeRanges",
    })))
}

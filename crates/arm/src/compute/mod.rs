//! Microsoft.Compute: disks, snapshots and the signed URLs that open their bytes.
//!
//! Every change answers 202 with both polling URLs, as clients of Azure expect, even where the
//! work is done when the answer goes out. The signed URL of an opened disk is never kept: it is
//! made of the grant whenever its operation is asked for its result.

mod access;
mod disks;
mod snapshots;

use crate::table::Route;
use crate::types::{disk, snapshot};
use crate::wire::error::ArmError;
use crate::wire::request::Request;
use serde_json::{Value, json};
use tresor_core::model::{Model, Operation, OperationStatus, Resource};
use uuid::Uuid;

/// Type of disks, as the catalogue writes it.
const DISKS: &str = "microsoft.compute/disks";
/// Type of snapshots, as the catalogue writes it.
const SNAPSHOTS: &str = "microsoft.compute/snapshots";
/// Seconds that Azure tells clients to wait between polls.
const RETRY_AFTER: u32 = 2;

/// The provider's routes.
pub(crate) fn routes() -> Vec<Route> {
    [disks::routes(), snapshots::routes()].concat()
}

/// What a finished operation of this provider hands out: the signed URL of an opened disk, or the
/// resource as it is now; None for one that is gone, failed or still at work.
///
/// # Errors
/// When the domain cannot answer, or when a signed URL is asked for by somebody who may not open
/// the disk.
pub(crate) async fn output(
    request: &Request,
    operation: &Operation,
) -> Result<Option<Value>, ArmError> {
    if operation.status != OperationStatus::Succeeded {
        return Ok(None);
    }
    let Some(grant) = &operation.output else {
        let resource = request.app.service.find(&operation.resource).await?;
        return Ok(resource.as_ref().and_then(json));
    };
    let Ok(grant) = Uuid::try_parse(grant) else {
        return Ok(None);
    };
    if operation.caller != request.caller.object_id {
        // The URL is the right itself, so whoever did not ask for it needs what asking needs.
        let action = match operation.resource.kind().as_str() {
            SNAPSHOTS => "Microsoft.Compute/snapshots/beginGetAccess/action",
            _ => "Microsoft.Compute/disks/beginGetAccess/action",
        };
        request.app.service.allow(&request.caller, action, &operation.resource).await?;
    }
    let open = request.app.service.grant(grant).await?;
    Ok(open.map(|grant| {
        let url = request.app.blob.url(&request.base, &grant);
        json!({ "accessSAS": url })
    }))
}

/// A disk or snapshot as ARM shows it.
pub(crate) fn json(resource: &Resource) -> Option<Value> {
    match &resource.model {
        Model::Disk(disk) => Some(disk::json(resource, disk)),
        Model::Snapshot(snapshot) => Some(snapshot::json(resource, snapshot)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

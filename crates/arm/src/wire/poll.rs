//! The routes by which operations are followed.
//!
//! A poll of a running operation is held open for a moment, because clients poll once at once and
//! only then sleep: most operations end within that moment. Held polls are bounded in number and
//! released when the service stops. Whoever began an operation may follow it; everybody else needs
//! the read action at the operation's resource.

use super::error::ArmError;
use super::operation::{self, StatusScope};
use super::path;
use super::reply::Reply;
use super::request::Request;
use super::version::Versions;
use crate::table::{Action, Found, Handler, Route, handler};
use http::{Method, StatusCode};
use tresor_core::error::Fault;
use tresor_core::model::{Operation, OperationStatus, ResourceId};

const OWN: Action = Action::Open("whoever began the operation may follow it");
const RETRY_AFTER: u32 = 10;

macro_rules! in_subscription {
    ($tail:literal) => {
        concat!("/subscriptions/{subscriptionId}", $tail)
    };
}

macro_rules! in_location {
    ($tail:literal) => {
        concat!(
            "/subscriptions/{subscriptionId}/providers/Microsoft.DataProtection",
            "/locations/{location}",
            $tail
        )
    };
}

macro_rules! in_group {
    ($tail:literal) => {
        concat!(
            "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}",
            "/providers/Microsoft.DataProtection",
            $tail
        )
    };
}

/// The routes of this module.
pub(crate) fn routes() -> Vec<Route> {
    let backup = |path, handler, name| get(path, Versions::DataProtection, handler, name);
    let other = |path, handler, name| get(path, Versions::AnyDate, handler, name);
    vec![
        backup(
            in_location!("/operationStatus/{operationId}"),
            handler!(status),
            "OperationStatus_Get",
        ),
        backup(
            in_group!("/operationStatus/{operationId}"),
            handler!(status),
            "OperationStatusResourceGroupContext_Get",
        ),
        backup(
            in_group!("/backupVaults/{vaultName}/operationStatus/{operationId}"),
            handler!(status),
            "OperationStatusBackupVaultContext_Get",
        ),
        backup(
            in_group!("/locations/{location}/operationStatus/{operationId}"),
            handler!(status),
            "OperationStatusResourceGroupLocation_Get",
        ),
        backup(
            in_location!("/operationResults/{operationId}"),
            handler!(result),
            "OperationResult_Get",
        ),
        backup(
            in_group!("/backupVaults/{vaultName}/operationResults/{operationId}"),
            handler!(resource_result),
            "BackupVaultOperationResults_Get",
        ),
        backup(
            in_group!(
                "/backupVaults/{vaultName}/backupInstances/{backupInstanceName}/operationResults\
                 /{operationId}"
            ),
            handler!(resource_result),
            "BackupInstances_GetBackupInstanceOperationResult",
        ),
        other(
            in_subscription!(
                "/providers/Microsoft.Compute/locations/{location}/DiskOperations/{operationId}"
            ),
            handler!(compute),
            "DiskOperations_Get",
        ),
        other(
            in_subscription!("/operationresults/{operationId}"),
            handler!(group_result),
            "SubscriptionOperationResults_Get",
        ),
    ]
}

fn get(path: &'static str, versions: Versions, handler: Handler, name: &'static str) -> Route {
    Route { method: Method::GET, path, versions, since: None, action: OWN, handler, name }
}

/// The scope whose operations a path names: what stands before the operation itself.
fn scope(request: &Request) -> ResourceId {
    let words = ["operationstatus", "operationresults", "diskoperations", "locations"];
    let mut id = Some(request.id.clone());
    while let Some(found) = &id {
        let kind = found.kind();
        let last = kind.rsplit('/').next().unwrap_or_default();
        if !words.contains(&last) {
            break;
        }
        id = found.parent();
    }
    id.unwrap_or_else(ResourceId::root)
}

/// The operation of the path, once it has ended or the poll was held long enough.
pub(crate) async fn poll(request: &Request, action: &str) -> Result<Operation, ArmError> {
    let named = request.params.get("operationId");
    let absent = || ArmError::from_fault(&Fault::not_found("operation", named), request.dialect);
    let (family, id) = operation::parse_name(named).ok_or_else(absent)?;
    let app = &request.app;
    let found = app.service.operation(id).await?.ok_or_else(absent)?;
    let known = family.is_none_or(|family| family == found.family);
    if !known || !found.resource.is_within(&scope(request)) {
        return Err(absent());
    }
    if found.caller != request.caller.object_id {
        app.service.allow(&request.caller, action, &found.resource).await?;
    }
    if found.status != OperationStatus::Running {
        return Ok(found);
    }
    let Some(_held) = app.limits.polls.take(request.caller.object_id) else {
        return Ok(found);
    };
    app.service.operation_held(id, app.wire.poll_hold).await?.ok_or_else(absent)
}

const STATUS_READ: &str = "Microsoft.DataProtection/locations/operationStatus/read";
const RESULT_READ: &str = "Microsoft.DataProtection/locations/operationResults/read";
const DISK_READ: &str = "Microsoft.Compute/locations/diskOperations/read";
const GROUP_READ: &str = "Microsoft.Resources/subscriptions/operationresults/read";

async fn status(request: Request) -> Result<Reply, ArmError> {
    let found = poll(&request, STATUS_READ).await?;
    let reply = Reply::ok(operation::status_document(&request, &found));
    Ok(waiting(reply, &request, &found))
}

async fn result(request: Request) -> Result<Reply, ArmError> {
    let found = poll(&request, RESULT_READ).await?;
    match &found.status {
        OperationStatus::Running => Ok(again(&request, &found, StatusScope::Location)),
        OperationStatus::Succeeded => Ok(Reply::ok(operation::job_info(&found))),
        OperationStatus::Failed(fault) => Err(failed(&request, fault)),
    }
}

/// The result below a vault or instance is that resource.
async fn resource_result(mut request: Request) -> Result<Reply, ArmError> {
    let found = poll(&request, RESULT_READ).await?;
    match &found.status {
        OperationStatus::Running => return Ok(again(&request, &found, StatusScope::Vault)),
        OperationStatus::Failed(fault) => return Err(failed(&request, fault)),
        OperationStatus::Succeeded => {}
    }
    let resource = scope(&request);
    let app = std::sync::Arc::clone(&request.app);
    let segments = path::segments(resource.as_str())?;
    let Found::Route(route, params) = app.table.find(&Method::GET, &segments) else {
        return Ok(Reply::ok(operation::job_info(&found)));
    };
    if let Action::Rbac(action) = route.action {
        app.service.allow(&request.caller, action, &resource).await?;
    }
    request.path = resource.as_str().to_owned();
    request.id = resource;
    request.params = params;
    (route.handler)(request).await
}

async fn compute(request: Request) -> Result<Reply, ArmError> {
    let found = poll(&request, DISK_READ).await?;
    let succeeded = found.status == OperationStatus::Succeeded;
    let output = if succeeded { crate::compute::output(&request, &found).await? } else { None };
    let bare = request.query.get("monitor").is_some_and(|m| m.eq_ignore_ascii_case("true"));
    if !bare {
        let reply = Reply::ok(operation::compute_document(&found, output));
        return Ok(waiting(reply, &request, &found));
    }
    match (&found.status, output) {
        (OperationStatus::Running, _) => Ok(again(&request, &found, StatusScope::Compute)),
        (OperationStatus::Failed(fault), _) => Err(failed(&request, fault)),
        (OperationStatus::Succeeded, Some(output)) => Ok(Reply::ok(output)),
        (OperationStatus::Succeeded, None) => Ok(Reply::empty(StatusCode::OK)),
    }
}

async fn group_result(request: Request) -> Result<Reply, ArmError> {
    let found = poll(&request, GROUP_READ).await?;
    match &found.status {
        OperationStatus::Running => Ok(again(&request, &found, StatusScope::Subscription)),
        OperationStatus::Succeeded => Ok(Reply::empty(StatusCode::OK)),
        OperationStatus::Failed(fault) => Err(failed(&request, fault)),
    }
}

/// Tells a client that has to ask again when to.
fn waiting(reply: Reply, request: &Request, found: &Operation) -> Reply {
    if found.status != OperationStatus::Running {
        return reply;
    }
    let seconds = request.app.wire.retry_after.seconds(RETRY_AFTER);
    reply.header(http::header::RETRY_AFTER, &seconds.to_string())
}

/// 202 with both URLs again.
fn again(request: &Request, found: &Operation, scope: StatusScope) -> Reply {
    let location = match request.params.get("location") {
        "" => request.app.home(),
        named => named,
    };
    operation::accept(request, found, scope, location, RETRY_AFTER)
}

/// What an operation that failed answers in place of a result: its end is settled, so asking again
/// is no use, and the answer must not look as if it were.
pub(crate) fn failed(request: &Request, fault: &Fault) -> ArmError {
    let mut error = ArmError::from_fault(fault, request.dialect);
    if !error.status.is_client_error() || error.status == StatusCode::TOO_MANY_REQUESTS {
        error.status = StatusCode::BAD_REQUEST;
        error.rich = false;
        error.kind = None;
    }
    error
}

#[cfg(test)]
mod tests;

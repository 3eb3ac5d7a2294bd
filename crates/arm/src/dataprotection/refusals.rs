//! What Azure has and Tresor does not: an empty list where there is nothing, else a refusal.

use super::{group_path, instance_path, route, since, subscription_path, vault_path};
use crate::table::{Handler, Route, handler};
use crate::wire::error::ArmError;
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use http::Method;
use serde_json::json;
use tresor_core::error::{Fault, FaultKind};

macro_rules! vault_action {
    ($tail:literal) => {
        concat!("Microsoft.DataProtection/backupVaults/", $tail)
    };
}

macro_rules! region_action {
    ($verb:literal) => {
        concat!("Microsoft.DataProtection/locations/", $verb, "/action")
    };
}

/// A handler that refuses with the name of what is missing.
macro_rules! refuse {
    ($what:literal) => {
        |request| Box::pin(async move { Err(refusal(&request, $what)) })
    };
}

pub(super) fn routes() -> Vec<Route> {
    [instances(), jobs(), vaults(), regions()].concat()
}

fn refusal(request: &Request, what: &str) -> ArmError {
    let fault = Fault::new(FaultKind::Unsupported, format!("Tresor does not support {what} yet."))
        .advise("Leave it out; the release notes tell when it is added.");
    ArmError::from_fault(&fault, request.dialect)
}

async fn nothing(_request: Request) -> Result<Reply, ArmError> {
    Ok(Reply::ok(json!({ "value": [], "nextLink": null })))
}

async fn absent(request: Request) -> Result<Reply, ArmError> {
    let fault = Fault::not_found("resource", request.id.name());
    Err(ArmError::from_fault(&fault, request.dialect))
}

fn instances() -> Vec<Route> {
    vec![
        since(
            "2022-01-01",
            route(
                Method::POST,
                instance_path!("/sync"),
                vault_action!("backupInstances/sync/action"),
                refuse!("synchronising a backup instance"),
                "BackupInstances_SyncBackupInstance",
            ),
        ),
        route(
            Method::POST,
            instance_path!("/rehydrate"),
            vault_action!("backupInstances/rehydrate/action"),
            refuse!("rehydrating archived recovery points"),
            "BackupInstances_TriggerRehydrate",
        ),
        since(
            "2022-09-01",
            route(
                Method::GET,
                "/{*resourceId}/providers/Microsoft.DataProtection/backupInstances",
                vault_action!("backupInstances/read"),
                refuse!("listing backup instances by their datasource"),
                "BackupInstancesExtensionRouting_List",
            ),
        ),
        since(
            "2022-01-01",
            route(
                Method::POST,
                vault_path!("/deletedBackupInstances/{backupInstanceName}/undelete"),
                vault_action!("deletedBackupInstances/undelete/action"),
                refuse!("undeleting a backup instance"),
                "DeletedBackupInstances_Undelete",
            ),
        ),
    ]
}

fn jobs() -> Vec<Route> {
    vec![
        route(
            Method::POST,
            vault_path!("/exportBackupJobs"),
            vault_action!("exportBackupJobs/action"),
            refuse!("exporting jobs"),
            "ExportJobs_Trigger",
        ),
        route(
            Method::GET,
            vault_path!("/backupJobs/operations/{operationId}"),
            vault_action!("backupJobs/read"),
            refuse!("exporting jobs"),
            "ExportJobsOperationResult_Get",
        ),
    ]
}

/// A vault is deleted at once, so there are no deleted ones.
fn vaults() -> Vec<Route> {
    let read = "Microsoft.DataProtection/locations/deletedVaults/read";
    let all = subscription_path!("/locations/{location}/deletedVaults");
    let one = subscription_path!("/locations/{location}/deletedVaults/{deletedVaultName}");
    vec![
        since(
            "2025-09-01",
            route(Method::GET, all, read, handler!(nothing), "DeletedBackupVaults_List"),
        ),
        since(
            "2025-09-01",
            route(Method::GET, one, read, handler!(absent), "DeletedBackupVaults_Get"),
        ),
    ]
}

fn regions() -> Vec<Route> {
    let refused: Handler = refuse!("restores to another region");
    let post =
        |path, action, name| since("2023-11-01", route(Method::POST, path, action, refused, name));
    vec![
        post(
            group_path!("/locations/{location}/crossRegionRestore"),
            region_action!("crossRegionRestore"),
            "BackupInstances_TriggerCrossRegionRestore",
        ),
        post(
            group_path!("/locations/{location}/validateCrossRegionRestore"),
            region_action!("validateCrossRegionRestore"),
            "BackupInstances_ValidateCrossRegionRestore",
        ),
        post(
            group_path!("/locations/{location}/fetchSecondaryRecoveryPoints"),
            region_action!("fetchSecondaryRecoveryPoints"),
            "FetchSecondaryRecoveryPoints_List",
        ),
        post(
            group_path!("/locations/{location}/fetchCrossRegionRestoreJobs"),
            region_action!("fetchCrossRegionRestoreJobs"),
            "FetchCrossRegionRestoreJobs_List",
        ),
        post(
            group_path!("/locations/{location}/fetchCrossRegionRestoreJob"),
            region_action!("fetchCrossRegionRestoreJob"),
            "FetchCrossRegionRestoreJob_Get",
        ),
    ]
}

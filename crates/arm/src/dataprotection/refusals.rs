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

macro_rules! guard_action {
    ($tail:literal) => {
        concat!("Microsoft.DataProtection/resourceGuards/", $tail)
    };
}

macro_rules! region_action {
    ($verb:literal) => {
        concat!("Microsoft.DataProtection/locations/", $verb, "/action")
    };
}

/// A handler that refuses with the name of what is missing, and what to do instead.
macro_rules! refuse {
    ($what:literal) => {
        refuse!($what, "Leave it out; the release notes tell when it is added.")
    };
    ($what:literal, $advice:literal) => {
        |request| Box::pin(async move { Err(refusal(&request, $what, $advice)) })
    };
}

pub(super) fn routes() -> Vec<Route> {
    [instances(), guards(), proxies(), regions()].concat()
}

fn refusal(request: &Request, what: &str, advice: &str) -> ArmError {
    let fault = Fault::new(FaultKind::Unsupported, format!("Tresor does not support {what}."))
        .advise(advice);
    ArmError::from_fault(&fault, request.dialect)
}

async fn nothing(_request: Request) -> Result<Reply, ArmError> {
    Ok(Reply::ok(json!({ "value": [], "nextLink": null })))
}

async fn absent(request: Request) -> Result<Reply, ArmError> {
    let fault = Fault::not_found("resource", request.id.name());
    Err(ArmError::from_fault(&fault, request.dialect))
}

async fn gone(_request: Request) -> Result<Reply, ArmError> {
    Ok(Reply::no_content())
}

fn instances() -> Vec<Route> {
    vec![route(
        Method::POST,
        instance_path!("/rehydrate"),
        vault_action!("backupInstances/rehydrate/action"),
        refuse!(
            "rehydrating recovery points: those of disks are never archived",
            "Restore the recovery point as it is."
        ),
        "BackupInstances_TriggerRehydrate",
    )]
}

fn guards() -> Vec<Route> {
    let read = guard_action!("read");
    let write = guard_action!("write");
    let remove = guard_action!("delete");
    let subscription = subscription_path!("/resourceGuards");
    let group = group_path!("/resourceGuards");
    let one = group_path!("/resourceGuards/{resourceGuardsName}");
    let requests = group_path!("/resourceGuards/{resourceGuardsName}/{requestKind}");
    let request = group_path!("/resourceGuards/{resourceGuardsName}/{requestKind}/{requestName}");
    let refused: Handler = refuse!("resource guards");
    vec![
        route(
            Method::GET,
            subscription,
            read,
            handler!(nothing),
            "ResourceGuards_GetResourcesInSubscription",
        ),
        route(
            Method::GET,
            group,
            read,
            handler!(nothing),
            "ResourceGuards_GetResourcesInResourceGroup",
        ),
        route(Method::GET, one, read, handler!(absent), "ResourceGuards_Get"),
        route(Method::PUT, one, write, refused, "ResourceGuards_Put"),
        route(Method::PATCH, one, write, handler!(absent), "ResourceGuards_Patch"),
        route(Method::DELETE, one, remove, handler!(gone), "ResourceGuards_Delete"),
        route(Method::GET, requests, read, handler!(absent), "ResourceGuards_GetRequestsObjects"),
        route(
            Method::GET,
            request,
            read,
            handler!(absent),
            "ResourceGuards_GetDefaultRequestsObject",
        ),
    ]
}

fn proxies() -> Vec<Route> {
    let read = vault_action!("backupResourceGuardProxies/read");
    let write = vault_action!("backupResourceGuardProxies/write");
    let remove = vault_action!("backupResourceGuardProxies/delete");
    let unlock = vault_action!("backupResourceGuardProxies/unlockDelete/action");
    let all = vault_path!("/backupResourceGuardProxies");
    let one = vault_path!("/backupResourceGuardProxies/{resourceGuardProxyName}");
    let post = vault_path!("/backupResourceGuardProxies/{resourceGuardProxyName}/unlockDelete");
    let refused: Handler = refuse!("resource guards");
    [
        route(Method::GET, all, read, handler!(nothing), "DppResourceGuardProxy_List"),
        route(Method::GET, one, read, handler!(absent), "DppResourceGuardProxy_Get"),
        route(Method::PUT, one, write, refused, "DppResourceGuardProxy_CreateOrUpdate"),
        route(Method::DELETE, one, remove, handler!(gone), "DppResourceGuardProxy_Delete"),
        route(Method::POST, post, unlock, refused, "DppResourceGuardProxy_UnlockDelete"),
    ]
    .into_iter()
    .map(|route| since("2022-09-01", route))
    .collect()
}

fn regions() -> Vec<Route> {
    let refused: Handler = refuse!(
        "restores of disks to another region",
        "Restore the disk in the region of its vault."
    );
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

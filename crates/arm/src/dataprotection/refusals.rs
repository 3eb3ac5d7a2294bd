//! What Azure has for other datasources and disks do not: each is refused by name.

use super::{group_path, instance_path, route, since};
use crate::table::{Handler, Route};
use crate::wire::error::ArmError;
use crate::wire::request::Request;
use http::Method;
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
    [instances(), regions()].concat()
}

fn refusal(request: &Request, what: &str, advice: &str) -> ArmError {
    let fault = Fault::new(FaultKind::Unsupported, format!("Tresor does not support {what}."))
        .advise(advice);
    ArmError::from_fault(&fault, request.dialect)
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

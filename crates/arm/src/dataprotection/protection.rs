//! What is done with a backup instance: backup, restore, pause, resume and looking again.

use super::{accepted, instance_path, route, since};
use crate::table::{Route, handler};
use crate::types::{guard, restore};
use crate::wire::error::ArmError;
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use http::{Method, StatusCode};
use tresor_core::service::Transition;

const RETRY_AFTER_JOB: u32 = 30;
const RETRY_AFTER_VALIDATE: u32 = 10;
/// The api-versions that can pause protection, and have it looked at again.
const PAUSE_SINCE: &str = "2022-01-01";

macro_rules! action {
    ($verb:literal) => {
        concat!("Microsoft.DataProtection/backupVaults/backupInstances/", $verb, "/action")
    };
}

pub(super) fn routes() -> Vec<Route> {
    let post = |path, action, handler, name| route(Method::POST, path, action, handler, name);
    let pause = |path, action, handler, name| since(PAUSE_SINCE, post(path, action, handler, name));
    vec![
        post(
            instance_path!("/backup"),
            action!("backup"),
            handler!(backup),
            "BackupInstances_AdhocBackup",
        ),
        post(
            instance_path!("/validateRestore"),
            action!("validateRestore"),
            handler!(validate_restore),
            "BackupInstances_ValidateForRestore",
        ),
        post(
            instance_path!("/restore"),
            action!("restore"),
            handler!(restore_now),
            "BackupInstances_TriggerRestore",
        ),
        pause(
            instance_path!("/stopProtection"),
            action!("stopProtection"),
            handler!(stop),
            "BackupInstances_StopProtection",
        ),
        pause(
            instance_path!("/suspendBackups"),
            action!("suspendBackups"),
            handler!(suspend),
            "BackupInstances_SuspendBackups",
        ),
        pause(
            instance_path!("/resumeProtection"),
            action!("resumeProtection"),
            handler!(resume_protection),
            "BackupInstances_ResumeProtection",
        ),
        pause(
            instance_path!("/resumeBackups"),
            action!("resumeBackups"),
            handler!(resume_backups),
            "BackupInstances_ResumeBackups",
        ),
        pause(
            instance_path!("/sync"),
            action!("sync"),
            handler!(sync),
            "BackupInstances_SyncBackupInstance",
        ),
    ]
}

async fn backup(request: Request) -> Result<Reply, ArmError> {
    let options = request.root()?.get("backupRuleOptions").need_object()?;
    let trigger = options.get("triggerOption");
    trigger.object()?;
    let tag = trigger.get("retentionTagOverride").str()?.filter(|tag| !tag.trim().is_empty());
    let rule = options.get("ruleName").need_str()?;
    let service = &request.app.service;
    let operation = service.backup_start(&request.caller, &request.id, rule, tag).await?;
    accepted(&request, &operation, RETRY_AFTER_JOB).await
}

async fn validate_restore(request: Request) -> Result<Reply, ArmError> {
    let spec = restore::validation(request.root()?)?;
    let service = &request.app.service;
    let operation = service.validate_restore(&request.caller, &request.id, spec).await?;
    accepted(&request, &operation, RETRY_AFTER_VALIDATE).await
}

async fn restore_now(request: Request) -> Result<Reply, ArmError> {
    let root = request.root()?;
    let spec = restore::spec(root.clone())?;
    let caller = guard::caller(&request.caller, &root)?;
    let service = &request.app.service;
    let operation = service.restore_start(&caller, &request.id, spec).await?;
    accepted(&request, &operation, RETRY_AFTER_JOB).await
}

/// Both words mean the same here: every prerequisite is looked at again, and nothing is remembered
/// that could be stale.
async fn sync(request: Request) -> Result<Reply, ArmError> {
    if let Some(root) = request.optional_root()? {
        root.get("syncType").word(&["Default", "ForceResync"])?;
    }
    let service = &request.app.service;
    let operation = service.instance_sync(&request.caller, &request.id).await?;
    accepted(&request, &operation, RETRY_AFTER_VALIDATE).await
}

async fn stop(request: Request) -> Result<Reply, ArmError> {
    change(&request, Transition::Stop).await
}

async fn suspend(request: Request) -> Result<Reply, ArmError> {
    change(&request, Transition::Suspend).await
}

async fn resume_protection(request: Request) -> Result<Reply, ArmError> {
    change(&request, Transition::ResumeProtection).await
}

async fn resume_backups(request: Request) -> Result<Reply, ArmError> {
    change(&request, Transition::ResumeBackups).await
}

/// A body is optional and names requests of a resource guard only.
async fn change(request: &Request, transition: Transition) -> Result<Reply, ArmError> {
    let caller = match request.optional_root()? {
        Some(root) => guard::caller(&request.caller, &root)?,
        None => request.caller.clone(),
    };
    let service = &request.app.service;
    match service.transition(&caller, &request.id, transition).await? {
        Some(operation) => accepted(request, &operation, RETRY_AFTER_VALIDATE).await,
        None => Ok(Reply::empty(StatusCode::OK)),
    }
}

//! Jobs, and documents of all of them.

use super::{route, vault_id, vault_of, vault_path};
use crate::table::{Route, handler};
use crate::types::job::{self, View};
use crate::wire::error::ArmError;
use crate::wire::operation;
use crate::wire::paging;
use crate::wire::poll;
use crate::wire::reply::{AsyncHeaders, Reply};
use crate::wire::request::Request;
use http::Method;
use serde_json::{Value, json};
use tresor_core::error::Fault;
use tresor_core::model::{Operation, OperationStatus};
use uuid::Uuid;

/// The first api-version that spells the byte counter as all later ones do.
const RESPELT_SINCE: &str = "2021-07-01";
const RETRY_AFTER: u32 = 10;

pub(super) fn routes() -> Vec<Route> {
    let read = "Microsoft.DataProtection/backupVaults/backupJobs/read";
    let all = vault_path!("/backupJobs");
    let one = vault_path!("/backupJobs/{jobId}");
    vec![
        route(Method::GET, all, read, handler!(list), "Jobs_List"),
        route(Method::GET, one, read, handler!(get), "Jobs_Get"),
        route(
            Method::POST,
            vault_path!("/exportBackupJobs"),
            "Microsoft.DataProtection/backupVaults/exportBackupJobs/action",
            handler!(export),
            "ExportJobs_Trigger",
        ),
        route(
            Method::GET,
            vault_path!("/backupJobs/operations/{operationId}"),
            read,
            handler!(exported),
            "ExportJobsOperationResult_Get",
        ),
    ]
}

async fn list(request: Request) -> Result<Reply, ArmError> {
    let vault = vault_id(&request.id)?;
    let (cursor, limit) = (paging::cursor(&request)?, paging::limit(&request)?);
    let filter = paging::filter(&request)?;
    let query = job::query(filter.as_deref().unwrap_or_default())?;
    let page = request.app.service.jobs(&vault, &query, cursor, limit).await?;
    let view = match request.version.at_least(RESPELT_SINCE) {
        true => View::Row,
        false => View::Row2021,
    };
    let rows: Vec<Value> = page.rows.iter().map(|row| job::json(row, view)).collect();
    Ok(Reply::ok(paging::page(&request, rows, page.after)?))
}

async fn get(request: Request) -> Result<Reply, ArmError> {
    let named = request.params.get("jobId");
    let id = Uuid::try_parse(named).map_err(|_| Fault::not_found("backup job", named))?;
    let found = request.app.service.job(&vault_id(&request.id)?, id).await?;
    let view = match request.version.at_least(RESPELT_SINCE) {
        true => View::Full,
        false => View::Full2021,
    };
    Ok(Reply::ok(job::json(&found, view)))
}

async fn export(request: Request) -> Result<Reply, ArmError> {
    request.optional_root()?;
    let vault = vault_of(&request).await?.id;
    let begun = request.app.service.export_start(&request.caller, &vault).await?;
    Ok(waiting(&request, &begun))
}

/// 202 with the place of the result alone: an export has no status document.
fn waiting(request: &Request, export: &Operation) -> Reply {
    let path = format!("{}/backupJobs/operations/{}", request.id, operation::name(export));
    let location = Some(request.url(&path));
    let headers = AsyncHeaders { status: None, location, retry_after: RETRY_AFTER };
    Reply::accepted(request, headers)
}

async fn exported(request: Request) -> Result<Reply, ArmError> {
    let found =
        poll::poll(&request, "Microsoft.DataProtection/backupVaults/backupJobs/read").await?;
    let absent = || Fault::not_found("export", request.params.get("operationId"));
    match &found.status {
        OperationStatus::Running => return Ok(waiting(&request, &found)),
        OperationStatus::Failed(fault) => return Err(poll::failed(&request, fault)),
        OperationStatus::Succeeded => {}
    }
    let app = &request.app;
    let expires = app.service.export_expires(&found).ok_or_else(absent)?;
    if app.service.document(found.id, expires).await?.is_none() {
        let message = "The exported document is no longer kept.";
        return Err(Fault { message: message.into(), ..absent() }.advise("Export again.").into());
    }
    let (url, key) = app.blob.document(&request.base, found.id, expires);
    // There is no Excel file, and so neither a URL nor a key of one.
    Ok(Reply::ok(json!({
        "blobUrl": url,
        "blobSasKey": key,
        "excelFileBlobUrl": null,
        "excelFileBlobSasKey": null,
    })))
}

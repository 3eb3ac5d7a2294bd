//! Jobs.

use super::{route, vault_id, vault_path};
use crate::table::{Route, handler};
use crate::types::job::{self, View};
use crate::wire::error::ArmError;
use crate::wire::paging;
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use http::Method;
use serde_json::Value;
use tresor_core::error::Fault;
use uuid::Uuid;

/// The first api-version that spells the byte counter as all later ones do.
const RESPELT_SINCE: &str = "2021-07-01";

pub(super) fn routes() -> Vec<Route> {
    let read = "Microsoft.DataProtection/backupVaults/backupJobs/read";
    let all = vault_path!("/backupJobs");
    let one = vault_path!("/backupJobs/{jobId}");
    vec![
        route(Method::GET, all, read, handler!(list), "Jobs_List"),
        route(Method::GET, one, read, handler!(get), "Jobs_Get"),
    ]
}

async fn list(request: Request) -> Result<Reply, ArmError> {
    let vault = vault_id(&request.id)?;
    let (cursor, limit) = (paging::cursor(&request)?, paging::limit(&request)?);
    let page = request.app.service.jobs(&vault, cursor, limit).await?;
    let rows: Vec<Value> = page.rows.iter().map(|row| job::json(row, View::Row)).collect();
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

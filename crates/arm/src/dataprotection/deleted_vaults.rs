//! Deleted vaults that can still be had back, by a PUT that names one (see the vaults).

use super::{route, since, subscription_path};
use crate::table::{Route, handler};
use crate::types::vault;
use crate::wire::error::ArmError;
use crate::wire::paging;
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use http::Method;
use serde_json::Value;

const SINCE: &str = "2025-09-01";

pub(super) fn routes() -> Vec<Route> {
    let read = "Microsoft.DataProtection/locations/deletedVaults/read";
    let all = subscription_path!("/locations/{location}/deletedVaults");
    let one = subscription_path!("/locations/{location}/deletedVaults/{deletedVaultName}");
    [
        route(Method::GET, all, read, handler!(list), "DeletedBackupVaults_List"),
        route(Method::GET, one, read, handler!(get), "DeletedBackupVaults_Get"),
    ]
    .map(|route| since(SINCE, route))
    .into()
}

async fn list(request: Request) -> Result<Reply, ArmError> {
    let location = request.params.get("location");
    let (cursor, limit) = (paging::cursor(&request)?, paging::limit(&request)?);
    let page = request.app.service.deleted_vaults(location, cursor, limit).await?;
    let shown = page.rows.iter().filter_map(|row| Some((row, row.as_deleted_vault()?)));
    let rows: Vec<Value> = shown.map(|(row, model)| vault::deleted_json(row, model)).collect();
    Ok(Reply::ok(paging::page(&request, rows, page.after)?))
}

async fn get(request: Request) -> Result<Reply, ArmError> {
    let service = &request.app.service;
    let (location, name) = (request.params.get("location"), request.params.get("deletedVaultName"));
    let id = service.deleted_vault_id(location, Some(name))?;
    let (row, model) = service.deleted_vault(&id).await?;
    Ok(Reply::ok(vault::deleted_json(&row, &model)))
}

//! Recovery points.

use super::{instance_path, route};
use crate::table::{Route, handler};
use crate::types::point::{self, Names};
use crate::wire::error::ArmError;
use crate::wire::paging;
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use http::Method;
use serde_json::Value;
use tresor_core::error::Fault;

/// From here on a point's friendly name is its own.
const NAMED_SINCE: &str = "2023-01-01";

pub(super) fn routes() -> Vec<Route> {
    let read = "Microsoft.DataProtection/backupVaults/backupInstances/recoveryPoints/read";
    let all = instance_path!("/recoveryPoints");
    let one = instance_path!("/recoveryPoints/{recoveryPointId}");
    vec![
        route(Method::GET, all, read, handler!(list), "RecoveryPoints_List"),
        route(Method::GET, one, read, handler!(get), "RecoveryPoints_Get"),
    ]
}

async fn list(request: Request) -> Result<Reply, ArmError> {
    let filter = paging::filter(&request)?;
    let query = point::query(filter.as_deref().unwrap_or_default())?;
    let (cursor, limit) = (paging::cursor(&request)?, paging::limit(&request)?);
    let service = &request.app.service;
    let instance = service.resource(&request.id).await?.id;
    let Some(query) = query else {
        return Ok(Reply::ok(paging::page(&request, vec![], None)?));
    };
    let page = service.points(&instance, &query, cursor, limit).await?;
    let names = names(&request);
    let rows: Vec<Value> = page.rows.iter().map(|row| point::json(&instance, row, names)).collect();
    Ok(Reply::ok(paging::page(&request, rows, page.after)?))
}

async fn get(request: Request) -> Result<Reply, ArmError> {
    let key = request.params.get("recoveryPointId");
    let absent = || Fault::not_found("recovery point", key);
    let instance = request.id.parent().ok_or_else(absent)?;
    let service = &request.app.service;
    let instance = service.resource(&instance).await?.id;
    let found = service.point(&instance, &key.to_ascii_lowercase()).await?;
    Ok(Reply::ok(point::json(&instance, &found, names(&request))))
}

fn names(request: &Request) -> Names {
    if request.version.at_least(NAMED_SINCE) { Names::Point } else { Names::Snapshot }
}

//! Single questions.

use super::row::{database, decode};
use crate::catalogue::Result;
use crate::model::{Point, Resource, ResourceId, RoleAssignment, RoleDefinition};
use serde::de::DeserializeOwned;
use sqlx::SqlitePool;
use uuid::Uuid;

/// One text of one row.
pub(super) async fn text(
    pool: &SqlitePool,
    sql: &'static str,
    key: &str,
) -> Result<Option<String>> {
    sqlx::query_scalar(sql).bind(key).fetch_optional(pool).await.map_err(database)
}

/// One record by one key.
pub(super) async fn record<T: DeserializeOwned>(
    pool: &SqlitePool,
    what: &'static str,
    sql: &'static str,
    key: &str,
) -> Result<Option<T>> {
    let found = text(pool, sql, key).await?;
    found.map(|text| decode(&format!("{what} {key}"), &text)).transpose()
}

/// All records that have one key.
pub(super) async fn records<T: DeserializeOwned>(
    pool: &SqlitePool,
    what: &'static str,
    sql: &'static str,
    key: &str,
) -> Result<Vec<T>> {
    let rows: Vec<String> =
        sqlx::query_scalar(sql).bind(key).fetch_all(pool).await.map_err(database)?;
    let what = format!("a {what} of {key}");
    rows.iter().map(|text| decode(&what, text)).collect()
}

/// The one number that a question is answered with.
pub(super) async fn count(pool: &SqlitePool, sql: &'static str) -> Result<u64> {
    let found: i64 = sqlx::query_scalar(sql).fetch_one(pool).await.map_err(database)?;
    Ok(found.unsigned_abs())
}

pub(super) async fn resource(pool: &SqlitePool, id: &ResourceId) -> Result<Option<Resource>> {
    record(pool, "resource", "SELECT record FROM resources WHERE key = ?1", id.key()).await
}

pub(super) async fn instances_naming(pool: &SqlitePool, id: &ResourceId) -> Result<Vec<Resource>> {
    const SQL: &str = "SELECT r.record FROM instance_refs AS i \
        JOIN resources AS r ON r.key = i.instance WHERE i.target = ?1 ORDER BY r.key";
    records(pool, "backup instance", SQL, id.key()).await
}

pub(super) async fn roles(pool: &SqlitePool) -> Result<Vec<RoleDefinition>> {
    let rows: Vec<String> = sqlx::query_scalar("SELECT record FROM roles ORDER BY id")
        .fetch_all(pool)
        .await
        .map_err(database)?;
    rows.iter().map(|text| decode("a custom role", text)).collect()
}

pub(super) async fn point(pool: &SqlitePool, instance: Uuid, key: &str) -> Result<Option<Point>> {
    let found: Option<String> =
        sqlx::query_scalar("SELECT record FROM points WHERE instance = ?1 AND key = ?2")
            .bind(instance.to_string())
            .bind(key)
            .fetch_optional(pool)
            .await
            .map_err(database)?;
    found.map(|text| decode(&format!("recovery point {key}"), &text)).transpose()
}

pub(super) async fn assignments_near(
    pool: &SqlitePool,
    scope: &ResourceId,
    below: bool,
) -> Result<Vec<RoleAssignment>> {
    const BELOW: &str = "SELECT record FROM assignments \
        WHERE scope = ?1 OR (scope > ?2 AND scope < ?3) ORDER BY key";
    const ABOVE: &str = "SELECT record FROM assignments \
        WHERE scope IN (SELECT value FROM json_each(?1)) ORDER BY key";
    let rows: Vec<String> = if below {
        let (low, high) = bounds(Some(scope));
        sqlx::query_scalar(BELOW).bind(scope.key()).bind(low).bind(high).fetch_all(pool).await
    } else {
        let scopes = serde_json::Value::from(scopes_above(scope)).to_string();
        sqlx::query_scalar(ABOVE).bind(scopes).fetch_all(pool).await
    }
    .map_err(database)?;
    rows.iter().map(|text| decode("a role assignment", text)).collect()
}

/// The open interval of keys that lie strictly below a scope. `0` follows `/` in ASCII, so the
/// interval holds `/a/b/...` and neither `/a/b` nor `/a/bc`; a pattern match would have to escape
/// `_`, which ids may have.
pub(super) fn bounds(scope: Option<&ResourceId>) -> (String, String) {
    let stem = scope.map_or("", |scope| scope.key()).trim_end_matches('/');
    (format!("{stem}/"), format!("{stem}0"))
}

/// The scope, every scope above it, and the root.
fn scopes_above(scope: &ResourceId) -> Vec<&str> {
    let key = scope.key();
    let mut scopes = vec!["/", key];
    scopes.extend(
        key.match_indices('/').filter(|(at, _)| *at > 0).filter_map(|(at, _)| key.get(..at)),
    );
    scopes
}

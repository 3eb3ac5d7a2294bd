//! Lists in pages. A cursor is the place of the last row in the order of the list, so that rows
//! that come and go before or after it neither repeat nor hide others.

use super::read::bounds;
use super::row::{database, decode, instant};
use crate::catalogue::{
    CatalogueError, JobFilter, PAGE_MAX, Page, PointFilter, ResourceFilter, Result,
};
use crate::model::{Job, Point, Principal, Resource};
use serde::de::DeserializeOwned;
use sqlx::SqlitePool;

/// Greater than every key of a job or point: those are ASCII letters and digits.
pub(super) const LAST_KEY: &str = "~";

pub(super) const RESOURCES: &str = "SELECT key, record FROM resources \
    WHERE key > ?1 AND key < ?2 ORDER BY key LIMIT ?3";
pub(super) const OF_KIND: &str = "SELECT key, record FROM resources \
    WHERE kind = ?4 AND key > ?1 AND key < ?2 ORDER BY key LIMIT ?3";
pub(super) const PRINCIPALS: &str = "SELECT object_id, record FROM principals \
    WHERE object_id > ?1 ORDER BY object_id LIMIT ?2";
pub(super) const NAMING: &str = "SELECT r.key, r.record FROM instance_refs AS i \
    JOIN resources AS r ON r.key = i.instance \
    WHERE i.target = ?5 AND i.instance > ?1 AND i.instance < ?2 AND (?4 IS NULL OR r.kind = ?4) \
    ORDER BY i.instance LIMIT ?3";
pub(super) const JOBS: &str = "SELECT started, id, record FROM jobs \
    WHERE vault = ?1 AND (started, id) < (?2, ?3) ORDER BY started DESC, id DESC LIMIT ?4";
pub(super) const POINTS: &str = "SELECT time, key, record FROM points \
    WHERE instance = ?1 AND (time, key) < (?2, ?3) AND time >= ?4 \
    ORDER BY time DESC, key DESC LIMIT ?5";

pub(super) async fn resources(
    pool: &SqlitePool,
    filter: &ResourceFilter,
) -> Result<Page<Resource>> {
    let (mut low, high) = bounds(filter.under.as_ref());
    if let Some(after) = filter.after.as_ref().filter(|after| **after > low) {
        low.clone_from(after);
    }
    let sql = match (&filter.naming, &filter.kind) {
        (Some(_), _) => NAMING,
        (None, Some(_)) => OF_KIND,
        (None, None) => RESOURCES,
    };
    let mut query = sqlx::query_as(sql).bind(low).bind(high).bind(fetched(filter.limit));
    if filter.naming.is_some() || filter.kind.is_some() {
        query = query.bind(&filter.kind);
    }
    if let Some(named) = &filter.naming {
        query = query.bind(named.key());
    }
    let rows: Vec<(String, String)> = query.fetch_all(pool).await.map_err(database)?;
    page("resource", rows, filter.limit, |(key, _)| key.clone(), |(_, record)| record)
}

pub(super) async fn principals(
    pool: &SqlitePool,
    after: Option<&str>,
    limit: u32,
) -> Result<Page<Principal>> {
    let rows: Vec<(String, String)> = sqlx::query_as(PRINCIPALS)
        .bind(after.unwrap_or_default())
        .bind(fetched(limit))
        .fetch_all(pool)
        .await
        .map_err(database)?;
    page("principal", rows, limit, |(id, _)| id.clone(), |(_, record)| record)
}

pub(super) async fn jobs(pool: &SqlitePool, filter: &JobFilter) -> Result<Page<Job>> {
    let (started, id) = cursor(filter.after.as_deref())?;
    let rows: Vec<(i64, String, String)> = sqlx::query_as(JOBS)
        .bind(filter.vault.to_string())
        .bind(started)
        .bind(id)
        .bind(fetched(filter.limit))
        .fetch_all(pool)
        .await
        .map_err(database)?;
    page("job", rows, filter.limit, |(time, id, _)| format!("{time}.{id}"), |(_, _, record)| record)
}

pub(super) async fn points(pool: &SqlitePool, filter: &PointFilter) -> Result<Page<Point>> {
    // The end of the wanted time is a place like that of a cursor, behind its last key.
    let end = (filter.to.map_or(i64::MAX, instant), LAST_KEY.to_owned());
    let (time, key) = cursor(filter.after.as_deref())?.min(end);
    let rows: Vec<(i64, String, String)> = sqlx::query_as(POINTS)
        .bind(filter.instance.to_string())
        .bind(time)
        .bind(key)
        .bind(filter.from.map_or(i64::MIN, instant))
        .bind(fetched(filter.limit))
        .fetch_all(pool)
        .await
        .map_err(database)?;
    let after = |(time, key, _): &(i64, String, String)| format!("{time}.{key}");
    page("recovery point", rows, filter.limit, after, |(_, _, record)| record)
}

/// Rows of a page.
pub(super) fn rows_of(limit: u32) -> u32 {
    limit.clamp(1, PAGE_MAX)
}

/// Rows to ask for: one more than the page holds tells whether there is a next page.
fn fetched(limit: u32) -> i64 {
    i64::from(rows_of(limit)).saturating_add(1)
}

/// The place before which a list that runs downwards goes on.
pub(super) fn cursor(after: Option<&str>) -> Result<(i64, String)> {
    // Greater than every key: ids and keys are ASCII letters and digits.
    let Some(after) = after else {
        return Ok((i64::MAX, "~".to_owned()));
    };
    after
        .split_once('.')
        .and_then(|(time, key)| Some((time.parse().ok()?, key.to_owned())))
        .ok_or(CatalogueError::Cursor)
}

fn page<R, T: DeserializeOwned>(
    what: &str,
    mut rows: Vec<R>,
    limit: u32,
    after: impl Fn(&R) -> String,
    record: impl Fn(&R) -> &String,
) -> Result<Page<T>> {
    let size = usize::try_from(rows_of(limit)).unwrap_or(usize::MAX);
    let more = rows.len() > size;
    rows.truncate(size);
    let after = rows.last().filter(|_| more).map(after);
    let place = |row: &R| decode(&format!("a {what} in a list"), record(row));
    Ok(Page { rows: rows.iter().map(place).collect::<Result<_>>()?, after })
}

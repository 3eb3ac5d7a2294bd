//! The work queue. A worker holds an item while the item's lease is set and its fence is the
//! newest. The end of a lease only allows another to claim it; it never takes the item away by
//! itself, so that no clock decides whose writes count.

use super::row::{database, decode, encode, instant};
use crate::catalogue::{CatalogueError, Result};
use crate::model::Work;
use jiff::Timestamp;
use sqlx::{SqliteConnection, SqlitePool};
use std::collections::BTreeMap;
use uuid::Uuid;

pub(super) async fn claim(
    pool: &SqlitePool,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<Work>> {
    const CLAIM: &str = "UPDATE work SET fence = fence + 1, lease_until = ?2 \
        WHERE seq = (SELECT seq FROM work WHERE lease_until IS NULL OR lease_until < ?1 \
                     ORDER BY seq LIMIT 1) \
        RETURNING id, fence, record";
    const STEPS: &str = "SELECT step, note FROM work_steps WHERE work = ?1";
    let mut change = pool.begin_with("BEGIN IMMEDIATE").await.map_err(database)?;
    let claimed: Option<(String, i64, String)> = sqlx::query_as(CLAIM)
        .bind(instant(now))
        .bind(instant(until))
        .fetch_optional(&mut *change)
        .await
        .map_err(database)?;
    let Some((id, fence, record)) = claimed else {
        return Ok(None);
    };
    let steps: Vec<(String, String)> =
        sqlx::query_as(STEPS).bind(&id).fetch_all(&mut *change).await.map_err(database)?;
    // The lease stays whatever the record holds: one that cannot be read must not be claimed again
    // and again in front of all the others.
    change.commit().await.map_err(database)?;
    let work: Work = decode(&format!("work {id}"), &record)?;
    let note = |(step, note): (String, String)| {
        Ok((step, decode(&format!("a step of work {id}"), &note)?))
    };
    let steps: BTreeMap<_, _> = steps.into_iter().map(note).collect::<Result<_>>()?;
    Ok(Some(Work { fence, steps, ..work }))
}

pub(super) async fn renew(
    pool: &SqlitePool,
    work: Uuid,
    fence: i64,
    until: Timestamp,
) -> Result<()> {
    const SQL: &str = "UPDATE work SET lease_until = ?3 \
        WHERE id = ?1 AND fence = ?2 AND lease_until IS NOT NULL";
    let done = sqlx::query(SQL)
        .bind(work.to_string())
        .bind(fence)
        .bind(instant(until))
        .execute(pool)
        .await
        .map_err(database)?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(CatalogueError::LeaseLost(work)) }
}

pub(super) async fn void(pool: &SqlitePool) -> Result<()> {
    let sql = "UPDATE work SET lease_until = NULL WHERE lease_until IS NOT NULL";
    sqlx::query(sql).execute(pool).await.map_err(database).map(|_| ())
}

pub(super) async fn count(pool: &SqlitePool) -> Result<u64> {
    let count: i64 =
        sqlx::query_scalar("SELECT count(*) FROM work").fetch_one(pool).await.map_err(database)?;
    Ok(count.unsigned_abs())
}

/// Queues work with the steps it has.
pub(super) async fn add(conn: &mut SqliteConnection, work: &Work) -> Result<()> {
    const ADD: &str = "INSERT INTO work (id, fence, record) VALUES (?1, ?2, ?3)";
    let record = encode(&Work { steps: BTreeMap::new(), ..work.clone() })?;
    sqlx::query(ADD)
        .bind(work.id.to_string())
        .bind(work.fence)
        .bind(record)
        .execute(&mut *conn)
        .await
        .map_err(|error| super::row::conflict(error, || format!("work {}", work.id)))?;
    for (step, note) in &work.steps {
        record_step(conn, work.id, step, note).await?;
    }
    Ok(())
}

/// Fails unless the worker with this fence holds the work.
pub(super) async fn require(conn: &mut SqliteConnection, work: Uuid, fence: i64) -> Result<()> {
    const SQL: &str = "SELECT 1 FROM work WHERE id = ?1 AND fence = ?2 AND lease_until IS NOT NULL";
    let held: Option<i64> = sqlx::query_scalar(SQL)
        .bind(work.to_string())
        .bind(fence)
        .fetch_optional(conn)
        .await
        .map_err(database)?;
    held.map(|_| ()).ok_or(CatalogueError::LeaseLost(work))
}

/// Records a step; the same step again replaces its note.
pub(super) async fn record_step(
    conn: &mut SqliteConnection,
    work: Uuid,
    step: &str,
    note: &serde_json::Value,
) -> Result<()> {
    const SQL: &str = "INSERT INTO work_steps (work, step, note) VALUES (?1, ?2, ?3) \
        ON CONFLICT (work, step) DO UPDATE SET note = excluded.note";
    sqlx::query(SQL)
        .bind(work.to_string())
        .bind(step)
        .bind(encode(note)?)
        .execute(conn)
        .await
        .map_err(database)
        .map(|_| ())
}

/// Removes work and its steps.
pub(super) async fn finish(conn: &mut SqliteConnection, work: Uuid) -> Result<()> {
    sqlx::query("DELETE FROM work WHERE id = ?1")
        .bind(work.to_string())
        .execute(conn)
        .await
        .map_err(database)
        .map(|_| ())
}

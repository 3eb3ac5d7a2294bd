//! The changes, one at a time inside the transaction of their list.

use super::row::{conflict, database, encode, instant};
use super::{event, work};
use crate::catalogue::{CatalogueError, Expect, Result, Write};
use crate::model::{
    Grant, Job, Model, Operation, Point, Principal, Resource, ResourceId, RoleAssignment,
};
use serde::Serialize;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments};
use sqlx::{SqliteConnection, SqlitePool};
use uuid::Uuid;

/// Makes one change.
pub(super) async fn one(conn: &mut SqliteConnection, write: &Write) -> Result<()> {
    match write {
        Write::PutResource(resource, expect) => put_resource(conn, resource, *expect).await,
        Write::RequireResource(id, version) => require_resource(conn, id, *version).await,
        Write::DeleteResource(id) => {
            let sql = "DELETE FROM assignments WHERE scope = ?1 OR (scope > ?2 AND scope < ?3)";
            let (low, high) = super::read::bounds(Some(id));
            run(conn, sqlx::query(sql).bind(id.key()).bind(low).bind(high)).await?;
            delete(conn, "DELETE FROM resources WHERE key = ?1", id.key()).await
        }
        Write::Claim { name, holder } => claim(conn, name, holder).await,
        Write::Release { name, holder } => {
            let sql = "DELETE FROM claims WHERE name = ?1 AND holder = ?2";
            run(conn, sqlx::query(sql).bind(name).bind(holder)).await
        }
        Write::PutPrincipal(principal) => put_principal(conn, principal).await,
        Write::DeletePrincipal(id) => delete_principal(conn, *id).await,
        Write::PutRole(role) => put(conn, PUT_ROLE, role.id, role).await,
        Write::DeleteRole(id) => {
            delete(conn, "DELETE FROM roles WHERE id = ?1", &id.to_string()).await
        }
        Write::AddAssignment(assignment) => add_assignment(conn, assignment).await,
        Write::DeleteAssignment(id) => {
            delete(conn, "DELETE FROM assignments WHERE key = ?1", id.key()).await
        }
        Write::PutOperation(operation) => put_operation(conn, operation).await,
        Write::ForgetOperations(before) => {
            let sql = "DELETE FROM operations WHERE ended < ?1";
            run(conn, sqlx::query(sql).bind(instant(*before))).await
        }
        Write::PutJob(job) => put_job(conn, job).await,
        Write::PutPoint(point) => put_point(conn, point).await,
        Write::DeletePoint { instance, key } => delete_point(conn, *instance, key).await,
        Write::PutGrant(grant) => put_grant(conn, grant).await,
        Write::DeleteGrant(id) => {
            delete(conn, "DELETE FROM grants WHERE id = ?1", &id.to_string()).await
        }
        Write::DeleteGrants(resource) => {
            let sql = "DELETE FROM grants WHERE resource = ?1";
            delete(conn, sql, resource.key()).await
        }
        Write::AddEvent(added) => event::add(conn, added).await,
        Write::AddWork(item) => work::add(conn, item).await,
        Write::StepDone { work, fence, step, note } => {
            work::require(conn, *work, *fence).await?;
            work::record_step(conn, *work, step, note).await
        }
        Write::FinishWork { work, fence } => {
            work::require(conn, *work, *fence).await?;
            work::finish(conn, *work).await
        }
        Write::RequireLease { work, fence } => work::require(conn, *work, *fence).await,
    }
}

/// Sets a named value once.
pub(super) async fn setting(pool: &SqlitePool, name: &str, value: &str) -> Result<()> {
    const SQL: &str = "INSERT INTO settings (name, value) VALUES (?1, ?2) \
        ON CONFLICT (name) DO UPDATE SET value = excluded.value \
        WHERE settings.value = excluded.value";
    let query = sqlx::query(SQL).bind(name).bind(value);
    match query.execute(pool).await.map_err(database)?.rows_affected() {
        1 => Ok(()),
        _ => Err(CatalogueError::Conflict(format!("setting {name}"))),
    }
}

async fn run(conn: &mut SqliteConnection, query: Query<'_, Sqlite, SqliteArguments>) -> Result<()> {
    query.execute(conn).await.map_err(database).map(|_| ())
}

/// Removes the rows of one key.
async fn delete(conn: &mut SqliteConnection, sql: &'static str, key: &str) -> Result<()> {
    run(conn, sqlx::query(sql).bind(key)).await
}

const PUT_ROLE: &str = "INSERT INTO roles (id, record) VALUES (?1, ?2) \
    ON CONFLICT (id) DO UPDATE SET record = excluded.record";

async fn put_operation(conn: &mut SqliteConnection, operation: &Operation) -> Result<()> {
    const SQL: &str = "INSERT INTO operations (id, ended, record) VALUES (?1, ?2, ?3) \
        ON CONFLICT (id) DO UPDATE SET ended = excluded.ended, record = excluded.record";
    let query = sqlx::query(SQL)
        .bind(operation.id.to_string())
        .bind(operation.ended.map(instant))
        .bind(encode(operation)?);
    run(conn, query).await
}

/// Makes or changes a record that only its id finds.
async fn put<T: Serialize>(
    conn: &mut SqliteConnection,
    sql: &'static str,
    id: Uuid,
    record: &T,
) -> Result<()> {
    let query = sqlx::query(sql).bind(id.to_string()).bind(encode(record)?);
    run(conn, query).await
}

async fn delete_principal(conn: &mut SqliteConnection, id: Uuid) -> Result<()> {
    let id = id.to_string();
    delete(conn, "DELETE FROM assignments WHERE principal = ?1", &id).await?;
    delete(conn, "DELETE FROM principals WHERE object_id = ?1", &id).await
}

async fn delete_point(conn: &mut SqliteConnection, instance: Uuid, key: &str) -> Result<()> {
    let sql = "DELETE FROM points WHERE instance = ?1 AND key = ?2";
    run(conn, sqlx::query(sql).bind(instance.to_string()).bind(key)).await
}

async fn put_resource(
    conn: &mut SqliteConnection,
    resource: &Resource,
    expect: Expect,
) -> Result<()> {
    const INSERT: &str = "INSERT INTO resources (key, kind, version, record) \
        VALUES (?1, ?2, ?3, ?4) ON CONFLICT (key) DO NOTHING";
    const UPDATE: &str = "UPDATE resources SET kind = ?2, version = ?3, record = ?4 \
        WHERE key = ?1 AND version = ?3 - 1";
    let (sql, version) = match expect {
        Expect::Absent => (INSERT, 1),
        Expect::Version(version) => (UPDATE, version.saturating_add(1)),
    };
    let kept = Resource { version, ..resource.clone() };
    let done = sqlx::query(sql)
        .bind(kept.id.key())
        .bind(kept.id.kind())
        .bind(version)
        .bind(encode(&kept)?)
        .execute(&mut *conn)
        .await
        .map_err(database)?;
    if done.rows_affected() != 1 {
        return Err(unexpected(&kept.id));
    }
    delete(conn, "DELETE FROM instance_refs WHERE instance = ?1", kept.id.key()).await?;
    let Model::Instance(instance) = &kept.model else {
        return Ok(());
    };
    for target in [&instance.disk.id, &instance.policy, &instance.snapshot_group] {
        let sql = "INSERT INTO instance_refs (target, instance) VALUES (?1, ?2) \
            ON CONFLICT DO NOTHING";
        run(conn, sqlx::query(sql).bind(target.key()).bind(kept.id.key())).await?;
    }
    Ok(())
}

async fn require_resource(
    conn: &mut SqliteConnection,
    id: &ResourceId,
    version: i64,
) -> Result<()> {
    let found: Option<i64> =
        sqlx::query_scalar("SELECT 1 FROM resources WHERE key = ?1 AND version = ?2")
            .bind(id.key())
            .bind(version)
            .fetch_optional(conn)
            .await
            .map_err(database)?;
    found.map(|_| ()).ok_or_else(|| unexpected(id))
}

fn unexpected(id: &ResourceId) -> CatalogueError {
    CatalogueError::Conflict(format!("resource {id}"))
}

async fn claim(conn: &mut SqliteConnection, name: &str, holder: &str) -> Result<()> {
    const SQL: &str = "INSERT INTO claims (name, holder) VALUES (?1, ?2) \
        ON CONFLICT (name) DO UPDATE SET holder = excluded.holder \
        WHERE claims.holder = excluded.holder";
    let query = sqlx::query(SQL).bind(name).bind(holder);
    match query.execute(conn).await.map_err(database)?.rows_affected() {
        1 => Ok(()),
        _ => Err(CatalogueError::Conflict(format!("claim {name}"))),
    }
}

async fn put_principal(conn: &mut SqliteConnection, principal: &Principal) -> Result<()> {
    const SQL: &str = "INSERT INTO principals (object_id, client_id, record) \
        VALUES (?1, ?2, ?3) ON CONFLICT (object_id) DO UPDATE \
        SET client_id = excluded.client_id, record = excluded.record";
    sqlx::query(SQL)
        .bind(principal.object_id.to_string())
        .bind(principal.client_id.to_string())
        .bind(encode(principal)?)
        .execute(conn)
        .await
        .map_err(|error| conflict(error, || format!("client id {}", principal.client_id)))
        .map(|_| ())
}

async fn add_assignment(conn: &mut SqliteConnection, assignment: &RoleAssignment) -> Result<()> {
    const SQL: &str = "INSERT INTO assignments (key, scope, role, principal, record) \
        VALUES (?1, ?2, ?3, ?4, ?5)";
    sqlx::query(SQL)
        .bind(assignment.id.key())
        .bind(assignment.scope.key())
        .bind(assignment.role.to_string())
        .bind(assignment.principal.to_string())
        .bind(encode(assignment)?)
        .execute(conn)
        .await
        .map_err(|error| conflict(error, || format!("role assignment {}", assignment.id)))
        .map(|_| ())
}

async fn put_job(conn: &mut SqliteConnection, job: &Job) -> Result<()> {
    const SQL: &str = "INSERT INTO jobs (id, vault, started, record) VALUES (?1, ?2, ?3, ?4) \
        ON CONFLICT (id) DO UPDATE \
        SET vault = excluded.vault, started = excluded.started, record = excluded.record";
    let query = sqlx::query(SQL)
        .bind(job.id.to_string())
        .bind(job.vault_unique_id.to_string())
        .bind(instant(job.started))
        .bind(encode(job)?);
    run(conn, query).await
}

async fn put_point(conn: &mut SqliteConnection, point: &Point) -> Result<()> {
    const SQL: &str = "INSERT INTO points (instance, key, time, record) VALUES (?1, ?2, ?3, ?4) \
        ON CONFLICT (instance, key) DO UPDATE \
        SET time = excluded.time, record = excluded.record";
    let query = sqlx::query(SQL)
        .bind(point.instance.to_string())
        .bind(&point.key)
        .bind(instant(point.time))
        .bind(encode(point)?);
    run(conn, query).await
}

async fn put_grant(conn: &mut SqliteConnection, grant: &Grant) -> Result<()> {
    const SQL: &str = "INSERT INTO grants (id, resource, record) VALUES (?1, ?2, ?3) \
        ON CONFLICT (id) DO UPDATE SET resource = excluded.resource, record = excluded.record";
    let query =
        sqlx::query(SQL).bind(grant.id.to_string()).bind(grant.resource.key()).bind(encode(grant)?);
    run(conn, query).await
}

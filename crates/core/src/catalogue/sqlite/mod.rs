//! The catalogue in one SQLite file.
//!
//! What must always hold:
//! - All changes go through one connection, each list in one transaction that takes the write lock
//!   at its beginning. So expectations are checked against what the transaction changes.
//! - The log is synchronised at each commit (WAL, `synchronous=FULL`): what `apply` has returned
//!   survives power loss. (Only `open_volatile`, for services that are thrown away, leaves it out.)
//! - Reads use connections that cannot write, and see every commit that returned before them.

mod event;
mod page;
mod read;
mod row;
#[cfg(test)]
mod tests;
mod work;
mod write;

use super::{Catalogue, EventFilter, JobFilter, Page, PointFilter, ResourceFilter, Result, Write};
use crate::model::{
    Event, Grant, Job, Operation, Point, Principal, Resource, ResourceId, RoleAssignment,
    RoleDefinition, Work,
};
use async_trait::async_trait;
use jiff::Timestamp;
use row::database;
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use std::path::Path;
use std::time::Duration;
use uuid::Uuid;

/// Connections that read at the same time.
const READERS: u32 = 4;

/// How long a statement waits for another process that holds the file, such as a backup tool.
const BUSY_WAIT: Duration = Duration::from_secs(10);

/// Bytes that the log keeps on disk after a checkpoint.
const LOG_BYTES: &str = "67108864";

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations/sqlite");

/// The catalogue in one SQLite file.
#[derive(Clone, Debug)]
pub struct SqliteCatalogue {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl SqliteCatalogue {
    /// Opens the file, or makes it, and brings its tables up to date.
    ///
    /// # Errors
    /// When the folder is missing, the file is no database, or a newer release has changed it.
    pub async fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, SqliteSynchronous::Full).await
    }

    /// The same for a file that nobody wants back after a loss of power: nothing is flushed.
    ///
    /// # Errors
    /// As [`SqliteCatalogue::open`].
    pub async fn open_volatile(path: &Path) -> Result<Self> {
        Self::open_with(path, SqliteSynchronous::Off).await
    }

    async fn open_with(path: &Path, flush: SqliteSynchronous) -> Result<Self> {
        let base = SqliteConnectOptions::new()
            .filename(path)
            .foreign_keys(true)
            .busy_timeout(BUSY_WAIT)
            .pragma("journal_size_limit", LOG_BYTES);
        let writing = base
            .clone()
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(flush);
        let writer = pool(1).connect_with(writing).await.map_err(database)?;
        MIGRATIONS.run(&writer).await.map_err(database)?;
        let readers = pool(READERS).connect_with(base.read_only(true)).await.map_err(database)?;
        Ok(Self { writer, readers })
    }

    /// Waits for running statements and closes the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Connections live as long as the pool: a writer that comes and goes would drop the log with it.
fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
}

#[async_trait]
impl Catalogue for SqliteCatalogue {
    async fn apply(&self, writes: Vec<Write>) -> Result<()> {
        let mut change = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(database)?;
        for write in &writes {
            // A change that is dropped is rolled back.
            write::one(&mut change, write).await?;
        }
        change.commit().await.map_err(database)
    }

    async fn resource(&self, id: &ResourceId) -> Result<Option<Resource>> {
        read::resource(&self.readers, id).await
    }

    async fn resources(&self, filter: &ResourceFilter) -> Result<Page<Resource>> {
        page::resources(&self.readers, filter).await
    }

    async fn instances_naming(&self, id: &ResourceId) -> Result<Vec<Resource>> {
        read::instances_naming(&self.readers, id).await
    }

    async fn holder(&self, name: &str) -> Result<Option<String>> {
        read::text(&self.readers, "SELECT holder FROM claims WHERE name = ?1", name).await
    }

    async fn principal(&self, object_id: Uuid) -> Result<Option<Principal>> {
        const SQL: &str = "SELECT record FROM principals WHERE object_id = ?1";
        read::record(&self.readers, "principal", SQL, &object_id.to_string()).await
    }

    async fn principal_by_client(&self, client_id: Uuid) -> Result<Option<Principal>> {
        const SQL: &str = "SELECT record FROM principals WHERE client_id = ?1";
        read::record(&self.readers, "principal", SQL, &client_id.to_string()).await
    }

    async fn principals(&self, after: Option<&str>, limit: u32) -> Result<Page<Principal>> {
        page::principals(&self.readers, after, limit).await
    }

    async fn principal_count(&self) -> Result<u64> {
        read::count(&self.readers, "SELECT count(*) FROM principals").await
    }

    async fn roles(&self) -> Result<Vec<RoleDefinition>> {
        read::roles(&self.readers).await
    }

    async fn assignments_of(&self, principal: Uuid) -> Result<Vec<RoleAssignment>> {
        const SQL: &str = "SELECT record FROM assignments WHERE principal = ?1 ORDER BY key";
        read::records(&self.readers, "role assignment", SQL, &principal.to_string()).await
    }

    async fn assignments_near(
        &self,
        scope: &ResourceId,
        below: bool,
    ) -> Result<Vec<RoleAssignment>> {
        read::assignments_near(&self.readers, scope, below).await
    }

    async fn assignment(&self, id: &ResourceId) -> Result<Option<RoleAssignment>> {
        const SQL: &str = "SELECT record FROM assignments WHERE key = ?1";
        read::record(&self.readers, "role assignment", SQL, id.key()).await
    }

    async fn operation(&self, id: Uuid) -> Result<Option<Operation>> {
        const SQL: &str = "SELECT record FROM operations WHERE id = ?1";
        read::record(&self.readers, "operation", SQL, &id.to_string()).await
    }

    async fn job(&self, id: Uuid) -> Result<Option<Job>> {
        const SQL: &str = "SELECT record FROM jobs WHERE id = ?1";
        read::record(&self.readers, "job", SQL, &id.to_string()).await
    }

    async fn jobs(&self, filter: &JobFilter) -> Result<Page<Job>> {
        page::jobs(&self.readers, filter).await
    }

    async fn point(&self, instance: Uuid, key: &str) -> Result<Option<Point>> {
        read::point(&self.readers, instance, key).await
    }

    async fn points(&self, filter: &PointFilter) -> Result<Page<Point>> {
        page::points(&self.readers, filter).await
    }

    async fn events(&self, filter: &EventFilter) -> Result<Page<Event>> {
        event::page(&self.readers, filter).await
    }

    async fn forget_events(&self, before: Timestamp, limit: u32) -> Result<u64> {
        event::forget(&self.writer, before, limit).await
    }

    async fn grant(&self, id: Uuid) -> Result<Option<Grant>> {
        const SQL: &str = "SELECT record FROM grants WHERE id = ?1";
        read::record(&self.readers, "grant", SQL, &id.to_string()).await
    }

    async fn grants_of(&self, resource: &ResourceId) -> Result<Vec<Grant>> {
        const SQL: &str = "SELECT record FROM grants WHERE resource = ?1 ORDER BY id";
        read::records(&self.readers, "grant", SQL, resource.key()).await
    }

    async fn claim_work(&self, now: Timestamp, until: Timestamp) -> Result<Option<Work>> {
        work::claim(&self.writer, now, until).await
    }

    async fn renew_work(&self, work: Uuid, fence: i64, until: Timestamp) -> Result<()> {
        work::renew(&self.writer, work, fence, until).await
    }

    async fn void_leases(&self) -> Result<()> {
        work::void(&self.writer).await
    }

    async fn work_count(&self) -> Result<u64> {
        work::count(&self.readers).await
    }

    async fn setting(&self, name: &str) -> Result<Option<String>> {
        read::text(&self.readers, "SELECT value FROM settings WHERE name = ?1", name).await
    }

    async fn set_setting(&self, name: &str, value: &str) -> Result<()> {
        write::setting(&self.writer, name, value).await
    }
}

//! What is special about SQLite: how the file is opened, how pages are found, and what is left
//! of a request that nobody waits for any more.

use super::*;
use crate::catalogue::{Expect, Write};
use crate::model::{Group, Model, Stamp};
use futures::FutureExt;
use sqlx::AssertSqlSafe;
use std::collections::BTreeMap;

async fn open() -> (tempfile::TempDir, SqliteCatalogue) {
    let folder = tempfile::tempdir().unwrap();
    let catalogue = SqliteCatalogue::open(&folder.path().join("catalogue.db")).await.unwrap();
    (folder, catalogue)
}

fn group(name: &str) -> Resource {
    let subscription = ResourceId::of_subscription(Uuid::nil());
    let stamp = Stamp { by: "test".into(), at: Timestamp::UNIX_EPOCH };
    Resource {
        id: subscription.join(&format!("resourceGroups/{name}")).unwrap(),
        location: "westus".into(),
        tags: BTreeMap::new(),
        created: stamp.clone(),
        modified: stamp,
        version: 0,
        model: Model::Group(Group::default()),
    }
}

async fn pragma(pool: &SqlitePool, name: &str) -> String {
    let sql = AssertSqlSafe(format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}"));
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn commits_are_synchronised_and_readers_cannot_write() {
    let (_folder, catalogue) = open().await;
    let mode: String =
        sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&catalogue.writer).await.unwrap();
    assert_eq!(mode, "wal");
    // 2 is FULL.
    assert_eq!(pragma(&catalogue.writer, "synchronous").await, "2");
    assert_eq!(pragma(&catalogue.writer, "foreign_keys").await, "1");
    assert_eq!(catalogue.writer.options().get_max_connections(), 1);
    let outcome = sqlx::query("DELETE FROM settings").execute(&catalogue.readers).await;
    let error = outcome.unwrap_err().into_database_error().unwrap();
    assert!(error.message().contains("readonly"), "{}", error.message());
}

/// A page is a range of an index in its order: nothing is scanned from the beginning and nothing
/// is sorted, however far the list has been read.
#[tokio::test]
async fn pages_are_ranges_of_an_index() {
    let (_folder, catalogue) = open().await;
    let table = [
        (page::RESOURCES, "sqlite_autoindex_resources_1 (key>? AND key<?)"),
        (page::OF_KIND, "resources_by_kind (kind=? AND key>? AND key<?)"),
        (page::JOBS, "jobs_by_vault (vault=? AND (started,id)<(?,?))"),
        (event::EVENTS, "PRIMARY KEY (place=? AND at>? AND (at,id)<(?,?))"),
        (page::POINTS, "points_by_time (instance=? AND time>? AND (time,key)<(?,?))"),
    ];
    for (sql, index) in table {
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let rows: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(explain).fetch_all(&catalogue.readers).await.unwrap();
        let plan: Vec<&str> = rows.iter().map(|row| row.3.as_str()).collect();
        assert_eq!(plan.len(), 1, "{plan:?}");
        assert!(plan[0].starts_with("SEARCH") && plan[0].contains(index), "{plan:?}");
    }
}

/// A request that is dropped at any point leaves all of its list or nothing, and the one writing
/// connection goes on to serve others.
#[tokio::test]
async fn dropped_requests_leave_all_or_nothing() {
    let (_folder, catalogue) = open().await;
    let (mut whole, mut nothing) = (0, 0);
    for turn in 0..60_u32 {
        let names = [format!("a{turn}"), format!("b{turn}"), format!("c{turn}")];
        let list: Vec<Write> =
            names.iter().map(|name| Write::PutResource(group(name), Expect::Absent)).collect();
        let mut request = Box::pin(catalogue.apply(list));
        for _ in 0..turn {
            if request.as_mut().now_or_never().is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(request);
        // Comes after whatever was left of the request.
        let probe = Write::PutResource(group(&format!("probe{turn}")), Expect::Absent);
        catalogue.apply(vec![probe]).await.unwrap();
        let mut found = 0;
        for name in &names {
            found += u32::from(catalogue.resource(&group(name).id).await.unwrap().is_some());
        }
        match found {
            0 => nothing += 1,
            3 => whole += 1,
            some => panic!("{some} of 3 after {turn} turns"),
        }
    }
    assert!(nothing > 0, "{nothing} undone, {whole} done");
}

#[tokio::test]
async fn a_newer_file_is_refused() {
    let (folder, catalogue) = open().await;
    let newer = "INSERT INTO _sqlx_migrations \
        (version, description, success, checksum, execution_time) VALUES (9999, 'x', 1, x'00', 0)";
    sqlx::query(newer).execute(&catalogue.writer).await.unwrap();
    catalogue.close().await;
    let outcome = SqliteCatalogue::open(&folder.path().join("catalogue.db")).await;
    let error = outcome.unwrap_err();
    let super::super::CatalogueError::Database(source) = &error else { panic!("{error}") };
    assert!(source.to_string().contains("9999"), "{source}");
}

//! What every catalogue must do, run against each kind of database.
//!
//! A kind brings a [`Ground`]: an empty database that can be opened several times, as several
//! processes would, and again later. Each case gets a ground of its own.

mod access;
mod atomic;
mod event;
mod history;
mod model;
mod resource;
mod sample;
mod work;

use super::sqlite::SqliteCatalogue;
use super::{Catalogue, CatalogueError};
use async_trait::async_trait;
use std::sync::Arc;

/// An empty database of some kind.
#[async_trait]
pub(crate) trait Ground: Send + Sync {
    /// Opens it.
    async fn open(&self) -> Arc<dyn Catalogue>;
}

/// A file that goes with the test.
struct SqliteGround(tempfile::TempDir);

#[async_trait]
impl Ground for SqliteGround {
    async fn open(&self) -> Arc<dyn Catalogue> {
        Arc::new(SqliteCatalogue::open(&self.0.path().join("catalogue.db")).await.unwrap())
    }
}

fn sqlite() -> SqliteGround {
    SqliteGround(tempfile::tempdir().unwrap())
}

/// Fails unless the outcome is a conflict.
fn assert_conflict(outcome: Result<(), CatalogueError>) {
    assert!(matches!(outcome, Err(CatalogueError::Conflict(_))), "{outcome:?}");
}

/// Fails unless the outcome is a lost lease.
fn assert_lost(outcome: Result<(), CatalogueError>) {
    assert!(matches!(outcome, Err(CatalogueError::LeaseLost(_))), "{outcome:?}");
}

/// Makes one test of each case for one kind of database.
macro_rules! conformance {
    ($kind:ident, $ground:path, $($group:ident::{$($case:ident),* $(,)?}),* $(,)?) => {
        mod $kind {
            $(mod $group {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $case() {
                    super::super::$group::$case(&$ground()).await;
                })*
            })*
        }
    };
}

conformance!(
    on_sqlite, crate::catalogue::suite::sqlite,
    resource::{
        versions_count_and_guard,
        records_come_back_whole,
        ids_ignore_case,
        scopes_do_not_match_siblings,
        pages_are_bounded_and_complete,
        cursors_survive_changes,
        instances_are_found_by_what_they_name,
        claims_have_one_holder,
    },
    access::{
        principals_are_found_both_ways,
        client_ids_are_unique,
        principals_come_in_pages,
        roles_come_and_go,
        assignments_are_unique,
        assignments_are_found_by_scope,
        principals_take_their_assignments_along,
    },
    history::{
        operations_and_jobs_are_replaced,
        old_operations_are_forgotten,
        jobs_come_newest_first,
        points_come_newest_first,
        points_are_filtered_by_time,
        cursors_survive_changes,
        foreign_cursors_are_refused,
        grants_come_and_go,
        settings_are_set_once,
    },
    event::{
        events_come_newest_first_in_pages,
        events_are_kept_once,
        events_are_filtered,
        events_of_other_places_are_not_shown,
        old_events_are_forgotten_in_portions,
        pages_of_rare_events_are_bounded,
        foreign_cursors_are_refused,
    },
    work::{
        the_oldest_comes_first,
        steps_and_notes_are_kept,
        stale_workers_change_nothing,
        expired_leases_pass_on,
        void_leases_are_lost,
        work_is_queued_once,
        claimers_never_share,
    },
    atomic::{
        every_failure_undoes_the_list,
        lists_see_their_own_changes,
        reopening_keeps_everything,
        racing_lists_have_one_winner,
        readers_see_whole_lists,
    },
    model::{
        random_lists_behave_as_the_model,
    },
);

#[tokio::test]
async fn what_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("catalogue.db");
    assert!(SqliteCatalogue::open(&folder.path().join("missing/catalogue.db")).await.is_err());
    std::fs::write(&file, vec![7_u8; 8192]).unwrap();
    let outcome = SqliteCatalogue::open(&file).await;
    assert!(matches!(outcome, Err(CatalogueError::Database(_))), "{outcome:?}");
}

#[tokio::test]
async fn damaged_records_are_named_and_not_shown() {
    let ground = sqlite();
    let catalogue = ground.open().await;
    let disk = sample::disk("d");
    catalogue.apply(vec![sample::put(&disk)]).await.unwrap();
    let file = ground.0.path().join("catalogue.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    sqlx::query("UPDATE resources SET record = '{\"hidden'").execute(&pool).await.unwrap();
    let error = catalogue.resource(&disk.id).await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(matches!(error, CatalogueError::Damaged(_)), "{text}");
    assert!(text.contains(disk.id.key()) && !text.contains("hidden"), "{text}");
}

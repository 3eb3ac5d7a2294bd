//! A service as those see it who test their automation: its clock is moved, its operations are
//! made to fail. What fails must look like a real failure and leave as little behind.

#![allow(clippy::unwrap_used, clippy::panic)]

mod world;

use jiff::{SignedDuration, Timestamp, ToSpan};
use std::sync::Arc;
use std::time::Duration;
use tresor_core::error::{Fault, FaultKind};
use tresor_core::hook::{Hooks, ManualClock, Pending, Place};
use tresor_core::limits::Limits;
use tresor_core::model::{Job, JobStatus, Operation, OperationStatus, ResourceId};
use tresor_core::service::{JobQuery, OriginSpec, PointQuery, Service};
use tresor_store::env::Env;
use world::{Protected, World, protect, restore_of, snapshot_of};

const START: &str = "2030-01-01T00:00:00Z";
const LIMIT: Duration = Duration::from_secs(60);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A world with hooks and a clock that is moved by hand.
async fn rehearsal() -> (World, Arc<Hooks>, Arc<ManualClock>) {
    let clock = ManualClock::new(Env::system(), at(START));
    let hooks = Arc::new(Hooks::new(Some(Arc::clone(&clock))));
    let world = World::hooked(Limits::None, clock.env(), Some(Arc::clone(&hooks))).await;
    world.service.start().await;
    (world, hooks, clock)
}

fn fault() -> Fault {
    Fault::new(FaultKind::BackupRunning, "made to fail")
}

/// Arms one fault and serves what follows with it, as the wire does for a request that fits.
async fn failing<F: Future>(hooks: &Arc<Hooks>, place: Place, request: F) -> F::Output {
    let armed = hooks.faults().arm("any".into(), place, fault(), 1).unwrap();
    Pending::new(hooks, &armed).around(request).await
}

/// The operation as a client finds it.
async fn kept(service: &Service, operation: &Operation) -> Operation {
    service.operation(operation.id).await.unwrap().unwrap()
}

async fn backup(world: &World, instance: &ResourceId) -> Operation {
    let started = world.service.backup_start(&world.caller, instance, "BackupHourly", None);
    started.await.unwrap()
}

/// The jobs of the vault that have this status.
async fn jobs(world: &World, of: &Protected, status: JobStatus) -> Vec<Job> {
    let page = world.service.jobs(&of.vault, &JobQuery::default(), None, 100).await.unwrap();
    page.rows.into_iter().filter(|job| job.status == status).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn points_and_jobs_carry_the_time_that_the_clock_was_moved_to() {
    let (world, hooks, clock) = rehearsal().await;
    let protected = protect(&world).await;
    for expected in [START, "2030-01-01T04:00:00Z"] {
        backup(&world, &protected.instance).await;
        // Whoever waits for rest needs no poll: the job has ended.
        let rest = world.service.settle(LIMIT).await.unwrap();
        assert_eq!(rest.waiting, 0);
        let ended = hooks.take_ended();
        assert_eq!((ended.jobs.len(), ended.left_out), (1, 0));
        assert_eq!(ended.jobs[0].status, JobStatus::Completed);
        assert_eq!(ended.jobs[0].made.as_ref().unwrap().time, at(expected));
        assert_eq!(
            (ended.jobs[0].started, ended.jobs[0].ended),
            (at(expected), Some(at(expected)))
        );
        clock.advance(4.hours()).unwrap();
    }
    let page =
        world.service.points(&protected.instance, &PointQuery::default(), None, 10).await.unwrap();
    let times: Vec<Timestamp> = page.rows.iter().map(|point| point.time).collect();
    assert_eq!(times, [at("2030-01-01T04:00:00Z"), at(START)]);
    let week = SignedDuration::from_hours(7 * 24);
    assert_eq!(page.rows[1].expires, Some(at(START) + week));
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_operations_are_forgotten_when_the_clock_has_passed_them() {
    let (world, _, clock) = rehearsal().await;
    let protected = protect(&world).await;
    let operation = backup(&world, &protected.instance).await;
    world.service.settle(LIMIT).await.unwrap();
    assert!(world.service.operation(operation.id).await.unwrap().is_some());
    clock.advance(8.days()).unwrap();
    world.service.settle(LIMIT).await.unwrap();
    assert!(world.service.operation(operation.id).await.unwrap().is_none());
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_instance_is_kept_for_as_long_as_the_clock_says() {
    let (world, _, clock) = rehearsal().await;
    let protected = protect(&world).await;
    clock.advance(1.day()).unwrap();
    world.service.instance_delete(&world.caller, &protected.instance).await.unwrap().unwrap();
    let kept = protected.vault.join("deletedBackupInstances/i").unwrap();
    let resource = world.service.resource(&kept).await.unwrap();
    let deletion = resource.as_instance().unwrap().deletion.clone().unwrap();
    assert_eq!(deletion.at, at("2030-01-02T00:00:00Z"));
    assert_eq!(deletion.purge_at, at("2030-01-16T00:00:00Z"));
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_whose_operation_fails_makes_no_job_and_the_next_one_runs() {
    let (world, hooks, _) = rehearsal().await;
    let protected = protect(&world).await;
    let begun = failing(&hooks, Place::Operation, backup(&world, &protected.instance)).await;
    let failed = kept(&world.service, &begun).await;
    assert_eq!(failed.status, OperationStatus::Failed(fault()));
    assert!(failed.job.is_none());
    assert!(
        world
            .service
            .jobs(&protected.vault, &JobQuery::default(), None, 10)
            .await
            .unwrap()
            .rows
            .is_empty()
    );
    assert!(hooks.faults().armed().is_empty(), "it has struck");
    world.backup(&protected.vault, &protected.instance).await;
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_whose_job_fails_lists_no_point_and_the_next_one_runs() {
    let (world, hooks, _) = rehearsal().await;
    let protected = protect(&world).await;
    let begun = failing(&hooks, Place::Job, backup(&world, &protected.instance)).await;
    let operation = kept(&world.service, &begun).await;
    assert_eq!(operation.status, OperationStatus::Succeeded);
    world.service.settle(LIMIT).await.unwrap();
    let failed = jobs(&world, &protected, JobStatus::Failed).await;
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].error, Some(fault()));
    assert!(operation.job.unwrap().name().contains(&failed[0].id.to_string()));
    let points =
        world.service.points(&protected.instance, &PointQuery::default(), None, 10).await.unwrap();
    assert!(points.rows.is_empty());
    world.backup(&protected.vault, &protected.instance).await;
    assert_eq!(world.service.settle(LIMIT).await.unwrap().waiting, 0);
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_whose_job_fails_leaves_no_disk_behind() {
    let (world, hooks, _) = rehearsal().await;
    let protected = protect(&world).await;
    let job = world.backup(&protected.vault, &protected.instance).await;
    let target = protected.target_group.join("providers/Microsoft.Compute/disks/back").unwrap();
    let point = job.made.unwrap().key;
    let spec = || restore_of(&point, &target);
    let restore = world.service.restore_start(&world.caller, &protected.instance, spec());
    failing(&hooks, Place::Job, restore).await.unwrap();
    world.service.settle(LIMIT).await.unwrap();
    let failed = jobs(&world, &protected, JobStatus::Failed).await;
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].error, Some(fault()));
    assert!(world.service.find(&target).await.unwrap().is_none(), "half a disk is left");
    let again = world.service.restore_start(&world.caller, &protected.instance, spec()).await;
    let job = world.job(&protected.vault, again.unwrap()).await;
    assert_eq!(job.status, JobStatus::Completed, "{job:?}");
    world.service.stop().await;
}

/// A snapshot's operation ends with its work: there the worker fails it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_that_a_worker_ends_is_failed_by_the_worker() {
    let (world, hooks, _) = rehearsal().await;
    let group = world.group("rg").await;
    let disk = "rg/providers/Microsoft.Compute/disks/d";
    let disk = world.disk(disk, OriginSpec::Empty, Some(world::SIZE)).await;
    let id = group.join("providers/Microsoft.Compute/snapshots/s").unwrap();
    let put = || world.service.snapshot_put(&world.caller, snapshot_of(&id, &disk));
    let begun = failing(&hooks, Place::Operation, put()).await.unwrap();
    let failed = world.ended(begun.operation).await;
    assert_eq!(failed.status, OperationStatus::Failed(fault()));
    world.service.settle(LIMIT).await.unwrap();
    assert_eq!(
        world.ended(put().await.unwrap().operation).await.status,
        OperationStatus::Succeeded
    );
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_whose_operation_fails_lets_the_next_one_run() {
    let (world, hooks, _) = rehearsal().await;
    let protected = protect(&world).await;
    world.service.export_as(|job| format!("\"{}\"", job.id));
    let export = || world.service.export_start(&world.caller, &protected.vault);
    let begun = failing(&hooks, Place::Operation, export()).await.unwrap();
    let failed = world.ended(begun).await;
    assert_eq!(failed.status, OperationStatus::Failed(fault()));
    assert_eq!(world.service.export_expires(&failed), None);
    assert!(hooks.faults().armed().is_empty(), "it has struck");
    let next = world.ended(export().await.unwrap()).await;
    assert_eq!(next.status, OperationStatus::Succeeded);
    world.service.stop().await;
}

/// What makes no operation uses no fault up, and nobody else's request meets it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_strikes_only_what_it_is_for() {
    let (world, hooks, _) = rehearsal().await;
    let protected = protect(&world).await;
    failing(&hooks, Place::Operation, world.group("more")).await;
    failing(&hooks, Place::Job, world.group("and-more")).await;
    assert_eq!(hooks.faults().armed().len(), 2);
    assert!(world.service.find(&world.id("and-more")).await.unwrap().is_some());
    world.backup(&protected.vault, &protected.instance).await;
    assert_eq!(hooks.faults().armed().len(), 2);
    world.service.stop().await;
}

/// Nobody works, so rest does not come; the wait ends by itself and the work is still there.
#[tokio::test]
async fn rest_that_does_not_come_is_told() {
    let world = World::idle().await;
    world.group("rg").await;
    let disk = "rg/providers/Microsoft.Compute/disks/d";
    let disk = world.disk(disk, OriginSpec::Empty, Some(world::SIZE)).await;
    let spec = snapshot_of(&world.id("rg/providers/Microsoft.Compute/snapshots/s"), &disk);
    let begun = world.service.snapshot_put(&world.caller, spec).await.unwrap();
    let told = world.service.settle(Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(told.kind(), FaultKind::Conflict);
    assert!(told.fault.message.starts_with("1 work items"), "{told}");
    world.service.start().await;
    assert_eq!(world.service.settle(LIMIT).await.unwrap().waiting, 0);
    let ended = kept(&world.service, &begun.operation).await;
    assert_eq!(ended.status, OperationStatus::Succeeded);
    world.service.stop().await;
}

/// A point that a disk's change map is relative to stays until the disk goes: its removal waits,
/// which is rest, and is looked at again when somebody asks for rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_waits_for_others_is_rest_and_looks_again() {
    let (world, _, _) = rehearsal().await;
    world.group("rg").await;
    let disk = "rg/providers/Microsoft.Compute/disks/d";
    let disk = world.disk(disk, OriginSpec::Empty, Some(world::SIZE)).await;
    let id = world.id("rg/providers/Microsoft.Compute/snapshots/s");
    let spec = snapshot_of(&id, &disk);
    let made = world.service.snapshot_put(&world.caller, spec).await.unwrap();
    world.ended(made.operation).await;
    world.service.snapshot_delete(&world.caller, &id).await.unwrap().unwrap();
    assert_eq!(world.service.settle(LIMIT).await.unwrap().waiting, 1);
    assert_eq!(world.service.settle(LIMIT).await.unwrap().waiting, 1);
    world.service.disk_delete(&world.caller, &disk).await.unwrap().unwrap();
    world.service.settle(LIMIT).await.unwrap();
    assert_eq!(world.service.settle(LIMIT).await.unwrap().waiting, 0);
    world.service.stop().await;
}

//! What is left behind: by names that are used again, by deletions in the middle of work, by
//! requests that failed. Each test is a way in which somebody else's bytes or rights could be hit.

#![allow(clippy::unwrap_used, clippy::panic)]

mod world;

use tresor_core::error::FaultKind;
use tresor_core::model::{OperationStatus, ProtectionState, ResourceId};
use tresor_core::service::{Caller, OriginSpec, Service, Transition};
use tresor_store::env::Env;
use uuid::Uuid;
use world::{
    MIB, SIZE, World, instance_of, noise, protect, restore_of, settings, snapshot_of, storage,
};

const DISK: &str = "rg/providers/Microsoft.Compute/disks/d";

async fn drained(world: &World) {
    drained_to(world, 0).await;
}

/// Waits until that many work items are left.
async fn drained_to(world: &World, left: u64) {
    for _ in 0..600 {
        if world.service.queued().await.unwrap() <= left {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the queue does not drain");
}

/// Deletes the group and everything in it, and makes it again.
async fn group_anew(world: &World, name: &str) -> ResourceId {
    world.service.group_delete(&world.caller, &world.id(name)).await.unwrap().unwrap();
    world.group(name).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_for_a_deleted_disk_leaves_a_later_one_of_its_name_alone() {
    let world = World::idle().await;
    world.group("rg").await;
    world.group("other").await;
    let source = "other/providers/Microsoft.Compute/disks/s";
    let source = world.disk(source, OriginSpec::Empty, Some(SIZE)).await;
    world.write(&source, 0, noise(1, MIB)).await;
    let copy = OriginSpec::Copy { source: source.clone(), unique_id: None };
    world.put_disk(DISK, copy, None).await;
    group_anew(&world, "rg").await;
    let disk = world.disk(DISK, OriginSpec::Upload { bytes: SIZE + 512 }, None).await;
    world.write(&disk, 5 * MIB, noise(2, MIB)).await;
    let before = world.bytes(&disk).await;
    world.service.start().await;
    drained(&world).await;
    assert!(world.bytes(&disk).await == before, "old work changed a new disk");
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_for_a_deleted_snapshot_does_not_complete_a_later_one_of_its_name() {
    let world = World::idle().await;
    world.group("rg").await;
    world.group("snaps").await;
    let disk = world.disk(DISK, OriginSpec::Empty, Some(SIZE)).await;
    world.write(&disk, 0, noise(3, MIB)).await;
    let id = world.id("snaps/providers/Microsoft.Compute/snapshots/s");
    world.service.snapshot_put(&world.caller, snapshot_of(&id, &disk)).await.unwrap();
    group_anew(&world, "snaps").await;
    let spec = snapshot_of(&id, &disk);
    let made = world.service.snapshot_put(&world.caller, spec).await.unwrap();
    world.service.start().await;
    assert_eq!(world.ended(made.operation).await.status, OperationStatus::Succeeded);
    assert!(world.bytes(&id).await == world.bytes(&disk).await, "a snapshot without its bytes");
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_into_a_group_that_is_deleted_leaves_nothing_behind() {
    let world = World::new().await;
    let p = protect(&world).await;
    let point = world.backup(&p.vault, &p.instance).await.made.unwrap();
    world.service.stop().await;
    let target = p.target_group.join("providers/Microsoft.Compute/disks/t").unwrap();
    let spec = restore_of(&point.key, &target);
    let begun = world.service.restore_start(&world.caller, &p.instance, spec).await.unwrap();
    assert_eq!(begun.status, OperationStatus::Succeeded);
    world.service.group_delete(&world.caller, &p.target_group).await.unwrap().unwrap();
    let world = world.restarted().await;
    let id = begun.job.unwrap().name().parse().unwrap();
    drained(&world).await;
    let job = world.service.job(&p.vault, id).await.unwrap();
    assert_eq!(job.error.unwrap().kind, FaultKind::GroupNotFound);
    let volumes = std::fs::read_dir(world.folder.path().join("pool")).unwrap();
    assert_eq!(volumes.filter(|v| v.as_ref().unwrap().path().is_dir()).count(), 1);
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_snapshot_frees_its_point_once_no_change_map_needs_it() {
    let world = World::new().await;
    world.group("rg").await;
    let disk = world.disk(DISK, OriginSpec::Empty, Some(SIZE)).await;
    let id = |n: u32| world.id(&format!("rg/providers/Microsoft.Compute/snapshots/s{n}"));
    for n in [1, 2] {
        world.write(&disk, u64::from(n) * MIB, noise(4, MIB)).await;
        let spec = snapshot_of(&id(n), &disk);
        let made = world.service.snapshot_put(&world.caller, spec).await.unwrap();
        assert_eq!(world.ended(made.operation).await.status, OperationStatus::Succeeded);
    }
    // A removed point is hidden at once; its record goes with the next collection.
    let store = world.folder.path().join("store");
    let in_folder = |name: &str| std::fs::read_dir(store.join(name)).map_or(0, |dir| dir.count());
    let count = || in_folder("points") - in_folder("removed");
    world.service.snapshot_delete(&world.caller, &id(1)).await.unwrap().unwrap();
    drained(&world).await;
    assert_eq!(count(), 1, "nobody needs the older point");
    world.service.snapshot_delete(&world.caller, &id(2)).await.unwrap().unwrap();
    assert_eq!(count(), 1, "the disk's change map is relative to the newer point");
    world.service.disk_delete(&world.caller, &disk).await.unwrap().unwrap();
    // Whether the point has been looked at before the disk went decides if it waits for its turn.
    drained_to(&world, 1).await;
    let world = world.restarted().await;
    drained(&world).await;
    assert_eq!(count(), 0);
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn role_assignments_do_not_outlive_what_they_are_at() {
    let world = World::idle().await;
    let group = world.group("rg").await;
    let disk = world.disk(DISK, OriginSpec::Empty, Some(SIZE)).await;
    let somebody = Uuid::from_u128(42);
    let reader = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
    world.assign(&group, reader, somebody).await;
    world.assign(&disk, reader, somebody).await;
    let held = async || world.service.assignments_of(somebody).await.unwrap().len();
    assert_eq!(held().await, 2);
    world.service.disk_delete(&world.caller, &disk).await.unwrap().unwrap();
    assert_eq!(held().await, 1);
    group_anew(&world, "rg").await;
    assert_eq!(held().await, 0, "rights came back with the name");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copying_bytes_takes_the_right_to_read_them() {
    let world = World::idle().await;
    world.group("rg").await;
    let mine = world.group("mine").await;
    let secret = world.disk(DISK, OriginSpec::Empty, Some(SIZE)).await;
    let object_id = Uuid::from_u128(43);
    world.assign(&mine, "b24988ac-6180-42a0-ab88-20f7382dd24c", object_id).await;
    let stranger = Caller { object_id, ..world.caller.clone() };
    let id = world.id("mine/providers/Microsoft.Compute/snapshots/s");
    let refused = world.service.snapshot_put(&stranger, snapshot_of(&id, &secret)).await;
    assert_eq!(refused.unwrap_err().kind(), FaultKind::Forbidden);
    world.assign(&secret, "3e5e47e6-65f7-47ef-90b5-e5dd4d455f24", object_id).await;
    world.service.snapshot_put(&stranger, snapshot_of(&id, &secret)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_protect_a_disk_does_not_keep_others_from_it() {
    let world = World::idle().await;
    let p = protect(&world).await;
    world.service.instance_delete(&world.caller, &p.instance).await.unwrap().unwrap();
    let tail = "target/providers/Microsoft.DataProtection/backupVaults/v2";
    let vault = world.vault(tail, storage()).await;
    let policy = vault.id.join("backupPolicies/p").unwrap();
    let types = vec!["Microsoft.Compute/disks".into()];
    let rules = world::rules();
    world.service.policy_put(&world.caller, &policy, types, rules).await.unwrap();
    let group = world.id("rg");
    let bare = instance_of(&vault.id.join("backupInstances/x").unwrap(), &p.disk, &policy, &group);
    let failed = world.service.instance_put(&world.caller, bare).await.unwrap().operation;
    assert!(matches!(failed.status, OperationStatus::Failed(_)), "it has no role at all");
    let again = instance_of(&p.instance, &p.disk, &p.policy, &group);
    let again = world.service.instance_put(&world.caller, again).await.unwrap().operation;
    assert_eq!(again.status, OperationStatus::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_instance_stays_stopped_whatever_is_put() {
    let world = World::idle().await;
    let p = protect(&world).await;
    let group = world.id("rg");
    world.service.transition(&world.caller, &p.instance, Transition::Stop).await.unwrap();
    let state =
        async || world.service.resource(&p.instance).await.unwrap().as_instance().unwrap().state;
    let spec = instance_of(&p.instance, &p.disk, &p.policy, &group);
    let vault = world.service.resource(&p.vault).await.unwrap();
    let identity = vault.as_vault().unwrap().identity.system.unwrap();
    for assignment in world.service.assignments_of(identity).await.unwrap() {
        world.service.assignment_delete(&world.caller, &assignment.id).await.unwrap();
        world.service.instance_put(&world.caller, spec.clone()).await.unwrap();
        assert_eq!(state().await, ProtectionState::Stopped);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_being_uploaded_is_no_snapshot() {
    let world = World::idle().await;
    world.group("rg").await;
    let disk = world.disk(DISK, OriginSpec::Upload { bytes: SIZE + 512 }, None).await;
    let id = world.id("rg/providers/Microsoft.Compute/snapshots/s");
    let refused = world.service.snapshot_put(&world.caller, snapshot_of(&id, &disk)).await;
    assert_eq!(refused.unwrap_err().kind(), FaultKind::Conflict);
    world.write(&disk, 0, noise(5, MIB)).await;
    world.service.snapshot_put(&world.caller, snapshot_of(&id, &disk)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_touches_nothing_that_it_did_not_make() {
    let world = World::new().await;
    let p = protect(&world).await;
    world.backup(&p.vault, &p.instance).await;
    world.service.stop().await;
    let World { service, folder, .. } = world;
    drop(service);
    let path = folder.path();
    for name in ["catalogue.db", "catalogue.db-wal", "catalogue.db-shm"] {
        let _ = std::fs::remove_file(path.join(name));
    }
    let opened = Service::open(path, settings(path), Env::system()).await;
    assert_eq!(opened.unwrap_err().kind(), FaultKind::Conflict);
    assert_eq!(std::fs::read_dir(path.join("store/points")).unwrap().count(), 1);
    assert!(path.join("keys/store.key").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_that_broke_off_is_done_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let (service, first) = Service::open(path, settings(path), Env::system()).await.unwrap();
    let lost = first.unwrap().client_id;
    drop(service);
    let (service, first) = Service::open(path, settings(path), Env::system()).await.unwrap();
    assert_ne!(first.unwrap().client_id, lost);
    service.confirm_first_start().await.unwrap();
    drop(service);
    let (_service, first) = Service::open(path, settings(path), Env::system()).await.unwrap();
    assert!(first.is_none());
}

//! The whole way of a disk through the domain, without any wire: written, protected, backed up
//! twice, restored, and compared byte for byte.

#![allow(clippy::unwrap_used, clippy::panic)]

mod world;

use tresor_core::model::{JobStatus, OperationStatus};
use tresor_core::service::{OriginSpec, PointQuery, Transition};
use world::{MIB, SIZE, World, noise, protect, restore_of, snapshot_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_backups_and_a_restore_of_each() {
    let world = World::new().await;
    let p = protect(&world).await;
    let first = world.bytes(&p.disk).await;
    let whole = world.backup(&p.vault, &p.instance).await.progress.transfer.unwrap();
    assert!(whole.stored > 8 * MIB && whole.stored < 9 * MIB, "{whole:?}");
    world.write(&p.disk, 20 * MIB, noise(2, 128 << 10)).await;
    let second = world.bytes(&p.disk).await;
    let little = world.backup(&p.vault, &p.instance).await.progress.transfer.unwrap();
    assert!(little.read <= 4 * (128 << 10) + SIZE / 100, "{little:?}");
    let points =
        world.service.points(&p.instance, &PointQuery::default(), None, 10).await.unwrap().rows;
    assert_eq!(points.len(), 2);
    for (point, wanted) in points.iter().zip([&second, &first]) {
        let name = format!("providers/Microsoft.Compute/disks/of-{}", point.key);
        let target = p.target_group.join(&name).unwrap();
        let spec = restore_of(&point.key, &target);
        let checked = world.service.validate_restore(&world.caller, &p.instance, spec.clone());
        assert_eq!(checked.await.unwrap().status, OperationStatus::Succeeded);
        let begun = world.service.restore_start(&world.caller, &p.instance, spec).await.unwrap();
        let job = world.job(&p.vault, begun).await;
        assert_eq!(job.status, JobStatus::Completed, "{job:?}");
        assert!(world.bytes(&target).await == *wanted, "the restored bytes differ");
        let again = restore_of(&point.key, &target);
        let again = world.service.restore_start(&world.caller, &p.instance, again).await.unwrap();
        let OperationStatus::Failed(fault) = again.status else { panic!("the name was taken") };
        assert_eq!(fault.kind, tresor_core::error::FaultKind::DiskNameTaken);
    }
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_keeps_everything_and_an_incremental_stays_one() {
    let world = World::new().await;
    let p = protect(&world).await;
    world.backup(&p.vault, &p.instance).await;
    let world = world.restarted().await;
    world.write(&p.disk, 50 * MIB, noise(3, 64 << 10)).await;
    let little = world.backup(&p.vault, &p.instance).await.progress.transfer.unwrap();
    assert!(little.read <= 4 * (64 << 10) + SIZE / 100, "{little:?}");
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ending_protection_frees_disk_policy_vault_and_group_but_no_bytes() {
    let world = World::new().await;
    let p = protect(&world).await;
    world.backup(&p.vault, &p.instance).await;
    let group = world.id("rg");
    let refused = world.service.group_delete(&world.caller, &group).await.unwrap_err();
    assert!(refused.fault.message.contains("backupInstances/i"), "{refused:?}");
    assert!(world.service.policy_delete(&world.caller, &p.policy).await.is_err());
    let stop = world.service.transition(&world.caller, &p.instance, Transition::Stop).await;
    assert!(stop.unwrap().is_some());
    assert!(
        world.service.backup_start(&world.caller, &p.instance, "BackupHourly", None).await.is_err()
    );
    world.service.instance_delete(&world.caller, &p.instance).await.unwrap().unwrap();
    assert!(world.service.find(&p.instance).await.unwrap().is_none());
    assert!(world.service.policy_delete(&world.caller, &p.policy).await.unwrap());
    assert!(world.service.vault_delete(&world.caller, &p.vault).await.unwrap().is_some());
    assert!(world.service.group_delete(&world.caller, &group).await.unwrap().is_some());
    world.service.stop().await;
    drop(world.service);
    let records = std::fs::read_dir(world.folder.path().join("store/points")).unwrap().count();
    assert_eq!(records, 1, "a soft-deleted instance keeps its point");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshots_and_copies_hold_the_bytes_of_their_instant() {
    let world = World::new().await;
    world.group("rg").await;
    let disk =
        world.disk("rg/providers/Microsoft.Compute/disks/d", OriginSpec::Empty, Some(SIZE)).await;
    world.write(&disk, 0, noise(4, MIB)).await;
    let before = world.bytes(&disk).await;
    let id = world.id("rg/providers/Microsoft.Compute/snapshots/s");
    let spec = snapshot_of(&id, &disk);
    let made = world.service.snapshot_put(&world.caller, spec).await.unwrap();
    assert_eq!(world.ended(made.operation).await.status, OperationStatus::Succeeded);
    world.write(&disk, 512, noise(5, MIB)).await;
    assert!(world.bytes(&id).await == before, "the snapshot changed");
    let unique_id = None;
    let origin = OriginSpec::Copy { source: id.clone(), unique_id };
    let copy = world.disk("rg/providers/Microsoft.Compute/disks/c", origin, None).await;
    assert!(world.bytes(&copy).await == before, "the copy of a snapshot differs");
    let origin = OriginSpec::Copy { source: disk.clone(), unique_id };
    let copy = world.disk("rg/providers/Microsoft.Compute/disks/c2", origin, None).await;
    assert!(world.bytes(&copy).await == world.bytes(&disk).await, "the copy of a disk differs");
    world.service.snapshot_delete(&world.caller, &id).await.unwrap().unwrap();
    world.service.stop().await;
}

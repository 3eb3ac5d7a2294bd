//! Azure's quotas, under a clock that the test moves.

#![allow(clippy::unwrap_used, clippy::panic)]

mod world;

use std::time::Duration;
use tresor_core::error::FaultKind;
use tresor_core::limits::Limits;
use tresor_core::model::{Operation, OperationStatus};
use world::{World, protect, restore_of};

fn quota(operation: Operation) -> bool {
    match operation.status {
        OperationStatus::Failed(fault) => fault.kind == FaultKind::Quota,
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_backups_and_ten_restores_a_day() {
    let (env, clock) = tresor_testkit::sim_env(1);
    let world = World::of(Limits::Azure, env).await;
    let p = protect(&world).await;
    world.service.start().await;
    let start = async || {
        let rule = "BackupHourly";
        world.service.backup_start(&world.caller, &p.instance, rule, None).await.unwrap()
    };
    let mut point = None;
    for _ in 0..10 {
        point = world.backup(&p.vault, &p.instance).await.made;
        // Slow enough for the quota of snapshots in five minutes.
        clock.advance(Duration::from_secs(60));
    }
    assert!(quota(start().await), "the eleventh of a day");
    let key = point.unwrap().key;
    let restore = async |n: u32| {
        let name = format!("providers/Microsoft.Compute/disks/r{n}");
        let spec = restore_of(&key, &p.target_group.join(&name).unwrap());
        world.service.restore_start(&world.caller, &p.instance, spec).await.unwrap()
    };
    for n in 0..10 {
        let begun = restore(n).await;
        world.job(&p.vault, begun).await;
    }
    assert!(quota(restore(10).await), "the eleventh of a day");
    clock.advance(Duration::from_secs(24 * 3600));
    assert!(!quota(restore(11).await) && !quota(start().await), "a new day");
    world.service.stop().await;
}

//! Whether instances can be backed up, who may see them, and documents of their jobs.

#![allow(clippy::unwrap_used, clippy::panic)]

mod world;

use std::time::Duration;
use tresor_core::error::FaultKind;
use tresor_core::limits::Limits;
use tresor_core::model::{
    Instance, JobStatus, Operation, OperationStatus, ProtectionState, ResourceId,
};
use tresor_core::service::{Caller, Document, JobQuery, Transition};
use uuid::Uuid;
use world::{Protected, World, instance_of, protect, storage};

const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const DISK_READER: &str = "3e5e47e6-65f7-47ef-90b5-e5dd4d455f24";

async fn instance(world: &World, id: &ResourceId) -> Instance {
    world.service.resource(id).await.unwrap().as_instance().unwrap().clone()
}

async fn sync(world: &World, id: &ResourceId) -> Result<Operation, FaultKind> {
    world.service.instance_sync(&world.caller, id).await.map_err(|e| e.kind())
}

async fn identity(world: &World, p: &Protected) -> Uuid {
    let vault = world.service.resource(&p.vault).await.unwrap();
    vault.as_vault().unwrap().identity.system.unwrap()
}

/// Takes all roles of the vault's identity away.
async fn strip(world: &World, p: &Protected) {
    for held in world.service.assignments_of(identity(world, p).await).await.unwrap() {
        world.service.assignment_delete(&world.caller, &held.id).await.unwrap();
    }
}

async fn give(world: &World, p: &Protected) {
    let (group, who) = (world.id("rg"), identity(world, p).await);
    for role in [DISK_READER, "7efff54f-a5b4-42b5-a1c5-5411624893ce"] {
        world.assign(&group, role, who).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_finds_what_is_missing_and_what_is_mended() {
    let world = World::idle().await;
    let p = protect(&world).await;
    let fine = sync(&world, &p.instance).await.unwrap();
    assert_eq!(fine.status, OperationStatus::Succeeded);
    let version = world.service.resource(&p.instance).await.unwrap().version;
    strip(&world, &p).await;
    let broken = sync(&world, &p.instance).await.unwrap();
    let OperationStatus::Failed(fault) = broken.status else { panic!("it lacks its roles") };
    let now = instance(&world, &p.instance).await;
    assert_eq!((now.state, now.error), (ProtectionState::Error, Some(fault.clone())));
    assert_eq!(fault.kind, FaultKind::PermissionsMissing);
    let row = world.service.resource(&p.instance).await.unwrap();
    assert_eq!(row.version, version + 1);
    sync(&world, &p.instance).await.unwrap();
    let row = world.service.resource(&p.instance).await.unwrap();
    assert_eq!(row.version, version + 1, "the same again is no change");
    give(&world, &p).await;
    let mended = sync(&world, &p.instance).await.unwrap();
    assert_eq!(mended.status, OperationStatus::Succeeded);
    let now = instance(&world, &p.instance).await;
    assert_eq!((now.state, now.error), (ProtectionState::Configured, None));
    for pause in [Transition::Stop, Transition::Suspend] {
        world.service.transition(&world.caller, &p.instance, pause).await.unwrap();
        assert_eq!(sync(&world, &p.instance).await.unwrap_err(), FaultKind::InstanceState);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_protected_its_disk_begins_to_once_it_can() {
    let world = World::idle().await;
    let p = protect(&world).await;
    world.service.instance_delete(&world.caller, &p.instance).await.unwrap().unwrap();
    strip(&world, &p).await;
    let group = world.id("rg");
    let (one, two) = (p.instance.clone(), p.vault.join("backupInstances/second").unwrap());
    for id in [&one, &two] {
        let spec = instance_of(id, &p.disk, &p.policy, &group);
        let made = world.service.instance_put(&world.caller, spec).await.unwrap();
        assert!(matches!(made.operation.status, OperationStatus::Failed(_)));
        sync(&world, id).await.unwrap();
        assert_eq!(instance(&world, id).await.state, ProtectionState::ConfiguringFailed);
    }
    give(&world, &p).await;
    assert_eq!(sync(&world, &two).await.unwrap().status, OperationStatus::Succeeded);
    assert_eq!(instance(&world, &two).await.state, ProtectionState::Configured);
    // The disk is taken now, and the first one says so.
    let late = sync(&world, &one).await.unwrap();
    let OperationStatus::Failed(fault) = late.status else { panic!("two protect one disk") };
    assert_eq!(fault.kind, FaultKind::DatasourceAlreadyProtected);
    let now = instance(&world, &one).await;
    assert_eq!((now.state, now.error), (ProtectionState::ConfiguringFailed, Some(fault)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_shows_what_it_lacks_with_the_instance() {
    let world = World::new().await;
    let p = protect(&world).await;
    strip(&world, &p).await;
    let rule = "BackupHourly";
    let started = world.service.backup_start(&world.caller, &p.instance, rule, None).await.unwrap();
    let job = world.job(&p.vault, started).await;
    assert_eq!(job.status, JobStatus::Failed);
    let now = instance(&world, &p.instance).await;
    assert_eq!((now.state, now.error), (ProtectionState::Error, job.error));
    give(&world, &p).await;
    world.backup(&p.vault, &p.instance).await;
    let now = instance(&world, &p.instance).await;
    assert_eq!((now.state, now.error), (ProtectionState::Configured, None));
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_of_a_disk_are_shown_to_those_who_may_see_them() {
    let world = World::idle().await;
    let p = protect(&world).await;
    let tail = "target/providers/Microsoft.DataProtection/backupVaults/v2";
    let vault = world.vault(tail, storage()).await.id;
    let policy = vault.join("backupPolicies/p").unwrap();
    let types = vec!["Microsoft.Compute/disks".into()];
    world.service.policy_put(&world.caller, &policy, types, world::rules()).await.unwrap();
    world.service.transition(&world.caller, &p.instance, Transition::Stop).await.unwrap();
    // Only a disk that nobody protects can be taken: the second instance waits for its rights.
    world.service.instance_delete(&world.caller, &p.instance).await.unwrap().unwrap();
    let second = vault.join("backupInstances/x").unwrap();
    let spec = instance_of(&second, &p.disk, &policy, &world.id("rg"));
    world.service.instance_put(&world.caller, spec).await.unwrap();
    let spec = instance_of(&p.instance, &p.disk, &p.policy, &world.id("rg"));
    world.service.instance_put(&world.caller, spec).await.unwrap();
    let somebody = Caller { object_id: Uuid::from_u128(45), ..world.caller.clone() };
    let seen = async |caller: &Caller, of: &ResourceId| {
        let (mut names, mut after) = (vec![], None);
        loop {
            let page = world.service.instances_of(caller, of, after, 1).await.unwrap();
            names.extend(page.rows.into_iter().map(|row| row.id.name().to_owned()));
            match page.after {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        names
    };
    assert_eq!(seen(&world.caller, &p.disk).await, ["i", "x"]);
    assert_eq!(seen(&somebody, &p.disk).await, Vec::<String>::new());
    world.assign(&p.disk, READER, somebody.object_id).await;
    assert_eq!(
        seen(&somebody, &p.disk).await,
        Vec::<String>::new(),
        "the disk alone gives nothing"
    );
    world.assign(&vault, READER, somebody.object_id).await;
    assert_eq!(seen(&somebody, &p.disk).await, ["x"]);
    // The group of the snapshots is named by both, and is no datasource of either.
    assert_eq!(seen(&world.caller, &world.id("rg")).await, Vec::<String>::new());
}

async fn text(document: Document) -> String {
    let read = move || document.read(0..document.size()).unwrap();
    String::from_utf8(tokio::task::spawn_blocking(read).await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_holds_every_job_and_goes_when_its_time_is_over() {
    let (env, clock) = tresor_testkit::sim_env(5);
    let world = World::of(Limits::None, env.clone()).await;
    world.service.export_as(|job| format!("\"{}\"", job.id));
    let p = protect(&world).await;
    let mut jobs = vec![];
    world.service.start().await;
    for _ in 0..3 {
        jobs.push(world.backup(&p.vault, &p.instance).await.id);
        clock.advance(Duration::from_secs(1));
    }
    world.service.stop().await;
    // Nobody works now, so the first export waits and the second is refused.
    let export = world.service.export_start(&world.caller, &p.vault).await.unwrap();
    let second = world.service.export_start(&world.caller, &p.vault).await.unwrap_err();
    assert_eq!(second.kind(), FaultKind::Conflict);
    let World { service, caller, folder } = world;
    drop(service);
    let settings = world::settings(folder.path());
    let open = tresor_core::service::Service::open(folder.path(), settings.clone(), env.clone());
    let (service, _) = open.await.unwrap();
    service.export_as(|job| format!("\"{}\"", job.id));
    service.start().await;
    let world = World { service, caller, folder };
    let done = world.ended(export).await;
    assert_eq!(done.status, OperationStatus::Succeeded);
    let expires = world.service.export_expires(&done).unwrap();
    let document = world.service.document(done.id, expires).await.unwrap().unwrap();
    let found = text(document).await;
    for job in &jobs {
        assert!(found.contains(&format!("\"{job}\"")), "{found}");
    }
    let all = world.service.jobs(&p.vault, &JobQuery::default(), None, 10).await.unwrap();
    assert_eq!(all.rows.len(), 3);
    // Another document, another end: the name of one opens no other.
    let other = world.service.document(Uuid::from_u128(1), expires).await.unwrap();
    assert!(other.is_none());
    clock.advance(Duration::from_secs(3601));
    assert!(world.service.document(done.id, expires).await.unwrap().is_none(), "it has ended");
    let files =
        |world: &World| std::fs::read_dir(world.folder.path().join("exports")).unwrap().count();
    assert_eq!(files(&world), 1);
    world.service.stop().await;
    let World { service, caller, folder } = world;
    drop(service);
    std::fs::write(folder.path().join("exports/left.part"), b"half").unwrap();
    let open = tresor_core::service::Service::open(folder.path(), settings, env);
    let (service, _) = open.await.unwrap();
    let world = World { service, caller, folder };
    assert_eq!(files(&world), 1, "what was half-written is gone at once");
    world.service.start().await;
    for _ in 0..1000 {
        if files(&world) == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(files(&world), 0, "what has ended is swept");
    world.service.stop().await;
}

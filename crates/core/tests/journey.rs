//! The whole way of a disk through the domain, without any wire: written, protected, backed up
//! twice, restored, and compared byte for byte.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tresor_core::limits::Limits;
use tresor_core::model::{
    Access, BackupRule, DataStore, Datasource, Job, JobStatus, Lifecycle, Operation,
    OperationStatus, Resource, ResourceId, RetentionRule, Rule, TagRule,
};
use tresor_core::service::{
    AssignmentSpec, Caller, DiskSpec, GroupSpec, IdentitySpec, InstanceSpec, OriginSpec,
    RestoreSpec, Service, Settings, SnapshotSpec, Transition, VaultSettings, VaultSpec,
};
use tresor_store::StoreConfig;
use tresor_store::env::Env;
use uuid::Uuid;

const MIB: u64 = 1 << 20;
const SIZE: u64 = 64 * MIB;

struct World {
    service: Arc<Service>,
    caller: Caller,
    folder: TempDir,
}

fn settings(folder: &Path) -> Settings {
    Settings {
        pool: folder.join("pool"),
        store: folder.join("store"),
        import: vec![folder.join("import")],
        limits: Limits::None,
        workers: 2,
        locations: vec!["westus".into(), "eastus".into()],
        store_config: StoreConfig::default(),
    }
}

async fn open(folder: &Path) -> (Arc<Service>, Option<tresor_core::service::FirstStart>) {
    Service::open(folder, settings(folder), Env::system()).await.unwrap()
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (service, first) = open(folder.path()).await;
        service.confirm_first_start().await.unwrap();
        service.start().await;
        let first = first.unwrap();
        let owner = service.sign_in(first.client_id, &first.client_secret).await.unwrap().unwrap();
        let caller = Caller {
            object_id: owner.object_id,
            client_id: owner.client_id,
            name: owner.name,
            correlation: Uuid::nil(),
        };
        Self { service, caller, folder }
    }

    fn id(&self, tail: &str) -> ResourceId {
        let subscription = self.service.subscription();
        let text = format!("/subscriptions/{subscription}/resourceGroups/{tail}");
        ResourceId::parse(&text).unwrap()
    }

    async fn group(&self, name: &str) -> ResourceId {
        let id = self.id(name);
        let spec = GroupSpec {
            id: id.clone(),
            location: "West US".into(),
            tags: BTreeMap::new(),
            managed_by: None,
        };
        self.service.group_put(&self.caller, spec).await.unwrap();
        id
    }

    async fn disk(&self, tail: &str, origin: OriginSpec, size: Option<u64>) -> ResourceId {
        let id = self.id(tail);
        let spec = DiskSpec {
            id: id.clone(),
            location: "westus".into(),
            tags: BTreeMap::new(),
            size,
            origin: Some(origin),
            sku: None,
            attributes: BTreeMap::new(),
        };
        let outcome = self.service.disk_put(&self.caller, spec).await.unwrap();
        assert_eq!(self.ended(outcome.operation).await.status, OperationStatus::Succeeded);
        id
    }

    async fn ended(&self, operation: Operation) -> Operation {
        for _ in 0..60 {
            let held = self.service.operation_held(operation.id, Duration::from_secs(1));
            let now = held.await.unwrap().unwrap();
            if now.status != OperationStatus::Running {
                return now;
            }
        }
        panic!("the operation does not end: {operation:?}")
    }

    async fn write(&self, disk: &ResourceId, offset: u64, bytes: Vec<u8>) {
        let (_, grant) =
            self.service.grant_open(&self.caller, disk, Access::Write, 60).await.unwrap();
        let blob = self.service.blob(grant.id).await.unwrap().unwrap();
        tokio::task::spawn_blocking(move || blob.write(offset, &bytes)).await.unwrap().unwrap();
        self.service.grant_close(&self.caller, disk).await.unwrap();
    }

    async fn bytes(&self, disk: &ResourceId) -> Vec<u8> {
        let (_, grant) =
            self.service.grant_open(&self.caller, disk, Access::Read, 60).await.unwrap();
        let blob = self.service.blob(grant.id).await.unwrap().unwrap();
        let all = 0..blob.size();
        let bytes = tokio::task::spawn_blocking(move || blob.read(all)).await.unwrap().unwrap();
        self.service.grant_close(&self.caller, disk).await.unwrap();
        bytes
    }

    async fn vault(&self, tail: &str, settings: VaultSettings) -> Resource {
        let id = self.id(tail);
        let identity = IdentitySpec { system: true, user: vec![] };
        let spec = VaultSpec {
            id,
            location: "westus".into(),
            tags: BTreeMap::new(),
            identity: Some(identity),
            settings,
        };
        self.service.vault_put(&self.caller, spec).await.unwrap().resource
    }

    async fn assign(&self, scope: &ResourceId, role: &str, principal: Uuid) {
        let name = Uuid::now_v7();
        let id = scope
            .join(&format!("providers/Microsoft.Authorization/roleAssignments/{name}"))
            .unwrap();
        let spec = AssignmentSpec {
            id,
            scope: scope.clone(),
            role: role.parse().unwrap(),
            principal,
            principal_type: None,
            description: None,
        };
        self.service.assignment_put(&self.caller, spec).await.unwrap();
    }

    async fn job(&self, vault: &ResourceId, operation: Operation) -> Job {
        assert_eq!(operation.status, OperationStatus::Succeeded, "{operation:?}");
        let id: Uuid = operation.job.unwrap().name().parse().unwrap();
        for _ in 0..600 {
            let job = self.service.job(vault, id).await.unwrap();
            if job.status != JobStatus::InProgress {
                return job;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the job does not end")
    }

    async fn backup(&self, vault: &ResourceId, instance: &ResourceId) -> Job {
        let started = self.service.backup_start(&self.caller, instance, "BackupHourly", None).await;
        let job = self.job(vault, started.unwrap()).await;
        assert_eq!(job.status, JobStatus::Completed, "{job:?}");
        job
    }
}

fn storage() -> VaultSettings {
    VaultSettings {
        storage: Some(vec![tresor_core::model::StorageSetting {
            store: "VaultStore".into(),
            redundancy: "LocallyRedundant".into(),
        }]),
        ..VaultSettings::default()
    }
}

fn rules() -> Vec<Rule> {
    let tag = TagRule { tag: "Default".into(), is_default: true, priority: 99, criteria: None };
    vec![
        Rule::Backup(BackupRule {
            name: "BackupHourly".into(),
            backup_type: "Incremental".into(),
            store: DataStore::Operational,
            intervals: vec!["R/2024-01-01T00:00:00+00:00/PT4H".into()],
            time_zone: None,
            tags: vec![tag],
        }),
        Rule::Retention(RetentionRule {
            name: "Default".into(),
            is_default: true,
            lifecycles: vec![Lifecycle {
                delete_after: "P7D".into(),
                store: DataStore::Operational,
                copies_listed: true,
            }],
        }),
    ]
}

fn datasource(id: &ResourceId) -> Datasource {
    Datasource {
        id: id.clone(),
        name: None,
        resource_type: None,
        datasource_type: None,
        location: None,
        uri: None,
    }
}

fn noise(seed: u64, length: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..length / 8).flat_map(|_| next()).collect()
}

/// A protected disk with some content, and everything around it.
struct Protected {
    disk: ResourceId,
    vault: ResourceId,
    policy: ResourceId,
    instance: ResourceId,
    target_group: ResourceId,
}

async fn protect(world: &World) -> Protected {
    let group = world.group("rg").await;
    let target_group = world.group("target").await;
    let origin = OriginSpec::Upload { bytes: SIZE + 512 };
    let disk = world.disk("rg/providers/Microsoft.Compute/disks/d", origin, None).await;
    world.write(&disk, MIB, noise(1, 8 * MIB)).await;
    world.write(&disk, 40 * MIB, vec![0x5a; 3 << 20]).await;
    let vault =
        world.vault("rg/providers/Microsoft.DataProtection/backupVaults/v", storage()).await;
    let identity = vault.as_vault().unwrap().identity.system.unwrap();
    world.assign(&group, "3e5e47e6-65f7-47ef-90b5-e5dd4d455f24", identity).await;
    world.assign(&group, "7efff54f-a5b4-42b5-a1c5-5411624893ce", identity).await;
    world.assign(&target_group, "b50d9833-a0cb-478e-945f-707fcc997c13", identity).await;
    let policy = vault.id.join("backupPolicies/p").unwrap();
    let types = vec!["Microsoft.Compute/disks".into()];
    world.service.policy_put(&world.caller, &policy, types, rules()).await.unwrap();
    let instance = vault.id.join("backupInstances/i").unwrap();
    let spec = InstanceSpec {
        id: Some(instance.clone()),
        tags: None,
        friendly_name: None,
        disk: datasource(&disk),
        disk_set: None,
        policy: policy.clone(),
        snapshot_group: Some(group),
        identity: None,
        deep: false,
    };
    let outcome = world.service.instance_put(&world.caller, spec).await.unwrap();
    assert_eq!(outcome.operation.status, OperationStatus::Succeeded, "{:?}", outcome.operation);
    Protected { disk, vault: vault.id, policy, instance, target_group }
}

fn restore_of(point: &str, target: &ResourceId) -> RestoreSpec {
    RestoreSpec {
        point: point.into(),
        source: DataStore::Operational,
        target: datasource(target),
        location: None,
        identity: None,
    }
}

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
    let points = world.service.points(&p.instance, None, None, None, 10).await.unwrap().rows;
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
    world.service.stop().await;
    let World { service, caller, folder } = world;
    drop(service);
    let (service, first) = open(folder.path()).await;
    assert!(first.is_none(), "a second start is not a first");
    service.start().await;
    let world = World { service, caller, folder };
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
    let spec = SnapshotSpec {
        id: id.clone(),
        location: "westus".into(),
        tags: BTreeMap::new(),
        source: Some(disk.clone()),
        incremental: true,
        sku: None,
        attributes: BTreeMap::new(),
    };
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

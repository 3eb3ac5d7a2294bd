//! A whole service in a temporary folder, and a protected disk in it.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tresor_core::audit::AuditSettings;
use tresor_core::hook::Hooks;
use tresor_core::limits::Limits;
use tresor_core::model::{
    Access, BackupRule, DataStore, Datasource, Job, JobStatus, Lifecycle, Operation,
    OperationStatus, Resource, ResourceId, RetentionRule, Rule, TagRule,
};
use tresor_core::service::{
    AssignmentSpec, Caller, DiskSpec, GroupSpec, IdentitySpec, InstanceSpec, OriginSpec, Outcome,
    RestoreSpec, Service, Settings, SnapshotSpec, VaultSettings, VaultSpec,
};
use tresor_store::StoreConfig;
use tresor_store::env::Env;
use uuid::Uuid;

pub const MIB: u64 = 1 << 20;
pub const SIZE: u64 = 64 * MIB;

pub struct World {
    pub service: Arc<Service>,
    pub caller: Caller,
    pub folder: TempDir,
}

pub fn settings(folder: &Path) -> Settings {
    Settings {
        pool: folder.join("pool"),
        store: folder.join("store"),
        import: vec![folder.join("import")],
        limits: Limits::None,
        workers: 2,
        locations: vec!["westus".into(), "eastus".into()],
        store_config: StoreConfig::default(),
        volatile: false,
        hooks: None,
        audit: AuditSettings::default(),
    }
}

pub async fn open(folder: &Path) -> (Arc<Service>, Option<tresor_core::service::FirstStart>) {
    Service::open(folder, settings(folder), Env::system()).await.unwrap()
}

impl World {
    pub async fn new() -> Self {
        let world = Self::idle().await;
        world.service.start().await;
        world
    }

    /// A world in which nobody works: what is queued stays queued until `start`.
    pub async fn idle() -> Self {
        Self::of(Limits::None, Env::system()).await
    }

    /// A world with these quotas and this environment, in which nobody works yet.
    pub async fn of(limits: Limits, env: Env) -> Self {
        Self::hooked(limits, env, None).await
    }

    /// The same with hooks.
    pub async fn hooked(limits: Limits, env: Env, hooks: Option<Arc<Hooks>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { limits, hooks, ..settings(folder.path()) };
        let (service, first) = Service::open(folder.path(), settings, env).await.unwrap();
        service.confirm_first_start().await.unwrap();
        let first = first.unwrap();
        let owner = service.sign_in(first.client_id, &first.client_secret).await.unwrap().unwrap();
        let caller = Caller::new(owner.object_id, owner.client_id, owner.name, Uuid::nil());
        Self { service, caller, folder }
    }

    /// The same world after its process ended and came back.
    pub async fn restarted(self) -> Self {
        self.service.stop().await;
        let Self { service, caller, folder } = self;
        drop(service);
        let (service, first) = open(folder.path()).await;
        assert!(first.is_none(), "a second start is not a first");
        service.start().await;
        Self { service, caller, folder }
    }

    pub fn id(&self, tail: &str) -> ResourceId {
        let subscription = self.service.subscription();
        let text = format!("/subscriptions/{subscription}/resourceGroups/{tail}");
        ResourceId::parse(&text).unwrap()
    }

    pub async fn group(&self, name: &str) -> ResourceId {
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

    pub async fn disk(&self, tail: &str, origin: OriginSpec, size: Option<u64>) -> ResourceId {
        let outcome = self.put_disk(tail, origin, size).await;
        assert_eq!(self.ended(outcome.operation).await.status, OperationStatus::Succeeded);
        outcome.resource.id
    }

    pub async fn put_disk(&self, tail: &str, origin: OriginSpec, size: Option<u64>) -> Outcome {
        let id = self.id(tail);
        let spec = DiskSpec {
            id,
            location: "westus".into(),
            tags: BTreeMap::new(),
            size,
            origin: Some(origin),
            sku: None,
            attributes: BTreeMap::new(),
        };
        self.service.disk_put(&self.caller, spec).await.unwrap()
    }

    pub async fn ended(&self, operation: Operation) -> Operation {
        for _ in 0..60 {
            let held = self.service.operation_held(operation.id, Duration::from_secs(1));
            let now = held.await.unwrap().unwrap();
            if now.status != OperationStatus::Running {
                return now;
            }
        }
        panic!("the operation does not end: {operation:?}")
    }

    pub async fn write(&self, disk: &ResourceId, offset: u64, bytes: Vec<u8>) {
        let (_, grant) =
            self.service.grant_open(&self.caller, disk, Access::Write, 60).await.unwrap();
        let blob = self.service.blob(grant.id).await.unwrap().unwrap();
        tokio::task::spawn_blocking(move || blob.write(offset, &bytes)).await.unwrap().unwrap();
        self.service.grant_close(&self.caller, disk).await.unwrap();
    }

    pub async fn bytes(&self, disk: &ResourceId) -> Vec<u8> {
        let (_, grant) =
            self.service.grant_open(&self.caller, disk, Access::Read, 60).await.unwrap();
        let blob = self.service.blob(grant.id).await.unwrap().unwrap();
        let all = 0..blob.size();
        let bytes = tokio::task::spawn_blocking(move || blob.read(all)).await.unwrap().unwrap();
        self.service.grant_close(&self.caller, disk).await.unwrap();
        bytes
    }

    pub async fn vault(&self, tail: &str, settings: VaultSettings) -> Resource {
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

    pub async fn assign(&self, scope: &ResourceId, role: &str, principal: Uuid) {
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

    pub async fn job(&self, vault: &ResourceId, operation: Operation) -> Job {
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

    pub async fn backup(&self, vault: &ResourceId, instance: &ResourceId) -> Job {
        let started = self.service.backup_start(&self.caller, instance, "BackupHourly", None).await;
        let job = self.job(vault, started.unwrap()).await;
        assert_eq!(job.status, JobStatus::Completed, "{job:?}");
        job
    }
}

pub fn storage() -> VaultSettings {
    VaultSettings {
        storage: Some(vec![tresor_core::model::StorageSetting {
            store: "VaultStore".into(),
            redundancy: "LocallyRedundant".into(),
        }]),
        ..VaultSettings::default()
    }
}

pub fn rules() -> Vec<Rule> {
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

pub fn datasource(id: &ResourceId) -> Datasource {
    Datasource {
        id: id.clone(),
        name: None,
        resource_type: None,
        datasource_type: None,
        location: None,
        uri: None,
    }
}

pub fn noise(seed: u64, length: u64) -> Vec<u8> {
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
pub struct Protected {
    pub disk: ResourceId,
    pub vault: ResourceId,
    pub policy: ResourceId,
    pub instance: ResourceId,
    pub target_group: ResourceId,
}

pub async fn protect(world: &World) -> Protected {
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
    let spec = instance_of(&instance, &disk, &policy, &group);
    let outcome = world.service.instance_put(&world.caller, spec).await.unwrap();
    assert_eq!(outcome.operation.status, OperationStatus::Succeeded, "{:?}", outcome.operation);
    Protected { disk, vault: vault.id, policy, instance, target_group }
}

pub fn instance_of(
    instance: &ResourceId,
    disk: &ResourceId,
    policy: &ResourceId,
    snapshot_group: &ResourceId,
) -> InstanceSpec {
    InstanceSpec {
        id: Some(instance.clone()),
        tags: None,
        friendly_name: None,
        disk: datasource(disk),
        disk_set: None,
        policy: policy.clone(),
        snapshot_group: Some(snapshot_group.clone()),
        identity: None,
        deep: false,
    }
}

pub fn snapshot_of(id: &ResourceId, disk: &ResourceId) -> SnapshotSpec {
    SnapshotSpec {
        id: id.clone(),
        location: "westus".into(),
        tags: BTreeMap::new(),
        source: Some(disk.clone()),
        incremental: true,
        sku: None,
        attributes: BTreeMap::new(),
    }
}

pub fn restore_of(point: &str, target: &ResourceId) -> RestoreSpec {
    RestoreSpec {
        point: point.into(),
        source: DataStore::Operational,
        target: datasource(target),
        location: None,
        identity: None,
    }
}

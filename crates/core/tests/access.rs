//! Who gets at roles and bytes: custom roles, and the doors to disks and snapshots.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use tempfile::TempDir;
use tresor_core::access::USER_ACCESS_ADMINISTRATOR;
use tresor_core::audit::AuditSettings;
use tresor_core::blob::Blob;
use tresor_core::catalogue::{Catalogue, sqlite::SqliteCatalogue};
use tresor_core::error::FaultKind;
use tresor_core::limits::Limits;
use tresor_core::model::{Access, OperationStatus, ResourceId, RoleDefinition};
use tresor_core::service::{
    AssignmentSpec, Caller, DiskSpec, GroupSpec, OriginSpec, Service, Settings, SnapshotSpec,
};
use tresor_disk::{Pool, VolumeName};
use tresor_store::StoreConfig;
use tresor_store::env::Env;
use tresor_testkit::{SimClock, sim_env};
use uuid::Uuid;

const MIB: u64 = 1 << 20;
const DISK: &str = "rg/providers/Microsoft.Compute/disks/d";

struct World {
    service: Arc<Service>,
    owner: Caller,
    folder: TempDir,
}

fn settings(folder: &Path) -> Settings {
    Settings {
        pool: folder.join("pool"),
        store: folder.join("store"),
        import: vec![],
        limits: Limits::None,
        workers: 1,
        locations: vec!["westus".into()],
        store_config: StoreConfig::default(),
        volatile: false,
        hooks: None,
        audit: AuditSettings::default(),
    }
}

impl World {
    async fn new(env: Env) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let opened = Service::open(folder.path(), settings(folder.path()), env).await;
        let (service, first) = opened.unwrap();
        service.confirm_first_start().await.unwrap();
        service.start().await;
        let first = first.unwrap();
        let owner = service.sign_in(first.client_id, &first.client_secret).await.unwrap().unwrap();
        let owner = caller(owner.object_id);
        Self { service, owner, folder }
    }

    fn id(&self, tail: &str) -> ResourceId {
        let subscription = self.service.subscription();
        let text = format!("/subscriptions/{subscription}/resourceGroups/{tail}");
        ResourceId::parse(&text).unwrap()
    }

    async fn group(&self, name: &str) -> ResourceId {
        let id = self.id(name);
        let (location, tags) = ("westus".into(), BTreeMap::new());
        let spec = GroupSpec { id: id.clone(), location, tags, managed_by: None };
        self.service.group_put(&self.owner, spec).await.unwrap();
        id
    }

    async fn disk(&self) -> ResourceId {
        self.group("rg").await;
        let id = self.id(DISK);
        let spec = DiskSpec {
            id: id.clone(),
            location: "westus".into(),
            tags: BTreeMap::new(),
            size: Some(4 * MIB),
            origin: Some(OriginSpec::Empty),
            sku: None,
            attributes: BTreeMap::new(),
        };
        self.service.disk_put(&self.owner, spec).await.unwrap();
        id
    }

    async fn snapshot(&self, name: &str) -> ResourceId {
        let id = self.id(&format!("rg/providers/Microsoft.Compute/snapshots/{name}"));
        let spec = SnapshotSpec {
            id: id.clone(),
            location: "westus".into(),
            tags: BTreeMap::new(),
            source: Some(self.id(DISK)),
            incremental: true,
            sku: None,
            attributes: BTreeMap::new(),
        };
        let made = self.service.snapshot_put(&self.owner, spec).await.unwrap();
        for _ in 0..60 {
            let held = self.service.operation_held(made.operation.id, Duration::from_secs(1));
            match held.await.unwrap().unwrap().status {
                OperationStatus::Running => {}
                OperationStatus::Succeeded => return id,
                OperationStatus::Failed(fault) => panic!("{fault:?}"),
            }
        }
        panic!("the snapshot is not taken")
    }

    async fn open(&self, id: &ResourceId, access: Access) -> Blob {
        let (_, grant) = self.service.grant_open(&self.owner, id, access, 60).await.unwrap();
        self.service.blob(grant.id).await.unwrap().unwrap()
    }

    async fn write(&self, offset: u64, bytes: Vec<u8>) {
        let disk = self.id(DISK);
        let blob = self.open(&disk, Access::Write).await;
        let written = self.service.on_blob(&blob, move |blob| blob.write(offset, &bytes)).await;
        assert_eq!(written.unwrap(), Some(()));
        self.service.grant_close(&self.owner, &disk).await.unwrap();
    }

    async fn assign(
        &self,
        scope: &ResourceId,
        role: Uuid,
        principal: Uuid,
    ) -> Result<(), FaultKind> {
        let tail = format!("providers/Microsoft.Authorization/roleAssignments/{}", Uuid::now_v7());
        let spec = AssignmentSpec {
            id: scope.join(&tail).unwrap(),
            scope: scope.clone(),
            role,
            principal,
            principal_type: None,
            description: None,
        };
        let made = self.service.assignment_put(&self.owner, spec).await;
        made.map(drop).map_err(|error| error.kind())
    }

    /// Whether the disk's volume is open in the service: then nobody else can open it.
    async fn is_open(&self, disk: &ResourceId) -> bool {
        let found = self.service.find(disk).await.unwrap().unwrap();
        let name = VolumeName::new(found.as_disk().unwrap().unique_id.to_string()).unwrap();
        Pool::open(&self.folder.path().join("pool")).unwrap().open_volume(&name).is_err()
    }
}

fn caller(object_id: Uuid) -> Caller {
    Caller::new(object_id, object_id, "x".into(), Uuid::nil())
}

fn role(scopes: &[&ResourceId], action: &str) -> RoleDefinition {
    RoleDefinition {
        id: Uuid::from_u128(0x201e),
        name: "Looker".into(),
        description: String::new(),
        built_in: false,
        actions: vec![action.into()],
        not_actions: vec![],
        data_actions: vec![],
        not_data_actions: vec![],
        assignable_scopes: scopes.iter().map(|scope| (*scope).clone()).collect(),
    }
}

#[tokio::test]
async fn a_custom_role_cannot_be_taken_over() {
    let world = World::new(Env::system()).await;
    let (ours, theirs) = (world.group("ours").await, world.group("theirs").await);
    let intruder = caller(Uuid::from_u128(0xbad));
    world.assign(&theirs, USER_ACCESS_ADMINISTRATOR, intruder.object_id).await.unwrap();
    let own = role(&[&ours], "Microsoft.Compute/disks/read");
    let made = world.service.role_put(&world.owner, own.clone()).await.unwrap();
    let kind = async |caller: &Caller, role: RoleDefinition| {
        world.service.role_put(caller, role).await.err().map(|error| error.kind())
    };
    let forbidden = Some(FaultKind::Forbidden);
    assert_eq!(kind(&intruder, role(&[&theirs], "*")).await, forbidden, "away from its scope");
    assert_eq!(kind(&intruder, role(&[&ours, &theirs], "*")).await, forbidden, "beside it");
    let gone = world.service.role_delete(&intruder, own.id).await;
    assert_eq!(gone.unwrap_err().kind(), FaultKind::Forbidden);
    let kept = world.service.role_definitions().await.unwrap();
    assert!(kept.contains(&made), "the role is as it was");
    // Whoever may write at all old and new scopes may change it; a role of one's own is free.
    assert_eq!(kind(&world.owner, role(&[&ours, &theirs], "*/read")).await, None);
    let fresh = RoleDefinition { id: Uuid::from_u128(2), name: "Mine".into(), ..own.clone() };
    let fresh = RoleDefinition { assignable_scopes: vec![theirs.clone()], ..fresh };
    assert_eq!(kind(&intruder, fresh).await, None);
    assert!(world.service.role_delete(&intruder, Uuid::from_u128(2)).await.unwrap().is_some());
    assert!(world.service.role_delete(&world.owner, own.id).await.unwrap().is_some());
    world.service.stop().await;
}

#[tokio::test]
async fn a_custom_role_is_assigned_inside_its_scopes_only() {
    let world = World::new(Env::system()).await;
    let (ours, theirs) = (world.group("ours").await, world.group("theirs").await);
    let own = role(&[&ours], "*/read");
    world.service.role_put(&world.owner, own.clone()).await.unwrap();
    let someone = Uuid::from_u128(1);
    for outside in [&theirs, &ResourceId::root(), &world.id("ours2")] {
        let refused = world.assign(outside, own.id, someone).await;
        assert_eq!(refused, Err(FaultKind::InvalidInput), "{outside}");
    }
    assert_eq!(world.assign(&ours, own.id, someone).await, Ok(()));
    assert_eq!(
        world.assign(&world.id(&DISK.replace("rg/", "ours/")), own.id, someone).await,
        Ok(())
    );
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_waits_for_what_runs_and_stops_what_comes() {
    let world = World::new(Env::system()).await;
    let disk = world.disk().await;
    let blob = world.open(&disk, Access::Write).await;
    let order = Arc::new(Mutex::new(vec![]));
    let (began, has_begun) = mpsc::channel();
    let (go, may_go) = mpsc::channel::<()>();
    let write = {
        let (service, blob, order) = (world.service.clone(), blob.clone(), order.clone());
        tokio::spawn(async move {
            let work = move |blob: &Blob| {
                began.send(()).unwrap();
                may_go.recv().unwrap();
                blob.write(0, &[7; 512])?;
                order.lock().unwrap().push("written");
                Ok(())
            };
            service.on_blob(&blob, work).await
        })
    };
    tokio::task::spawn_blocking(move || has_begun.recv().unwrap()).await.unwrap();
    let mut close = {
        let (service, owner) = (world.service.clone(), world.owner.clone());
        let (disk, order) = (disk.clone(), order.clone());
        tokio::spawn(async move {
            service.grant_close(&owner, &disk).await.unwrap();
            order.lock().unwrap().push("closed");
        })
    };
    // The grant goes at once; the answer waits for the write.
    while world.service.grant(blob.grant.id).await.unwrap().is_some() {
        tokio::task::yield_now().await;
    }
    let early = tokio::time::timeout(Duration::from_millis(300), &mut close).await;
    assert!(early.is_err(), "closed over a running write");
    go.send(()).unwrap();
    assert_eq!(write.await.unwrap().unwrap(), Some(()));
    close.await.unwrap();
    assert_eq!(*order.lock().unwrap(), ["written", "closed"]);
    let late = world.service.on_blob(&blob, |blob| blob.write(0, &[9; 512])).await;
    assert_eq!(late.unwrap(), None);
    let late = world.service.on_blob(&blob, |blob| blob.read(0..512)).await;
    assert_eq!(late.unwrap(), None);
    let again = world.open(&disk, Access::Read).await;
    let read = world.service.on_blob(&again, |blob| blob.read(0..512)).await;
    assert_eq!(read.unwrap().unwrap(), [7; 512]);
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_stays_open_as_long_as_its_grant() {
    let world = World::new(Env::system()).await;
    let disk = world.disk().await;
    assert!(!world.is_open(&disk).await);
    let blob = world.open(&disk, Access::Write).await;
    world.service.on_blob(&blob, |blob| blob.write(0, &[7; 512])).await.unwrap().unwrap();
    drop(blob);
    assert!(world.is_open(&disk).await, "the next page would open it anew");
    world.service.grant_close(&world.owner, &disk).await.unwrap();
    assert!(!world.is_open(&disk).await, "nobody may use it any more");
    let _left_open = world.open(&disk, Access::Read).await;
    world.service.stop().await;
    drop(_left_open);
}

#[tokio::test]
async fn expired_grants_do_not_pile_up() {
    let (env, clock): (Env, Arc<SimClock>) = sim_env(1);
    let world = World::new(env).await;
    let disk = world.disk().await;
    let mut last = None;
    for _ in 0..100 {
        let blob = world.open(&disk, Access::Write).await;
        last = Some(blob.grant.id);
        clock.advance(Duration::from_secs(61));
        let ended = world.service.on_blob(&blob, |blob| blob.write(0, &[7; 512])).await;
        assert_eq!(ended.unwrap(), None, "the grant has expired");
        assert!(world.service.blob(blob.grant.id).await.unwrap().is_none());
    }
    let (service, folder) = (world.service, world.folder);
    service.stop().await;
    drop(service);
    let catalogue = SqliteCatalogue::open(&folder.path().join("catalogue.db")).await.unwrap();
    let kept: Vec<Uuid> =
        catalogue.grants_of(&disk).await.unwrap().iter().map(|grant| grant.id).collect();
    assert_eq!(kept, Vec::from_iter(last));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_tag_makes_no_snapshot_newer() {
    let world = World::new(Env::system()).await;
    world.disk().await;
    world.write(0, vec![7; 4096]).await;
    let older = world.snapshot("s1").await;
    world.write(MIB, vec![8; 4096]).await;
    let newer = world.snapshot("s2").await;
    let tags = Some(BTreeMap::from([("a".to_owned(), "b".to_owned())]));
    world.service.snapshot_patch(&world.owner, &older, tags, None).await.unwrap();
    let (old, new) =
        (world.open(&older, Access::Read).await, world.open(&newer, Access::Read).await);
    assert!(old.last_modified() > new.last_modified());
    let (of, against) = (new.clone(), old.clone());
    let range = 0..new.size();
    let found = world.service.on_blob(&of, move |blob| blob.diff(&against, range)).await;
    let found = found.unwrap().unwrap();
    assert!(found.iter().any(|(range, zero)| range.contains(&MIB) && !zero), "{found:?}");
    assert!(found.iter().all(|(range, _)| range.start > 0), "{found:?}");
    let range = 0..MIB / 2;
    let against = old.clone();
    let part = world.service.on_blob(&new, move |blob| blob.diff(&against, range)).await;
    assert_eq!(part.unwrap().unwrap(), []);
    let range = 0..old.size();
    let backwards = world.service.on_blob(&old, move |blob| blob.diff(&new, range)).await;
    assert_eq!(backwards.unwrap_err().kind(), FaultKind::InvalidInput);
    world.service.stop().await;
}

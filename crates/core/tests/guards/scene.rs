//! A protected disk in a vault under a guard, and what can be tried there.

use crate::world::{Protected, World, instance_of, protect, restore_of, rules};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tresor_core::error::{Error, FaultKind};
use tresor_core::guard::Critical;
use tresor_core::limits::Limits;
use tresor_core::model::{Immutability, OperationStatus, Resource, ResourceId, SoftDeleteState};
use tresor_core::service::{Caller, GuardSpec, Transition, VaultPatch, VaultSettings};
use tresor_testkit::SimClock;
use uuid::Uuid;

const BACKUP_CONTRIBUTOR: &str = "5e467623-bb1f-42f4-a55d-6e525e11384b";
const MUA_OPERATOR: &str = "f54b6d04-23c6-443e-b462-9c16ab7b4a52";
pub(crate) const REFUSED: Result<(), FaultKind> = Err(FaultKind::GuardRefused);

/// Those that can happen: a vault has no keys of its own that could change.
pub(crate) const OPERATIONS: [Critical; 8] = [
    Critical::RemoveProxy,
    Critical::WeakenSoftDelete,
    Critical::DeleteInstance,
    Critical::StopProtection,
    Critical::SuspendBackups,
    Critical::ChangePolicy,
    Critical::Restore,
    Critical::ReduceImmutability,
];

/// A protected disk in a vault under a guard, which is kept in a group of its own.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) clock: Arc<SimClock>,
    pub(crate) p: Protected,
    pub(crate) guard: ResourceId,
    pub(crate) proxy: ResourceId,
    pub(crate) policy2: ResourceId,
    /// Without any right at the guard.
    pub(crate) admin: Caller,
    /// With the operator's role at the guard.
    pub(crate) operator: Uuid,
    /// A point of the instance that there is now.
    pub(crate) point: Mutex<String>,
}

pub(crate) fn kind<T>(result: Result<T, Error>) -> Result<(), FaultKind> {
    result.map(drop).map_err(|error| error.kind())
}

pub(crate) fn settings(change: impl FnOnce(&mut VaultSettings)) -> VaultPatch {
    let mut settings = VaultSettings::default();
    change(&mut settings);
    VaultPatch { settings, ..VaultPatch::default() }
}

pub(crate) async fn put_guard(
    world: &World,
    tail: &str,
    exclusions: &[&str],
) -> Result<ResourceId, Error> {
    let spec = GuardSpec {
        id: world.id(&format!("security/providers/Microsoft.DataProtection/resourceGuards/{tail}")),
        location: "westus".into(),
        tags: BTreeMap::new(),
        exclusions: exclusions.iter().map(|text| (*text).to_owned()).collect(),
    };
    world.service.guard_put(&world.caller, spec).await.map(|(made, _)| made.id)
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let (env, clock) = tresor_testkit::sim_env(7);
        let world = World::of(Limits::None, env).await;
        let p = protect(&world).await;
        world.service.start().await;
        let point = world.backup(&p.vault, &p.instance).await.made.unwrap().key;
        let point = Mutex::new(point);
        world.group("security").await;
        let guard = put_guard(&world, "Guard", &[]).await.unwrap();
        let policy2 = p.vault.join("backupPolicies/p2").unwrap();
        let types = vec!["Microsoft.Compute/disks".into()];
        world.service.policy_put(&world.caller, &policy2, types, rules()).await.unwrap();
        let immutable = settings(|s| s.immutability = Some(Immutability::Unlocked));
        world.service.vault_patch(&world.caller, &p.vault, immutable).await.unwrap();
        let proxy = p.vault.join("backupResourceGuardProxies/DppResourceGuardProxy").unwrap();
        world.service.proxy_put(&world.caller, &proxy, guard.clone()).await.unwrap();
        let (object_id, operator) = (Uuid::from_u128(0xad), Uuid::from_u128(0x0b));
        let admin = Caller { object_id, ..world.caller.clone() };
        world.assign(&world.id("rg"), BACKUP_CONTRIBUTOR, object_id).await;
        world.assign(&guard, MUA_OPERATOR, operator).await;
        Self { world, clock, p, guard, proxy, policy2, admin, operator, point }
    }

    /// The admin, with the token of somebody and the names of these requests.
    pub(crate) fn admin_with(&self, auxiliary: &[Uuid], requests: &[Critical]) -> Caller {
        let requests = requests.iter().map(|c| c.request_id(&self.guard).unwrap());
        Caller {
            auxiliary: auxiliary.to_vec(),
            guard_requests: requests.collect(),
            ..self.admin.clone()
        }
    }

    pub(crate) async fn attempt(&self, critical: Critical, caller: &Caller) -> Result<(), Error> {
        let (service, p) = (&self.world.service, &self.p);
        match critical {
            Critical::RemoveProxy => {
                assert!(service.proxy_delete(caller, &self.proxy).await?, "there was one");
            }
            Critical::WeakenSoftDelete => {
                let off = settings(|s| s.soft_delete = Some(SoftDeleteState::Off));
                service.vault_patch(caller, &p.vault, off).await?;
            }
            Critical::DeleteInstance => {
                let ended = service.instance_delete(caller, &p.instance).await?.unwrap();
                assert_eq!(ended.status, OperationStatus::Succeeded);
            }
            Critical::StopProtection => {
                service.transition(caller, &p.instance, Transition::Stop).await?.unwrap();
            }
            Critical::SuspendBackups => {
                service.transition(caller, &p.instance, Transition::Suspend).await?.unwrap();
            }
            Critical::ChangePolicy => self.protect_by(caller, &self.policy2).await?,
            Critical::Restore => {
                let name = format!("providers/Microsoft.Compute/disks/r{}", Uuid::now_v7());
                let point = self.point.lock().unwrap().clone();
                let spec = restore_of(&point, &p.target_group.join(&name).unwrap());
                let begun = service.restore_start(caller, &p.instance, spec).await?;
                assert_eq!(self.world.ended(begun).await.status, OperationStatus::Succeeded);
            }
            Critical::ReduceImmutability => {
                let reduced = settings(|s| s.immutability = Some(Immutability::Disabled));
                service.vault_patch(caller, &p.vault, reduced).await?;
            }
            Critical::ModifyEncryption => panic!("nothing does that"),
        }
        Ok(())
    }

    pub(crate) async fn protect_by(
        &self,
        caller: &Caller,
        policy: &ResourceId,
    ) -> Result<(), Error> {
        let group = self.world.id("rg");
        let spec = instance_of(&self.p.instance, &self.p.disk, policy, &group);
        let done = self.world.service.instance_put(caller, spec).await?;
        assert_eq!(done.operation.status, OperationStatus::Succeeded);
        Ok(())
    }

    /// The owner puts things back as they were; none of that is critical.
    pub(crate) async fn undo(&self, critical: Critical) {
        let (service, owner, p) = (&self.world.service, &self.world.caller, &self.p);
        match critical {
            Critical::RemoveProxy => {
                service.proxy_put(owner, &self.proxy, self.guard.clone()).await.unwrap();
            }
            Critical::WeakenSoftDelete => {
                let on = settings(|s| s.soft_delete = Some(SoftDeleteState::On));
                service.vault_patch(owner, &p.vault, on).await.unwrap();
            }
            Critical::DeleteInstance => {
                self.protect_by(owner, &p.policy).await.unwrap();
                let made = self.world.backup(&p.vault, &p.instance).await.made;
                *self.point.lock().unwrap() = made.unwrap().key;
            }
            Critical::ChangePolicy => self.protect_by(owner, &p.policy).await.unwrap(),
            Critical::StopProtection | Critical::SuspendBackups => {
                let resume = Transition::ResumeProtection;
                service.transition(owner, &p.instance, resume).await.unwrap().unwrap();
            }
            Critical::ReduceImmutability => {
                let immutable = settings(|s| s.immutability = Some(Immutability::Unlocked));
                service.vault_patch(owner, &p.vault, immutable).await.unwrap();
            }
            Critical::Restore | Critical::ModifyEncryption => {}
        }
    }

    pub(crate) async fn state(&self) -> Vec<Option<Resource>> {
        let mut all = vec![];
        for id in [&self.p.vault, &self.p.instance, &self.proxy, &self.guard] {
            all.push(self.world.service.find(id).await.unwrap());
        }
        all
    }

    /// It is refused, and nothing is other than before.
    pub(crate) async fn refused(
        &self,
        critical: Critical,
        caller: &Caller,
        kind: FaultKind,
        told: &str,
    ) {
        let before = self.state().await;
        let error = self.attempt(critical, caller).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{critical:?}, {told}: {error}");
        assert_eq!(self.state().await, before, "{critical:?}, {told}");
        let named = [self.guard.as_str(), critical.operation(), "Backup MUA Operator"];
        if kind == FaultKind::GuardRefused {
            assert!(named.iter().all(|part| error.fault.message.contains(part)), "{error}");
        }
    }

    /// It is done; then it is undone.
    pub(crate) async fn done(&self, critical: Critical, caller: &Caller, told: &str) {
        let result = self.attempt(critical, caller).await;
        assert!(result.is_ok(), "{critical:?}, {told}: {result:?}");
        self.undo(critical).await;
    }
}

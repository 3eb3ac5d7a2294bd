//! What was deleted and comes back: instances, vaults, and what a deleted group held.

#![allow(clippy::unwrap_used, clippy::panic)]

mod world;

use std::collections::BTreeMap;
use std::time::Duration;
use tresor_core::catalogue::ResourceFilter;
use tresor_core::error::FaultKind;
use tresor_core::limits::Limits;
use tresor_core::model::{
    CrossSubscription, DeletedVault, Operation, OperationStatus, ProtectionState, Resource,
    ResourceId, SoftDeleteState,
};
use tresor_core::service::{
    Caller, JobQuery, Outcome, PointQuery, Transition, VaultPatch, VaultSettings, VaultSpec,
};
use uuid::Uuid;
use world::{MIB, Protected, World, instance_of, noise, protect, restore_of, storage};

const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";

fn deleted_id(p: &Protected) -> ResourceId {
    p.vault.join("deletedBackupInstances/i").unwrap()
}

async fn delete(world: &World, instance: &ResourceId) -> Operation {
    world.service.instance_delete(&world.caller, instance).await.unwrap().unwrap()
}

async fn undelete(world: &World, p: &Protected) -> tresor_core::error::Result<Operation> {
    world.service.instance_undelete(&world.caller, &deleted_id(p)).await
}

async fn state(world: &World, instance: &ResourceId) -> ProtectionState {
    world.service.resource(instance).await.unwrap().as_instance().unwrap().state
}

async fn points(world: &World, instance: &ResourceId) -> Vec<String> {
    let query = PointQuery::default();
    let page = world.service.points(instance, &query, None, 10).await.unwrap();
    page.rows.into_iter().map(|point| point.key).collect()
}

async fn restored(world: &World, p: &Protected, point: &str, name: &str) -> Vec<u8> {
    let path = format!("providers/Microsoft.Compute/disks/{name}");
    let target = p.target_group.join(&path).unwrap();
    let spec = restore_of(point, &target);
    let begun = world.service.restore_start(&world.caller, &p.instance, spec).await.unwrap();
    world.job(&p.vault, begun).await;
    world.bytes(&target).await
}

async fn deleted_vaults(world: &World) -> Vec<(Resource, DeletedVault)> {
    let page = world.service.deleted_vaults("West US", None, 10).await.unwrap();
    page.rows.into_iter().map(|r| (r.clone(), r.as_deleted_vault().unwrap().clone())).collect()
}

fn spec(id: &ResourceId) -> VaultSpec {
    VaultSpec {
        id: id.clone(),
        location: "westus".into(),
        tags: BTreeMap::new(),
        identity: None,
        settings: VaultSettings::default(),
    }
}

async fn back(
    world: &World,
    caller: &Caller,
    deleted: &ResourceId,
    to: &ResourceId,
) -> tresor_core::error::Result<Outcome> {
    world.service.vault_restore(caller, deleted, spec(to)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undeleted_instance_has_its_points_and_goes_on() {
    let world = World::new().await;
    let p = protect(&world).await;
    let before = world.bytes(&p.disk).await;
    let point = world.backup(&p.vault, &p.instance).await.made.unwrap().key;
    let old = world.service.resource(&p.instance).await.unwrap();
    delete(&world, &p.instance).await;
    assert_eq!(undelete(&world, &p).await.unwrap().status, OperationStatus::Succeeded);
    let now = world.service.resource(&p.instance).await.unwrap();
    let (was, is) = (old.as_instance().unwrap(), now.as_instance().unwrap());
    assert_eq!((is.state, &is.deletion), (ProtectionState::Stopped, &None));
    assert_eq!((is.unique_id, &now.created, &now.id), (was.unique_id, &old.created, &old.id));
    assert!(world.service.find(&deleted_id(&p)).await.unwrap().is_none());
    assert_eq!(points(&world, &p.instance).await, std::slice::from_ref(&point));
    assert!(restored(&world, &p, &point, "t1").await == before);
    let again = undelete(&world, &p).await.unwrap_err();
    assert_eq!(again.kind(), FaultKind::NotFound);
    let resume = Transition::ResumeProtection;
    world.service.transition(&world.caller, &p.instance, resume).await.unwrap().unwrap();
    assert_eq!(state(&world, &p.instance).await, ProtectionState::Configured);
    world.write(&p.disk, 3 * MIB, noise(9, MIB)).await;
    let after = world.bytes(&p.disk).await;
    let second = world.backup(&p.vault, &p.instance).await.made.unwrap().key;
    assert_eq!(points(&world, &p.instance).await, [second.clone(), point]);
    assert!(restored(&world, &p, &second, "t2").await == after);
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_comes_back_only_where_nobody_else_is() {
    let world = World::idle().await;
    let p = protect(&world).await;
    let group = world.id("rg");
    let put = async |instance: &ResourceId, policy: &ResourceId| {
        let spec = instance_of(instance, &p.disk, policy, &group);
        let made = world.service.instance_put(&world.caller, spec).await.unwrap();
        assert_eq!(made.operation.status, OperationStatus::Succeeded);
    };
    delete(&world, &p.instance).await;
    put(&p.instance, &p.policy).await;
    let taken = undelete(&world, &p).await.unwrap_err();
    assert_eq!(taken.kind(), FaultKind::InstanceExists);
    // The second one of the name is kept beside the first.
    delete(&world, &p.instance).await;
    let other = p.vault.join("backupInstances/other").unwrap();
    put(&other, &p.policy).await;
    let protected = undelete(&world, &p).await.unwrap_err();
    assert_eq!(protected.kind(), FaultKind::DatasourceAlreadyProtected);
    assert!(protected.fault.message.contains(p.vault.as_str()), "{protected}");
    assert!(world.service.find(&p.instance).await.unwrap().is_none(), "nothing came back halfway");
    delete(&world, &other).await;
    // Its policy went meanwhile: it comes back, and is resumed once it has another one.
    assert!(world.service.policy_delete(&world.caller, &p.policy).await.unwrap());
    undelete(&world, &p).await.unwrap();
    let resume = Transition::ResumeProtection;
    let refused = world.service.transition(&world.caller, &p.instance, resume).await.unwrap_err();
    assert_eq!(refused.kind(), FaultKind::InstanceState);
    let policy = p.vault.join("backupPolicies/p2").unwrap();
    let types = vec!["Microsoft.Compute/disks".into()];
    world.service.policy_put(&world.caller, &policy, types, world::rules()).await.unwrap();
    put(&p.instance, &policy).await;
    assert_eq!(state(&world, &p.instance).await, ProtectionState::Stopped);
    world.service.transition(&world.caller, &p.instance, resume).await.unwrap().unwrap();
    assert_eq!(state(&world, &p.instance).await, ProtectionState::Configured);
    // Two are still deleted: the second of the first name, and the other.
    let filter = ResourceFilter { under: Some(p.vault.clone()), limit: 9, ..Default::default() };
    let rows = world.service.resources(&filter).await.unwrap().rows;
    let dead = rows.iter().filter(|r| r.as_instance().is_some_and(|i| i.deletion.is_some()));
    assert_eq!(dead.count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_vault_comes_back_with_all_that_it_had() {
    let world = World::new().await;
    let p = protect(&world).await;
    let before = world.bytes(&p.disk).await;
    let job = world.backup(&p.vault, &p.instance).await;
    let point = job.made.unwrap().key;
    let vault = world.service.resource(&p.vault).await.unwrap();
    delete(&world, &p.instance).await;
    let kept = world.service.resource(&deleted_id(&p)).await.unwrap();
    let purge_at = kept.as_instance().unwrap().deletion.clone().unwrap().purge_at;
    let full = world.service.vault_delete(&world.caller, &p.vault).await.unwrap_err();
    assert_eq!(full.kind(), FaultKind::VaultNotEmpty, "its policy is still there");
    world.service.policy_delete(&world.caller, &p.policy).await.unwrap();
    world.service.vault_delete(&world.caller, &p.vault).await.unwrap().unwrap();
    assert!(world.service.find(&p.vault).await.unwrap().is_none());
    // Another vault of the name comes and goes meanwhile: it has none of the first one's jobs.
    let tail = "rg/providers/Microsoft.DataProtection/backupVaults/v";
    world.vault(tail, storage()).await;
    let jobs = world.service.jobs(&p.vault, &JobQuery::default(), None, 10).await.unwrap();
    assert!(jobs.rows.is_empty());
    assert_eq!(world.service.job(&p.vault, job.id).await.unwrap_err().kind(), FaultKind::NotFound);
    let found = deleted_vaults(&world).await;
    let [(first, about)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((&about.was, about.purge_at >= purge_at), (&p.vault, true));
    let taken = back(&world, &world.caller, &first.id, &p.vault).await.unwrap_err();
    assert_eq!(taken.kind(), FaultKind::VaultExists);
    world.service.vault_delete(&world.caller, &p.vault).await.unwrap().unwrap();
    assert_eq!(deleted_vaults(&world).await.len(), 2, "two of one name");
    let outcome = back(&world, &world.caller, &first.id, &p.vault).await.unwrap();
    assert_eq!(outcome.resource.as_vault(), vault.as_vault());
    assert_eq!(deleted_vaults(&world).await.len(), 1);
    let again = world.service.resource(&deleted_id(&p)).await.unwrap();
    assert_eq!(again.as_instance(), kept.as_instance(), "the time of its purge too");
    assert_eq!(world.service.job(&p.vault, job.id).await.unwrap().id, job.id);
    // The identity still has its roles, and the point its bytes.
    undelete(&world, &p).await.unwrap();
    assert!(restored(&world, &p, &point, "t").await == before);
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_group_keeps_what_soft_delete_promised() {
    let world = World::new().await;
    let p = protect(&world).await;
    let home = world.group("home").await;
    let before = world.bytes(&p.disk).await;
    let point = world.backup(&p.vault, &p.instance).await.made.unwrap().key;
    let group = world.id("rg");
    let held = world.service.group_delete(&world.caller, &group).await.unwrap_err();
    assert_eq!(held.kind(), FaultKind::GroupHoldsProtection);
    delete(&world, &p.instance).await;
    world.service.group_delete(&world.caller, &group).await.unwrap().unwrap();
    let world = world.restarted().await;
    let found = deleted_vaults(&world).await;
    let [(deleted, _)] = found.as_slice() else { panic!("{found:?}") };
    // Its group is gone: it comes back in another one, and under another name.
    let nowhere = back(&world, &world.caller, &deleted.id, &p.vault).await.unwrap_err();
    assert_eq!(nowhere.kind(), FaultKind::GroupNotFound);
    let vault = home.join("providers/Microsoft.DataProtection/backupVaults/w").unwrap();
    back(&world, &world.caller, &deleted.id, &vault).await.unwrap();
    let moved = Protected {
        vault: vault.clone(),
        policy: vault.join("backupPolicies/p").unwrap(),
        instance: vault.join("backupInstances/i").unwrap(),
        ..p
    };
    assert!(world.service.find(&moved.policy).await.unwrap().unwrap().as_policy().is_some());
    undelete(&world, &moved).await.unwrap();
    let instance = world.service.resource(&moved.instance).await.unwrap();
    let instance = instance.as_instance().unwrap();
    assert_eq!((&instance.vault, &instance.policy), (&vault, &moved.policy));
    let snapshots = world.group("rg").await;
    let identity = world.service.resource(&vault).await.unwrap();
    let identity = identity.as_vault().unwrap().identity.system.unwrap();
    world.assign(&snapshots, "7efff54f-a5b4-42b5-a1c5-5411624893ce", identity).await;
    assert!(restored(&world, &moved, &point, "t").await == before, "without disk and snapshot");
    let job = world.service.jobs(&vault, &JobQuery::default(), None, 10).await.unwrap();
    assert_eq!(job.rows.len(), 2, "its jobs came along");
    assert!(job.rows.iter().all(|job| job.vault == vault));
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_write_the_vault_where_it_was_does_not_get_it() {
    let world = World::idle().await;
    let p = protect(&world).await;
    delete(&world, &p.instance).await;
    world.service.policy_delete(&world.caller, &p.policy).await.unwrap();
    world.service.vault_delete(&world.caller, &p.vault).await.unwrap().unwrap();
    let mine = world.group("mine").await;
    let object_id = Uuid::from_u128(44);
    world.assign(&mine, CONTRIBUTOR, object_id).await;
    let subscription = ResourceId::of_subscription(world.service.subscription());
    world.assign(&subscription, "acdd72a7-3385-48ef-bd42-f606fba81ae7", object_id).await;
    let stranger = Caller { object_id, ..world.caller.clone() };
    let (deleted, _) = deleted_vaults(&world).await.remove(0);
    let there = mine.join("providers/Microsoft.DataProtection/backupVaults/mine").unwrap();
    let refused = back(&world, &stranger, &deleted.id, &there).await.unwrap_err();
    assert_eq!(refused.kind(), FaultKind::Forbidden);
    let elsewhere = VaultSpec { location: "eastus".into(), ..spec(&p.vault) };
    let refused = world.service.vault_restore(&world.caller, &deleted.id, elsewhere).await;
    assert_eq!(refused.unwrap_err().fault.target.as_deref(), Some("location"));
    assert_eq!(deleted_vaults(&world).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_soft_delete_a_vault_goes_at_once_but_keeps_older_promises() {
    let (env, clock) = tresor_testkit::sim_env(3);
    let world = World::of(Limits::None, env).await;
    let p = protect(&world).await;
    delete(&world, &p.instance).await;
    let off = VaultSettings { soft_delete: Some(SoftDeleteState::Off), ..Default::default() };
    let patch = VaultPatch { settings: off, ..VaultPatch::default() };
    let switched = world.service.vault_patch(&world.caller, &p.vault, patch).await.unwrap();
    let identity = switched.as_vault().unwrap().identity.system.unwrap();
    world.service.policy_delete(&world.caller, &p.policy).await.unwrap();
    clock.advance(Duration::from_secs(3600));
    world.service.vault_delete(&world.caller, &p.vault).await.unwrap().unwrap();
    let (deleted, about) = deleted_vaults(&world).await.remove(0);
    let promised = about.purge_at.duration_since(about.at);
    assert_eq!(promised.as_secs(), 14 * 24 * 3600 - 3600, "as long as its instance, not longer");
    // Purging is not done yet: what is overdue is still there and still comes back.
    clock.advance(Duration::from_secs(30 * 24 * 3600));
    back(&world, &world.caller, &deleted.id, &p.vault).await.unwrap();
    undelete(&world, &p).await.unwrap();
    // Now it is really deleted: nothing is promised any more.
    delete(&world, &p.instance).await;
    world.service.vault_delete(&world.caller, &p.vault).await.unwrap().unwrap();
    assert!(deleted_vaults(&world).await.is_empty());
    assert!(world.service.principal(identity).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_switch_for_other_subscriptions_holds() {
    let world = World::new().await;
    let p = protect(&world).await;
    let point = world.backup(&p.vault, &p.instance).await.made.unwrap().key;
    let tail = "resourceGroups/g/providers/Microsoft.Compute/disks/d";
    let elsewhere = ResourceId::of_subscription(Uuid::from_u128(7)).join(tail).unwrap();
    for (setting, expected) in [
        (CrossSubscription::Enabled, FaultKind::TargetGroupNotFound),
        (CrossSubscription::Disabled, FaultKind::CrossSubscriptionRefused),
        (CrossSubscription::PermanentlyDisabled, FaultKind::CrossSubscriptionRefused),
    ] {
        let settings =
            VaultSettings { cross_subscription: Some(setting), ..VaultSettings::default() };
        let patch = VaultPatch { settings, ..VaultPatch::default() };
        world.service.vault_patch(&world.caller, &p.vault, patch).await.unwrap();
        let spec = restore_of(&point, &elsewhere);
        let checked = world.service.validate_restore(&world.caller, &p.instance, spec.clone());
        let begun = world.service.restore_start(&world.caller, &p.instance, spec);
        for operation in [checked.await.unwrap(), begun.await.unwrap()] {
            let OperationStatus::Failed(fault) = operation.status else { panic!("{setting:?}") };
            assert_eq!(fault.kind, expected, "{setting:?}");
        }
    }
    world.service.stop().await;
}

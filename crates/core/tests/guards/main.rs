//! Resource guards: every critical operation, with consent and without, by every way round.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod scene;
#[path = "../world/mod.rs"]
mod world;

use scene::{OPERATIONS, REFUSED, Scene, kind, put_guard, settings};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tresor_core::error::FaultKind;
use tresor_core::guard::Critical;
use tresor_core::model::{Immutability, ResourceId, SoftDeleteState, Unlocked};
use tresor_core::service::{Caller, GuardSpec, VaultSettings, VaultSpec};
use uuid::Uuid;
use world::{World, storage};

const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
const MUA_ADMIN: &str = "c2a970b4-16a7-4a51-8c84-8a8ea6ee0bb8";
const MUA_OPERATOR: &str = "f54b6d04-23c6-443e-b462-9c16ab7b4a52";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_right_nothing_critical_is_done() {
    let scene = Scene::new().await;
    scene.world.assign(&scene.guard, READER, scene.admin.object_id).await;
    let stranger = Uuid::from_u128(0x57);
    for critical in OPERATIONS {
        let refused = FaultKind::GuardRefused;
        scene.refused(critical, &scene.admin, refused, "alone").await;
        let named = scene.admin_with(&[], &[critical]);
        scene.refused(critical, &named, refused, "naming the request").await;
        let other = scene.admin_with(&[stranger], &[critical]);
        scene.refused(critical, &other, refused, "with a stranger's token").await;
    }
    // What is not critical needs nobody.
    let (service, p) = (&scene.world.service, &scene.p);
    let more = settings(|s| s.soft_delete_days = Some(30.0));
    service.vault_patch(&scene.admin, &p.vault, more).await.unwrap();
    scene.protect_by(&scene.admin, &p.policy).await.unwrap();
    service.backup_start(&scene.admin, &p.instance, "BackupHourly", None).await.unwrap();
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_at_the_guard_lets_through_and_is_gone_at_once_when_taken() {
    let scene = Scene::new().await;
    let service = &scene.world.service;
    for critical in OPERATIONS {
        for role in [MUA_OPERATOR, MUA_ADMIN, CONTRIBUTOR] {
            let kept = service.assignments_of(scene.admin.object_id).await.unwrap();
            scene.world.assign(&scene.guard, role, scene.admin.object_id).await;
            scene.done(critical, &scene.admin, role).await;
            for assignment in service.assignments_of(scene.admin.object_id).await.unwrap() {
                if !kept.contains(&assignment) {
                    service.assignment_delete(&scene.world.caller, &assignment.id).await.unwrap();
                }
            }
            scene.refused(critical, &scene.admin, FaultKind::GuardRefused, "taken back").await;
        }
        let aux = scene.admin_with(&[Uuid::from_u128(1), scene.operator], &[]);
        scene.done(critical, &aux, "an auxiliary token").await;
        let wrong = OPERATIONS.into_iter().find(|other| *other != critical).unwrap();
        let aux = scene.admin_with(&[scene.operator], &[wrong]);
        scene.refused(critical, &aux, FaultKind::InvalidInput, "the wrong request").await;
        let aux = scene.admin_with(&[scene.operator], &[wrong, critical]);
        scene.done(critical, &aux, "the right request among others").await;
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusions_and_vaults_without_a_guard_need_no_consent() {
    let scene = Scene::new().await;
    let (service, owner) = (&scene.world.service, &scene.world.caller);
    for critical in OPERATIONS {
        let made = put_guard(&scene.world, "Guard", &[critical.operation()]).await;
        if critical.is_mandatory() {
            assert_eq!(kind(made), Err(FaultKind::ExclusionRefused), "{critical:?}");
        } else {
            scene.done(critical, &scene.admin, "excluded").await;
            let others = OPERATIONS.into_iter().filter(|other| *other != critical);
            for other in others {
                scene.refused(other, &scene.admin, FaultKind::GuardRefused, "not excluded").await;
            }
        }
        put_guard(&scene.world, "guard", &[]).await.unwrap();
        scene.refused(critical, &scene.admin, FaultKind::GuardRefused, "included again").await;
    }
    assert!(service.proxy_delete(owner, &scene.proxy).await.unwrap());
    for critical in OPERATIONS.into_iter().filter(|c| *c != Critical::RemoveProxy) {
        scene.done(critical, &scene.admin, "no proxy").await;
    }
    assert!(!service.proxy_delete(&scene.admin, &scene.proxy).await.unwrap(), "there is none");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unlocked_deletion_is_for_one_principal_once_and_for_a_quarter_of_an_hour() {
    let scene = Scene::new().await;
    let service = &scene.world.service;
    let helped = scene.admin_with(&[scene.operator], &[]);
    let refused = FaultKind::GuardRefused;
    let deletions = [
        (Critical::RemoveProxy, scene.proxy.clone(), Critical::DeleteInstance),
        (Critical::DeleteInstance, scene.p.instance.clone(), Critical::RemoveProxy),
    ];
    for (critical, what, other) in deletions {
        let unlock = async |caller: &Caller| {
            let until = service.proxy_unlock(caller, &scene.proxy, Some(&what)).await?;
            Ok(until.unwrap())
        };
        assert_eq!(kind(unlock(&scene.admin).await), REFUSED);
        let until = unlock(&helped).await.unwrap();
        let left = until.duration_since(service.env().real());
        assert_eq!(left, jiff::SignedDuration::from_mins(15));
        let stranger = Caller { object_id: Uuid::from_u128(0x57), ..scene.admin.clone() };
        scene.refused(critical, &stranger, refused, "unlocked by another").await;
        scene.refused(other, &scene.admin, refused, "another deletion").await;
        scene.refused(Critical::Restore, &scene.admin, refused, "no deletion").await;
        assert_eq!(kind(unlock(&scene.admin).await), REFUSED, "prolonged without the right");
        scene.clock.advance(Duration::from_secs(15 * 60 - 1));
        scene.done(critical, &scene.admin, "unlocked").await;
        scene.refused(critical, &scene.admin, refused, "spent").await;
        unlock(&helped).await.unwrap();
        scene.clock.advance(Duration::from_secs(15 * 60));
        scene.refused(critical, &scene.admin, refused, "expired").await;
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unlock_says_what_it_is_for() {
    let scene = Scene::new().await;
    let (service, proxy) = (&scene.world.service, &scene.proxy);
    let unlock = async |requests: &[Critical], what: Option<&ResourceId>| {
        let caller = scene.admin_with(&[scene.operator], requests);
        service.proxy_unlock(&caller, proxy, what).await
    };
    let bad = Err(FaultKind::InvalidInput);
    assert_eq!(kind(unlock(&[], None).await), bad);
    assert_eq!(kind(unlock(&[Critical::DeleteInstance], None).await), bad);
    let wrong = unlock(&[Critical::DeleteInstance], Some(proxy)).await;
    assert_eq!(kind(wrong), bad, "the wrong request");
    for what in [&scene.p.vault, &scene.p.policy, &scene.p.disk, &scene.guard] {
        assert_eq!(kind(unlock(&[], Some(what)).await), bad, "{what}");
    }
    // As the Azure CLI does it: the request alone says that it is the proxy.
    assert!(unlock(&[Critical::RemoveProxy], None).await.unwrap().is_some());
    assert_eq!(kind(scene.attempt(Critical::RemoveProxy, &scene.admin).await), Ok(()));
    scene.undo(Critical::RemoveProxy).await;
    // A later instance of the same name is not the one that was unlocked.
    unlock(&[], Some(&scene.p.instance)).await.unwrap();
    service.instance_delete(&scene.world.caller, &scene.p.instance).await.unwrap().unwrap();
    scene.undo(Critical::DeleteInstance).await;
    assert_eq!(kind(scene.attempt(Critical::DeleteInstance, &scene.admin).await), REFUSED);
    put_guard(&scene.world, "Guard", &[Critical::DeleteInstance.operation()]).await.unwrap();
    let free = service.proxy_unlock(&scene.admin, proxy, Some(&scene.p.instance)).await;
    assert_eq!(free.unwrap(), None, "nothing is locked");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unlocks_do_not_pile_up() {
    let scene = Scene::new().await;
    let service = &scene.world.service;
    let unlock = async |who: u128| {
        let object_id = Uuid::from_u128(who);
        let caller = Caller { object_id, ..scene.admin_with(&[scene.operator], &[]) };
        service.proxy_unlock(&caller, &scene.proxy, Some(&scene.proxy)).await.unwrap().unwrap();
    };
    let kept = async || {
        let found = service.resource(&scene.proxy).await.unwrap();
        let unlocks = found.as_guard_proxy().unwrap().unlocks.clone();
        assert!(unlocks.iter().all(|unlock| unlock.what == Unlocked::Proxy));
        unlocks.iter().map(|unlock| unlock.by.as_u128()).collect::<Vec<_>>()
    };
    for who in 1..=102 {
        unlock(who).await;
    }
    assert_eq!(kept().await, (3..=102).collect::<Vec<_>>(), "the oldest are forgotten");
    unlock(5).await;
    assert_eq!(kept().await.iter().filter(|who| **who == 5).count(), 1);
    scene.clock.advance(Duration::from_secs(15 * 60));
    unlock(7).await;
    assert_eq!(kept().await, [7]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weaker_settings_are_critical_by_every_request() {
    let scene = Scene::new().await;
    let (service, vault) = (&scene.world.service, &scene.p.vault);
    let more = settings(|s| s.soft_delete_days = Some(60.0));
    service.vault_patch(&scene.admin, vault, more).await.unwrap();
    let weaker: [fn(&mut VaultSettings); 4] = [
        |s| s.soft_delete = Some(SoftDeleteState::Off),
        |s| s.soft_delete_days = Some(59.5),
        |s| {
            s.soft_delete = Some(SoftDeleteState::AlwaysOn);
            s.soft_delete_days = Some(14.0);
        },
        |s| s.immutability = Some(Immutability::Disabled),
    ];
    let before = service.resource(vault).await.unwrap();
    for change in weaker {
        let patched = service.vault_patch(&scene.admin, vault, settings(change)).await;
        assert_eq!(kind(patched), REFUSED);
        let mut settings = storage();
        change(&mut settings);
        let spec = VaultSpec {
            id: vault.clone(),
            location: "westus".into(),
            tags: BTreeMap::new(),
            identity: None,
            settings,
        };
        assert_eq!(kind(service.vault_put(&scene.admin, spec).await), REFUSED);
    }
    assert_eq!(service.resource(vault).await.unwrap(), before);
    // Two operations in one request: both need their request named, when any is named.
    let both = settings(|s| {
        s.soft_delete = Some(SoftDeleteState::Off);
        s.immutability = Some(Immutability::Disabled);
    });
    let one = scene.admin_with(&[scene.operator], &[Critical::WeakenSoftDelete]);
    let half = service.vault_patch(&one, vault, both.clone()).await;
    assert_eq!(kind(half), Err(FaultKind::InvalidInput));
    let named = [Critical::WeakenSoftDelete, Critical::ReduceImmutability];
    let two = scene.admin_with(&[scene.operator], &named);
    assert_eq!(kind(service.vault_patch(&two, vault, both).await), Ok(()));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_no_way_round_the_guard() {
    let scene = Scene::new().await;
    let (service, owner) = (&scene.world.service, &scene.world.caller);
    // Not even for the owner, who has every right: the proxy goes first, and the guard is asked.
    let used = Err(FaultKind::GuardInUse);
    assert_eq!(kind(service.guard_delete(owner, &scene.guard).await), used);
    assert_eq!(kind(service.group_delete(owner, &scene.world.id("security")).await), used);
    assert_eq!(kind(service.vault_delete(owner, &scene.p.vault).await), used);
    service.instance_delete(owner, &scene.p.instance).await.unwrap();
    assert_eq!(kind(service.group_delete(owner, &scene.world.id("rg")).await), used);
    assert!(service.find(&scene.proxy).await.unwrap().is_some());
    // Another guard in the proxy is the removal of this one.
    let other = put_guard(&scene.world, "Mine", &[]).await.unwrap();
    scene.world.assign(&other, CONTRIBUTOR, scene.admin.object_id).await;
    let moved = service.proxy_put(&scene.admin, &scene.proxy, other.clone()).await;
    assert_eq!(kind(moved), REFUSED);
    let second = scene.p.vault.join("backupResourceGuardProxies/Second").unwrap();
    let second = service.proxy_put(owner, &second, other.clone()).await;
    assert_eq!(kind(second), Err(FaultKind::InvalidInput), "a vault is under one guard");
    let helped = scene.admin_with(&[scene.operator], &[]);
    let moved = service.proxy_put(&helped, &scene.proxy, other.clone()).await.unwrap();
    assert_eq!(moved.as_guard_proxy().unwrap().guard, other);
    // Now the first guard is free, and the second one is asked.
    assert!(service.guard_delete(owner, &scene.guard).await.unwrap());
    assert_eq!(kind(service.guard_delete(owner, &other).await), used);
    assert!(service.proxy_delete(&scene.admin, &scene.proxy).await.unwrap(), "his own guard");
    assert!(service.guard_delete(owner, &other).await.unwrap());
    assert!(service.group_delete(owner, &scene.world.id("rg")).await.unwrap().is_some());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guard_is_used_by_whoever_may_see_it() {
    let world = World::idle().await;
    world.group("security").await;
    world.group("rg").await;
    let path = "rg/providers/Microsoft.DataProtection/backupVaults/";
    let vault = world.vault(&format!("{path}v1"), storage()).await.id;
    let proxy = vault.join("backupResourceGuardProxies/P").unwrap();
    let guard = put_guard(&world, "Guard", &[]).await.unwrap();
    let admin = Caller { object_id: Uuid::from_u128(0xad), ..world.caller.clone() };
    let put = async |caller: &Caller, guard: &ResourceId| {
        kind(world.service.proxy_put(caller, &proxy, guard.clone()).await)
    };
    assert_eq!(put(&admin, &guard).await, REFUSED, "he may not see it");
    let absent = world.id("security/providers/Microsoft.DataProtection/resourceGuards/Absent");
    assert_eq!(put(&admin, &absent).await, REFUSED, "nor learn that it is absent");
    assert_eq!(put(&world.caller, &absent).await, Err(FaultKind::InvalidInput));
    let spec = GuardSpec {
        id: world.id("security/providers/Microsoft.DataProtection/resourceGuards/East"),
        location: "East US".into(),
        tags: BTreeMap::new(),
        exclusions: vec![],
    };
    let (east, created) = world.service.guard_put(&world.caller, spec.clone()).await.unwrap();
    assert!(created);
    assert_eq!(put(&world.caller, &east.id).await, Err(FaultKind::InvalidInput), "elsewhere");
    let moved = GuardSpec { location: "westus".into(), ..spec };
    let moved = world.service.guard_put(&world.caller, moved).await;
    assert_eq!(kind(moved), Err(FaultKind::LocationChanged));
    world.assign(&guard, READER, admin.object_id).await;
    assert_eq!(put(&admin, &guard).await, Ok(()));
    let first = world.service.resource(&proxy).await.unwrap();
    assert_eq!(put(&admin, &guard).await, Ok(()), "the same again changes nothing");
    assert_eq!(world.service.resource(&proxy).await.unwrap(), first);
}

/// Names of vaults that begin alike, around the character that ends one in a key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guarded_vaults_are_told_from_their_neighbours() {
    let world = World::idle().await;
    world.group("security").await;
    world.group("rg").await;
    let guard = put_guard(&world, "Guard", &[]).await.unwrap();
    let path = "rg/providers/Microsoft.DataProtection/backupVaults/";
    let names = ["v1", "v1-a", "v1-a-b", "v10", "V1a", "v2"];
    let mut ids = vec![];
    for name in names {
        ids.push(world.vault(&format!("{path}{name}"), storage()).await.id);
    }
    for at in [0, 2, 5] {
        let proxy = ids[at].join("backupResourceGuardProxies/P").unwrap();
        world.service.proxy_put(&world.caller, &proxy, guard.clone()).await.unwrap();
    }
    for from in 0..names.len() {
        for to in from..=names.len() {
            let asked: Vec<&ResourceId> = ids[from..to].iter().collect();
            let found = world.service.guarded(&asked).await.unwrap();
            let there = [0, 2, 5].into_iter().filter(|at| (from..to).contains(at));
            let expected: BTreeSet<ResourceId> = there.map(|at| ids[at].clone()).collect();
            assert_eq!(found, expected, "{from}..{to}");
        }
    }
}

//! Principals with secrets that end, and vaults that work as user-assigned identities.

#![allow(clippy::unwrap_used, clippy::panic)]

mod world;

use std::collections::BTreeMap;
use std::time::Duration;
use tresor_core::access::{DISK_BACKUP_READER, DISK_RESTORE_OPERATOR, DISK_SNAPSHOT_CONTRIBUTOR};
use tresor_core::error::{Fault, FaultKind};
use tresor_core::limits::Limits;
use tresor_core::model::{
    IdentityChoice, JobStatus, Operation, OperationStatus, ResourceId, UserIdentity,
};
use tresor_core::service::{
    IdentityChanges, IdentitySpec, PrincipalQuery, SecretSpec, SignIn, UserIdentitySpec, VaultPatch,
};
use uuid::Uuid;
use world::{World, instance_of, protect, restore_of};

async fn user_identity(world: &World, tail: &str) -> (ResourceId, UserIdentity) {
    let id =
        world.id(&format!("{tail}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/u"));
    let spec =
        UserIdentitySpec { id: id.clone(), location: "westus".into(), tags: BTreeMap::new() };
    let (made, new) = world.service.user_identity_put(&world.caller, spec).await.unwrap();
    assert!(new);
    (id, made.as_user_identity().unwrap().clone())
}

fn fault(operation: Operation) -> Option<Fault> {
    match operation.status {
        OperationStatus::Failed(fault) => Some(fault),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_works_as_the_identity_that_it_names() {
    let world = World::new().await;
    let p = protect(&world).await;
    let group = world.id("rg");
    let (id, user) = user_identity(&world, "rg").await;
    let choice = IdentityChoice { system: false, user: Some(id.as_str().to_uppercase()) };
    let chosen = || {
        let mut spec = instance_of(&p.instance, &p.disk, &p.policy, &group);
        spec.identity = Some(choice.clone());
        spec
    };
    let service = &world.service;
    let kind = async || {
        let checked = service.validate_modify(&world.caller, &p.instance, chosen()).await;
        fault(checked.unwrap())
    };
    // The vault does not have it yet, then it has it without a role, then with.
    assert_eq!(kind().await.unwrap().kind, FaultKind::VaultIdentityMissing);
    let patch = VaultPatch {
        identity: Some(IdentitySpec { system: true, user: vec![] }),
        user_identities: Some(IdentityChanges::from([(id.to_string(), true)])),
        ..VaultPatch::default()
    };
    service.vault_patch(&world.caller, &p.vault, patch).await.unwrap();
    let missing = kind().await.unwrap();
    assert_eq!((missing.kind, missing.details.len()), (FaultKind::PermissionsMissing, 8));
    assert!(missing.details[0].message.contains(&user.principal.to_string()), "{missing:?}");
    let reader = DISK_BACKUP_READER.to_string();
    world.assign(&p.disk, &reader, user.principal).await;
    world.assign(&group, &DISK_SNAPSHOT_CONTRIBUTOR.to_string(), user.principal).await;
    assert_eq!(kind().await, None);
    let put = service.instance_put(&world.caller, chosen()).await.unwrap();
    assert_eq!(fault(put.operation), None);
    let point = world.backup(&p.vault, &p.instance).await.made.unwrap().key;

    // Backups fail when that identity loses its role, whatever the system-assigned one may do.
    let held = service.assignments_of(user.principal).await.unwrap();
    let on_disk = held.iter().find(|given| given.scope == p.disk).unwrap();
    service.assignment_delete(&world.caller, &on_disk.id).await.unwrap();
    let begun = service.backup_start(&world.caller, &p.instance, "BackupHourly", None).await;
    let job = world.job(&p.vault, begun.unwrap()).await;
    assert_eq!(job.status, JobStatus::Failed);
    assert_eq!(job.error.unwrap().kind, FaultKind::PermissionsMissing);

    // A restore chooses by itself.
    let target = p.target_group.join("providers/Microsoft.Compute/disks/r").unwrap();
    let mut spec = restore_of(&point, &target);
    let validate = async |spec| {
        let checked = service.validate_restore(&world.caller, &p.instance, spec).await;
        fault(checked.unwrap())
    };
    assert_eq!(validate(spec.clone()).await, None, "the system-assigned one has its role");
    spec.identity = Some(choice.clone());
    let missing = validate(spec.clone()).await.unwrap();
    assert!(missing.details.iter().all(|d| d.message.contains(&user.principal.to_string())));
    world.assign(&p.target_group, &DISK_RESTORE_OPERATOR.to_string(), user.principal).await;
    let begun = service.restore_start(&world.caller, &p.instance, spec).await.unwrap();
    let job = world.job(&p.vault, begun).await;
    assert_eq!(job.status, JobStatus::Completed, "{job:?}");
    world.service.stop().await;
}

#[tokio::test]
async fn secrets_are_good_by_the_real_clock() {
    let (env, clock) = tresor_testkit::sim_env(1);
    let world = World::of(Limits::None, env).await;
    let service = &world.service;
    let who = service.principal_make(&world.caller, " ci ").await.unwrap();
    assert_eq!(who.name, "ci");
    let day = Duration::from_secs(24 * 3600);
    let at = |days: u32| {
        let later = i64::from(days) * 24;
        service.env().real() + jiff::SignedDuration::from_hours(later)
    };
    let spec = SecretSpec { name: None, starts: Some(at(1)), ends: Some(at(2)) };
    let (kept, secret) = service.secret_add(&world.caller, who.object_id, spec).await.unwrap();
    let (_, other) =
        service.secret_add(&world.caller, who.object_id, SecretSpec::default()).await.unwrap();
    assert_eq!(kept.hint, secret[..3]);
    let sign_in = async |secret: &str| service.authenticate(who.client_id, secret).await.unwrap();
    assert!(matches!(sign_in(&secret).await, SignIn::Expired), "not begun");
    clock.advance(day);
    assert!(matches!(sign_in(&secret).await, SignIn::Granted(found) if found.name == "ci"));
    assert!(matches!(sign_in(&format!("{}x", *secret)).await, SignIn::Wrong));
    clock.advance(day + Duration::from_secs(59));
    assert!(matches!(sign_in(&secret).await, SignIn::Granted(_)), "within the skew");
    clock.advance(Duration::from_secs(1));
    assert!(matches!(sign_in(&secret).await, SignIn::Expired));
    assert!(matches!(sign_in(&other).await, SignIn::Granted(_)), "good for two years");
    clock.advance(day * 2 * 366);
    assert!(matches!(sign_in(&other).await, SignIn::Expired));
    let stranger = service.authenticate(Uuid::from_u128(7), &other).await.unwrap();
    assert!(matches!(stranger, SignIn::Wrong));
    world.service.stop().await;
}

#[tokio::test]
async fn administration_of_principals_needs_a_right_at_the_root() {
    let world = World::idle().await;
    let service = &world.service;
    let made = service.principal_make(&world.caller, "mine").await.unwrap();
    let (id, user) = user_identity(&world, {
        world.group("rg").await;
        "rg"
    })
    .await;
    let stranger = tresor_core::service::Caller {
        object_id: user.principal,
        client_id: user.client,
        ..world.caller.clone()
    };
    // Owner of a group is nobody in the directory.
    world.assign(&world.id("rg"), &tresor_core::access::OWNER.to_string(), user.principal).await;
    let forbidden = |kind: FaultKind| assert_eq!(kind, FaultKind::Forbidden);
    forbidden(service.principal_make(&stranger, "x").await.unwrap_err().kind());
    forbidden(service.principal_delete(&stranger, made.object_id).await.unwrap_err().kind());
    let add = service.secret_add(&stranger, made.object_id, SecretSpec::default()).await;
    forbidden(add.unwrap_err().kind());
    let taken = service.secret_remove(&stranger, made.object_id, Uuid::nil()).await;
    forbidden(taken.unwrap_err().kind());
    let all = service.principals(&PrincipalQuery::Named("MINE".into()), None, 10).await.unwrap();
    assert_eq!(all.rows, [made]);
    // An identity goes with its roles.
    assert!(service.user_identity_delete(&world.caller, &id).await.unwrap());
    assert!(service.assignments_of(user.principal).await.unwrap().is_empty());
    assert_eq!(service.principal(user.principal).await.unwrap(), None);
    service.stop().await;
}

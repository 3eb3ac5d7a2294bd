//! The decisions, as tables and against plain models of the same rules.

use super::*;
use crate::model::{
    CrossSubscription, Identity, Immutability, ResourceId, SoftDelete, Unlock, Unlocked,
};
use jiff::SignedDuration;
use proptest::prelude::*;
use uuid::Uuid;

fn vault(state: SoftDeleteState, days: f64) -> Vault {
    Vault {
        unique_id: uuid::Uuid::nil(),
        identity: Identity::default(),
        storage: vec![],
        soft_delete: SoftDelete { state, days },
        immutability: Immutability::Disabled,
        alert_on_failures: true,
        cross_subscription: CrossSubscription::Enabled,
        cross_region: None,
        cost: None,
    }
}

#[test]
fn soft_delete_keeps_for_its_days_and_off_deletes() {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let off = vault(SoftDeleteState::Off, 14.0);
    assert_eq!(delete_instance(&off, now), Verdict::DeleteNow);
    for state in [SoftDeleteState::On, SoftDeleteState::AlwaysOn] {
        let kept = delete_instance(&vault(state, 14.5), now);
        let until: Timestamp = "2026-01-15T12:00:00Z".parse().unwrap();
        assert_eq!(kept, Verdict::KeepUntil(until));
    }
    let endless = delete_instance(&vault(SoftDeleteState::On, 1e300), now);
    assert_eq!(endless, Verdict::KeepUntil(Timestamp::MAX));
}

#[test]
fn a_vault_is_kept_as_long_as_anything_in_it() {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let day = |d: i64| now.checked_add(SignedDuration::from_hours(24 * d)).unwrap();
    let (off, on) = (vault(SoftDeleteState::Off, 14.0), vault(SoftDeleteState::On, 14.0));
    assert_eq!(delete_vault(&off, None, now), Verdict::DeleteNow);
    assert_eq!(delete_vault(&on, None, now), Verdict::KeepUntil(day(14)));
    for (vault, promised, until) in [(&off, 3, 3), (&off, -3, -3), (&on, 3, 14), (&on, 90, 90)] {
        let verdict = delete_vault(vault, Some(day(promised)), now);
        assert_eq!(verdict, Verdict::KeepUntil(day(until)), "{promised}");
    }
}

fn guard() -> ResourceId {
    let text = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/Security\
                /providers/Microsoft.DataProtection/resourceGuards/Guard";
    ResourceId::parse(text).unwrap()
}

fn request(tail: &str) -> ResourceId {
    guard().join(tail).unwrap()
}

fn excluding(critical: &[Critical]) -> Vec<String> {
    critical.iter().map(|c| c.operation().to_uppercase()).collect()
}

#[test]
fn every_operation_has_names_of_its_own() {
    let mut seen = std::collections::BTreeSet::new();
    for critical in Critical::ALL {
        assert!(seen.insert(critical.operation()), "{critical:?}");
        assert!(seen.insert(critical.request()), "{critical:?}");
        assert!(critical.action().ends_with(&format!("/{}/action", critical.request())));
        let id = critical.request_id(&guard()).unwrap();
        let named = Critical::ALL.into_iter().filter(|c| c.is_named_by(&id, &guard()));
        assert_eq!(named.collect::<Vec<_>>(), [critical]);
    }
    let kinds: Vec<&str> = request_kinds().collect();
    // The six that every version of the specification has.
    for kind in [
        "deleteResourceGuardProxyRequests",
        "disableSoftDeleteRequests",
        "updateProtectedItemRequests",
        "updateProtectionPolicyRequests",
        "deleteProtectedItemRequests",
        "getBackupSecurityPINRequests",
    ] {
        assert_eq!(request_kind(&kind.to_lowercase()), Some(kind));
        assert_eq!(kinds.iter().filter(|own| **own == kind).count(), 1);
    }
    assert_eq!(request_kind("deleteEverythingRequests"), None);
}

#[test]
fn a_request_is_of_this_guard_and_this_operation_or_it_is_wrong() {
    let delete = Critical::DeleteInstance;
    for right in [
        "deleteBackupInstanceRequests/default",
        "DELETEBACKUPINSTANCEREQUESTS/Default",
        "deleteProtectedItemRequests/default",
    ] {
        assert!(delete.is_named_by(&request(right), &guard()), "{right}");
    }
    let other = guard().parent().unwrap();
    let other = other.join("providers/Microsoft.DataProtection/resourceGuards/Guard2").unwrap();
    for wrong in [
        request("dppTriggerRestoreRequests/default"),
        request("deleteBackupInstanceRequests/other"),
        other.join("deleteBackupInstanceRequests/default").unwrap(),
        guard(),
    ] {
        assert!(!delete.is_named_by(&wrong, &guard()), "{wrong}");
    }
}

#[test]
fn mandatory_operations_cannot_be_excluded() {
    let mandatory = [Critical::RemoveProxy, Critical::WeakenSoftDelete];
    for critical in Critical::ALL {
        let list = excluding(&[critical]);
        assert_eq!(critical.is_mandatory(), mandatory.contains(&critical));
        assert_eq!(check_exclusions(&list).is_err(), critical.is_mandatory(), "{critical:?}");
        // Should such a list be there all the same, it excludes nothing.
        assert_eq!(protects(&list, critical), critical.is_mandatory(), "{critical:?}");
        assert!(protects(&[], critical));
    }
    for other in ["backupconfig/delete", "backupSecurityPIN/action"] {
        let list = [format!("microsoft.recoveryservices/VAULTS/{other}")];
        assert!(check_exclusions(&list).is_ok(), "{other}");
    }
    for bad in [
        "",
        "*",
        "Microsoft.RecoveryServices/vaults/backupconfig/write",
        "Microsoft.RecoveryServices/vaults/backupResourceGuardProxies/delete",
        "Microsoft.DataProtection/backupVaults/backupPolicies/write",
    ] {
        let fault = check_exclusions(&[bad.to_owned()]).unwrap_err();
        assert_eq!(fault.kind, crate::error::FaultKind::ExclusionRefused, "{bad}");
        assert!(fault.message.contains("vaultCriticalOperationExclusionList"), "{bad}");
    }
    let many = vec![Critical::Restore.operation().to_owned(); 51];
    assert!(check_exclusions(&many).is_err() && check_exclusions(&many[..50]).is_ok());
}

/// All rulings of an operation, by whether there is a right, an unlock and which request is named.
#[test]
fn the_rulings_as_a_table() {
    use Ruling::{Consented, Excluded, Refused, Unlocked as Spent, WrongRequest};
    let right = [Critical::DeleteInstance.request_id(&guard()).unwrap()];
    let wrong = [Critical::Restore.request_id(&guard()).unwrap()];
    let both = [wrong[0].clone(), right[0].clone()];
    let table: [(bool, bool, &[ResourceId], Ruling); 10] = [
        (false, false, &[], Refused),
        (false, false, &right, Refused),
        (false, false, &wrong, Refused),
        (false, true, &[], Spent),
        (false, true, &wrong, Spent),
        (true, false, &[], Consented),
        (true, false, &right, Consented),
        (true, false, &both, Consented),
        (true, false, &wrong, WrongRequest),
        (true, true, &wrong, WrongRequest),
    ];
    let guard = guard();
    for (has_right, unlocked, named, expected) in table {
        let operation = Critical::DeleteInstance;
        let question =
            Question { operation, guard: &guard, exclusions: &[], has_right, unlocked, named };
        assert_eq!(rule(question), expected, "{question:?}");
        let list = excluding(&[operation]);
        assert_eq!(rule(Question { exclusions: &list, ..question }), Excluded);
        let other = excluding(&[Critical::Restore]);
        assert_eq!(rule(Question { exclusions: &other, ..question }), expected);
    }
}

proptest! {
    #[test]
    fn nothing_but_a_right_an_unlock_or_an_exclusion_lets_anybody_through(
        at in 0usize..9,
        excluded in proptest::collection::vec(0usize..9, 0..9),
        has_right in any::<bool>(),
        unlocked in any::<bool>(),
        named in proptest::collection::vec(0usize..9, 0..4),
    ) {
        let operation = Critical::ALL[at];
        let guard = guard();
        let list: Vec<Critical> = excluded.iter().map(|n| Critical::ALL[*n]).collect();
        let exclusions = excluding(&list);
        let named: Vec<ResourceId> =
            named.iter().map(|n| Critical::ALL[*n].request_id(&guard).unwrap()).collect();
        let question = Question {
            operation, guard: &guard, exclusions: &exclusions, has_right, unlocked, named: &named,
        };
        let through = !matches!(rule(question), Ruling::Refused | Ruling::WrongRequest);
        let free = list.contains(&operation) && !operation.is_mandatory();
        prop_assert!(!through || has_right || unlocked || free);
        prop_assert!(through || !free);
        // Naming the right request never does harm, and a list without it never helps.
        let right = [operation.request_id(&guard).unwrap()];
        let with = rule(Question { named: &right, ..question });
        prop_assert_eq!(with, rule(Question { named: &[], ..question }));
    }

    #[test]
    fn an_unlock_opens_one_deletion_for_one_principal_in_its_time(
        by in 0u128..2, who in 0u128..2,
        target in 0u128..3, wanted in 0u128..3,
        now in -5i64..20,
    ) {
        let what = |n: u128| if n == 0 { Unlocked::Proxy } else {
            Unlocked::Instance(Uuid::from_u128(n))
        };
        let at = |second: i64| Timestamp::from_second(1_000_000 + second).unwrap();
        let unlock =
            Unlock { by: Uuid::from_u128(by), what: what(target), from: at(0), until: at(15) };
        let expected = by == who && target == wanted && (0..15).contains(&now);
        prop_assert_eq!(opens(&unlock, Uuid::from_u128(who), what(wanted), at(now)), expected);
    }

    #[test]
    fn settings_that_protect_less_are_critical_and_others_are_not(
        states in (0usize..3, 0usize..3),
        days in (14u16..181, 14u16..181),
        immutable in (0usize..3, 0usize..3),
    ) {
        const STATES: [SoftDeleteState; 3] =
            [SoftDeleteState::Off, SoftDeleteState::On, SoftDeleteState::AlwaysOn];
        const IMMUTABLE: [Immutability; 3] =
            [Immutability::Disabled, Immutability::Unlocked, Immutability::Locked];
        let make = |state: usize, days: u16, immutable: usize| {
            let mut vault = vault(STATES[state], f64::from(days));
            vault.immutability = IMMUTABLE[immutable];
            vault
        };
        let before = make(states.0, days.0, immutable.0);
        let after = make(states.1, days.1, immutable.1);
        let found = of_vault_change(&before, &after);
        let kept = |state: usize, days: u16| if state == 0 { 0 } else { days };
        let weaker = states.1 == 1 && states.0 == 2
            || kept(states.1, days.1) < kept(states.0, days.0);
        prop_assert_eq!(found.contains(&Critical::WeakenSoftDelete), weaker);
        let reduced = immutable.1 < immutable.0;
        prop_assert_eq!(found.contains(&Critical::ReduceImmutability), reduced);
        prop_assert_eq!(found.len(), usize::from(weaker) + usize::from(reduced));
    }
}

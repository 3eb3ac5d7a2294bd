//! The decisions, against plain models of the same rules.

use super::*;
use jiff::Timestamp;
use proptest::prelude::*;
use std::collections::BTreeSet;

const SUBSCRIPTION: &str = "/subscriptions/11111111-2222-3333-4444-555555555555";
const PRINCIPAL: Uuid = Uuid::from_u128(7);

fn id(path: &str) -> ResourceId {
    ResourceId::parse(&format!("{SUBSCRIPTION}{path}")).unwrap()
}

fn disk() -> ResourceId {
    id("/resourceGroups/source/providers/Microsoft.Compute/disks/data_1")
}

fn assignment(role: Uuid, scope: &ResourceId) -> RoleAssignment {
    let name = Uuid::from_u128(role.as_u128() ^ 1);
    let path = format!("providers/Microsoft.Authorization/roleAssignments/{name}");
    RoleAssignment {
        id: scope.join(&path).unwrap(),
        scope: scope.clone(),
        role,
        principal: PRINCIPAL,
        principal_type: "ServicePrincipal".into(),
        description: None,
        created_by: "test".into(),
        created_at: Timestamp::UNIX_EPOCH,
    }
}

fn role(actions: &[&str], not_actions: &[&str]) -> RoleDefinition {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    RoleDefinition {
        id: Uuid::from_u128(99),
        name: "Custom".into(),
        description: String::new(),
        built_in: false,
        actions: texts(actions),
        not_actions: texts(not_actions),
        data_actions: vec![],
        not_data_actions: vec![],
        assignable_scopes: vec![ResourceId::root()],
    }
}

fn known(id: Uuid) -> Option<&'static RoleDefinition> {
    built_in().iter().find(|role| role.id == id)
}

/// The textbook matcher, by dynamic programming.
fn model_matches(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_lowercase(), action.to_lowercase());
    let mut row: Vec<bool> = vec![false; action.len() + 1];
    row[0] = true;
    for p in pattern.bytes() {
        let mut next = vec![false; action.len() + 1];
        next[0] = p == b'*' && row[0];
        for (at, a) in action.bytes().enumerate() {
            next[at + 1] = if p == b'*' { row[at + 1] || next[at] } else { p == a && row[at] };
        }
        row = next;
    }
    row[action.len()]
}

proptest! {
    #[test]
    fn patterns_match_as_the_model_does(pattern in "[abAB/*]{0,9}", action in "[abAB/]{0,9}") {
        prop_assert_eq!(matches(&pattern, &action), model_matches(&pattern, &action));
    }

    #[test]
    fn exceptions_only_ever_take_away(
        actions in proptest::collection::vec("[ab/*]{0,5}", 0..4),
        except in proptest::collection::vec("[ab/*]{0,5}", 0..4),
        action in "[ab/]{1,6}",
    ) {
        let texts = |list: &[String]| -> Vec<String> { list.to_vec() };
        let mut role = role(&[], &[]);
        role.actions = texts(&actions);
        let without = allows(&role, &action);
        role.not_actions = texts(&except);
        let excepted = except.iter().any(|pattern| model_matches(pattern, &action));
        prop_assert_eq!(allows(&role, &action), without && !excepted);
    }

    #[test]
    fn more_assignments_never_refuse_more(
        picks in proptest::collection::vec((0usize..16, 0usize..4), 1..6),
        action_at in 0usize..11,
    ) {
        let scopes = [ResourceId::root(), id(""), id("/resourceGroups/source"), disk()];
        let mut actions = backup_needs(&disk(), &id("/resourceGroups/snapshots"));
        actions.extend(restore_needs(&id("/resourceGroups/target")));
        let action = actions[action_at].action;
        let all: Vec<_> = picks.iter()
            .map(|(role, scope)| assignment(built_in()[*role].id, &scopes[*scope]))
            .collect();
        let mut before = false;
        for count in 0..=all.len() {
            let now = decide(&all[..count], known, action, &disk());
            prop_assert!(now || !before);
            before = now;
        }
    }
}

/// What a principal holds: (built-in or custom role, scope).
fn grants() -> impl Strategy<Value = Vec<(usize, usize)>> {
    proptest::collection::vec((0usize..20, 0usize..6), 0..6)
}

/// Scopes that lie in each other and beside each other.
fn places() -> [ResourceId; 6] {
    [
        ResourceId::root(),
        id(""),
        id("/resourceGroups/source"),
        id("/resourceGroups/source2"),
        disk(),
        id("/resourceGroups/source/providers/Microsoft.Compute/disks/data_11"),
    ]
}

/// Custom roles beside the built-in ones.
fn custom_roles() -> Vec<RoleDefinition> {
    let lists: [(&[&str], &[&str]); 4] = [
        (&[], &[]),
        (&["Microsoft.Compute/*"], &["Microsoft.Compute/disks/write"]),
        (&["*/read"], &["*"]),
        (&["*"], &["*/delete"]),
    ];
    let made = lists.iter().enumerate().map(|(at, (actions, except))| RoleDefinition {
        id: Uuid::from_u128(1000 + at as u128),
        ..role(actions, except)
    });
    made.collect()
}

const ACTIONS: [&str; 7] = [
    "Microsoft.Compute/disks/read",
    "Microsoft.Compute/disks/write",
    "Microsoft.Compute/disks/delete",
    "Microsoft.Compute/disks/beginGetAccess/action",
    "Microsoft.Authorization/roleAssignments/write",
    "Microsoft.DataProtection/backupVaults/write",
    "Something/unheard/of",
];

proptest! {
    /// Access is denied unless one single grant gives it: its scope holds the place, a pattern of
    /// its role names the action, and none of the role's exceptions does.
    #[test]
    fn nothing_is_allowed_that_no_grant_gives(
        grants in grants(),
        action in 0usize..ACTIONS.len(),
        place in 0usize..6,
    ) {
        let (custom, places, action) = (custom_roles(), places(), ACTIONS[action]);
        let all: Vec<&RoleDefinition> = built_in().iter().chain(&custom).collect();
        let held: Vec<_> =
            grants.iter().map(|(r, s)| assignment(all[*r].id, &places[*s])).collect();
        let find = |id| all.iter().find(|role| role.id == id).copied();
        let at = places[place].key();
        let gives = |(r, s): &(usize, usize)| {
            let scope = places[*s].key();
            let below = scope == "/" || at == scope || at.starts_with(&format!("{scope}/"));
            let named = |list: &[String]| list.iter().any(|p| model_matches(p, action));
            below && named(&all[*r].actions) && !named(&all[*r].not_actions)
        };
        let expected = grants.iter().any(gives);
        prop_assert_eq!(decide(&held, find, action, &places[place]), expected);
        // Without a grant, or with roles that are not known, nothing is allowed at all.
        prop_assert!(!decide(&[], find, action, &places[place]));
        prop_assert!(!decide(&held, |_| None::<RoleDefinition>, action, &places[place]));
        // Data actions are no actions.
        let data = RoleDefinition {
            actions: vec![], data_actions: vec!["*".into()], ..role(&[], &[])
        };
        let given = [assignment(data.id, &ResourceId::root())];
        prop_assert!(!decide(&given, |_| Some(&data), action, &places[place]));
    }
}

#[test]
fn roles_have_bounds() {
    let good = role(&["Microsoft.Compute/disks/*"], &[]);
    assert_eq!(check_role(&good), Ok(()));
    let data = RoleDefinition {
        actions: vec![],
        data_actions: vec!["Microsoft.Compute/disks/download/action".into()],
        ..good.clone()
    };
    assert_eq!(check_role(&data), Ok(()));
    let texts = |count: usize, length: usize| vec!["a".repeat(length); count];
    let wrong = [
        RoleDefinition { name: "x".repeat(129), ..good.clone() },
        RoleDefinition { name: " ".into(), ..good.clone() },
        RoleDefinition { description: "x".repeat(1025), ..good.clone() },
        RoleDefinition { actions: vec![], ..good.clone() },
        RoleDefinition { actions: texts(301, 1), ..good.clone() },
        RoleDefinition { not_actions: texts(1, 257), ..good.clone() },
        RoleDefinition { data_actions: vec!["a b".into()], ..good.clone() },
        RoleDefinition { not_data_actions: vec![String::new()], ..good.clone() },
        RoleDefinition { assignable_scopes: vec![], ..good.clone() },
        RoleDefinition { assignable_scopes: vec![id(""); 101], ..good.clone() },
    ];
    for role in wrong {
        let fault = check_role(&role).unwrap_err();
        assert!(fault.target.unwrap().starts_with("properties."), "{role:?}");
    }
}

#[test]
fn a_hostile_pattern_takes_linear_time() {
    // Backtracking would need about 2^40 steps here.
    let pattern = "*a".repeat(40) + "b";
    assert!(!matches(&pattern, &"a".repeat(20_000)));
}

#[test]
fn built_in_roles_are_complete() {
    let ids: BTreeSet<Uuid> = built_in().iter().map(|role| role.id).collect();
    let names: BTreeSet<&str> = built_in().iter().map(|role| role.name.as_str()).collect();
    assert_eq!((built_in().len(), ids.len(), names.len()), (16, 16, 16));
    for id in [
        OWNER,
        CONTRIBUTOR,
        READER,
        USER_ACCESS_ADMINISTRATOR,
        ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR,
        DISK_BACKUP_READER,
        DISK_SNAPSHOT_CONTRIBUTOR,
        DISK_RESTORE_OPERATOR,
    ] {
        assert!(ids.contains(&id), "{id}");
    }
    for role in built_in() {
        assert!(role.built_in && role.assignable_scopes == [ResourceId::root()], "{}", role.name);
        assert!(!role.actions.is_empty() || !role.data_actions.is_empty(), "{}", role.name);
    }
}

#[test]
fn general_roles_allow_what_they_say() {
    let table: [(Uuid, &str, bool); 14] = [
        (OWNER, "Microsoft.Authorization/roleAssignments/write", true),
        (OWNER, "Anything/at/all", true),
        (CONTRIBUTOR, "Microsoft.Compute/disks/write", true),
        (CONTRIBUTOR, "Microsoft.Authorization/roleAssignments/read", true),
        (CONTRIBUTOR, "microsoft.authorization/roleassignments/WRITE", false),
        (CONTRIBUTOR, "Microsoft.Authorization/roleDefinitions/delete", false),
        (CONTRIBUTOR, "Microsoft.Authorization/elevateAccess/action", false),
        (READER, "Microsoft.DataProtection/backupVaults/read", true),
        (READER, "Microsoft.DataProtection/backupVaults/write", false),
        (READER, "Microsoft.Compute/disks/beginGetAccess/action", false),
        (USER_ACCESS_ADMINISTRATOR, "Microsoft.Authorization/roleDefinitions/write", true),
        (USER_ACCESS_ADMINISTRATOR, "Microsoft.Compute/disks/write", false),
        (
            ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR,
            "Microsoft.Authorization/roleAssignments/write",
            true,
        ),
        (
            ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR,
            "Microsoft.Authorization/roleDefinitions/write",
            false,
        ),
    ];
    for (id, action, expected) in table {
        let role = known(id).unwrap();
        assert_eq!(allows(role, action), expected, "{}: {action}", role.name);
    }
}

#[test]
fn assignments_hold_at_their_scope_and_below_only() {
    let action = "Microsoft.Compute/disks/read";
    let allowed = |scope: &ResourceId| decide(&[assignment(READER, scope)], known, action, &disk());
    for scope in [ResourceId::root(), id(""), id("/resourceGroups/SOURCE"), disk()] {
        assert!(allowed(&scope), "{scope}");
    }
    for scope in [
        id("/resourceGroups/sourc"),
        id("/resourceGroups/source2"),
        id("/resourceGroups/source/providers/Microsoft.Compute/disks/data_11"),
        id("/resourceGroups/source/providers/Microsoft.Compute/disks/dataX1"),
        id("/resourceGroups/source/providers/Microsoft.Compute/disks/data_1/parts/p"),
    ] {
        assert!(!allowed(&scope), "{scope}");
    }
    let unknown = |_| None::<RoleDefinition>;
    assert!(!decide(&[assignment(OWNER, &disk())], unknown, action, &disk()));
}

#[test]
fn the_three_identity_roles_meet_exactly_their_needs() {
    let (snapshots, target) = (id("/resourceGroups/snapshots"), id("/resourceGroups/target"));
    let backup = backup_needs(&disk(), &snapshots);
    assert_eq!(backup.len(), 8);
    assert_eq!(missing(&backup, &[], known), backup);
    let reader = assignment(DISK_BACKUP_READER, &disk());
    let unmet = missing(&backup, std::slice::from_ref(&reader), known);
    assert_eq!(unmet, backup[2..]);
    assert!(unmet.iter().all(|need| need.role == DISK_SNAPSHOT_CONTRIBUTOR));
    let both = [reader, assignment(DISK_SNAPSHOT_CONTRIBUTOR, &snapshots)];
    assert_eq!(missing(&backup, &both, known), []);
    let restore = restore_needs(&target);
    assert_eq!(missing(&restore, &both, known), restore);
    let operator = [assignment(DISK_RESTORE_OPERATOR, &target)];
    assert_eq!(missing(&restore, &operator, known), []);
}

#[test]
fn a_role_without_one_action_misses_exactly_it() {
    let target = id("/resourceGroups/target");
    let mut needs = backup_needs(&disk(), &target);
    needs.extend(restore_needs(&target));
    let everything: BTreeSet<&str> = needs.iter().map(|need| need.action).collect();
    for left_out in &everything {
        let rest: Vec<&str> = everything.iter().filter(|a| *a != left_out).copied().collect();
        for custom in [role(&rest, &[]), role(&["*"], &[left_out])] {
            let given = [assignment(custom.id, &id(""))];
            let unmet = missing(&needs, &given, |_| Some(&custom));
            assert!(!unmet.is_empty());
            assert!(unmet.iter().all(|need| need.action == *left_out), "{left_out}: {unmet:?}");
        }
    }
}

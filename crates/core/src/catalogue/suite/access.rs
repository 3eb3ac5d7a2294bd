//! Principals, custom roles and role assignments.

use super::sample::*;
use super::{Ground, assert_conflict};
use crate::catalogue::Write;
use crate::model::{Principal, ResourceId, RoleAssignment};

pub(super) async fn principals_are_found_both_ways(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    let one = principal(1);
    assert_eq!(catalogue.principal(one.object_id).await.unwrap(), None);
    catalogue.apply(vec![Write::PutPrincipal(one.clone())]).await.unwrap();
    assert_eq!(catalogue.principal(one.object_id).await.unwrap().as_ref(), Some(&one));
    assert_eq!(catalogue.principal_by_client(one.client_id).await.unwrap().as_ref(), Some(&one));
    assert_eq!(catalogue.principal(one.client_id).await.unwrap(), None);
    let changed = Principal { client_id: guid(5), secrets: vec![], ..one.clone() };
    catalogue.apply(vec![Write::PutPrincipal(changed.clone())]).await.unwrap();
    assert_eq!(catalogue.principal(one.object_id).await.unwrap().as_ref(), Some(&changed));
    assert_eq!(catalogue.principal_by_client(one.client_id).await.unwrap(), None);
    let delete = Write::DeletePrincipal(one.object_id);
    catalogue.apply(vec![delete.clone(), delete]).await.unwrap();
    assert_eq!(catalogue.principal(one.object_id).await.unwrap(), None);
    assert_eq!(catalogue.principal_by_client(guid(5)).await.unwrap(), None);
}

pub(super) async fn client_ids_are_unique(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    let (one, two) = (principal(1), principal(2));
    let both = vec![Write::PutPrincipal(one.clone()), Write::PutPrincipal(two.clone())];
    catalogue.apply(both).await.unwrap();
    let taken = Principal { client_id: one.client_id, ..two.clone() };
    assert_conflict(catalogue.apply(vec![Write::PutPrincipal(taken)]).await);
    assert_eq!(catalogue.principal(two.object_id).await.unwrap(), Some(two));
}

pub(super) async fn principals_come_in_pages(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    assert_eq!(catalogue.principal_count().await.unwrap(), 0);
    let all: Vec<Principal> = (1..=5).map(principal).collect();
    let writes = all.iter().rev().cloned().map(Write::PutPrincipal);
    catalogue.apply(writes.collect()).await.unwrap();
    let (mut seen, mut after) = (vec![], None);
    loop {
        let page = catalogue.principals(after.as_deref(), 2).await.unwrap();
        assert!(page.rows.len() <= 2);
        seen.extend(page.rows);
        // One that goes meanwhile hides no other.
        catalogue.apply(vec![Write::DeletePrincipal(all[1].object_id)]).await.unwrap();
        match page.after {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, all);
    assert_eq!(catalogue.principal_count().await.unwrap(), 4);
}

pub(super) async fn roles_come_and_go(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    assert_eq!(catalogue.roles().await.unwrap(), []);
    let (one, mut two) = (role(1), role(2));
    catalogue.apply(vec![Write::PutRole(two.clone()), Write::PutRole(one.clone())]).await.unwrap();
    assert_eq!(catalogue.roles().await.unwrap(), [one.clone(), two.clone()]);
    two.actions.clear();
    catalogue.apply(vec![Write::PutRole(two.clone()), Write::DeleteRole(one.id)]).await.unwrap();
    assert_eq!(catalogue.roles().await.unwrap(), [two]);
    catalogue.apply(vec![Write::DeleteRole(one.id)]).await.unwrap();
}

pub(super) async fn assignments_are_unique(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    let scope = group_id();
    let one = assignment(&scope, 1, 10, 20);
    let add = |assignment: &RoleAssignment| vec![Write::AddAssignment(assignment.clone())];
    catalogue.apply(add(&one)).await.unwrap();
    // The same id, or the same role for the same principal at the same scope, in any case.
    assert_conflict(catalogue.apply(add(&one)).await);
    assert_conflict(catalogue.apply(add(&assignment(&scope, 1, 11, 20))).await);
    assert_conflict(catalogue.apply(add(&assignment(&scope, 2, 10, 20))).await);
    let upper = ResourceId::parse(&scope.as_str().to_uppercase()).unwrap();
    assert_conflict(catalogue.apply(add(&assignment(&upper, 2, 10, 20))).await);
    for other in [
        assignment(&scope, 2, 11, 20),
        assignment(&scope, 3, 10, 21),
        assignment(&id(""), 1, 10, 20),
    ] {
        catalogue.apply(add(&other)).await.unwrap();
    }
    assert_eq!(catalogue.assignment(&one.id).await.unwrap().as_ref(), Some(&one));
    let delete = Write::DeleteAssignment(one.id.clone());
    catalogue.apply(vec![delete.clone(), delete]).await.unwrap();
    assert_eq!(catalogue.assignment(&one.id).await.unwrap(), None);
    catalogue.apply(add(&assignment(&scope, 9, 10, 20))).await.unwrap();
}

pub(super) async fn assignments_are_found_by_scope(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    let disk = id("/resourceGroups/a_b/providers/Microsoft.Compute/disks/d");
    let scopes = [
        ResourceId::root(),
        id(""),
        id("/resourceGroups/a_b"),
        disk.clone(),
        id("/resourceGroups/aXb"),
        id("/resourceGroups/a_bc"),
        id("/resourceGroups/a_bc/providers/Microsoft.Compute/disks/d"),
    ];
    for (number, scope) in (1..).zip(&scopes) {
        let add = Write::AddAssignment(assignment(scope, number, 10, 20));
        catalogue.apply(vec![add]).await.unwrap();
    }
    let near = async |scope: &ResourceId, below: bool| {
        let rows = catalogue.assignments_near(scope, below).await.unwrap();
        let mut found: Vec<usize> = rows
            .iter()
            .map(|row| scopes.iter().position(|scope| *scope == row.scope).unwrap())
            .collect();
        found.sort_unstable();
        found
    };
    assert_eq!(near(&ResourceId::root(), true).await, [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(near(&ResourceId::root(), false).await, [0]);
    assert_eq!(near(&id(""), true).await, [1, 2, 3, 4, 5, 6]);
    assert_eq!(near(&id("/resourceGroups/A_B"), true).await, [2, 3]);
    assert_eq!(near(&id("/resourceGroups/A_B"), false).await, [0, 1, 2]);
    assert_eq!(near(&disk, true).await, [3]);
    assert_eq!(near(&disk, false).await, [0, 1, 2, 3]);
    assert_eq!(near(&id("/resourceGroups/a"), true).await, Vec::<usize>::new());
    assert_eq!(near(&id("/resourceGroups/a"), false).await, [0, 1]);
}

pub(super) async fn principals_take_their_assignments_along(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    let one = principal(20);
    let kept = assignment(&group_id(), 3, 10, 21);
    let writes = vec![
        Write::PutPrincipal(one.clone()),
        Write::AddAssignment(assignment(&group_id(), 2, 10, 20)),
        Write::AddAssignment(assignment(&id(""), 1, 10, 20)),
        Write::AddAssignment(kept.clone()),
    ];
    catalogue.apply(writes).await.unwrap();
    assert_eq!(catalogue.assignments_of(one.object_id).await.unwrap().len(), 2);
    catalogue.apply(vec![Write::DeletePrincipal(one.object_id)]).await.unwrap();
    assert_eq!(catalogue.assignments_of(one.object_id).await.unwrap(), []);
    assert_eq!(catalogue.assignments_near(&ResourceId::root(), true).await.unwrap(), [kept]);
}

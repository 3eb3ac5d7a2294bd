//! Lists of writes take effect together or not at all, and stay.

use super::sample::*;
use super::{Ground, assert_conflict};
use crate::catalogue::{
    Catalogue, CatalogueError, Expect, JobFilter, PointFilter, ResourceFilter, Write,
};
use crate::model::{Principal, ResourceId, Work};
use std::sync::Arc;

/// One write of each kind that changes something and can be made on an empty catalogue.
fn every_change() -> Vec<Write> {
    vec![
        put(&group("Rg")),
        put(&instance("i", "d", "p", "snaps")),
        Write::RequireResource(instance_id("i"), 1),
        put(&disk("gone")),
        Write::DeleteResource(disk_id("gone")),
        Write::Claim { name: "protect:d".into(), holder: "i".into() },
        Write::Claim { name: "free".into(), holder: "i".into() },
        Write::Release { name: "free".into(), holder: "i".into() },
        Write::PutPrincipal(principal(1)),
        Write::PutPrincipal(principal(2)),
        Write::DeletePrincipal(guid(2)),
        Write::PutRole(role(1)),
        Write::PutRole(role(2)),
        Write::DeleteRole(guid(2)),
        Write::AddAssignment(assignment(&group_id(), 1, 1, 1)),
        Write::AddAssignment(assignment(&group_id(), 2, 2, 1)),
        Write::DeleteAssignment(assignment_id(&group_id(), 2)),
        Write::PutOperation(operation(1)),
        Write::PutJob(job(1, 0)),
        Write::PutPoint(point(10, 1, 0)),
        Write::PutPoint(point(10, 2, 0)),
        Write::DeletePoint { instance: guid(10), key: point(10, 2, 0).key },
        Write::PutGrant(grant(1, &disk_id("d"))),
        Write::PutGrant(grant(2, &disk_id("other"))),
        Write::DeleteGrants(disk_id("other")),
        Write::AddWork(work(2)),
    ]
}

/// Everything that [`every_change`] leaves, as text; empty lists when nothing is there.
async fn everything(catalogue: &dyn Catalogue) -> String {
    let resources = ResourceFilter { limit: 100, ..ResourceFilter::default() };
    let jobs = JobFilter { vault: guid(5), after: None, limit: 100 };
    let points = PointFilter { instance: guid(10), from: None, to: None, after: None, limit: 100 };
    let near = catalogue.assignments_near(&ResourceId::root(), true).await.unwrap();
    format!(
        "{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{near:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}",
        catalogue.resources(&resources).await.unwrap().rows,
        catalogue.instances_naming(&disk_id("d")).await.unwrap(),
        catalogue.holder("protect:d").await.unwrap(),
        catalogue.principal(guid(1)).await.unwrap(),
        catalogue.principal(guid(2)).await.unwrap(),
        catalogue.roles().await.unwrap(),
        catalogue.operation(guid(1)).await.unwrap(),
        catalogue.jobs(&jobs).await.unwrap().rows,
        catalogue.points(&points).await.unwrap().rows,
        catalogue.grants_of(&disk_id("d")).await.unwrap(),
        catalogue.work_count().await.unwrap(),
    )
}

/// Every write that can fail, at the end of a list, leaves nothing of the list.
pub(super) async fn every_failure_undoes_the_list(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    let before = vec![
        put(&disk("taken")),
        Write::Claim { name: "taken".into(), holder: "somebody".into() },
        Write::PutPrincipal(principal(7)),
        Write::AddAssignment(assignment(&id(""), 7, 7, 7)),
        Write::AddWork(work(7)),
    ];
    catalogue.apply(before).await.unwrap();
    let held = catalogue.claim_work(at(0), at(60)).await.unwrap().unwrap();
    let stale = Work { fence: held.fence - 1, ..held };
    let start = everything(&*catalogue).await;
    let failures = vec![
        put(&disk("taken")),
        Write::PutResource(disk("taken"), Expect::Version(2)),
        Write::PutResource(disk("absent"), Expect::Version(1)),
        Write::RequireResource(disk_id("taken"), 2),
        Write::RequireResource(disk_id("absent"), 1),
        Write::Claim { name: "taken".into(), holder: "another".into() },
        Write::PutPrincipal(Principal { client_id: guid(1007), ..principal(8) }),
        Write::AddAssignment(assignment(&id(""), 7, 8, 8)),
        Write::AddAssignment(assignment(&id(""), 8, 7, 7)),
        Write::AddWork(work(7)),
        Write::StepDone {
            work: stale.id,
            fence: stale.fence,
            step: "s".into(),
            note: serde_json::Value::Null,
        },
        Write::FinishWork { work: stale.id, fence: stale.fence },
        Write::RequireLease { work: stale.id, fence: stale.fence },
    ];
    for failure in failures {
        let shown = format!("{failure:?}");
        let mut list = every_change();
        list.push(failure);
        let outcome = catalogue.apply(list).await;
        let refused =
            matches!(outcome, Err(CatalogueError::Conflict(_) | CatalogueError::LeaseLost(_)));
        assert!(refused, "{shown}: {outcome:?}");
        assert_eq!(everything(&*catalogue).await, start, "{shown}");
    }
    // The same list without a failure takes effect.
    catalogue.apply(every_change()).await.unwrap();
    assert_ne!(everything(&*catalogue).await, start);
}

pub(super) async fn lists_see_their_own_changes(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    let disk = disk("d");
    let list = vec![
        put(&disk),
        Write::PutResource(disk.clone(), Expect::Version(1)),
        Write::RequireResource(disk.id.clone(), 2),
        Write::DeleteResource(disk.id.clone()),
        put(&disk),
    ];
    catalogue.apply(list).await.unwrap();
    assert_eq!(catalogue.resource(&disk.id).await.unwrap().unwrap().version, 1);
    assert_conflict(catalogue.apply(vec![put(&group("g")), put(&group("G"))]).await);
    assert!(catalogue.resource(&group("g").id).await.unwrap().is_none());
    catalogue.apply(vec![]).await.unwrap();
}

pub(super) async fn reopening_keeps_everything(ground: &dyn Ground) {
    let first = ground.open().await;
    first.apply(every_change()).await.unwrap();
    first.set_setting("tenant", "t").await.unwrap();
    let held = first.claim_work(at(0), at(60)).await.unwrap().unwrap();
    let note = serde_json::json!({"n": 1});
    let done =
        Write::StepDone { work: held.id, fence: held.fence, step: "s".into(), note: note.clone() };
    first.apply(vec![done]).await.unwrap();
    let before = everything(&*first).await;
    drop(first);
    let second = ground.open().await;
    assert_eq!(everything(&*second).await, before);
    assert_eq!(second.setting("tenant").await.unwrap().as_deref(), Some("t"));
    let next = second.claim_work(at(61), at(90)).await.unwrap().unwrap();
    assert_eq!((next.id, next.fence), (held.id, held.fence + 1));
    assert_eq!(next.steps.get("s"), Some(&note));
}

/// Of many lists that want the same name, one wins, and nothing of the others stays.
pub(super) async fn racing_lists_have_one_winner(ground: &dyn Ground) {
    let catalogues = [ground.open().await, ground.open().await];
    let racers: Vec<_> = (0..12_u128)
        .map(|n| {
            let catalogue = Arc::clone(&catalogues[usize::try_from(n % 2).unwrap()]);
            tokio::spawn(async move {
                let claim = Write::Claim { name: "name".into(), holder: n.to_string() };
                let list = vec![put(&disk(&format!("d{n}"))), claim, put(&disk("target"))];
                catalogue.apply(list).await
            })
        })
        .collect();
    let mut winners = vec![];
    for (n, racer) in racers.into_iter().enumerate() {
        match racer.await.unwrap() {
            Ok(()) => winners.push(n),
            outcome => assert_conflict(outcome),
        }
    }
    let [winner] = winners.as_slice() else { panic!("{winners:?}") };
    assert_eq!(catalogues[0].holder("name").await.unwrap(), Some(winner.to_string()));
    let all = ResourceFilter { limit: 100, ..ResourceFilter::default() };
    let rows = catalogues[1].resources(&all).await.unwrap().rows;
    let names: Vec<&str> = rows.iter().map(|row| row.id.name()).collect();
    assert_eq!(names, [format!("d{winner}").as_str(), "target"]);
}

/// While lists move a pair of resources on together, no reader finds one of them alone.
pub(super) async fn readers_see_whole_lists(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    catalogue.apply(vec![put(&disk("a")), put(&disk("b"))]).await.unwrap();
    let writer = {
        let catalogue = Arc::clone(&catalogue);
        tokio::spawn(async move {
            for version in 1..100 {
                let both =
                    ["a", "b"].map(|name| Write::PutResource(disk(name), Expect::Version(version)));
                catalogue.apply(both.into()).await.unwrap();
                // What has been applied is seen by whoever reads next.
                let seen = catalogue.resource(&disk_id("a")).await.unwrap().unwrap();
                assert_eq!(seen.version, version + 1);
            }
        })
    };
    let both = ResourceFilter { limit: 2, ..ResourceFilter::default() };
    while !writer.is_finished() {
        let rows = catalogue.resources(&both).await.unwrap().rows;
        assert_eq!(rows[0].version, rows[1].version);
    }
    writer.await.unwrap();
}

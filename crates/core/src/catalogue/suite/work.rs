//! The work queue: leases, fences and steps.

use super::sample::*;
use super::{Ground, assert_conflict, assert_lost};
use crate::catalogue::{Catalogue, Write};
use crate::model::Work;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

fn step(work: &Work, name: &str) -> Write {
    Write::StepDone { work: work.id, fence: work.fence, step: name.into(), note: json!(name) }
}

fn finish(work: &Work) -> Write {
    Write::FinishWork { work: work.id, fence: work.fence }
}

fn require(work: &Work) -> Write {
    Write::RequireLease { work: work.id, fence: work.fence }
}

async fn queue(catalogue: &dyn Catalogue, numbers: impl Iterator<Item = u128>) {
    catalogue.apply(numbers.map(|n| Write::AddWork(work(n))).collect()).await.unwrap();
}

async fn claim(catalogue: &dyn Catalogue, now: i64, until: i64) -> Option<Work> {
    catalogue.claim_work(at(now), at(until)).await.unwrap()
}

pub(super) async fn the_oldest_comes_first(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    assert_eq!(claim(&*catalogue, 0, 60).await, None);
    queue(&*catalogue, [30, 10, 20].into_iter()).await;
    assert_eq!(catalogue.work_count().await.unwrap(), 3);
    let first = claim(&*catalogue, 0, 60).await.unwrap();
    assert_eq!(first, Work { fence: 1, ..work(30) });
    let second = claim(&*catalogue, 0, 60).await.unwrap();
    assert_eq!(second.id, guid(10));
    // Finished work makes room, and what comes later does not overtake what waits.
    catalogue.apply(vec![finish(&first)]).await.unwrap();
    queue(&*catalogue, [5].into_iter()).await;
    assert_eq!(claim(&*catalogue, 0, 60).await.unwrap().id, guid(20));
    assert_eq!(claim(&*catalogue, 0, 60).await.unwrap().id, guid(5));
    assert_eq!(claim(&*catalogue, 0, 60).await, None);
    assert_eq!(catalogue.work_count().await.unwrap(), 3);
}

pub(super) async fn steps_and_notes_are_kept(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    let steps = BTreeMap::from([("drawn".to_owned(), json!({"key": [1, null, "x"]}))]);
    let queued = Work { steps: steps.clone(), fence: 4, ..work(1) };
    catalogue.apply(vec![Write::AddWork(queued)]).await.unwrap();
    let held = claim(&*catalogue, 0, 60).await.unwrap();
    assert_eq!((held.fence, &held.steps), (5, &steps));
    catalogue.apply(vec![step(&held, "view"), step(&held, "ingest")]).await.unwrap();
    let again = Write::StepDone {
        work: held.id,
        fence: held.fence,
        step: "view".into(),
        note: json!({"generation": 2}),
    };
    catalogue.apply(vec![again]).await.unwrap();
    let next = claim(&*catalogue, 61, 120).await.unwrap();
    let names: Vec<&str> = next.steps.keys().map(String::as_str).collect();
    assert_eq!(names, ["drawn", "ingest", "view"]);
    assert_eq!(next.steps["view"], json!({"generation": 2}));
    assert_eq!(next.fence, 6);
}

pub(super) async fn stale_workers_change_nothing(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    queue(&*catalogue, 1..=1).await;
    // Nobody holds it yet.
    assert_lost(catalogue.apply(vec![require(&work(1))]).await);
    let old = claim(&*catalogue, 0, 60).await.unwrap();
    catalogue.apply(vec![require(&old), step(&old, "a")]).await.unwrap();
    let new = claim(&*catalogue, 61, 120).await.unwrap();
    assert_eq!((new.id, new.fence), (old.id, old.fence + 1));
    for stale in [require(&old), step(&old, "b"), finish(&old)] {
        let disk = put(&disk("d"));
        assert_lost(catalogue.apply(vec![disk.clone(), stale.clone()]).await);
        assert_lost(catalogue.apply(vec![stale, disk]).await);
        assert!(catalogue.resource(&disk_id("d")).await.unwrap().is_none());
    }
    assert_lost(catalogue.renew_work(old.id, old.fence, at(900)).await);
    assert_lost(catalogue.renew_work(guid(404), 1, at(900)).await);
    let future = Work { fence: new.fence + 1, ..new.clone() };
    assert_lost(catalogue.apply(vec![require(&future)]).await);
    catalogue.apply(vec![step(&new, "c"), put(&disk("d")), finish(&new)]).await.unwrap();
    assert!(catalogue.resource(&disk_id("d")).await.unwrap().is_some());
    assert_eq!(catalogue.work_count().await.unwrap(), 0);
    assert_lost(catalogue.apply(vec![finish(&new)]).await);
    assert_lost(catalogue.renew_work(new.id, new.fence, at(900)).await);
}

pub(super) async fn expired_leases_pass_on(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    queue(&*catalogue, 1..=1).await;
    let held = claim(&*catalogue, 0, 60).await.unwrap();
    assert_eq!(claim(&*catalogue, 59, 99).await, None);
    assert_eq!(claim(&*catalogue, 60, 99).await, None);
    catalogue.renew_work(held.id, held.fence, at(120)).await.unwrap();
    assert_eq!(claim(&*catalogue, 61, 200).await, None);
    // A lease whose time is over is still held until another takes it.
    catalogue.apply(vec![require(&held)]).await.unwrap();
    catalogue.renew_work(held.id, held.fence, at(130)).await.unwrap();
    let next = claim(&*catalogue, 131, 200).await.unwrap();
    assert_eq!(next.fence, held.fence + 1);
    assert_lost(catalogue.renew_work(held.id, held.fence, at(300)).await);
}

pub(super) async fn void_leases_are_lost(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    catalogue.void_leases().await.unwrap();
    queue(&*catalogue, 1..=2).await;
    let held = claim(&*catalogue, 0, 1_000_000).await.unwrap();
    catalogue.apply(vec![step(&held, "a")]).await.unwrap();
    catalogue.void_leases().await.unwrap();
    // Lost at once, not only when another has claimed it.
    assert_lost(catalogue.apply(vec![require(&held)]).await);
    assert_lost(catalogue.renew_work(held.id, held.fence, at(2_000_000)).await);
    let next = claim(&*catalogue, 1, 60).await.unwrap();
    assert_eq!((next.id, next.fence), (held.id, held.fence + 1));
    assert!(next.steps.contains_key("a"));
}

pub(super) async fn work_is_queued_once(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    queue(&*catalogue, 1..=1).await;
    assert_conflict(catalogue.apply(vec![Write::AddWork(work(1))]).await);
    assert_eq!(catalogue.work_count().await.unwrap(), 1);
}

/// Two catalogues on one database, as two processes have them, and several claimers on each.
pub(super) async fn claimers_never_share(ground: &dyn Ground) {
    const ITEMS: u128 = 60;
    let catalogues = [ground.open().await, ground.open().await];
    queue(&*catalogues[0], 1..=ITEMS).await;
    let claimers = (0..8).map(|n| {
        let catalogue = Arc::clone(&catalogues[n % 2]);
        tokio::spawn(async move {
            let mut mine: Vec<(Uuid, i64)> = vec![];
            while let Some(work) = claim(&*catalogue, 0, 60).await {
                catalogue.apply(vec![require(&work), step(&work, "seen")]).await.unwrap();
                mine.push((work.id, work.fence));
            }
            mine
        })
    });
    let mut all = vec![];
    for claimer in claimers.collect::<Vec<_>>() {
        all.extend(claimer.await.unwrap());
    }
    let ids: BTreeSet<Uuid> = all.iter().map(|(id, _)| *id).collect();
    assert_eq!((all.len(), ids.len()), (60, 60));
    assert!(all.iter().all(|(_, fence)| *fence == 1));
}

//! Operations, jobs, recovery points, grants and settings.

use super::sample::*;
use super::{Ground, assert_conflict};
use crate::catalogue::{Catalogue, CatalogueError, JobFilter, PAGE_MAX, PointFilter, Write};
use crate::model::{Job, Operation, OperationStatus, Point};
use jiff::Timestamp;

fn of_vault(limit: u32) -> JobFilter {
    JobFilter { vault: guid(5), after: None, limit }
}

fn of_instance(limit: u32) -> PointFilter {
    PointFilter { instance: guid(10), from: None, to: None, after: None, limit }
}

async fn all_jobs(catalogue: &dyn Catalogue, mut filter: JobFilter) -> Vec<u128> {
    let mut found = vec![];
    loop {
        let page = catalogue.jobs(&filter).await.unwrap();
        found.extend(page.rows.iter().map(|job| job.id.as_u128()));
        match page.after {
            Some(after) => filter.after = Some(after),
            None => return found,
        }
    }
}

async fn all_points(catalogue: &dyn Catalogue, mut filter: PointFilter) -> Vec<u128> {
    let mut found = vec![];
    loop {
        let page = catalogue.points(&filter).await.unwrap();
        found.extend(page.rows.iter().map(|p| u128::from_str_radix(&p.key, 16).unwrap()));
        match page.after {
            Some(after) => filter.after = Some(after),
            None => return found,
        }
    }
}

pub(super) async fn operations_and_jobs_are_replaced(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    let (operation, job) = (operation(1), job(2, 0));
    assert_eq!(catalogue.operation(operation.id).await.unwrap(), None);
    assert_eq!(catalogue.job(job.id).await.unwrap(), None);
    let first = vec![Write::PutOperation(operation.clone()), Write::PutJob(job.clone())];
    catalogue.apply(first).await.unwrap();
    assert_eq!(catalogue.operation(operation.id).await.unwrap().as_ref(), Some(&operation));
    assert_eq!(catalogue.job(job.id).await.unwrap().as_ref(), Some(&job));
    let ended = Operation { status: OperationStatus::Succeeded, ended: Some(at(9)), ..operation };
    let moved = Job { step: "commit".into(), changed: at(9), ..job };
    let second = vec![Write::PutOperation(ended.clone()), Write::PutJob(moved.clone())];
    catalogue.apply(second).await.unwrap();
    assert_eq!(catalogue.operation(ended.id).await.unwrap(), Some(ended));
    assert_eq!(catalogue.job(moved.id).await.unwrap(), Some(moved));
    assert_eq!(all_jobs(&*catalogue, of_vault(9)).await, [2]);
}

pub(super) async fn old_operations_are_forgotten(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    let ended = |n: u128, end: i64| Operation { ended: Some(at(end)), ..operation(n) };
    let running = Operation { ended: None, ..operation(3) };
    let writes = [ended(1, 10), ended(2, 20), running].map(Write::PutOperation);
    catalogue.apply(writes.to_vec()).await.unwrap();
    catalogue.apply(vec![Write::ForgetOperations(at(20))]).await.unwrap();
    let left = async |n| catalogue.operation(guid(n)).await.unwrap().is_some();
    assert_eq!([left(1).await, left(2).await, left(3).await], [false, true, true]);
}

pub(super) async fn jobs_come_newest_first(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    // A later vault of the same name.
    let other = Job { vault_unique_id: guid(55), ..job(99, 5) };
    let jobs = [(1, 10), (2, 30), (3, 20), (4, 20), (5, -40)];
    let mut writes: Vec<Write> = jobs.map(|(n, s)| Write::PutJob(job(n, s))).into();
    writes.push(Write::PutJob(other));
    catalogue.apply(writes).await.unwrap();
    for limit in [1, 2, 3, 5, 1000] {
        assert_eq!(all_jobs(&*catalogue, of_vault(limit)).await, [2, 4, 3, 1, 5], "{limit}");
    }
    let last = catalogue.jobs(&of_vault(5)).await.unwrap();
    assert_eq!((last.rows.len(), last.after), (5, None));
}

pub(super) async fn points_come_newest_first(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    let points = [(1, 10), (2, 30), (3, 20), (4, 20), (5, -40)];
    let mut writes: Vec<Write> = points.map(|(k, s)| Write::PutPoint(point(10, k, s))).into();
    writes.push(Write::PutPoint(point(11, 1, 15)));
    catalogue.apply(writes).await.unwrap();
    for limit in [1, 2, 3, 5, u32::MAX] {
        assert_eq!(all_points(&*catalogue, of_instance(limit)).await, [2, 4, 3, 1, 5], "{limit}");
    }
    let one = point(10, 1, 10);
    assert_eq!(catalogue.point(guid(10), &one.key).await.unwrap().as_ref(), Some(&one));
    assert_eq!(catalogue.point(guid(11), &one.key).await.unwrap(), Some(point(11, 1, 15)));
    assert_eq!(catalogue.point(guid(12), &one.key).await.unwrap(), None);
    let held = Point { expires: Some(at(1)), ..one.clone() };
    let delete = Write::DeletePoint { instance: guid(10), key: point(10, 2, 0).key };
    let writes = vec![Write::PutPoint(held.clone()), delete.clone(), delete];
    catalogue.apply(writes).await.unwrap();
    assert_eq!(catalogue.point(guid(10), &one.key).await.unwrap(), Some(held));
    assert_eq!(all_points(&*catalogue, of_instance(2)).await, [4, 3, 1, 5]);
    assert!(catalogue.point(guid(11), &one.key).await.unwrap().is_some());
}

pub(super) async fn points_are_filtered_by_time(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    let writes = (0..5).map(|n| Write::PutPoint(point(10, n, i64::try_from(n).unwrap() * 10)));
    catalogue.apply(writes.collect()).await.unwrap();
    let nano = jiff::SignedDuration::from_nanos(1);
    let between =
        |from: Option<Timestamp>, to: Option<Timestamp>| PointFilter { from, to, ..of_instance(1) };
    let table: [(Option<Timestamp>, Option<Timestamp>, &[u128]); 6] = [
        (Some(at(10)), Some(at(30)), &[3, 2, 1]),
        (Some(at(10) + nano), Some(at(30) - nano), &[2]),
        (Some(at(30)), None, &[4, 3]),
        (None, Some(at(10)), &[1, 0]),
        (Some(Timestamp::MIN), Some(Timestamp::MAX), &[4, 3, 2, 1, 0]),
        (Some(at(30)), Some(at(10)), &[]),
    ];
    for (from, to, expected) in table {
        assert_eq!(all_points(&*catalogue, between(from, to)).await, expected, "{from:?} {to:?}");
    }
}

pub(super) async fn cursors_survive_changes(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    let count = i64::from(PAGE_MAX) + 2;
    let numbers = || (0..count).map(|n| (u128::try_from(n).unwrap(), n));
    catalogue
        .apply(numbers().map(|(k, s)| Write::PutPoint(point(10, k, s))).collect())
        .await
        .unwrap();
    catalogue.apply(numbers().map(|(k, s)| Write::PutJob(job(k, s))).collect()).await.unwrap();
    let points = catalogue.points(&of_instance(u32::MAX)).await.unwrap();
    let jobs = catalogue.jobs(&of_vault(u32::MAX)).await.unwrap();
    assert_eq!((points.rows.len(), jobs.rows.len()), (1000, 1000));
    // A newer one comes, the row of the cursor goes, and one behind it comes.
    let last = points.rows.last().unwrap();
    let changes = vec![
        Write::PutPoint(point(10, 5000, count)),
        Write::DeletePoint { instance: last.instance, key: last.key.clone() },
        Write::PutPoint(point(10, 5001, 0)),
        Write::PutJob(job(5000, count)),
        Write::PutJob(job(5001, 0)),
    ];
    catalogue.apply(changes).await.unwrap();
    let rest = PointFilter { after: points.after, ..of_instance(1) };
    assert_eq!(all_points(&*catalogue, rest).await, [1, 5001, 0]);
    let rest = JobFilter { after: jobs.after, ..of_vault(1) };
    assert_eq!(all_jobs(&*catalogue, rest).await, [1, 5001, 0]);
}

pub(super) async fn foreign_cursors_are_refused(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    for text in ["", "x", "1", ".", "x.y", "99999999999999999999.a", "' OR 1=1 --"] {
        let after = Some(text.to_owned());
        let points =
            catalogue.points(&PointFilter { after: after.clone(), ..of_instance(1) }).await;
        assert!(matches!(points, Err(CatalogueError::Cursor)), "{text}: {points:?}");
        let jobs = catalogue.jobs(&JobFilter { after, ..of_vault(1) }).await;
        assert!(matches!(jobs, Err(CatalogueError::Cursor)), "{text}: {jobs:?}");
    }
}

pub(super) async fn grants_come_and_go(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    let (one, two, other) =
        (grant(1, &disk_id("d_")), grant(2, &disk_id("D_")), grant(3, &disk_id("dX")));
    let writes = [&two, &one, &other].map(|grant| Write::PutGrant(grant.clone()));
    catalogue.apply(writes.into()).await.unwrap();
    assert_eq!(catalogue.grant(one.id).await.unwrap().as_ref(), Some(&one));
    assert_eq!(catalogue.grants_of(&disk_id("d_")).await.unwrap(), [one.clone(), two]);
    let third = grant(4, &disk_id("d_"));
    catalogue.apply(vec![Write::PutGrant(third.clone())]).await.unwrap();
    let delete = Write::DeleteGrant(third.id);
    catalogue.apply(vec![delete.clone(), delete]).await.unwrap();
    assert_eq!(catalogue.grant(third.id).await.unwrap(), None);
    assert_eq!(catalogue.grants_of(&disk_id("d_")).await.unwrap().len(), 2);
    let delete = Write::DeleteGrants(disk_id("D_"));
    catalogue.apply(vec![delete.clone(), delete]).await.unwrap();
    assert_eq!(catalogue.grants_of(&disk_id("d_")).await.unwrap(), []);
    assert_eq!(catalogue.grant(one.id).await.unwrap(), None);
    assert_eq!(catalogue.grant(other.id).await.unwrap(), Some(other));
}

pub(super) async fn settings_are_set_once(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    assert_eq!(catalogue.setting("tenant").await.unwrap(), None);
    catalogue.set_setting("tenant", "a").await.unwrap();
    catalogue.set_setting("tenant", "a").await.unwrap();
    assert_conflict(catalogue.set_setting("tenant", "b").await);
    catalogue.set_setting("other", "b").await.unwrap();
    assert_eq!(catalogue.setting("tenant").await.unwrap().as_deref(), Some("a"));
}

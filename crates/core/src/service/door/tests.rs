//! The bound on kept handles, and who is let go.

use super::*;
use crate::blob::Handle;
use crate::model::Access;
use tresor_disk::{Pool, Volume, VolumeName};

fn grant(number: u128, resource: &str, expires: i64) -> Grant {
    Grant {
        id: Uuid::from_u128(number),
        resource: ResourceId::parse(resource).unwrap(),
        unique_id: Uuid::from_u128(7),
        access: Access::Read,
        expires: Timestamp::from_second(expires).unwrap(),
    }
}

fn resource(name: &str) -> String {
    let subscription = Uuid::from_u128(1);
    format!(
        "/subscriptions/{subscription}/resourceGroups/g/providers/Microsoft.Compute/disks/{name}"
    )
}

fn volume(folder: &std::path::Path) -> Arc<Volume> {
    let pool = Pool::open(folder).unwrap();
    pool.create(&VolumeName::new("v").unwrap(), 1 << 20, [1; 16]).unwrap()
}

#[test]
fn a_full_house_lets_the_one_go_that_was_used_longest_ago() {
    let folder = tempfile::tempdir().unwrap();
    let volume = volume(folder.path());
    let content = || Content::Disk(Handle::new(Arc::clone(&volume)));
    let doors = Doors::default();
    let seconds = |number: usize| Duration::from_secs(number as u64);
    for number in 0..KEPT_MAX {
        let new = grant(number as u128, &resource("d"), 100);
        assert!(doors.keep(&new, content(), seconds(number)).is_empty());
    }
    assert!(doors.find(Uuid::from_u128(0), seconds(KEPT_MAX)).is_some());
    let new = grant(1000, &resource("d"), 100);
    assert_eq!(doors.keep(&new, content(), seconds(0)).len(), 1);
    assert!(doors.find(Uuid::from_u128(0), seconds(0)).is_some());
    assert!(doors.find(Uuid::from_u128(1), seconds(0)).is_none());
    assert!(doors.find(Uuid::from_u128(1000), seconds(0)).is_some());
    assert_eq!(doors.all().len(), KEPT_MAX);
    assert_eq!(Arc::strong_count(&volume), 1);
}

#[test]
fn ended_idle_and_removed_ones_go() {
    let folder = tempfile::tempdir().unwrap();
    let volume = volume(folder.path());
    let content = || Content::Disk(Handle::new(Arc::clone(&volume)));
    let doors = Doors::default();
    let start = Duration::from_secs(1000);
    for (number, name, expires) in [(1, "a", 10), (2, "a", 99), (3, "b", 99), (4, "B", 99)] {
        drop(doors.keep(&grant(number, &resource(name), expires), content(), start));
    }
    let at = |second| Timestamp::from_second(second).unwrap();
    assert_eq!(doors.stale(at(9), start).len(), 0);
    assert_eq!(doors.stale(at(10), start).len(), 1);
    assert!(doors.find(Uuid::from_u128(2), start + IDLE / 2).is_some());
    let removed = closed_by(&[Write::DeleteGrants(ResourceId::parse(&resource("b")).unwrap())]);
    assert_eq!(removed.iter().map(|id| doors.forget(id).len()).sum::<usize>(), 2);
    assert_eq!(doors.stale(at(10), start + IDLE).len(), 0);
    assert_eq!(doors.stale(at(10), start + IDLE / 2 + IDLE).len(), 1);
    assert!(doors.all().is_empty());
}

#[tokio::test]
async fn gates_that_nobody_uses_are_dropped() {
    let doors = Doors::default();
    for number in 0..100 {
        drop(doors.enter(Uuid::from_u128(number)).await);
    }
    let inside = doors.enter(Uuid::from_u128(1)).await;
    assert!(locked(&doors.gates).len() <= 2);
    let mut alone = Box::pin(doors.drained(Uuid::from_u128(1)));
    assert!(futures::poll!(&mut alone).is_pending());
    drop(inside);
    alone.await;
}

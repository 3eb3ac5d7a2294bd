//! The audit trail.

use super::Ground;
use super::sample::*;
use crate::catalogue::{Catalogue, CatalogueError, EventFilter, PAGE_MAX, Write};
use crate::model::{Actor, Event, ResourceId};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

fn subscription() -> Option<Uuid> {
    Uuid::parse_str(SUBSCRIPTION.rsplit('/').next().unwrap()).ok()
}

fn all(limit: u32) -> EventFilter {
    EventFilter { subscription: subscription(), limit, ..EventFilter::default() }
}

fn event(number: u128, second: i64) -> Event {
    Event {
        id: guid(number),
        at: at(second),
        recorded: at(second),
        actor: Some(Actor {
            object_id: Some(guid(20)),
            client_id: Some(guid(21)),
            name: "Owner".into(),
        }),
        operation: "Disks_CreateOrUpdate".into(),
        action: "Microsoft.Compute/disks/write".into(),
        resource: disk_id("d"),
        verb: "PUT".into(),
        peer: Some([127, 0, 0, 1].into()),
        correlation: guid(30),
        request: guid(31),
        client_request: Some("mine".into()),
        status: 202,
        code: String::new(),
        unrecorded: 0,
    }
}

async fn add(catalogue: &dyn Catalogue, events: impl IntoIterator<Item = Event>) {
    let writes = events.into_iter().map(Write::AddEvent).collect();
    catalogue.apply(writes).await.unwrap();
}

async fn numbers(catalogue: &dyn Catalogue, mut filter: EventFilter) -> Vec<u128> {
    let mut found = vec![];
    loop {
        let page = catalogue.events(&filter).await.unwrap();
        found.extend(page.rows.iter().map(|event| event.id.as_u128()));
        match page.after {
            Some(after) => filter.after = Some(after),
            None => return found,
        }
    }
}

pub(super) async fn events_come_newest_first_in_pages(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    let times = [(1, 10), (2, 30), (3, 20), (4, 20), (5, -40)];
    add(&*catalogue, times.map(|(n, s)| event(n, s))).await;
    for limit in [1, 2, 3, 5, u32::MAX] {
        assert_eq!(numbers(&*catalogue, all(limit)).await, [2, 4, 3, 1, 5], "{limit}");
    }
    let page = catalogue.events(&all(5)).await.unwrap();
    assert_eq!((page.rows.len(), page.after), (5, None));
    assert_eq!(page.rows[0], event(2, 30));
    let nano = SignedDuration::from_nanos(1);
    let table: [(Option<Timestamp>, Option<Timestamp>, &[u128]); 4] = [
        (Some(at(10)), Some(at(20)), &[4, 3, 1]),
        (Some(at(10) + nano), Some(at(30) - nano), &[4, 3]),
        (Some(at(30)), None, &[2]),
        (None, Some(at(-40)), &[5]),
    ];
    for (from, to, expected) in table {
        let filter = EventFilter { from, to, ..all(1) };
        assert_eq!(numbers(&*catalogue, filter).await, expected, "{from:?} {to:?}");
    }
}

pub(super) async fn events_are_kept_once(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    add(&*catalogue, [event(1, 0)]).await;
    // What a restart finds begun must not hide how it ended.
    add(&*catalogue, [Event { status: 0, ..event(1, 0) }]).await;
    assert_eq!(catalogue.events(&all(9)).await.unwrap().rows, [event(1, 0)]);
}

pub(super) async fn events_are_filtered(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    let other = Actor { object_id: None, client_id: Some(guid(7)), name: String::new() };
    let events = [
        event(1, 1),
        Event { resource: group_id(), action: "Microsoft.Resources/x/write".into(), ..event(2, 2) },
        Event { resource: id("/resourceGroups/rg2"), correlation: guid(9), ..event(3, 3) },
        Event { status: 403, actor: Some(other), ..event(4, 4) },
        Event { actor: None, status: 0, ..event(5, 5) },
    ];
    add(&*catalogue, events).await;
    let some = |text: &str| Some(text.to_owned());
    let by = |caller: &str| EventFilter { caller: some(caller), ..all(1) };
    let table: [(EventFilter, &[u128]); 11] = [
        (EventFilter { group: some("RG"), ..all(1) }, &[5, 4, 2, 1]),
        (EventFilter { group: some("rg2"), ..all(1) }, &[3]),
        (EventFilter { resource: Some(disk_id("D")), ..all(1) }, &[5, 4, 1]),
        (EventFilter { provider: some("microsoft.resources"), ..all(1) }, &[2]),
        (EventFilter { correlation: Some(guid(9)), ..all(1) }, &[3]),
        (by(&guid(20).to_string()), &[3, 2, 1]),
        (by(&guid(7).to_string()), &[4]),
        (by("OWNER"), &[3, 2, 1]),
        (by("nobody"), &[]),
        (EventFilter { statuses: vec![400..=599, 0..=0], ..all(1) }, &[5, 4]),
        (EventFilter { group: some("rg"), statuses: vec![202..=202], ..all(1) }, &[2, 1]),
    ];
    for (filter, expected) in table {
        assert_eq!(numbers(&*catalogue, filter.clone()).await, expected, "{filter:?}");
    }
}

pub(super) async fn events_of_other_places_are_not_shown(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    let elsewhere = ResourceId::parse(&SUBSCRIPTION.replace('1', "2")).unwrap();
    let events = [
        event(1, 1),
        Event { resource: elsewhere, ..event(2, 2) },
        Event { resource: ResourceId::root(), ..event(3, 3) },
    ];
    add(&*catalogue, events).await;
    assert_eq!(numbers(&*catalogue, all(9)).await, [1]);
    let of_none = EventFilter { limit: 9, ..EventFilter::default() };
    assert_eq!(numbers(&*catalogue, of_none).await, [3]);
}

pub(super) async fn old_events_are_forgotten_in_portions(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    // Retention counts the machine's time, not the one that people see.
    let events = (1..=5_u128).map(|n| {
        let second = i64::try_from(n).unwrap();
        Event { at: at(100 - second), recorded: at(second), ..event(n, 0) }
    });
    add(&*catalogue, events).await;
    assert_eq!(catalogue.forget_events(at(4), 2).await.unwrap(), 2);
    assert_eq!(numbers(&*catalogue, all(9)).await, [3, 4, 5]);
    assert_eq!(catalogue.forget_events(at(4), 2).await.unwrap(), 1);
    assert_eq!(catalogue.forget_events(at(4), 2).await.unwrap(), 0);
    assert_eq!(numbers(&*catalogue, all(9)).await, [4, 5]);
}

pub(super) async fn pages_of_rare_events_are_bounded(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    let count = 21 * u128::from(PAGE_MAX);
    let rare = |n: u128| if n == 0 { guid(9) } else { guid(30) };
    let events = (0..count)
        .map(|n| Event { correlation: rare(n), ..event(n + 1, i64::try_from(n).unwrap()) });
    add(&*catalogue, events).await;
    let filter = EventFilter { correlation: Some(guid(9)), ..all(9) };
    let first = catalogue.events(&filter).await.unwrap();
    assert!(first.rows.is_empty() && first.after.is_some(), "{first:?}");
    assert_eq!(numbers(&*catalogue, filter).await, [1]);
}

pub(super) async fn foreign_cursors_are_refused(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    for text in ["", "x", ".", "x.y", "' OR 1=1 --"] {
        let filter = EventFilter { after: Some(text.to_owned()), ..all(1) };
        let outcome = catalogue.events(&filter).await;
        assert!(matches!(outcome, Err(CatalogueError::Cursor)), "{text}: {outcome:?}");
    }
}

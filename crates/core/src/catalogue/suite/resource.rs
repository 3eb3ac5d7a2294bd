//! Resources, what instances name, and claims.

use super::sample::*;
use super::{Ground, assert_conflict};
use crate::catalogue::{Catalogue, Expect, PAGE_MAX, ResourceFilter, Write};
use crate::model::{Model, Resource, ResourceId};

fn keys(rows: &[Resource]) -> Vec<&str> {
    rows.iter().map(|row| row.id.key()).collect()
}

fn below(scope: &ResourceId) -> ResourceFilter {
    ResourceFilter { under: Some(scope.clone()), limit: PAGE_MAX, ..ResourceFilter::default() }
}

/// All rows, page by page.
async fn all(catalogue: &dyn Catalogue, mut filter: ResourceFilter) -> Vec<Resource> {
    let mut rows = vec![];
    loop {
        let page = catalogue.resources(&filter).await.unwrap();
        assert!(page.rows.len() <= usize::try_from(filter.limit.max(1)).unwrap());
        assert!(page.after.is_none() || !page.rows.is_empty());
        rows.extend(page.rows);
        match page.after {
            Some(after) => filter.after = Some(after),
            None => return rows,
        }
    }
}

pub(super) async fn versions_count_and_guard(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    let disk = disk("d");
    assert!(catalogue.resource(&disk.id).await.unwrap().is_none());
    assert_conflict(catalogue.apply(vec![Write::RequireResource(disk.id.clone(), 1)]).await);
    let update = |version| Write::PutResource(disk.clone(), Expect::Version(version));
    assert_conflict(catalogue.apply(vec![update(0)]).await);
    catalogue.apply(vec![put(&disk)]).await.unwrap();
    assert_eq!(catalogue.resource(&disk.id).await.unwrap().unwrap().version, 1);
    assert_conflict(catalogue.apply(vec![put(&disk)]).await);
    for version in [0, 2, 77, i64::MAX] {
        assert_conflict(catalogue.apply(vec![update(version)]).await);
    }
    catalogue.apply(vec![update(1)]).await.unwrap();
    assert_conflict(catalogue.apply(vec![update(1)]).await);
    assert_eq!(catalogue.resource(&disk.id).await.unwrap().unwrap().version, 2);
    catalogue.apply(vec![Write::RequireResource(disk.id.clone(), 2)]).await.unwrap();
    assert_conflict(catalogue.apply(vec![Write::RequireResource(disk.id.clone(), 1)]).await);
    let delete = Write::DeleteResource(disk.id.clone());
    catalogue.apply(vec![delete.clone(), delete]).await.unwrap();
    assert!(catalogue.resource(&disk.id).await.unwrap().is_none());
    catalogue.apply(vec![put(&disk)]).await.unwrap();
    assert_eq!(catalogue.resource(&disk.id).await.unwrap().unwrap().version, 1);
}

pub(super) async fn records_come_back_whole(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    let rows = [
        group("Rg"),
        disk("D"),
        snapshot("s"),
        vault(),
        deleted_vault(),
        policy("p"),
        instance("i", "d", "p", "g"),
    ];
    catalogue.apply(rows.iter().map(put).collect()).await.unwrap();
    for row in rows {
        let kept = catalogue.resource(&row.id).await.unwrap().unwrap();
        assert_eq!(kept, Resource { version: 1, ..row.clone() });
        assert_eq!(kept.id.as_str(), row.id.as_str());
        let listed = catalogue
            .resources(&ResourceFilter { kind: Some(row.id.kind()), ..below(&ResourceId::root()) })
            .await
            .unwrap();
        assert_eq!(listed.rows, [kept]);
    }
}

pub(super) async fn ids_ignore_case(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    catalogue.apply(vec![put(&disk("Data"))]).await.unwrap();
    let upper = ResourceId::parse(&disk_id("DATA").as_str().to_uppercase()).unwrap();
    let found = catalogue.resource(&upper).await.unwrap().unwrap();
    assert_eq!(found.id.name(), "Data");
    assert_conflict(catalogue.apply(vec![put(&disk("dATA"))]).await);
    let scope = ResourceId::parse(&group_id().as_str().to_uppercase()).unwrap();
    assert_eq!(catalogue.resources(&below(&scope)).await.unwrap().rows.len(), 1);
    catalogue.apply(vec![Write::DeleteResource(upper)]).await.unwrap();
    assert!(catalogue.resource(&disk_id("data")).await.unwrap().is_none());
}

pub(super) async fn scopes_do_not_match_siblings(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    // Each pair would be one in a pattern, or by a prefix that ends anywhere.
    let names = ["a_b", "aXb", "a_bc", "a_", "a", "a-b", "a.b", "a0", "a_b!", "ab", "a~"];
    for name in names {
        let group = group(name);
        let disk = group.id.join("providers/Microsoft.Compute/disks/d_1").unwrap();
        let Model::Disk(model) = self::disk("x").model else { unreachable!() };
        let disk = resource(disk, Model::Disk(model));
        catalogue.apply(vec![put(&group), put(&disk)]).await.unwrap();
    }
    for name in names {
        let scope = group(name).id;
        let rows = all(&*catalogue, below(&scope)).await;
        assert_eq!(keys(&rows), [format!("{}/providers/microsoft.compute/disks/d_1", scope.key())]);
    }
    let nothing = id("/resourceGroups/a_b/providers/Microsoft.Compute/disks/d_1");
    assert!(all(&*catalogue, below(&nothing)).await.is_empty());
    assert_eq!(all(&*catalogue, below(&id(""))).await.len(), 2 * names.len());
    assert_eq!(all(&*catalogue, below(&ResourceId::root())).await.len(), 2 * names.len());
    let disks = ResourceFilter { kind: Some("microsoft.compute/disks".into()), ..below(&id("")) };
    assert_eq!(all(&*catalogue, disks).await.len(), names.len());
}

pub(super) async fn pages_are_bounded_and_complete(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    let count = usize::try_from(PAGE_MAX).unwrap() + 1;
    let disks: Vec<Write> = (0..count).map(|n| put(&disk(&format!("d{n:05}")))).collect();
    catalogue.apply(disks).await.unwrap();
    let whole = ResourceFilter { limit: u32::MAX, ..ResourceFilter::default() };
    let page = catalogue.resources(&whole).await.unwrap();
    assert_eq!(page.rows.len(), count - 1);
    assert!(page.after.is_some());
    let kind = Some("microsoft.compute/disks".to_owned());
    for (limit, kind) in [(0, None), (7, None), (1000, kind.clone()), (1001, kind)] {
        let limited = ResourceFilter { limit, kind, ..ResourceFilter::default() };
        if limit == 0 {
            // A page is never empty while there are rows.
            assert_eq!(catalogue.resources(&limited).await.unwrap().rows.len(), 1);
            continue;
        }
        let rows = all(&*catalogue, limited).await;
        assert_eq!(rows.len(), count);
        assert!(rows.is_sorted_by(|a, b| a.id < b.id));
    }
    let exact = ResourceFilter { limit: 1, after: Some(disk_id("d00999").key().into()), ..whole };
    let page = catalogue.resources(&exact).await.unwrap();
    assert_eq!((page.rows.len(), page.after), (1, None));
}

pub(super) async fn cursors_survive_changes(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    catalogue.apply(["b", "d", "f", "h"].map(|n| put(&disk(n))).into()).await.unwrap();
    let first = ResourceFilter { limit: 2, ..below(&group_id()) };
    let page = catalogue.resources(&first).await.unwrap();
    assert_eq!(keys(&page.rows), [disk_id("b").key(), disk_id("d").key()]);
    // Rows come before and after the cursor, and the row it names goes.
    let changes = vec![
        put(&disk("a")),
        put(&disk("e")),
        put(&disk("z")),
        Write::DeleteResource(disk_id("d")),
        Write::DeleteResource(disk_id("f")),
    ];
    catalogue.apply(changes).await.unwrap();
    let rest = all(&*catalogue, ResourceFilter { after: page.after, ..first }).await;
    assert_eq!(keys(&rest), ["e", "h", "z"].map(|n| disk_id(n).key().to_owned()));
}

pub(super) async fn instances_are_found_by_what_they_name(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    let rows = [
        instance("one", "D1", "p1", "snaps"),
        instance("two", "d2", "p1", "snaps"),
        instance("three", "d_", "p2", "snaps2"),
    ];
    catalogue.apply(rows.iter().map(put).collect()).await.unwrap();
    let found = async |id: ResourceId| {
        let rows = catalogue.instances_naming(&id).await.unwrap();
        rows.iter().map(|row| row.id.name().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found(disk_id("d1")).await, ["one"]);
    assert_eq!(found(policy_id("P1")).await, ["one", "two"]);
    assert_eq!(found(id("/resourcegroups/SNAPS")).await, ["one", "two"]);
    assert_eq!(found(id("/resourceGroups/snaps2")).await, ["three"]);
    assert_eq!(found(vault_id()).await, Vec::<String>::new());
    // The same in pages, of one kind and of any.
    for kind in [Some("microsoft.dataprotection/backupvaults/backupinstances".into()), None] {
        let naming = Some(policy_id("P1"));
        let pages = ResourceFilter { naming, kind, limit: 1, ..ResourceFilter::default() };
        let rows = all(&*catalogue, pages).await;
        assert_eq!(keys(&rows), ["one", "two"].map(|n| instance_id(n).key().to_owned()));
    }
    let other = ResourceFilter {
        naming: Some(policy_id("p1")),
        kind: Some("microsoft.dataprotection/backupvaults/deletedbackupinstances".into()),
        ..ResourceFilter::default()
    };
    assert!(all(&*catalogue, other).await.is_empty());
    assert_eq!(found(disk_id("d")).await, Vec::<String>::new());
    // The policy changes, and then the instance goes.
    let moved = instance("one", "D1", "p2", "snaps");
    catalogue.apply(vec![Write::PutResource(moved, Expect::Version(1))]).await.unwrap();
    assert_eq!(found(policy_id("p1")).await, ["two"]);
    assert_eq!(found(policy_id("p2")).await, ["one", "three"]);
    catalogue.apply(vec![Write::DeleteResource(instance_id("one"))]).await.unwrap();
    assert_eq!(found(disk_id("d1")).await, Vec::<String>::new());
    assert_eq!(found(policy_id("p2")).await, ["three"]);
}

pub(super) async fn claims_have_one_holder(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    let claim =
        |name: &str, holder: &str| vec![Write::Claim { name: name.into(), holder: holder.into() }];
    let release = |name: &str, holder: &str| {
        vec![Write::Release { name: name.into(), holder: holder.into() }]
    };
    assert_eq!(catalogue.holder("n_").await.unwrap(), None);
    catalogue.apply(claim("n_", "a")).await.unwrap();
    catalogue.apply(claim("n_", "a")).await.unwrap();
    assert_conflict(catalogue.apply(claim("n_", "b")).await);
    catalogue.apply(claim("nX", "b")).await.unwrap();
    catalogue.apply(release("n_", "b")).await.unwrap();
    catalogue.apply(release("other", "b")).await.unwrap();
    assert_eq!(catalogue.holder("n_").await.unwrap().as_deref(), Some("a"));
    catalogue.apply(release("n_", "a")).await.unwrap();
    assert_eq!(catalogue.holder("n_").await.unwrap(), None);
    catalogue.apply(claim("n_", "b")).await.unwrap();
    assert_eq!(catalogue.holder("n_").await.unwrap().as_deref(), Some("b"));
}

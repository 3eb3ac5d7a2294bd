//! Removing the points of an instance that is gone for good: record by record, then row by row.

use super::Task;
use crate::catalogue::{PAGE_MAX, PointFilter, Write};
use crate::error::{Fault, Result};
use crate::service::{parse_key, stored};
use uuid::Uuid;

pub(super) async fn run(task: &Task, instance: Uuid) -> Result<()> {
    task.step("purge.points").await?;
    let filter = PointFilter { instance, from: None, to: None, after: None, limit: PAGE_MAX };
    loop {
        let page = task.service.catalogue.points(&filter).await?;
        if page.rows.is_empty() {
            break;
        }
        for point in page.rows {
            let (store, key) = (task.service.store.clone(), parse_key(&point.key)?);
            stored(move || store.remove_point(&key)).await?;
            task.apply(vec![
                Write::DeleteResource(point.snapshot.clone()),
                Write::DeleteGrants(point.snapshot),
                Write::DeletePoint { instance, key: point.key },
            ])
            .await?;
        }
    }
    let mut writes = task.endings(None).await?;
    writes.push(task.finish());
    task.apply(writes).await
}

/// Ends a purge that failed; the points are hidden already and can be purged again.
pub(super) async fn fail(task: &Task, fault: &Fault) -> Result<()> {
    let mut writes = task.endings(Some(fault)).await?;
    writes.push(task.finish());
    task.apply(writes).await
}

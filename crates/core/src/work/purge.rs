//! Removing the points of an instance that is gone for good: record by record, then row by row.

use super::Task;
use crate::catalogue::{PAGE_MAX, PointFilter, Write};
use crate::error::Result;
use crate::service::parse_key;
use uuid::Uuid;

/// True when everything is gone; false when a pinned point has to wait.
pub(super) async fn run(task: &Task, instance: Uuid) -> Result<bool> {
    task.step("purge.points").await?;
    let mut filter = PointFilter { instance, from: None, to: None, after: None, limit: PAGE_MAX };
    let mut all = true;
    loop {
        let page = task.service.catalogue.points(&filter).await?;
        for point in page.rows {
            if !task.remove_point(parse_key(&point.key)?).await? {
                all = false;
                continue;
            }
            task.apply(vec![
                Write::DeleteResource(point.snapshot.clone()),
                Write::DeleteGrants(point.snapshot),
                Write::DeletePoint { instance, key: point.key },
            ])
            .await?;
        }
        match page.after {
            Some(after) => filter.after = Some(after),
            None => break,
        }
    }
    if all {
        let mut writes = task.endings(None).await?;
        writes.push(task.finish());
        task.apply(writes).await?;
    }
    Ok(all)
}

//! Taking the point of a snapshot that a client made.

use super::Task;
use super::take::Steps;
use crate::catalogue::{Expect, Write};
use crate::error::{Fault, Result};
use crate::model::{Model, Provisioning, Resource, ResourceId};
use crate::service::{parse_key, stored, whole};
use std::collections::BTreeMap;

pub(super) async fn run(task: &Task, id: &ResourceId) -> Result<()> {
    task.step("snapshot.freeze").await?;
    let (_, snapshot) = task.service.snapshot(id).await?;
    let (_, disk) = task.service.disk(&snapshot.source).await?;
    whole(&disk)?;
    if disk.unique_id != snapshot.source_unique_id {
        return Err(Fault::not_found("disk", &snapshot.source).into());
    }
    let facts = BTreeMap::from([
        ("snapshot".into(), id.to_string()),
        ("disk".into(), snapshot.source.to_string()),
        ("disk_unique_id".into(), disk.unique_id.to_string()),
    ]);
    let steps = Steps { ingest: "snapshot.ingest", commit: "snapshot.commit" };
    let taken = task.take(&disk, parse_key(&snapshot.point)?, facts, steps).await?;
    let _change = task.service.change.lock().await;
    let (head, mut snapshot) = task.service.snapshot(id).await?;
    snapshot.provisioning = Provisioning::Succeeded;
    snapshot.size = taken.record.size;
    let version = head.version;
    let new = Resource { model: Model::Snapshot(snapshot), version: version + 1, ..head };
    let mut writes = vec![Write::PutResource(new, Expect::Version(version))];
    writes.extend(task.endings(None).await?);
    writes.push(task.finish());
    task.apply(writes).await
}

/// Ends a snapshot that could not be taken: nothing of it stays.
pub(super) async fn fail(task: &Task, id: &ResourceId, fault: &Fault) -> Result<()> {
    let _change = task.service.change.lock().await;
    let mut writes = task.endings(Some(fault)).await?;
    if let Ok((head, snapshot)) = task.service.snapshot(id).await {
        let (store, key) = (task.service.store.clone(), parse_key(&snapshot.point)?);
        stored(move || store.remove_point(&key)).await?;
        writes.push(Write::DeleteResource(head.id));
    }
    writes.push(task.finish());
    task.apply(writes).await
}

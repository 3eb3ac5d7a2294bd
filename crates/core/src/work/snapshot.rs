//! Taking the point of a snapshot that a client made.

use super::Task;
use super::take::Steps;
use crate::catalogue::{Expect, Write};
use crate::error::{Fault, Result};
use crate::model::{DoomedPoint, Model, Provisioning, Resource, ResourceId, Snapshot};
use crate::service::{parse_key, whole};
use std::collections::BTreeMap;
use uuid::Uuid;

pub(super) async fn run(task: &Task, id: &ResourceId, unique_id: Uuid) -> Result<()> {
    task.step("snapshot.freeze").await?;
    let snapshot = ours(task, id, unique_id).await?.1;
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
    let (head, mut snapshot) = ours(task, id, unique_id).await?;
    snapshot.provisioning = Provisioning::Succeeded;
    snapshot.size = taken.record.size;
    let version = head.version;
    let new = Resource { model: Model::Snapshot(snapshot), version: version + 1, ..head };
    let mut writes = vec![Write::PutResource(new, Expect::Version(version))];
    writes.extend(task.endings(None).await?);
    writes.push(task.finish());
    task.apply(writes).await
}

/// The snapshot that the request made; another of that name is not ours to complete.
async fn ours(task: &Task, id: &ResourceId, unique_id: Uuid) -> Result<(Resource, Snapshot)> {
    let (head, snapshot) = task.service.snapshot(id).await?;
    if snapshot.unique_id == unique_id {
        return Ok((head, snapshot));
    }
    Err(Fault::not_found("snapshot", id).into())
}

/// Ends a snapshot that could not be taken: nothing of it stays.
pub(super) async fn fail(
    task: &Task,
    id: &ResourceId,
    unique_id: Uuid,
    point: &str,
    fault: &Fault,
) -> Result<()> {
    let _change = task.service.change.lock().await;
    let mut writes = task.endings(Some(fault)).await?;
    if let Ok((head, _)) = ours(task, id, unique_id).await {
        writes.push(Write::DeleteResource(head.id));
    }
    let doomed = DoomedPoint { key: point.into(), disk: None };
    writes.push(task.service.discard(vec![], vec![doomed]));
    writes.push(task.finish());
    task.apply(writes).await
}

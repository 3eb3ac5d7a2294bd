//! The disk that work makes: reserved by the request, filled by a worker, then published or gone.
//!
//! A name is used again sooner than one thinks, so everything here asks for the unique id too.

use super::Task;
use crate::catalogue::{Expect, Write};
use crate::error::{Fault, Result};
use crate::model::{Disk, Model, Provisioning, Resource, ResourceId};
use crate::service::stored;
use tresor_store::PointKey;
use uuid::Uuid;

/// The row that the request wrote; another disk of that name is not ours to fill.
pub(super) async fn reserved(
    task: &Task,
    id: &ResourceId,
    unique_id: Uuid,
) -> Result<(Resource, Disk)> {
    let (head, disk) = task.service.disk(id).await?;
    if disk.unique_id == unique_id {
        return Ok((head, disk));
    }
    Err(Fault::not_found("disk", id).into())
}

/// Shows the disk as complete and ends the work well.
pub(super) async fn publish(task: &Task, id: &ResourceId, unique_id: Uuid) -> Result<()> {
    let _change = task.service.change.lock().await;
    let (head, mut disk) = reserved(task, id, unique_id).await?;
    disk.provisioning = Provisioning::Succeeded;
    let version = head.version;
    let new = Resource { model: Model::Disk(disk), version: version + 1, ..head };
    let mut writes = vec![Write::PutResource(new, Expect::Version(version))];
    writes.extend(task.endings(None).await?);
    writes.push(task.finish());
    task.apply(writes).await
}

/// Ends work that failed: the half-made disk goes, its name is free again.
pub(super) async fn fail(
    task: &Task,
    id: &ResourceId,
    unique_id: Uuid,
    fault: &Fault,
) -> Result<()> {
    unpin(task).await?;
    let _change = task.service.change.lock().await;
    let mut writes = task.endings(Some(fault)).await?;
    if let Ok((head, _)) = reserved(task, id, unique_id).await {
        writes.push(Write::DeleteResource(head.id));
    }
    writes.push(task.service.discard(vec![unique_id], vec![]));
    writes.push(task.finish());
    task.apply(writes).await
}

/// Keeps the point that the disk is made of, durably, until [`unpin`].
pub(super) async fn pin(task: &Task, point: PointKey) -> Result<()> {
    let (store, holder) = (task.service.store.clone(), holder(task));
    stored(move || store.pin(&point, &holder)).await.map(drop)
}

/// Lets the point go; one that is not held is fine.
pub(super) async fn unpin(task: &Task) -> Result<()> {
    let (store, holder) = (task.service.store.clone(), holder(task));
    stored(move || store.release_by(&holder)).await.map(drop)
}

fn holder(task: &Task) -> String {
    format!("work-{}", task.work.id.simple())
}

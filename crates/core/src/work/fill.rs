//! Filling a new disk from its origin: a snapshot, another disk or an image file.

use super::Task;
use super::meter::Meter;
use super::take::VolumeSink;
use crate::catalogue::{Expect, Write};
use crate::error::{Error, Fault, FaultKind, Result};
use crate::model::{Disk, Model, Origin, Provisioning, Resource, ResourceId};
use crate::service::{parse_key, stored};
use std::ops::Range;
use std::sync::Arc;
use tresor_disk::image::raw::RawImage;
use tresor_disk::{Purpose, View, Volume};
use tresor_store::Watch;
use uuid::Uuid;

/// Bytes that are copied at a time.
const PART: u64 = 4 << 20;

pub(super) async fn run(task: &Task, id: &ResourceId, unique_id: Uuid) -> Result<()> {
    task.step("fill.copy").await?;
    let disk = ours(task, id, unique_id).await?.1;
    let volume = task.service.volume(&disk).await?;
    task.meter.expect(disk.size);
    if task.work.fence > 1 {
        // The source may have changed since an earlier attempt: nothing of that may show through.
        let (stale, all) = (Arc::clone(&volume), 0..disk.size);
        off(move || Ok(stale.clear(all)?)).await?;
    }
    match &disk.origin {
        Origin::Copy { source, source_unique_id } => {
            copy(task, source, *source_unique_id, volume).await?;
        }
        Origin::Import { path, .. } => {
            let (path, allowed) = (path.clone(), task.service.settings.import.clone());
            let meter = Arc::clone(&task.meter);
            off(move || {
                let image = RawImage::open(&path, &allowed)?;
                parts(&image.extents(0..image.size())?, &meter, |part, buffer| {
                    image.read_at(buffer, part)?;
                    Ok(volume.write_at(buffer, part)?)
                })?;
                Ok(volume.flush()?)
            })
            .await?;
        }
        Origin::Empty | Origin::Upload { .. } | Origin::Restore { .. } => {}
    }
    task.step("fill.publish").await?;
    publish(task, id, unique_id).await
}

async fn copy(task: &Task, id: &ResourceId, unique_id: Uuid, to: Arc<Volume>) -> Result<()> {
    let source = task.service.find(id).await?;
    match source.as_ref().map(|r| &r.model) {
        Some(Model::Snapshot(snapshot)) if snapshot.unique_id == unique_id => {
            let (store, key) = (task.service.store.clone(), parse_key(&snapshot.point)?);
            let (keep, pinned, holder) = (store.clone(), key, holder(task));
            stored(move || keep.pin(&pinned, &holder)).await.map(drop)?;
            let (from, meter) = (store, Arc::clone(&task.meter));
            off(move || {
                let sink = VolumeSink(Arc::clone(&to));
                from.reader(&key)?.restore(&sink, &[], &*meter)?;
                Ok(to.flush()?)
            })
            .await?;
            unpin(task).await
        }
        Some(Model::Disk(disk)) if disk.unique_id == unique_id => {
            let (from, meter) = (task.service.volume(disk).await?, Arc::clone(&task.meter));
            off(move || {
                let view: View = from.freeze_for(Purpose::Copy)?;
                parts(&view.allocated(0..view.size())?, &meter, |part, buffer| {
                    view.read_at(buffer, part)?;
                    Ok(to.write_at(buffer, part)?)
                })?;
                view.abandon()?;
                Ok(to.flush()?)
            })
            .await
        }
        _ => Err(Fault::not_found("source", id).into()),
    }
}

/// Goes through ranges in parts, until cancelled.
fn parts(
    ranges: &[Range<u64>],
    meter: &Meter,
    mut each: impl FnMut(u64, &mut [u8]) -> Result<()>,
) -> Result<()> {
    let mut buffer = vec![0; usize::try_from(PART).unwrap_or_default()];
    for range in ranges {
        let mut at = range.start;
        while at < range.end {
            if meter.cancelled() {
                return Err(Fault::new(FaultKind::Cancelled, "The work was cancelled.").into());
            }
            let length = PART.min(range.end - at);
            let part = buffer.get_mut(..usize::try_from(length).unwrap_or_default());
            each(at, part.unwrap_or_default())?;
            meter.advance(length, 0);
            at += length;
        }
    }
    Ok(())
}

async fn off(call: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
    let done = tokio::task::spawn_blocking(call).await;
    done.map_err(|e| Error::internal("filling a disk", e))?
}

/// The disk that the request made; another of that name is not ours to fill.
async fn ours(task: &Task, id: &ResourceId, unique_id: Uuid) -> Result<(Resource, Disk)> {
    let (head, disk) = task.service.disk(id).await?;
    if disk.unique_id == unique_id {
        return Ok((head, disk));
    }
    Err(Fault::not_found("disk", id).into())
}

async fn publish(task: &Task, id: &ResourceId, unique_id: Uuid) -> Result<()> {
    let _change = task.service.change.lock().await;
    let (head, mut disk) = ours(task, id, unique_id).await?;
    disk.provisioning = Provisioning::Succeeded;
    let version = head.version;
    let new = Resource { model: Model::Disk(disk), version: version + 1, ..head };
    let mut writes = vec![Write::PutResource(new, Expect::Version(version))];
    writes.extend(task.endings(None).await?);
    writes.push(task.finish());
    task.apply(writes).await
}

/// Ends a disk that could not be filled: nothing of it stays.
pub(super) async fn fail(
    task: &Task,
    id: &ResourceId,
    unique_id: Uuid,
    fault: &Fault,
) -> Result<()> {
    unpin(task).await?;
    let _change = task.service.change.lock().await;
    let mut writes = task.endings(Some(fault)).await?;
    if let Ok((head, _)) = ours(task, id, unique_id).await {
        writes.push(Write::DeleteResource(head.id));
    }
    writes.push(task.service.discard(vec![unique_id], vec![]));
    writes.push(task.finish());
    task.apply(writes).await
}

fn holder(task: &Task) -> String {
    format!("fill-{}", task.work.id.simple())
}

async fn unpin(task: &Task) -> Result<()> {
    let (store, holder) = (task.service.store.clone(), holder(task));
    stored(move || store.release_by(&holder)).await.map(drop)
}

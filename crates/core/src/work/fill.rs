//! Filling a new disk from its origin: a snapshot, another disk or an image file.

use super::meter::Meter;
use super::take::VolumeSink;
use super::{Task, made};
use crate::error::{Error, Fault, FaultKind, Result};
use crate::model::{Model, Origin, ResourceId};
use crate::service::parse_key;
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
    let disk = made::reserved(task, id, unique_id).await?.1;
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
    made::publish(task, id, unique_id).await
}

async fn copy(task: &Task, id: &ResourceId, unique_id: Uuid, to: Arc<Volume>) -> Result<()> {
    let source = task.service.find(id).await?;
    match source.as_ref().map(|r| &r.model) {
        Some(Model::Snapshot(snapshot)) if snapshot.unique_id == unique_id => {
            let (store, key) = (task.service.store.clone(), parse_key(&snapshot.point)?);
            made::pin(task, key).await?;
            let (from, meter) = (store, Arc::clone(&task.meter));
            off(move || {
                let sink = VolumeSink(Arc::clone(&to));
                from.reader(&key)?.restore(&sink, &[], &*meter)?;
                Ok(to.flush()?)
            })
            .await?;
            made::unpin(task).await
        }
        Some(Model::Disk(disk)) if disk.unique_id == unique_id => {
            let (from, meter) = (task.service.volume(disk).await?, Arc::clone(&task.meter));
            off(move || {
                let view: View = from.freeze_for(Purpose::Copy)?;
                parts(&view.allocated(0..view.size())?, &meter, |part, buffer| {
                    view.read_at(buffer, part)?;
                    Ok(to.write_at(buffer, part)?)
                })?;
                view.abandon();
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

//! A restore: a new volume, filled from a pinned point, compared by sample, then published.
//!
//! The disk's row exists from the request on, as `Creating`, and holds the name; nobody can read
//! or write the disk before it is published. A restore that fails takes row and volume away again.

use super::take::{VolumeSink, base_of};
use super::{Task, made};
use crate::catalogue::Write;
use crate::error::{Error, Fault, FaultKind, Result};
use crate::model::{ResourceId, Transfer};
use crate::service::{parse_key, stored};
use std::ops::Range;
use std::sync::Arc;
use tresor_disk::Volume;
use tresor_store::{PointKey, Reader};
use uuid::Uuid;

/// Bytes after which what was copied is made durable and noted.
const SEGMENT: u64 = 1 << 30;
/// Places of the disk that are compared with the point at the end, and bytes at each.
const SAMPLES: usize = 32;
const SAMPLE_BYTES: u64 = 64 << 10;

pub(super) async fn run(
    task: &Task,
    instance: Uuid,
    point: &str,
    target: &ResourceId,
    unique_id: Uuid,
) -> Result<()> {
    task.step("restore.reserve").await?;
    let key = parse_key(point)?;
    let disk = made::reserved(task, target, unique_id).await?.1;
    let volume = task.service.volume_or_new(unique_id, disk.size).await?;
    if task.service.catalogue.point(instance, point).await?.is_none() {
        return Err(Fault::not_found("recovery point", point).into());
    }
    task.step("restore.pin").await?;
    made::pin(task, key).await?;
    task.step("restore.copy").await?;
    copy(task, &key, &volume).await?;
    task.step("restore.verify").await?;
    verify(task, &key, &volume).await?;
    made::unpin(task).await?;
    task.step("restore.publish").await?;
    made::publish(task, target, unique_id).await
}

/// Copies segment by segment; segments that an earlier attempt made durable are passed over.
async fn copy(task: &Task, key: &PointKey, volume: &Arc<Volume>) -> Result<()> {
    let (store, key) = (task.service.store.clone(), *key);
    let reader = Arc::new(stored(move || store.reader(&key)).await?);
    let size = reader.size();
    task.meter.expect(size);
    // The notes are of this volume: one that was made anew begins at the beginning.
    let generation = u128::from_be_bytes(volume.generation());
    let mut written = 0;
    let mut start = 0;
    while start < size {
        let segment = start..size.min(start.saturating_add(SEGMENT));
        start = segment.end;
        let step = format!("copied:{generation:x}:{}", segment.start);
        if let Some(note) = task.work.steps.get(&step) {
            written = note.as_u64().unwrap_or(written);
            tresor_store::Watch::advance(&*task.meter, segment.end - segment.start, 0);
            continue;
        }
        written += copy_segment(task, &reader, volume, segment).await?;
        task.apply(vec![task.done(&step, serde_json::json!(written))]).await?;
    }
    let Some(mut job) = task.job().await? else {
        return Ok(());
    };
    let stored = written;
    job.progress.transfer = Some(Transfer { read: stored, stored, ..Transfer::default() });
    task.apply(vec![Write::PutJob(job)]).await
}

async fn copy_segment(
    task: &Task,
    reader: &Arc<Reader>,
    volume: &Arc<Volume>,
    segment: Range<u64>,
) -> Result<u64> {
    let (reader, volume, meter) = (Arc::clone(reader), Arc::clone(volume), Arc::clone(&task.meter));
    let copied = tokio::task::spawn_blocking(move || -> Result<u64> {
        let sink = VolumeSink(Arc::clone(&volume));
        let restored = reader.restore_range(&sink, segment, &*meter)?;
        volume.flush()?;
        Ok(restored.bytes_written)
    });
    copied.await.map_err(|e| Error::internal("copying a recovery point", e))?
}

/// Compares a sample of the disk with the point, and its size.
async fn verify(task: &Task, key: &PointKey, volume: &Arc<Volume>) -> Result<()> {
    let (store, key, volume) = (task.service.store.clone(), *key, Arc::clone(volume));
    let random: Vec<u64> =
        (0..SAMPLES).map(|_| u64::from_le_bytes(task.service.env.bytes())).collect();
    let compared = tokio::task::spawn_blocking(move || -> Result<bool> {
        let reader = store.reader(&key)?;
        if reader.size() != volume.size() {
            return Ok(false);
        }
        let blocks = reader.size().div_ceil(SAMPLE_BYTES).max(1);
        for draw in random {
            let start = (draw % blocks) * SAMPLE_BYTES;
            let length = SAMPLE_BYTES.min(reader.size().saturating_sub(start));
            let length = usize::try_from(length).unwrap_or_default();
            let (mut wanted, mut found) = (vec![0; length], vec![0; length]);
            reader.read_at(&mut wanted, start)?;
            volume.read_at(&mut found, start)?;
            if wanted != found {
                return Ok(false);
            }
        }
        // The disk is this point now: its first backup needs to read only what changes from here.
        volume.freeze()?.adopt(base_of(&key, &reader.root()))?;
        Ok(true)
    });
    if compared.await.map_err(|e| Error::internal("comparing a restored disk", e))?? {
        return Ok(());
    }
    let message = "The restored disk differs from its recovery point.";
    Err(Fault::new(FaultKind::PointDamaged, message)
        .advise("Check the disk that holds the pool of volumes, then restore again.")
        .into())
}

//! Removing bytes that no resource names any more: volumes at once, points once nothing holds them.
//!
//! A point may still be pinned by a restore or copy, or be what a disk's change map is relative to;
//! removing the latter would make the next backup read the whole disk. Such a point waits.

use super::Task;
use super::take::base_key;
use crate::error::{Error, Result};
use crate::model::DoomedPoint;
use crate::service::{parse_key, volume_name};
use tresor_store::PointKey;
use uuid::Uuid;

/// True when everything is gone; false when something has to wait.
pub(super) async fn run(task: &Task, volumes: &[Uuid], points: &[DoomedPoint]) -> Result<bool> {
    task.step("discard.volumes").await?;
    for unique_id in volumes {
        task.service.remove_volume(*unique_id).await?;
    }
    task.step("discard.points").await?;
    let mut all = true;
    for point in points {
        let key = parse_key(&point.key)?;
        let gone = !names(task, point.disk, key).await? && task.remove_point(key).await?;
        all &= gone;
    }
    if all {
        task.apply(vec![task.finish()]).await?;
    }
    Ok(all)
}

/// Whether the change map of a disk that is still there is relative to the point.
async fn names(task: &Task, disk: Option<Uuid>, key: PointKey) -> Result<bool> {
    let Some(disk) = disk else { return Ok(false) };
    let (pool, name) = (task.service.pool.clone(), volume_name(disk)?);
    let base = tokio::task::spawn_blocking(move || match pool.open_volume(&name) {
        Ok(volume) => Ok(volume.base()),
        Err(error) if error.kind() == tresor_disk::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::from(error)),
    });
    let base = base.await.map_err(|e| Error::internal("looking at a volume", e))??;
    Ok(base.as_ref().and_then(base_key) == Some(key))
}

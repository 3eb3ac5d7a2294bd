//! A backup: a point of the disk, its row and its snapshot, in that order.

use super::Task;
use super::take::{Steps, Taken};
use crate::access;
use crate::catalogue::{Expect, Write};
use crate::error::{Fault, FaultKind, Result};
use crate::model::{
    Disk, DoomedPoint, Instance, Job, Model, Point, PointRef, PointState, Policy, Provisioning,
    Resource, ResourceId, Snapshot, Stamp,
};
use crate::retention;
use crate::service::{parse_key, running, whole};
use std::collections::BTreeMap;

const RECORD: &str = "backup.record";

pub(super) async fn run(task: &Task, id: &ResourceId, point: &str, snapshot: &str) -> Result<()> {
    task.step("backup.freeze").await?;
    let Some(mut job) = task.job().await? else {
        return Ok(());
    };
    if !task.did(RECORD) {
        let (head, instance) = task.service.instance(id).await?;
        if instance.unique_id != job.instance_unique_id {
            return Err(Fault::not_found("backup instance", id).into());
        }
        let (disk_head, disk) = source(task, &instance).await?;
        let steps = Steps { ingest: "backup.ingest", commit: "backup.commit" };
        let facts = facts(&head, &instance, &disk, &job);
        let taken = task.take(&disk, parse_key(point)?, facts, steps).await?;
        task.step(RECORD).await?;
        record(task, &mut job, (&disk_head, &disk), snapshot, taken).await?;
    }
    task.step("backup.settle").await?;
    let _change = task.service.change.lock().await;
    let mut writes = task.endings(None).await?;
    let instance = job.instance_unique_id;
    writes.extend(task.service.found_standing(&job.instance, instance, None).await?);
    writes.push(Write::Release { name: running(instance), holder: job.id.to_string() });
    writes.push(task.finish());
    task.apply(writes).await
}

/// The disk, once the identity may read it and write its snapshots.
async fn source(task: &Task, instance: &Instance) -> Result<(Resource, Disk)> {
    let (_, vault) = task.service.vault(&instance.vault).await?;
    let found = task.service.find(&instance.disk.id).await?;
    let disk = found.and_then(|r| r.as_disk().cloned().map(|d| (r, d)));
    let Some((head, disk)) = disk else {
        let message = format!("The managed disk '{}' no longer exists.", instance.disk.id);
        return Err(Fault::new(FaultKind::DiskNotFound, message)
            .advise("Restore the disk from a recovery point, or delete the backup instance.")
            .into());
    };
    whole(&disk)?;
    let group = &instance.snapshot_group;
    if task.service.find(group).await?.is_none() {
        let message = format!("The snapshot resource group '{group}' does not exist.");
        return Err(Fault::new(FaultKind::SnapshotGroupNotFound, message)
            .advise("Create the group again with the same name and give the identity its role.")
            .into());
    }
    let needs = access::backup_needs(&instance.disk.id, group);
    task.service.check_rights(&vault, instance.identity.as_ref(), needs).await?;
    task.service.check_snapshot_quota(&disk).await?;
    Ok((head, disk))
}

/// What the store keeps with the point, so that it can be told apart without the catalogue.
fn facts(head: &Resource, instance: &Instance, disk: &Disk, job: &Job) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("instance".into(), head.id.to_string()),
        ("instance_unique_id".into(), instance.unique_id.to_string()),
        ("vault".into(), instance.vault.to_string()),
        ("disk".into(), instance.disk.id.to_string()),
        ("disk_unique_id".into(), disk.unique_id.to_string()),
        ("policy".into(), instance.policy.to_string()),
        ("tag".into(), job.tag.clone().unwrap_or_default()),
        ("job".into(), job.id.to_string()),
    ])
}

/// Lists the point and makes its snapshot, in one instant, while the instance still exists.
async fn record(
    task: &Task,
    job: &mut Job,
    (disk_head, disk): (&Resource, &Disk),
    name: &str,
    taken: Taken,
) -> Result<()> {
    let service = &task.service;
    let _change = service.change.lock().await;
    let (head, instance) = service.instance(&job.instance).await?;
    if instance.unique_id != job.instance_unique_id {
        return Err(Fault::not_found("backup instance", &job.instance).into());
    }
    let (policy_head, policy) = rules(task, job, &instance).await?;
    let tag = job.tag.clone().unwrap_or_default();
    let record = taken.record;
    let expires = match crate::policy::retention_of(&policy, &tag) {
        Some(rule) => Some(retention::expires(record.time, rule)?),
        None => None,
    };
    let snapshot_id = snapshot_id(&instance.snapshot_group, name)?;
    let point = Point {
        key: record.key.to_string(),
        instance: instance.unique_id,
        time: record.time,
        expires,
        friendly_name: name.to_owned(),
        snapshot: snapshot_id.clone(),
        size: record.size,
        tag,
        tag_version: policy_head.modified.at,
        policy_name: policy_head.id.name().to_owned(),
        store: service.store.id(),
        job: job.id,
        state: PointState::Completed,
        sku: disk.sku.clone(),
    };
    let snapshot = snapshot(task, &head, &instance, (disk_head, disk), &point, snapshot_id);
    job.made = Some(PointRef { key: point.key.clone(), time: point.time });
    job.progress.transfer = taken.transfer.or_else(|| job.progress.transfer.take());
    let kept = Job { step: RECORD.into(), ..job.clone() };
    task.apply(vec![
        Write::PutPoint(point),
        Write::PutResource(snapshot, Expect::Absent),
        Write::PutJob(kept),
        task.done(RECORD, serde_json::Value::Null),
    ])
    .await
}

/// The policy by which the tag was chosen; the instance may have moved to another one meanwhile.
async fn rules(task: &Task, job: &Job, instance: &Instance) -> Result<(Resource, Policy)> {
    let found = task.service.find(&job.policy).await?;
    match found.and_then(|r| r.as_policy().cloned().map(|policy| (r, policy))) {
        Some(found) => Ok(found),
        None => task.service.policy(&instance.policy).await,
    }
}

fn snapshot_id(group: &ResourceId, name: &str) -> Result<ResourceId> {
    let id = group.join(&format!("providers/Microsoft.Compute/snapshots/{name}"));
    id.map_err(|e| crate::error::Error::internal("naming a snapshot", e))
}

fn snapshot(
    task: &Task,
    head: &Resource,
    instance: &Instance,
    (disk_head, disk): (&Resource, &Disk),
    point: &Point,
    id: ResourceId,
) -> Resource {
    let model = Snapshot {
        unique_id: task.service.env.uuid(),
        size: point.size,
        source: instance.disk.id.clone(),
        source_unique_id: disk.unique_id,
        incremental: true,
        point: point.key.clone(),
        made_by: Some(head.id.clone()),
        provisioning: Provisioning::Succeeded,
        sku: "Standard_LRS".into(),
        attributes: BTreeMap::new(),
    };
    let stamp = Stamp { by: instance.vault.name().to_owned(), at: point.time };
    Resource {
        id,
        location: disk_head.location.clone(),
        tags: BTreeMap::from([
            ("CreatedBy".into(), "Tresor".into()),
            ("BackupInstance".into(), head.id.to_string()),
            ("BackupPolicy".into(), point.policy_name.clone()),
            ("RecoveryPoint".into(), point.key.clone()),
        ]),
        created: stamp.clone(),
        modified: stamp,
        version: 1,
        model: Model::Snapshot(model),
    }
}

/// Ends a failed backup: a point that was committed but never listed is taken back.
pub(super) async fn fail(task: &Task, id: &ResourceId, point: &str, fault: &Fault) -> Result<()> {
    let Some(job) = task.job().await? else {
        return task.apply(vec![task.finish()]).await;
    };
    let _change = task.service.change.lock().await;
    let listed = task.service.catalogue.point(job.instance_unique_id, point).await?.is_some();
    let mut writes = task.endings(Some(fault)).await?;
    if !listed {
        let unlisted = DoomedPoint { key: point.into(), disk: None };
        writes.push(task.service.discard(vec![], vec![unlisted]));
    }
    let owner = job.instance_unique_id;
    writes.extend(task.service.found_standing(&job.instance, owner, Some(fault)).await?);
    let name = running(owner);
    writes.push(Write::Release { name, holder: job.id.to_string() });
    writes.push(task.finish());
    tracing::warn!(instance = %id, job = %job.id, "a backup failed");
    task.apply(writes).await
}

//! Restores: checked twice, and the new disk's name reserved in the instant the job is written.

use super::consent::Intent;
use super::prerequisite::{check_identity_id, chosen_user};
use super::{Caller, Service};
use crate::access::{self, Need};
use crate::catalogue::{CatalogueError, Expect, Write};
use crate::error::{Fault, FaultKind, Result};
use crate::guard::Critical;
use crate::model::{
    DataStore, Datasource, Disk, DiskState, IdentityChoice, Instance, JobCategory, Model,
    Operation, Origin, Point, PointRef, PointState, Provisioning, Resource, ResourceId, Vault,
    WorkKind,
};
use std::collections::BTreeMap;

/// A restore as a client wants it.
#[derive(Clone, Debug)]
pub struct RestoreSpec {
    /// Key of the recovery point.
    pub point: String,
    /// The store to restore from.
    pub source: DataStore,
    /// The disk to make.
    pub target: Datasource,
    /// Its location; None is the source disk's.
    pub location: Option<String>,
    /// Which identity of the vault works for it.
    pub identity: Option<IdentityChoice>,
}

impl Service {
    /// Runs every check of a restore and changes nothing.
    ///
    /// # Errors
    /// `NotFound`, `InvalidInput` with the field. Everything else is the operation's failure.
    pub async fn validate_restore(
        &self,
        caller: &Caller,
        id: &ResourceId,
        spec: RestoreSpec,
    ) -> Result<Operation> {
        let (_, instance) = self.instance(id).await?;
        let (vault_head, vault) = self.vault(&instance.vault).await?;
        check_restore(&spec)?;
        let point = self.point(id, &spec.point).await?;
        let result = self.check_target(&vault, &instance, &point, &spec).await;
        let operation = self.settled(self.begin(caller, &vault_head.id, vault.unique_id), result);
        self.apply(vec![Write::PutOperation(operation.clone())]).await?;
        Ok(operation)
    }

    /// Queues a restore; the operation ends at once and names the job.
    ///
    /// # Errors
    /// As [`Service::validate_restore`]; `GuardRefused` without the consent of the vault's guard.
    pub async fn restore_start(
        &self,
        caller: &Caller,
        id: &ResourceId,
        spec: RestoreSpec,
    ) -> Result<Operation> {
        let _change = self.change.lock().await;
        let (head, instance) = self.instance(id).await?;
        let (vault_head, vault) = self.vault(&instance.vault).await?;
        check_restore(&spec)?;
        let point = self.point(id, &spec.point).await?;
        let operations = &[Critical::Restore];
        let intent = Intent { vault: &vault_head.id, on: id, operations, deletes: None };
        self.consent(caller, intent).await?;
        let mut operation = self.begin(caller, &vault_head.id, vault.unique_id);
        let most = self.settings.limits.table().restores_per_day;
        let mut checked = self.check_target(&vault, &instance, &point, &spec).await;
        if checked.is_ok() {
            checked = self.check_daily(&instance, JobCategory::Restore, most).await;
        }
        if let Err(error) = checked {
            return self.end_failed(operation, super::operation::log(error)).await;
        }
        let mut job = self.new_job(caller, &head, &instance, JobCategory::Restore);
        job.source = Some(PointRef { key: point.key.clone(), time: point.time });
        job.target = Some(spec.target.id.clone());
        job.progress.total = point.size;
        let disk = self.reserved(caller, &vault_head, &point, &spec, job.id);
        let Some(unique_id) = disk.as_disk().map(|d| d.unique_id) else {
            return Err(Fault::not_found("disk", &spec.target.id).into());
        };
        let kind = WorkKind::Restore {
            instance: instance.unique_id,
            point: point.key.clone(),
            target: spec.target.id.clone(),
            unique_id,
            location: disk.location.clone(),
        };
        operation.job = Some(super::backup::job_id(&vault_head.id, job.id)?);
        operation = self.done(operation);
        let work = self.work(kind, None, Some(job.id));
        let writes = vec![
            Write::PutResource(disk, Expect::Absent),
            Write::PutJob(job),
            Write::AddWork(work),
            Write::PutOperation(operation.clone()),
        ];
        match self.commit(writes).await {
            Ok(()) => {
                self.nudge.notify_one();
                Ok(operation)
            }
            Err(CatalogueError::Conflict(_)) => {
                operation.job = None;
                self.end_failed(operation, name_taken(&spec.target.id)).await
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The row that holds the new disk's name while its bytes come.
    fn reserved(
        &self,
        caller: &Caller,
        vault: &Resource,
        point: &Point,
        spec: &RestoreSpec,
        job: uuid::Uuid,
    ) -> Resource {
        let disk = Disk {
            unique_id: self.env.uuid(),
            size: point.size,
            origin: Origin::Restore { source: point.snapshot.clone() },
            state: DiskState::Unattached,
            provisioning: Provisioning::Creating,
            restored_by: Some(job),
            sku: point.sku.clone(),
            attributes: BTreeMap::new(),
        };
        let location = super::canonical_location(&vault.location);
        let model = Model::Disk(disk);
        self.written(caller, None, &spec.target.id, &location, BTreeMap::new(), model)
    }

    async fn check_target(
        &self,
        vault: &Vault,
        instance: &Instance,
        point: &Point,
        spec: &RestoreSpec,
    ) -> Result<()> {
        let home = self.vault(&instance.vault).await?.0;
        let (vault_id, home) = (home.id, home.location);
        let wanted = spec.location.as_deref().or(spec.target.location.as_deref());
        if let Some(wanted) = wanted
            && super::canonical_location(wanted) != super::canonical_location(&home)
        {
            let message = format!(
                "restoreLocation: the snapshot is in '{home}' and cannot be restored in '{wanted}'."
            );
            return Err(Fault::new(FaultKind::RegionMismatch, message)
                .at("restoreTargetInfo.restoreLocation")
                .into());
        }
        let target = &spec.target.id;
        if !vault.cross_subscription.allows(&vault_id, target) {
            let message = "The vault does not allow restores to other subscriptions.";
            return Err(Fault::new(FaultKind::CrossSubscriptionRefused, message)
                .at("restoreTargetInfo.datasourceInfo.resourceID")
                .into());
        }
        let group = target.group_id().ok_or_else(|| target_group_missing(target))?;
        let ours = self.subscription.to_string();
        let there = target.subscription() == Some(ours.as_str())
            && self.catalogue.resource(&group).await?.is_some();
        if !there {
            return Err(target_group_missing(target).into());
        }
        if self.catalogue.resource(target).await?.is_some() {
            return Err(name_taken(target).into());
        }
        if point.state == PointState::Partial {
            let message = "The recovery point is damaged and cannot be restored whole.";
            return Err(Fault::new(FaultKind::PointDamaged, message)
                .advise("Use another recovery point.")
                .into());
        }
        let mut needs = access::restore_needs(&group);
        needs.extend(snapshot_needs(&instance.disk.id, &instance.snapshot_group));
        self.check_rights(vault, spec.identity.as_ref(), needs).await
    }
}

/// Reading the snapshot: a restore needs it as much as a backup does.
fn snapshot_needs(disk: &ResourceId, group: &ResourceId) -> Vec<Need> {
    let reads =
        ["Microsoft.Compute/snapshots/read", "Microsoft.Compute/snapshots/beginGetAccess/action"];
    access::backup_needs(disk, group).into_iter().filter(|n| reads.contains(&n.action)).collect()
}

fn check_restore(spec: &RestoreSpec) -> Result<()> {
    if let Some(user) = spec.identity.as_ref().and_then(chosen_user) {
        check_identity_id("identityDetails.userAssignedIdentityArmUrl", user)?;
    }
    if spec.source != DataStore::Operational {
        let message = "sourceDataStoreType must be OperationalStore for disks.";
        return Err(Fault::invalid("sourceDataStoreType", message).into());
    }
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    if spec.point.len() != 32 || !spec.point.chars().all(hex) {
        let message = "recoveryPointId must be 32 lower-case hex digits.";
        return Err(Fault::invalid("recoveryPointId", message).into());
    }
    if spec.target.id.kind() != super::resource::DISKS || spec.target.id.group().is_none() {
        let field = "restoreTargetInfo.datasourceInfo.resourceID";
        let message =
            format!("resourceID: '{}' is not a Microsoft.Compute/disks id.", spec.target.id);
        return Err(Fault::invalid(field, message).into());
    }
    let usable = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if spec.target.id.name().len() > 80 || !spec.target.id.name().chars().all(usable) {
        let field = "restoreTargetInfo.datasourceInfo.resourceID";
        let message = "resourceID: a disk's name has up to 80 letters, digits, '-', '_' or '.'.";
        return Err(Fault::invalid(field, message).into());
    }
    Ok(())
}

fn name_taken(target: &ResourceId) -> Fault {
    let message = format!(
        "Could not restore as a disk with the same name already exists in the target resource \
         group: '{target}'."
    );
    Fault::new(FaultKind::DiskNameTaken, message)
        .at(target.as_str())
        .advise("Provide a different disk name.")
}

fn target_group_missing(target: &ResourceId) -> Fault {
    let name = target.group().unwrap_or_default();
    let message = format!("The target resource group '{name}' does not exist.");
    Fault::new(FaultKind::TargetGroupNotFound, message)
        .at(target.as_str())
        .advise("Provide a valid resource group to restore into.")
}

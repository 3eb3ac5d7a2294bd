//! Backup instances: protecting a disk, pausing that, and ending it.
//!
//! A disk has at most one protector: its name is claimed together with the row of the instance and
//! given back together with it. What a request gets wrong is refused at once; what is missing
//! around it (roles, region, groups) fails its operation and is kept with the instance, so that the
//! same request succeeds once it is mended.

use super::consent::Intent;
use super::resource::INSTANCES;
use super::{Caller, Outcome, Service};
use crate::catalogue::{Expect, Write};
use crate::error::{Fault, FaultKind, Result};
use crate::guard::{self, Critical, Verdict};
use crate::model::{
    Datasource, Deletion, Disk, DiskState, IdentityChoice, Instance, Model, Operation,
    ProtectionState, Provisioning, Resource, ResourceId, Unlocked, WorkKind,
};
use std::collections::BTreeMap;

/// A backup instance as a client wants it.
#[derive(Clone, Debug)]
pub struct InstanceSpec {
    /// Its id; None when only validated.
    pub id: Option<ResourceId>,
    /// Its tags; None keeps them.
    pub tags: Option<BTreeMap<String, String>>,
    /// Name shown to people; None takes the disk's.
    pub friendly_name: Option<String>,
    /// The disk.
    pub disk: Datasource,
    /// The datasource set as sent.
    pub disk_set: Option<Datasource>,
    /// The policy.
    pub policy: ResourceId,
    /// The group that gets the snapshots.
    pub snapshot_group: Option<ResourceId>,
    /// Which identity of the vault works for it.
    pub identity: Option<IdentityChoice>,
    /// Whether to validate as validateForBackup does before anything is made.
    pub deep: bool,
}

/// How protection can be paused and resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// No backups, points kept for ever.
    Stop,
    /// No backups, points expire by policy.
    Suspend,
    /// Back to normal after a stop.
    ResumeProtection,
    /// Back to normal after a suspension.
    ResumeBackups,
}

impl Service {
    /// Protects a disk, or changes the policy or name of an instance.
    ///
    /// # Errors
    /// `InvalidInput` with the field; `DatasourceAlreadyProtected`; `SnapshotGroupChanged`. What is
    /// missing around the request fails the operation instead. `GuardRefused` when the policy
    /// changes and the vault's guard does not consent.
    pub async fn instance_put(&self, caller: &Caller, spec: InstanceSpec) -> Result<Outcome> {
        let _change = self.change.lock().await;
        let id = spec.id.clone().ok_or_else(|| Fault::invalid("id", "The name is missing."))?;
        let vault_id = id.parent().ok_or_else(|| Fault::not_found("backup vault", &id))?;
        let (vault_head, vault) = self.vault(&vault_id).await?;
        let old = self.catalogue.resource(&id).await?;
        let before = old.as_ref().and_then(Resource::as_instance).cloned();
        self.check_spec(&vault_head, before.as_ref(), &spec).await?;
        if before.as_ref().is_some_and(|b| b.policy != spec.policy) {
            let operations = &[Critical::ChangePolicy];
            let intent = Intent { vault: &vault_head.id, on: &id, operations, deletes: None };
            self.consent(caller, intent).await?;
        }
        if before.is_none() {
            self.check_count(&vault_head.id, INSTANCES).await?;
        }
        let verdict = self.check_around(&vault_head, &vault, &spec, before.as_ref()).await;
        let fault = verdict.err().map(super::operation::log);
        if let (true, Some(fault)) = (spec.deep, &fault) {
            return Err(fault.clone().into());
        }
        let disk = self.find(&spec.disk.id).await?;
        let disk_unique_id = disk.as_ref().and_then(Resource::as_disk).map(|d| d.unique_id);
        let disk_unique_id = disk_unique_id.unwrap_or_default();
        let protects = fault.is_none() || before.as_ref().is_some_and(Instance::holds_its_disk);
        let kept = old.as_ref().map(|o| o.tags.clone()).unwrap_or_default();
        let tags = spec.tags.clone().unwrap_or(kept);
        let instance = Instance {
            unique_id: before.as_ref().map_or_else(|| self.env.uuid(), |i| i.unique_id),
            vault: vault_head.id.clone(),
            vault_unique_id: vault.unique_id,
            friendly_name: spec.friendly_name.unwrap_or_else(|| spec.disk.id.name().into()),
            disk_unique_id: before.as_ref().map_or(disk_unique_id, |b| b.disk_unique_id),
            snapshot_group: spec.snapshot_group.unwrap_or_else(ResourceId::root),
            disk: spec.disk,
            disk_set: spec.disk_set,
            policy: spec.policy,
            identity: spec.identity,
            state: next_state(before.as_ref(), fault.is_some()),
            error: fault.clone(),
            deletion: None,
        };
        let name = protector(&instance.disk.id);
        let claim = Write::Claim { name, holder: instance.unique_id.to_string() };
        let new = self.written(caller, old.as_ref(), &id, "", tags, Model::Instance(instance));
        let begun = self.begin(caller, &new.id, vault.unique_id);
        let operation = match fault {
            None => self.done(begun),
            Some(fault) => self.failed(begun, fault),
        };
        let expect = old.as_ref().map_or(Expect::Absent, |o| Expect::Version(o.version));
        let mut writes =
            vec![Write::PutResource(new.clone(), expect), Write::PutOperation(operation.clone())];
        // Who could not protect the disk does not keep others from it.
        writes.extend(protects.then_some(claim));
        self.apply(writes).await?;
        Ok(Outcome { resource: new, operation, created: old.is_none() })
    }

    /// Runs every check of protecting a disk and changes nothing.
    ///
    /// # Errors
    /// `InvalidInput` with the field; `DatasourceAlreadyProtected`. Everything else is the
    /// operation's failure.
    pub async fn validate_backup(
        &self,
        caller: &Caller,
        vault: &ResourceId,
        spec: InstanceSpec,
    ) -> Result<Operation> {
        let (head, model) = self.vault(vault).await?;
        self.check_spec(&head, None, &spec).await?;
        let result = self.check_around(&head, &model, &spec, None).await;
        let operation = self.settled(self.begin(caller, &head.id, model.unique_id), result);
        self.apply(vec![Write::PutOperation(operation.clone())]).await?;
        Ok(operation)
    }

    /// Runs every check of changing an instance and changes nothing.
    ///
    /// # Errors
    /// As [`Service::instance_put`].
    pub async fn validate_modify(
        &self,
        caller: &Caller,
        id: &ResourceId,
        spec: InstanceSpec,
    ) -> Result<Operation> {
        let (_, before) = self.instance(id).await?;
        let (head, model) = self.vault(&before.vault).await?;
        self.check_spec(&head, Some(&before), &spec).await?;
        let result = self.check_around(&head, &model, &spec, Some(&before)).await;
        let operation = self.settled(self.begin(caller, id, model.unique_id), result);
        self.apply(vec![Write::PutOperation(operation.clone())]).await?;
        Ok(operation)
    }

    /// Ends protection. By the vault's soft delete the points stay for a while or go.
    ///
    /// # Errors
    /// `GuardRefused` without the consent of the vault's guard.
    pub async fn instance_delete(
        &self,
        caller: &Caller,
        id: &ResourceId,
    ) -> Result<Option<Operation>> {
        let _change = self.change.lock().await;
        let Some(old) = self.catalogue.resource(id).await? else {
            return Ok(None);
        };
        let Some(mut instance) = old.as_instance().cloned() else {
            return Ok(None);
        };
        let (_, vault) = self.vault(&instance.vault).await?;
        let operations = &[Critical::DeleteInstance];
        let deletes = Some(Unlocked::Instance(instance.unique_id));
        let home = &instance.vault;
        let spent =
            self.consent(caller, Intent { vault: home, on: id, operations, deletes }).await?;
        let now = self.env.domain();
        let begun = self.begin(caller, id, vault.unique_id);
        let holder = instance.unique_id.to_string();
        let mut writes = vec![
            Write::RequireResource(id.clone(), old.version),
            Write::DeleteResource(id.clone()),
            Write::Release { name: protector(&instance.disk.id), holder },
        ];
        let operation = match guard::delete_instance(&vault, now) {
            Verdict::KeepUntil(purge_at) => {
                instance.deletion = Some(Deletion {
                    was: old.id.clone(),
                    at: now,
                    purge_at,
                    activity: caller.correlation,
                    state_before: instance.state,
                });
                instance.state = ProtectionState::SoftDeleted;
                let id = self.deleted_id(&instance, id).await?;
                let model = Model::Instance(instance);
                let modified = self.stamp(caller);
                let new = Resource { id, modified, version: 1, model, ..old.clone() };
                writes.push(Write::PutResource(new, Expect::Absent));
                self.done(begun)
            }
            Verdict::DeleteNow => {
                let kind = WorkKind::Purge { instance: instance.unique_id };
                writes.push(Write::AddWork(self.work(kind, Some(begun.id), None)));
                begun
            }
        };
        writes.extend(spent);
        writes.push(Write::PutOperation(operation.clone()));
        self.apply(writes).await?;
        self.nudge.notify_one();
        Ok(Some(operation))
    }

    /// Pauses or resumes protection; None when there is nothing to do.
    ///
    /// # Errors
    /// `NotFound`; `InstanceState` when the instance is in no state for it; `GuardRefused` when
    /// protection pauses and the vault's guard does not consent.
    pub async fn transition(
        &self,
        caller: &Caller,
        id: &ResourceId,
        transition: Transition,
    ) -> Result<Option<Operation>> {
        use ProtectionState::{Configured, Error, Stopped, Suspended};
        let _change = self.change.lock().await;
        let (old, mut instance) = self.instance(id).await?;
        let next = match (transition, instance.state) {
            (Transition::Stop, Configured | Error | Suspended) => Stopped,
            (Transition::Suspend, Configured | Error | Stopped) => Suspended,
            (Transition::ResumeProtection | Transition::ResumeBackups, Stopped | Suspended) => {
                Configured
            }
            (Transition::Stop, Stopped) | (Transition::Suspend, Suspended) => return Ok(None),
            (Transition::ResumeProtection | Transition::ResumeBackups, Configured | Error) => {
                return Ok(None);
            }
            _ => {
                let message = format!(
                    "The backup instance '{}' is not protected: {:?}.",
                    id.name(),
                    instance.state
                );
                return Err(Fault::new(FaultKind::InstanceState, message)
                    .advise("Mend what its protectionErrorDetails name, then PUT it again.")
                    .into());
            }
        };
        if next == Configured {
            self.require_policy(&instance).await?;
        }
        let operations: &[Critical] = match transition {
            Transition::Stop => &[Critical::StopProtection],
            Transition::Suspend => &[Critical::SuspendBackups],
            Transition::ResumeProtection | Transition::ResumeBackups => &[],
        };
        let home = &instance.vault;
        let intent = Intent { vault: home, on: id, operations, deletes: None };
        self.consent(caller, intent).await?;
        instance.state = next;
        let (_, vault) = self.vault(&instance.vault).await?;
        let tags = old.tags.clone();
        let new = self.written(caller, Some(&old), id, "", tags, Model::Instance(instance));
        let operation = self.done(self.begin(caller, id, vault.unique_id));
        self.apply(vec![
            Write::PutResource(new, Expect::Version(old.version)),
            Write::PutOperation(operation.clone()),
        ])
        .await?;
        Ok(Some(operation))
    }

    /// Refuses to resume by a policy that was deleted while nothing was protected by it.
    async fn require_policy(&self, instance: &Instance) -> Result<()> {
        let found = self.catalogue.resource(&instance.policy).await?;
        if found.as_ref().and_then(Resource::as_policy).is_some() {
            return Ok(());
        }
        let message = format!("The backup policy '{}' no longer exists.", instance.policy.name());
        Err(Fault::new(FaultKind::InstanceState, message)
            .at(instance.policy.as_str())
            .advise("PUT the backup instance with another policy, then resume its protection.")
            .into())
    }

    async fn deleted_id(&self, instance: &Instance, id: &ResourceId) -> Result<ResourceId> {
        let plain = format!("deletedBackupInstances/{}", id.name());
        let fail = |e| crate::error::Error::internal("naming a deleted instance", e);
        let kept = instance.vault.join(&plain).map_err(fail)?;
        if self.catalogue.resource(&kept).await?.is_none() {
            return Ok(kept);
        }
        let name = format!("{plain}-{}", instance.unique_id.simple());
        instance.vault.join(&name).map_err(fail)
    }
}

/// The claim that makes a disk's protector the only one.
pub(crate) fn protector(disk: &ResourceId) -> String {
    format!("protect:{}", disk.key())
}

fn next_state(before: Option<&Instance>, failed: bool) -> ProtectionState {
    match (before.map(|b| b.state), failed) {
        (None | Some(ProtectionState::ConfiguringFailed | ProtectionState::Configuring), true) => {
            ProtectionState::ConfiguringFailed
        }
        (Some(kept @ (ProtectionState::Stopped | ProtectionState::Suspended)), _) => kept,
        (Some(_), true) => ProtectionState::Error,
        (_, false) => ProtectionState::Configured,
    }
}

/// Refuses a disk that is not whole.
pub(crate) fn whole(disk: &Disk) -> Result<()> {
    let (why, advice) = match (disk.provisioning, disk.state) {
        (Provisioning::Succeeded, DiskState::ReadyToUpload | DiskState::ActiveUpload) => {
            ("The disk is still being uploaded.", "Call endGetAccess when the upload is done.")
        }
        (Provisioning::Succeeded, _) => return Ok(()),
        _ => ("The disk is still being created.", "Wait until it is complete."),
    };
    Err(Fault::new(FaultKind::Conflict, why).advise(advice).into())
}

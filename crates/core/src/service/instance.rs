//! Backup instances: protecting a disk, pausing that, and ending it.
//!
//! A disk has at most one protector: its name is claimed together with the row of the instance and
//! given back together with it. What a request gets wrong is refused at once; what is missing
//! around it (roles, region, groups) fails its operation and is kept with the instance, so that the
//! same request succeeds once it is mended.

use super::resource::INSTANCES;
use super::{Caller, Outcome, Service};
use crate::access::{self, Need};
use crate::catalogue::{Expect, Write};
use crate::error::{Fault, FaultKind, Result};
use crate::guard::{self, Verdict};
use crate::model::{
    Datasource, Deletion, Disk, IdentityChoice, Instance, Model, Operation, ProtectionState,
    Provisioning, Resource, ResourceId, Vault, WorkKind,
};
use std::collections::BTreeMap;
use uuid::Uuid;

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
    /// missing around the request fails the operation instead.
    pub async fn instance_put(&self, caller: &Caller, spec: InstanceSpec) -> Result<Outcome> {
        let _change = self.change.lock().await;
        let id = spec
            .id
            .clone()
            .ok_or_else(|| Fault::invalid("id", "The name is missing."))?;
        let vault_id = id
            .parent()
            .ok_or_else(|| Fault::not_found("backup vault", &id))?;
        let (vault_head, vault) = self.vault(&vault_id).await?;
        let old = self.catalogue.resource(&id).await?;
        let before = old.as_ref().and_then(Resource::as_instance).cloned();
        self.check_spec(&vault_head, before.as_ref(), &spec).await?;
        if before.is_none() {
            self.check_count(&vault_head.id, INSTANCES).await?;
        }
        let verdict = self
            .check_around(&vault_head, &vault, &spec, before.as_ref())
            .await;
        let fault = verdict.err().map(super::operation::log);
        if let (true, Some(fault)) = (spec.deep, &fault) {
            return Err(fault.clone().into());
        }
        let disk = self.find(&spec.disk.id).await?;
        let disk_unique_id = disk
            .as_ref()
            .and_then(Resource::as_disk)
            .map(|d| d.unique_id);
        let instance = Instance {
            unique_id: before
                .as_ref()
                .map_or_else(|| self.env.uuid(), |i| i.unique_id),
            vault: vault_head.id.clone(),
            vault_unique_id: vault.unique_id,
            friendly_name: spec
                .friendly_name
                .clone()
                .unwrap_or_else(|| spec.disk.id.name().into()),
            disk_unique_id: disk_unique_id.unwrap_or_default(),
            snapshot_group: spec.snapshot_group.clone().unwrap_or_else(ResourceId::root),
            disk: spec.disk.clone(),
            disk_set: spec.disk_set.clone(),
            policy: spec.policy.clone(),
            identity: spec.identity.clone(),
            state: next_state(before.as_ref(), fault.is_some()),
            error: fault.clone(),
            deletion: None,
        };
        let outcome = self.instance_write(caller, &vault, old, id, spec, instance, fault);
        self.instance_apply(outcome).await
    }

    fn instance_write(
        &self,
        caller: &Caller,
        vault: &Vault,
        old: Option<Resource>,
        id: ResourceId,
        spec: InstanceSpec,
        instance: Instance,
        fault: Option<Fault>,
    ) -> (Outcome, Vec<Write>) {
        let claim = Write::Claim {
            name: protector(&spec.disk.id),
            holder: instance.unique_id.to_string(),
        };
        let kept = old.as_ref().map(|o| o.tags.clone()).unwrap_or_default();
        let tags = spec.tags.unwrap_or(kept);
        let model = Model::Instance(instance);
        let new = self.written(caller, old.as_ref(), &id, "", tags, model);
        let begun = self.begin(caller, &new.id, vault.unique_id);
        let operation = match fault {
            None => self.done(begun),
            Some(fault) => self.failed(begun, fault),
        };
        let expect = old
            .as_ref()
            .map_or(Expect::Absent, |o| Expect::Version(o.version));
        let writes = vec![
            claim,
            Write::PutResource(new.clone(), expect),
            Write::PutOperation(operation.clone()),
        ];
        (
            Outcome {
                resource: new,
                operation,
                created: old.is_none(),
            },
            writes,
        )
    }

    async fn instance_apply(&self, (outcome, writes): (Outcome, Vec<Write>)) -> Result<Outcome> {
        self.apply(writes).await?;
        Ok(outcome)
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
        self.apply(vec![Write::PutOperation(operation.clone())])
            .await?;
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
        self.apply(vec![Write::PutOperation(operation.clone())])
            .await?;
        Ok(operation)
    }

    /// Ends protection. By the vault's soft delete the points stay for a while or go.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
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
        let now = self.env.domain();
        let begun = self.begin(caller, id, vault.unique_id);
        let holder = instance.unique_id.to_string();
        let mut writes = vec![
            Write::RequireResource(id.clone(), old.version),
            Write::DeleteResource(id.clone()),
            Write::Release {
                name: protector(&instance.disk.id),
                holder,
            },
        ];
        let operation = match guard::delete_instance(&vault, now) {
            Verdict::KeepUntil(purge_at) => {
                instance.deletion = Some(Deletion {
                    at: now,
                    purge_at,
                    activity: caller.correlation,
                    state_before: instance.state,
                });
                instance.state = ProtectionState::SoftDeleted;
                let kept = self.deleted_id(&instance, id).await?;
                let model = Model::Instance(instance);
                let new = self.written(caller, None, &kept, "", old.tags.clone(), model);
                writes.push(Write::PutResource(new, Expect::Absent));
                self.done(begun)
            }
            Verdict::DeleteNow => {
                let kind = WorkKind::Purge {
                    instance: instance.unique_id,
                };
                writes.push(Write::AddWork(self.work(kind, Some(begun.id), None)));
                begun
            }
        };
        writes.push(Write::PutOperation(operation.clone()));
        self.apply(writes).await?;
        self.nudge.notify_one();
        Ok(Some(operation))
    }

    /// Pauses or resumes protection; None when there is nothing to do.
    ///
    /// # Errors
    /// `NotFound`; `InstanceState` when the instance is in no state for it.
    pub async fn transition(
        &self,
        caller: &Caller,
        id: &ResourceId,
        transition: Transition,
    ) -> Result<Option<Operation>> {
        use ProtectionState::{Configured, ConfiguringFailed, Error, Stopped, Suspended};
        let _change = self.change.lock().await;
        let (old, mut instance) = self.instance(id).await?;
        let next = match (transition, instance.state) {
            (Transition::Stop, Configured | Error | Suspended) => Stopped,
            (Transition::Suspend, Configured | Error | Stopped) => Suspended,
            (Transition::ResumeProtection | Transition::ResumeBackups, Stopped | Suspended) => {
                Configured
            }
            (Transition::Stop, Stopped) | (Transition::Suspend, Suspended) => return Ok(None),
            (Transition::ResumeProtection | Transition::ResumeBackups, Configured) => {
                return Ok(None);
            }
            (_, ConfiguringFailed) | (_, _) => {
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

    /// What a request gets wrong by itself.
    async fn check_spec(
        &self,
        vault: &Resource,
        before: Option<&Instance>,
        spec: &InstanceSpec,
    ) -> Result<()> {
        if spec.disk.id.kind() != super::resource::DISKS {
            let field = "properties.dataSourceInfo.resourceID";
            let message = format!(
                "resourceID: '{}' is not a Microsoft.Compute/disks id.",
                spec.disk.id
            );
            return Err(Fault::new(FaultKind::DiskTypeUnsupported, message)
                .at(field)
                .into());
        }
        let field = "properties.policyInfo.policyId";
        if spec.policy.parent().is_none_or(|v| v != vault.id) {
            let message = "policyId: the policy must be one of the same vault.";
            return Err(Fault::invalid(field, message).into());
        }
        let policy = self.catalogue.resource(&spec.policy).await?;
        if policy.as_ref().and_then(Resource::as_policy).is_none() {
            let message = format!("policyId: there is no policy '{}'.", spec.policy.name());
            return Err(Fault::invalid(field, message).into());
        }
        check_snapshot_group(before, spec)?;
        if spec.identity.as_ref().is_some_and(|i| !i.system) {
            let message = "User-assigned identities of a vault are not supported yet.";
            return Err(Fault::new(FaultKind::Unsupported, message)
                .at("properties.identityDetails.useSystemAssignedIdentity")
                .advise("Leave identityDetails out to use the vault's system-assigned identity.")
                .into());
        }
        if before.is_some_and(|b| b.disk.id != spec.disk.id) {
            let field = "properties.dataSourceInfo.resourceID";
            let message = "resourceID: the disk of an instance cannot change.";
            return Err(Fault::invalid(field, message).into());
        }
        self.refuse_if_protected(before, spec).await
    }

    async fn refuse_if_protected(
        &self,
        before: Option<&Instance>,
        spec: &InstanceSpec,
    ) -> Result<()> {
        let holder = self.catalogue.holder(&protector(&spec.disk.id)).await?;
        let own = before.map(|b| b.unique_id.to_string());
        if holder.is_none() || holder == own {
            return Ok(());
        }
        let users = self.catalogue.instances_naming(&spec.disk.id).await?;
        let by = users.iter().find(|r| {
            r.as_instance()
                .is_some_and(|i| Some(i.unique_id.to_string()) == holder)
        });
        let vault = by
            .and_then(Resource::as_instance)
            .map(|i| i.vault.to_string());
        let vault = vault.unwrap_or_default();
        let name = by.map(|r| r.id.name().to_owned()).unwrap_or_default();
        let message = format!("Datasource is already protected under the Backup vault {vault}.");
        Err(Fault::new(FaultKind::DatasourceAlreadyProtected, message)
            .advise(format!(
                "Delete the backup instance {name} from the Backup vault {vault} to protect the \
                 datasource again in any other vault."
            ))
            .into())
    }

    /// What is missing around a request: disk, region, snapshot group and the identity's rights.
    pub(crate) async fn check_around(
        &self,
        head: &Resource,
        vault: &Vault,
        spec: &InstanceSpec,
        before: Option<&Instance>,
    ) -> Result<()> {
        let disk = match self.find(&spec.disk.id).await? {
            Some(found) if found.as_disk().is_some() => found,
            _ => {
                let message = format!("The managed disk '{}' does not exist.", spec.disk.id);
                return Err(Fault::new(FaultKind::DiskNotFound, message).into());
            }
        };
        if super::canonical_location(&disk.location) != super::canonical_location(&head.location) {
            let message = format!(
                "The disk is in '{}' and the vault in '{}': they must be in the same region.",
                disk.location, head.location
            );
            return Err(Fault::new(FaultKind::RegionMismatch, message)
                .advise("Use a vault in the disk's region.")
                .into());
        }
        let group = match (&spec.snapshot_group, before) {
            (Some(group), _) => group,
            (None, Some(before)) => &before.snapshot_group,
            (None, None) => return Err(snapshot_group_missing().into()),
        };
        if group.subscription() != spec.disk.id.subscription() {
            let message = "The snapshot resource group must be in the disk's subscription.";
            return Err(Fault::new(FaultKind::SnapshotGroupSubscription, message).into());
        }
        if self.catalogue.resource(group).await?.is_none() {
            let message = format!("The snapshot resource group '{group}' does not exist.");
            return Err(Fault::new(FaultKind::SnapshotGroupNotFound, message)
                .advise("Create the group and give the vault's identity its role on it.")
                .into());
        }
        self.check_rights(vault, access::backup_needs(&spec.disk.id, group))
            .await
    }

    /// Every right that the vault's identity lacks, in one fault.
    pub(crate) async fn check_rights(&self, vault: &Vault, needs: Vec<Need>) -> Result<()> {
        let Some(identity) = vault.identity.system else {
            let message = "The vault has no system-assigned identity.";
            return Err(Fault::new(FaultKind::VaultIdentityMissing, message)
                .advise("Give the vault the identity type SystemAssigned, then assign its roles.")
                .into());
        };
        let missing = self.missing(identity, needs).await?;
        if missing.is_empty() {
            return Ok(());
        }
        let message = "Appropriate permissions to perform the operation are missing.";
        let mut fault = Fault::new(FaultKind::PermissionsMissing, message);
        fault.details = missing.iter().map(|need| lacking(identity, need)).collect();
        fault.guidance = fault
            .details
            .iter()
            .flat_map(|d| d.guidance.clone())
            .collect();
        fault.guidance.dedup();
        Err(fault.into())
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
        (Some(_), true) => ProtectionState::Error,
        (Some(ProtectionState::Stopped), false) => ProtectionState::Stopped,
        (Some(ProtectionState::Suspended), false) => ProtectionState::Suspended,
        (_, false) => ProtectionState::Configured,
    }
}

fn check_snapshot_group(before: Option<&Instance>, spec: &InstanceSpec) -> Result<()> {
    let field = "properties.policyInfo.policyParameters.dataStoreParametersList[0].resourceGroupId";
    match (&spec.snapshot_group, before) {
        (None, _) => Err(snapshot_group_missing().at(field).into()),
        (Some(group), _) if group.group_id().is_none_or(|g| g != *group) => {
            let message = format!("resourceGroupId: '{group}' is not the id of a resource group.");
            Err(Fault::new(FaultKind::SnapshotGroupInvalid, message)
                .at(field)
                .into())
        }
        (Some(group), Some(before)) if *group != before.snapshot_group => {
            let message = "resourceGroupId: the snapshot resource group cannot change.";
            Err(Fault::new(FaultKind::SnapshotGroupChanged, message)
                .at(field)
                .into())
        }
        _ => Ok(()),
    }
}

fn snapshot_group_missing() -> Fault {
    let message = "resourceGroupId: the snapshot resource group parameter is not provided.";
    Fault::new(FaultKind::SnapshotGroupMissing, message)
        .advise("Send policyParameters.dataStoreParametersList with the snapshot resource group.")
}

fn lacking(identity: Uuid, need: &Need) -> Fault {
    let (action, scope) = (need.action, &need.scope);
    let role = access::built_in().iter().find(|r| r.id == need.role);
    let role = role.map_or_else(|| need.role.to_string(), |r| r.name.clone());
    let message = format!(
        "The client '{identity}' with object id '{identity}' does not have authorization to \
         perform action '{action}' over scope '{scope}' or the scope is invalid. The role \
         '{role}' gives it."
    );
    Fault::new(FaultKind::PermissionsMissing, message)
        .at(scope.as_str())
        .advise(format!(
            "az role assignment create --assignee-object-id {identity} --assignee-principal-type \
         ServicePrincipal --role '{role}' --scope '{scope}'"
        ))
}

/// Refuses a disk that is not whole.
pub(crate) fn whole(disk: &Disk) -> Result<()> {
    if disk.provisioning == Provisioning::Succeeded {
        return Ok(());
    }
    Err(Fault::new(FaultKind::Conflict, "The disk is still being created.").into())
}

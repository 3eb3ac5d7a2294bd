//! Looking again whether an instance can be backed up, and keeping with it what was found.
//!
//! An instance that is to be backed up is `Configured`, or it is `Error` (it was protected once) or
//! `ConfiguringFailed` (it never was) with the reason beside it. The three change into each other
//! here, when somebody asks, and when a backup fails or succeeds; whoever stopped or suspended
//! protection wants neither.

use super::instance::{InstanceSpec, protector};
use super::{Caller, Service};
use crate::catalogue::{Expect, Page, ResourceFilter, Write};
use crate::error::{Fault, FaultKind, Result};
use crate::model::{Instance, Model, Operation, ProtectionState, Resource, ResourceId};
use uuid::Uuid;

/// The right to look at an instance.
const READ: &str = "Microsoft.DataProtection/backupVaults/backupInstances/read";

impl Service {
    /// Checks every prerequisite of an instance anew and keeps the outcome: what is missing fails
    /// the operation and is shown with the instance; when nothing is missing it is protected.
    ///
    /// # Errors
    /// `NotFound`; `InstanceState` while protection is stopped or suspended, when nothing would
    /// come of it.
    pub async fn instance_sync(&self, caller: &Caller, id: &ResourceId) -> Result<Operation> {
        use ProtectionState::{Configured, Configuring, ConfiguringFailed, Error};
        let _change = self.change.lock().await;
        let (old, instance) = self.instance(id).await?;
        let (head, vault) = self.vault(&instance.vault).await?;
        if !matches!(instance.state, Configured | Configuring | ConfiguringFailed | Error) {
            let message = format!(
                "The backup instance '{}' is not to be backed up, so there is nothing to \
                 synchronise: {:?}.",
                id.name(),
                instance.state
            );
            return Err(Fault::new(FaultKind::InstanceState, message)
                .advise("Resume its protection instead.")
                .into());
        }
        let spec = spec_of(&instance);
        let own = Some(instance.unique_id);
        let result = match self.refuse_if_protected(own, &instance.disk.id).await {
            Ok(()) => self.check_around(&head, &vault, &spec, Some(&instance)).await,
            Err(error) => Err(error),
        };
        let fault = result.err().map(super::operation::log);
        let begun = self.begin(caller, &old.id, vault.unique_id);
        let operation = match &fault {
            None => self.done(begun),
            Some(fault) => self.failed(begun, fault.clone()),
        };
        let mut writes = vec![Write::PutOperation(operation.clone())];
        let name = protector(&instance.disk.id);
        let holder = instance.unique_id.to_string();
        writes.extend(fault.is_none().then_some(Write::Claim { name, holder }));
        writes.extend(standing(&old, &instance, fault.as_ref()));
        self.apply(writes).await?;
        Ok(operation)
    }

    /// The write that keeps how a backup of an instance ended, when that says something about its
    /// prerequisites and is news. [`Service::change`] must be held.
    pub(crate) async fn found_standing(
        &self,
        id: &ResourceId,
        unique_id: Uuid,
        fault: Option<&Fault>,
    ) -> Result<Option<Write>> {
        use ProtectionState::{Configured, Error};
        if fault.is_some_and(|fault| !is_prerequisite(fault.kind)) {
            return Ok(None);
        }
        let Some(row) = self.catalogue.resource(id).await? else {
            return Ok(None);
        };
        let instance = row.as_instance().filter(|i| i.unique_id == unique_id);
        let instance = instance.filter(|i| matches!(i.state, Configured | Error));
        Ok(instance.and_then(|instance| standing(&row, instance, fault)))
    }

    /// Backup instances of a datasource, over all vaults, as far as the caller may see them.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn instances_of(
        &self,
        caller: &Caller,
        datasource: &ResourceId,
        after: Option<String>,
        limit: u32,
    ) -> Result<Page<Resource>> {
        let filter = ResourceFilter {
            kind: Some(super::resource::INSTANCES.into()),
            naming: Some(datasource.clone()),
            after,
            limit,
            ..ResourceFilter::default()
        };
        let mut page = self.catalogue.resources(&filter).await?;
        page.rows.retain(|r| r.as_instance().is_some_and(|i| i.disk.id == *datasource));
        let scopes = page.rows.iter().map(|row| row.id.clone()).collect();
        let allowed = self.allowed(caller, READ, scopes).await?;
        page.rows.retain(|row| allowed.contains(&row.id));
        Ok(page)
    }
}

/// The change of an instance that `fault` makes; None when all is as it was.
fn standing(row: &Resource, before: &Instance, fault: Option<&Fault>) -> Option<Write> {
    let state = match fault {
        None => ProtectionState::Configured,
        Some(_) if before.holds_its_disk() => ProtectionState::Error,
        Some(_) => ProtectionState::ConfiguringFailed,
    };
    if before.state == state && before.error.as_ref() == fault {
        return None;
    }
    let instance = Instance { state, error: fault.cloned(), ..before.clone() };
    let version = row.version;
    let model = Model::Instance(instance);
    let new = Resource { model, version: version + 1, ..row.clone() };
    Some(Write::PutResource(new, Expect::Version(version)))
}

/// Whether a fault is about what must be there before a backup can begin.
fn is_prerequisite(kind: FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::PermissionsMissing
            | FaultKind::VaultIdentityMissing
            | FaultKind::DiskNotFound
            | FaultKind::RegionMismatch
            | FaultKind::SnapshotGroupNotFound
            | FaultKind::SnapshotGroupSubscription
    )
}

/// The request that would make this instance again.
fn spec_of(instance: &Instance) -> InstanceSpec {
    InstanceSpec {
        id: None,
        tags: None,
        friendly_name: Some(instance.friendly_name.clone()),
        disk: instance.disk.clone(),
        disk_set: instance.disk_set.clone(),
        policy: instance.policy.clone(),
        snapshot_group: Some(instance.snapshot_group.clone()),
        identity: instance.identity.clone(),
        deep: false,
    }
}

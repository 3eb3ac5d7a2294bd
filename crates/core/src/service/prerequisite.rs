//! What must be so before a disk can be protected: of the request, and around it.

use super::Service;
use super::identity::{USER_IDENTITIES, named};
use super::instance::{InstanceSpec, protector};
use crate::access::{self, Need};
use crate::error::{Fault, FaultKind, Result};
use crate::model::{Datasource, IdentityChoice, Instance, Resource, ResourceId, Vault};
use uuid::Uuid;

/// The datasource type of disks.
const DATASOURCE: &str = "Microsoft.Compute/disks";

impl Service {
    /// What a request gets wrong by itself.
    pub(super) async fn check_spec(
        &self,
        vault: &Resource,
        before: Option<&Instance>,
        spec: &InstanceSpec,
    ) -> Result<()> {
        if spec.disk.id.kind() != super::resource::DISKS {
            let field = "properties.dataSourceInfo.resourceID";
            let message =
                format!("resourceID: '{}' is not a Microsoft.Compute/disks id.", spec.disk.id);
            return Err(Fault::invalid(field, message).into());
        }
        check_datasource_type(&spec.disk)?;
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
        if let Some(user) = spec.identity.as_ref().and_then(chosen_user) {
            let field = "properties.identityDetails.userAssignedIdentityArmUrl";
            check_identity_id(field, user)?;
        }
        if before.is_some_and(|b| b.disk.id != spec.disk.id) {
            let field = "properties.dataSourceInfo.resourceID";
            let message = "resourceID: the disk of an instance cannot change.";
            return Err(Fault::invalid(field, message).into());
        }
        self.check_said_location(&spec.disk).await?;
        self.refuse_if_protected(before.map(|b| b.unique_id), &spec.disk.id).await
    }

    /// Refuses a request that says of its disk that it is where it is not.
    async fn check_said_location(&self, disk: &Datasource) -> Result<()> {
        let (Some(said), Some(found)) = (&disk.location, self.find(&disk.id).await?) else {
            return Ok(());
        };
        if super::canonical_location(said) == super::canonical_location(&found.location) {
            return Ok(());
        }
        let message =
            format!("resourceLocation: the disk is in '{}', not '{said}'.", found.location);
        Err(Fault::invalid("properties.dataSourceInfo.resourceLocation", message).into())
    }

    /// Refuses a disk that an instance other than `own` protects.
    pub(crate) async fn refuse_if_protected(
        &self,
        own: Option<Uuid>,
        disk: &ResourceId,
    ) -> Result<()> {
        let holder = self.catalogue.holder(&protector(disk)).await?;
        let own = own.map(|id| id.to_string());
        if holder.is_none() || holder == own {
            return Ok(());
        }
        let users = self.catalogue.instances_naming(disk).await?;
        let by = users
            .iter()
            .find(|r| r.as_instance().is_some_and(|i| Some(i.unique_id.to_string()) == holder));
        let vault = by.and_then(Resource::as_instance).map(|i| i.vault.to_string());
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
        let needs = access::backup_needs(&spec.disk.id, group);
        self.check_rights(vault, spec.identity.as_ref(), needs).await
    }

    /// Every right that the vault's identity lacks, in one fault. Which identity that is, the
    /// instance or the restore chooses; without a choice it is the system-assigned one.
    pub(crate) async fn check_rights(
        &self,
        vault: &Vault,
        choice: Option<&IdentityChoice>,
        needs: Vec<Need>,
    ) -> Result<()> {
        let identity = acting(vault, choice)?;
        let missing = self.missing(identity, needs).await?;
        if missing.is_empty() {
            return Ok(());
        }
        let message = "Appropriate permissions to perform the operation are missing.";
        let mut fault = Fault::new(FaultKind::PermissionsMissing, message);
        fault.details = missing.iter().map(|need| lacking(identity, need)).collect();
        fault.guidance = fault.details.iter().flat_map(|d| d.guidance.clone()).collect();
        fault.guidance.dedup();
        Err(fault.into())
    }
}

/// The user-assigned identity that a choice names, when that is the one that works.
pub(super) fn chosen_user(choice: &IdentityChoice) -> Option<&str> {
    choice.user.as_deref().filter(|_| !choice.system)
}

/// Refuses what cannot be the id of a user-assigned identity.
pub(super) fn check_identity_id(field: &str, text: &str) -> Result<()> {
    if ResourceId::parse(text).is_ok_and(|id| id.kind() == USER_IDENTITIES) {
        return Ok(());
    }
    let name = field.rsplit('.').next().unwrap_or_default();
    let message = format!("{name}: '{text}' is not the id of a user-assigned identity.");
    Err(Fault::invalid(field, message).into())
}

/// The identity of the vault that works.
fn acting(vault: &Vault, choice: Option<&IdentityChoice>) -> Result<Uuid> {
    let Some(user) = choice.and_then(chosen_user) else {
        return vault.identity.system.ok_or_else(|| {
            let message = "The vault has no system-assigned identity.";
            Fault::new(FaultKind::VaultIdentityMissing, message)
                .advise(
                    "Give the vault the identity type SystemAssigned and assign its roles, or name \
                     one of its user-assigned identities in identityDetails.",
                )
                .into()
        });
    };
    let id = ResourceId::parse(user).ok();
    id.and_then(|id| named(&vault.identity.user, &id)).ok_or_else(|| {
        let message = format!("The vault does not have the user-assigned identity '{user}'.");
        Fault::new(FaultKind::VaultIdentityMissing, message)
            .advise("Add it to the vault's identity.userAssignedIdentities, then try again.")
            .into()
    })
}

/// Disks are the one kind of datasource; what a request says of its type must agree.
fn check_datasource_type(disk: &Datasource) -> Result<()> {
    let said = [("datasourceType", &disk.datasource_type), ("resourceType", &disk.resource_type)];
    for (name, said) in said {
        let Some(other) = said.as_ref().filter(|s| !s.eq_ignore_ascii_case(DATASOURCE)) else {
            continue;
        };
        let message = format!("{name} must be {DATASOURCE}, not '{other}'.");
        let field = format!("properties.dataSourceInfo.{name}");
        return Err(Fault::invalid(field, message).into());
    }
    Ok(())
}

fn check_snapshot_group(before: Option<&Instance>, spec: &InstanceSpec) -> Result<()> {
    let field = "properties.policyInfo.policyParameters.dataStoreParametersList[0].resourceGroupId";
    match (&spec.snapshot_group, before) {
        (None, _) => Err(snapshot_group_missing().at(field).into()),
        (Some(group), _) if group.group_id().is_none_or(|g| g != *group) => {
            let message = format!("resourceGroupId: '{group}' is not the id of a resource group.");
            Err(Fault::new(FaultKind::SnapshotGroupInvalid, message).at(field).into())
        }
        (Some(group), Some(before)) if *group != before.snapshot_group => {
            let message = "resourceGroupId: the snapshot resource group cannot change.";
            Err(Fault::new(FaultKind::SnapshotGroupChanged, message).at(field).into())
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
    Fault::new(FaultKind::PermissionsMissing, message).at(scope.as_str()).advise(format!(
        "az role assignment create --assignee-object-id {identity} --assignee-principal-type \
         ServicePrincipal --role '{role}' --scope '{scope}'"
    ))
}

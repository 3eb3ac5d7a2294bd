//! Resources of any kind: look-ups, stamps and the checks that every kind shares.

use super::{Caller, Service};
use crate::catalogue::{Page, ResourceFilter};
use crate::error::{Error, Fault, FaultKind, Result};
use crate::model::{
    DeletedVault, Disk, DiskState, Group, GuardProxy, Instance, Model, Policy, Provisioning,
    Resource, ResourceGuard, ResourceId, Snapshot, Stamp, UserIdentity, Vault,
};
use std::collections::BTreeMap;

/// Type of disks.
pub(crate) const DISKS: &str = "microsoft.compute/disks";
/// Type of snapshots.
pub(crate) const SNAPSHOTS: &str = "microsoft.compute/snapshots";
/// Type of vaults.
pub(crate) const VAULTS: &str = "microsoft.dataprotection/backupvaults";
/// Type of policies.
pub(crate) const POLICIES: &str = "microsoft.dataprotection/backupvaults/backuppolicies";
/// Type of backup instances.
pub(crate) const INSTANCES: &str = "microsoft.dataprotection/backupvaults/backupinstances";
/// Type of what puts a vault under a guard.
pub(crate) const PROXIES: &str = "microsoft.dataprotection/backupvaults/backupresourceguardproxies";

impl Service {
    /// A resource, if it is there.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn find(&self, id: &ResourceId) -> Result<Option<Resource>> {
        let Some(mut resource) = self.catalogue.resource(id).await? else {
            return Ok(None);
        };
        if let Model::Disk(disk) = &mut resource.model
            && matches!(disk.state, DiskState::ActiveUpload | DiskState::ActiveGrant)
            && self.open_grants(&resource.id).await?.is_empty()
        {
            disk.state = DiskState::Unattached;
        }
        Ok(Some(resource))
    }

    /// A resource.
    ///
    /// # Errors
    /// `NotFound`, or `GroupNotFound` when its group is absent too.
    pub async fn resource(&self, id: &ResourceId) -> Result<Resource> {
        if let Some(resource) = self.find(id).await? {
            return Ok(resource);
        }
        self.require_group(id).await?;
        Err(Fault::not_found("resource", id).into())
    }

    /// Resources in order of their ids.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn resources(&self, filter: &ResourceFilter) -> Result<Page<Resource>> {
        Ok(self.catalogue.resources(filter).await?)
    }

    /// The group that an id lies in.
    ///
    /// # Errors
    /// `SubscriptionNotFound` or `GroupNotFound`.
    pub async fn require_group(&self, id: &ResourceId) -> Result<Resource> {
        let ours = self.subscription.to_string();
        if id.subscription() != Some(ours.as_str()) {
            let name = id.subscription().unwrap_or_default();
            return Err(Fault::new(
                FaultKind::SubscriptionNotFound,
                format!("The subscription '{name}' could not be found."),
            )
            .into());
        }
        let group = id.group_id().ok_or_else(|| Fault::invalid("id", "No resource group."))?;
        self.catalogue.resource(&group).await?.ok_or_else(|| {
            let name = group.name();
            let message = format!("Resource group '{name}' could not be found.");
            Fault::new(FaultKind::GroupNotFound, message).into()
        })
    }

    /// Who and when, for what is written now.
    pub(crate) fn stamp(&self, caller: &Caller) -> Stamp {
        Stamp { by: caller.client_id.to_string(), at: self.env.domain() }
    }

    /// A new resource, or the changed form of an old one; id and location of the old one stay.
    pub(crate) fn written(
        &self,
        caller: &Caller,
        old: Option<&Resource>,
        id: &ResourceId,
        location: &str,
        tags: BTreeMap<String, String>,
        model: Model,
    ) -> Resource {
        let stamp = self.stamp(caller);
        Resource {
            id: old.map_or_else(|| id.clone(), |o| o.id.clone()),
            location: old.map_or_else(|| location.to_owned(), |o| o.location.clone()),
            tags,
            created: old.map_or_else(|| stamp.clone(), |o| o.created.clone()),
            modified: stamp,
            version: old.map_or(1, |o| o.version + 1),
            model,
        }
    }

    /// Refuses a PUT that would move a resource.
    pub(crate) fn same_location(&self, old: &Resource, location: &str) -> Result<()> {
        if super::canonical_location(&old.location) == super::canonical_location(location) {
            return Ok(());
        }
        let message = format!(
            "The resource '{}' already exists in location '{}' and cannot be made in '{location}'.",
            old.id.name(),
            old.location
        );
        Err(Fault::new(FaultKind::LocationChanged, message).at("location").into())
    }

    /// Refuses what needs the bytes of a disk or snapshot that is still being filled.
    pub(crate) fn refuse_if_creating(&self, resource: &Resource) -> Result<()> {
        let creating = match &resource.model {
            Model::Disk(disk) => disk.provisioning == Provisioning::Creating,
            Model::Snapshot(snapshot) => snapshot.provisioning == Provisioning::Creating,
            _ => false,
        };
        if !creating {
            return Ok(());
        }
        let message = format!("'{}' is still being created.", resource.id);
        Err(Fault::new(FaultKind::Conflict, message)
            .advise("Wait until its provisioningState is Succeeded.")
            .into())
    }

    /// Whether the caller may have the bytes of a disk or snapshot: a copy hands them out as much
    /// as a grant does.
    pub(crate) async fn may_read(&self, caller: &Caller, source: &ResourceId) -> Result<()> {
        let action = match source.kind().as_str() {
            SNAPSHOTS => "Microsoft.Compute/snapshots/beginGetAccess/action",
            _ => "Microsoft.Compute/disks/beginGetAccess/action",
        };
        self.allow(caller, action, source).await
    }
}

macro_rules! as_model {
    ($($name:ident, $get:ident, $variant:ident, $model:ty, $what:literal;)*) => { $(
        impl Resource {
            #[doc = concat!("The model, when this is a ", $what, ".")]
            #[must_use]
            pub fn $get(&self) -> Option<&$model> {
                match &self.model { Model::$variant(model) => Some(model), _ => None }
            }
        }
        impl Service {
            #[doc = concat!("The ", $what, " of this id and its model.")]
            pub(crate) async fn $name(&self, id: &ResourceId) -> Result<(Resource, $model)> {
                let resource = self.resource(id).await?;
                match resource.$get().cloned() {
                    Some(model) => Ok((resource, model)),
                    None => Err(Error::from(Fault::not_found($what, id))),
                }
            }
        }
    )* };
}

as_model! {
    disk, as_disk, Disk, Disk, "disk";
    snapshot, as_snapshot, Snapshot, Snapshot, "snapshot";
    user_identity, as_user_identity, UserIdentity, UserIdentity, "user-assigned identity";
    vault, as_vault, Vault, Vault, "backup vault";
    policy, as_policy, Policy, Policy, "backup policy";
    instance, as_instance, Instance, Instance, "backup instance";
    resource_guard, as_guard, Guard, ResourceGuard, "resource guard";
    guard_proxy, as_guard_proxy, GuardProxy, GuardProxy, "resource guard proxy";
}

impl Resource {
    /// The model, when this is a deleted vault.
    #[must_use]
    pub fn as_deleted_vault(&self) -> Option<&DeletedVault> {
        match &self.model {
            Model::DeletedVault(vault) => Some(vault),
            _ => None,
        }
    }

    /// The model, when this is a resource group.
    #[must_use]
    pub fn as_group(&self) -> Option<&Group> {
        match &self.model {
            Model::Group(group) => Some(group),
            _ => None,
        }
    }
}

//! Resource groups. Deleting one removes resources, never bytes that a recovery point owns, and a
//! vault in it goes where a deleted vault goes: what soft delete promised outlives the group.

use super::resource::INSTANCES;
use super::{Caller, Service};
use crate::catalogue::{Expect, PAGE_MAX, ResourceFilter, Write};
use crate::error::{Fault, FaultKind, Result};
use crate::model::{Group, Model, Operation, Resource, ResourceId};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A group as a client wants it.
#[derive(Clone, Debug)]
pub struct GroupSpec {
    /// Its id.
    pub id: ResourceId,
    /// Its location.
    pub location: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// What manages it.
    pub managed_by: Option<String>,
}

impl Service {
    /// Makes or changes a group; true when it is new.
    ///
    /// # Errors
    /// When the location is unknown or would change.
    pub async fn group_put(&self, caller: &Caller, spec: GroupSpec) -> Result<(Resource, bool)> {
        let location = self.location(&spec.location)?;
        let _change = self.change.lock().await;
        let old = self.catalogue.resource(&spec.id).await?;
        if let Some(old) = &old {
            self.same_location(old, &spec.location)?;
        }
        let model = Model::Group(Group { managed_by: spec.managed_by });
        let new = self.written(caller, old.as_ref(), &spec.id, &location, spec.tags, model);
        let expect = old.as_ref().map_or(Expect::Absent, |o| Expect::Version(o.version));
        self.apply(vec![Write::PutResource(new.clone(), expect)]).await?;
        Ok((new, old.is_none()))
    }

    /// Changes a group's tags.
    ///
    /// # Errors
    /// When there is no such group.
    pub async fn group_patch(
        &self,
        caller: &Caller,
        id: &ResourceId,
        tags: Option<BTreeMap<String, String>>,
    ) -> Result<Resource> {
        let _change = self.change.lock().await;
        let old = self.require_group(id).await?;
        let tags = tags.unwrap_or_else(|| old.tags.clone());
        let new = self.written(caller, Some(&old), id, &old.location, tags, old.model.clone());
        self.apply(vec![Write::PutResource(new.clone(), Expect::Version(old.version))]).await?;
        Ok(new)
    }

    /// Deletes a group and what is in it; None when there was none. By their soft delete its vaults
    /// can be had back, with their policies and soft-deleted instances.
    ///
    /// # Errors
    /// `GroupHoldsProtection` with the names, while an instance that is not deleted protects
    /// something in it, snapshots into it or lives in it; `IdentityInUse` while a vault elsewhere
    /// works as an identity in it; `GuardInUse` while a vault in it is under a resource guard, or a
    /// vault anywhere under a guard in it.
    pub async fn group_delete(
        &self,
        caller: &Caller,
        id: &ResourceId,
    ) -> Result<Option<Operation>> {
        let _change = self.change.lock().await;
        if self.catalogue.resource(id).await?.is_none() {
            return Ok(None);
        }
        self.refuse_if_protecting(id).await?;
        self.refuse_identity_in_use(id, Some(id)).await?;
        let inside = self.everything_under(id).await?;
        self.refuse_if_guarding(id, &inside).await?;
        let operation = self.done(self.begin(caller, id, Uuid::nil()));
        let mut writes = vec![];
        let vaults: Vec<&Resource> = inside.iter().filter(|r| r.as_vault().is_some()).collect();
        for vault in &vaults {
            let below = inside.iter().filter(|r| r.id != vault.id && r.id.is_within(&vault.id));
            writes.extend(self.vault_removal(caller, vault, &below.collect::<Vec<_>>())?);
        }
        for resource in &inside {
            if vaults.iter().any(|vault| resource.id.is_within(&vault.id)) {
                continue;
            }
            writes.push(Write::DeleteGrants(resource.id.clone()));
            writes.push(Write::DeleteResource(resource.id.clone()));
            let principal = super::identity::principal_of(&resource.model);
            writes.extend(principal.map(Write::DeletePrincipal));
        }
        let volumes = inside.iter().filter_map(Resource::as_disk).map(|d| d.unique_id).collect();
        let points = inside.iter().filter_map(Resource::as_snapshot).filter_map(Self::doomed);
        writes.push(self.discard(volumes, points.collect()));
        writes.push(Write::DeleteResource(id.clone()));
        writes.push(Write::PutOperation(operation.clone()));
        self.apply(writes).await?;
        self.nudge.notify_one();
        Ok(Some(operation))
    }

    async fn refuse_if_protecting(&self, group: &ResourceId) -> Result<()> {
        let mut holders: Vec<String> = vec![];
        let filter = ResourceFilter { kind: Some(INSTANCES.into()), ..ResourceFilter::default() };
        for resource in self.all(filter).await? {
            let Model::Instance(instance) = &resource.model else {
                continue;
            };
            let held = [&instance.disk.id, &instance.snapshot_group, &resource.id];
            if instance.deletion.is_none() && held.iter().any(|id| id.is_within(group)) {
                holders.push(resource.id.to_string());
            }
        }
        if holders.is_empty() {
            return Ok(());
        }
        let message = format!(
            "The resource group '{}' cannot be deleted: backup instances protect something in it: \
             {}.",
            group.name(),
            holders.join(", ")
        );
        Err(Fault::new(FaultKind::GroupHoldsProtection, message)
            .at(group.as_str())
            .advise("Delete the named backup instances first, then delete the group.")
            .into())
    }

    async fn everything_under(&self, scope: &ResourceId) -> Result<Vec<Resource>> {
        let filter = ResourceFilter { under: Some(scope.clone()), ..ResourceFilter::default() };
        let mut all = self.all(filter).await?;
        all.retain(|r| r.id != *scope);
        Ok(all)
    }

    /// Every resource that the filter names, page by page.
    pub(crate) async fn all(&self, mut filter: ResourceFilter) -> Result<Vec<Resource>> {
        filter.limit = PAGE_MAX;
        let mut rows = vec![];
        loop {
            let page = self.catalogue.resources(&filter).await?;
            rows.extend(page.rows);
            match page.after {
                Some(after) => filter.after = Some(after),
                None => return Ok(rows),
            }
        }
    }
}

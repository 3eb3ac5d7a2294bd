//! What was deleted and can be had back: instances inside their vault, vaults beside all groups.
//!
//! A deleted vault lies at `.../locations/{location}/deletedVaults/{unique id}` with everything
//! that was in it below, so its name and its group are free at once and several deleted vaults may
//! have had one name. Its identity stays, with the roles that it was given elsewhere; nobody can
//! act for it meanwhile. What comes back is the same: unique ids, points, times of purge.

use super::instance::protector;
use super::resource::INSTANCES;
use super::vault::VaultSpec;
use super::{Caller, Outcome, Service};
use crate::catalogue::{Expect, Page, ResourceFilter, Write};
use crate::error::{Error, Fault, FaultKind, Result};
use crate::guard::{self, Verdict};
use crate::model::{
    DeletedVault, Instance, Model, Operation, ProtectionState, Resource, ResourceId,
};

/// The right to write a vault, which having back a deleted one takes where it was, too.
const VAULT_WRITE: &str = "Microsoft.DataProtection/backupVaults/write";
/// Type of deleted vaults.
const DELETED_VAULTS: &str = "microsoft.dataprotection/locations/deletedvaults";
/// The header that names a deleted vault.
const HEADER: &str = "x-ms-deleted-vault-id";

impl Service {
    /// Gives a deleted instance its place and its points back. It comes back stopped.
    ///
    /// # Errors
    /// `NotFound`; `InstanceExists` when its name is taken, `DatasourceAlreadyProtected` when
    /// another instance protects its disk meanwhile.
    pub async fn instance_undelete(&self, caller: &Caller, id: &ResourceId) -> Result<Operation> {
        let _change = self.change.lock().await;
        let absent = || Fault::not_found("deleted backup instance", id.name());
        let old = self.catalogue.resource(id).await?.ok_or_else(absent)?;
        let mut instance = old.as_instance().cloned().ok_or_else(absent)?;
        let deletion = instance.deletion.take().ok_or_else(absent)?;
        let (vault_head, vault) = self.vault(&instance.vault).await?;
        if self.catalogue.resource(&deletion.was).await?.is_some() {
            return Err(name_taken("backup instance", &deletion.was, FaultKind::InstanceExists));
        }
        self.check_count(&vault_head.id, INSTANCES).await?;
        instance.state = match deletion.state_before {
            failed @ (ProtectionState::Configuring | ProtectionState::ConfiguringFailed) => failed,
            _ => ProtectionState::Stopped,
        };
        let holder = instance.unique_id.to_string();
        let claim = Write::Claim { name: protector(&instance.disk.id), holder };
        let claim = instance.holds_its_disk().then_some(claim);
        if claim.is_some() {
            self.refuse_if_protected(Some(instance.unique_id), &instance.disk.id).await?;
        }
        let new = Resource {
            id: deletion.was,
            modified: self.stamp(caller),
            version: 1,
            model: Model::Instance(instance),
            ..old.clone()
        };
        let operation = self.done(self.begin(caller, &new.id, vault.unique_id));
        let mut writes = vec![
            Write::RequireResource(id.clone(), old.version),
            Write::DeleteResource(id.clone()),
            Write::PutResource(new, Expect::Absent),
            Write::PutOperation(operation.clone()),
        ];
        writes.extend(claim);
        self.apply(writes).await?;
        Ok(operation)
    }

    /// The place of a deleted vault; None is that of all in the location.
    ///
    /// # Errors
    /// When this site does not answer for the location.
    pub fn deleted_vault_id(&self, location: &str, name: Option<&str>) -> Result<ResourceId> {
        let location = self.location(location)?;
        let subscription = ResourceId::of_subscription(self.subscription);
        let mut path = format!("providers/Microsoft.DataProtection/locations/{location}");
        if let Some(name) = name {
            path = format!("{path}/deletedVaults/{name}");
        }
        subscription
            .join(&path)
            .map_err(|e| Fault::invalid("deletedVaultName", e.to_string()).into())
    }

    /// Deleted vaults of a location that can be had back.
    ///
    /// # Errors
    /// When this site does not answer for the location.
    pub async fn deleted_vaults(
        &self,
        location: &str,
        after: Option<String>,
        limit: u32,
    ) -> Result<Page<Resource>> {
        let filter = ResourceFilter {
            kind: Some(DELETED_VAULTS.into()),
            under: Some(self.deleted_vault_id(location, None)?),
            after,
            limit,
            ..ResourceFilter::default()
        };
        Ok(self.catalogue.resources(&filter).await?)
    }

    /// A deleted vault.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn deleted_vault(&self, id: &ResourceId) -> Result<(Resource, DeletedVault)> {
        let found = self.catalogue.resource(id).await?;
        let found = found.and_then(|r| r.as_deleted_vault().cloned().map(|d| (r, d)));
        Ok(found.ok_or_else(|| Fault::not_found("deleted backup vault", id.name()))?)
    }

    /// Makes a vault of a deleted one: its identity, policies, soft-deleted instances and points
    /// come back. The settings of the request count as in a change of the vault that it was.
    ///
    /// # Errors
    /// `NotFound`; `Forbidden` without the right to write the vault where it was, since whoever has
    /// it back has its points; `VaultExists` when the new place is taken; those of
    /// [`Service::vault_put`].
    pub async fn vault_restore(
        &self,
        caller: &Caller,
        deleted: &ResourceId,
        mut spec: VaultSpec,
    ) -> Result<Outcome> {
        let location = self.location(&spec.location)?;
        let _change = self.change.lock().await;
        self.require_group(&spec.id).await?;
        let (head, kept) = self.deleted_vault(deleted).await?;
        self.allow(caller, VAULT_WRITE, &kept.was).await?;
        if super::canonical_location(&head.location) != location {
            let message = format!(
                "location: the deleted vault is in '{}' and cannot come back in '{location}'.",
                head.location
            );
            return Err(Fault::invalid("location", message).into());
        }
        if self.catalogue.resource(&spec.id).await?.is_some() {
            return Err(name_taken("backup vault", &spec.id, FaultKind::VaultExists));
        }
        if spec.tags.is_empty() {
            spec.tags.clone_from(&head.tags);
        }
        let mut vault = self.settled_vault(Some(&kept.vault), &spec.id, &spec.settings).await?;
        self.forget_lost_identities(&mut vault.identity).await?;
        let family = vault.unique_id;
        let place = (spec.id, head.location.clone(), spec.tags);
        let (new, mut writes) =
            self.vault_writes(caller, None, place, vault, spec.identity).await?;
        writes.insert(0, Write::RequireResource(head.id.clone(), head.version));
        let under = ResourceFilter { under: Some(head.id.clone()), ..ResourceFilter::default() };
        for child in self.all(under).await? {
            let model = back(child.model.clone(), &kept.was, &new.id)?;
            writes.extend(relocated(&Resource { model, ..child }, &head.id, &new.id)?);
        }
        writes.push(Write::DeleteResource(head.id));
        let operation = self.done(self.begin(caller, &new.id, family));
        writes.push(Write::PutOperation(operation.clone()));
        self.apply(writes).await?;
        Ok(Outcome { resource: new, operation, created: true })
    }

    /// The writes that remove a vault and what is in it (`inside`), by the guard's verdict: to
    /// where it can be had back, or for good.
    pub(crate) fn vault_removal(
        &self,
        caller: &Caller,
        old: &Resource,
        inside: &[&Resource],
    ) -> Result<Vec<Write>> {
        let Model::Vault(vault) = &old.model else {
            return Ok(vec![]);
        };
        let now = self.env.domain();
        let promised = inside.iter().filter_map(|r| r.as_instance()?.deletion.as_ref());
        let promised = promised.map(|deletion| deletion.purge_at).max();
        let mut writes = vec![Write::RequireResource(old.id.clone(), old.version)];
        match guard::delete_vault(vault, promised, now) {
            Verdict::KeepUntil(purge_at) => {
                let name = vault.unique_id.to_string();
                let id = self.deleted_vault_id(&old.location, Some(&name))?;
                for child in inside {
                    writes.extend(relocated(child, &old.id, &id)?);
                }
                let kept = DeletedVault {
                    vault: vault.clone(),
                    was: old.id.clone(),
                    at: now,
                    purge_at,
                    activity: caller.correlation,
                };
                let model = Model::DeletedVault(kept);
                let modified = self.stamp(caller);
                let new = Resource { id, modified, version: 1, model, ..old.clone() };
                writes.push(Write::PutResource(new, Expect::Absent));
            }
            Verdict::DeleteNow => {
                writes.extend(inside.iter().map(|child| Write::DeleteResource(child.id.clone())));
                writes.extend(vault.identity.system.map(Write::DeletePrincipal));
            }
        }
        writes.push(Write::DeleteResource(old.id.clone()));
        Ok(writes)
    }
}

/// The writes that move a row with the vault that it lies in.
fn relocated(row: &Resource, from: &ResourceId, to: &ResourceId) -> Result<[Write; 2]> {
    let id = row.id.moved(from, to).map_err(unnamed)?;
    let new = Resource { id, version: 1, ..row.clone() };
    Ok([Write::DeleteResource(row.id.clone()), Write::PutResource(new, Expect::Absent)])
}

/// What lay in a vault, for the vault's new place.
fn back(model: Model, was: &ResourceId, now: &ResourceId) -> Result<Model> {
    let Model::Instance(instance) = model else {
        return Ok(model);
    };
    let mut deletion = instance.deletion.clone();
    if let Some(deletion) = &mut deletion {
        deletion.was = deletion.was.moved(was, now).map_err(unnamed)?;
    }
    let policy = instance.policy.moved(was, now).map_err(unnamed)?;
    Ok(Model::Instance(Instance { vault: now.clone(), policy, deletion, ..instance }))
}

fn unnamed(error: crate::model::IdError) -> Error {
    Error::internal("naming what moves with its vault", error)
}

fn name_taken(what: &str, id: &ResourceId, kind: FaultKind) -> Error {
    let message =
        format!("There is a {what} '{}' again, so the deleted one cannot come back.", id.name());
    let fault = Fault::new(kind, message);
    match kind {
        FaultKind::VaultExists => fault.at(HEADER).advise(
            "Restore the deleted vault under another name, or delete the one that has its name.",
        ),
        _ => fault.at(id.as_str()).advise("Delete the instance that has the name, then undelete."),
    }
    .into()
}

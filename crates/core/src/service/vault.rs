//! Backup vaults: identity and safety settings.
//!
//! A setting that a request leaves out stays as it is, and one that is meant to be final
//! (`AlwaysOn`, `Locked`, `PermanentlyDisabled`) never goes back, by whatever request.

use super::consent::Intent;
use super::identity::IdentityChanges;
use super::resource::INSTANCES;
use super::{Caller, Outcome, Service};
use crate::catalogue::{Expect, ResourceFilter, Write};
use crate::error::{Fault, FaultKind, Result};
use crate::guard;
use crate::model::{
    CostGranularity, CrossSubscription, Identity, Immutability, Model, Operation, Resource,
    ResourceId, SoftDelete, SoftDeleteState, StorageSetting, Vault,
};
use std::collections::BTreeMap;

/// Days that soft delete keeps when nobody says.
const SOFT_DELETE_DAYS: f64 = 14.0;
/// Fewest and most days of soft delete.
const SOFT_DELETE_DAYS_RANGE: std::ops::RangeInclusive<f64> = 14.0..=180.0;

/// The redundancy that restores to another region would need.
const GEO_REDUNDANT: &str = "GeoRedundant";

/// A vault as a client wants it.
#[derive(Clone, Debug)]
pub struct VaultSpec {
    /// Its id.
    pub id: ResourceId,
    /// Its location.
    pub location: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Its identity; None keeps what is there.
    pub identity: Option<IdentitySpec>,
    /// Its settings.
    pub settings: VaultSettings,
}

/// Changes to a vault.
#[derive(Clone, Debug, Default)]
pub struct VaultPatch {
    /// New tags, all of them.
    pub tags: Option<BTreeMap<String, String>>,
    /// New identity.
    pub identity: Option<IdentitySpec>,
    /// User-assigned identities that come to those of the vault, and that go from them; None when
    /// the new identity says all of them.
    pub user_identities: Option<IdentityChanges>,
    /// New settings.
    pub settings: VaultSettings,
}

/// Which identities a vault shall have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentitySpec {
    /// A system-assigned one.
    pub system: bool,
    /// Ids of user-assigned ones.
    pub user: Vec<String>,
}

/// Settings of a vault; None keeps what is there.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each is the model's field of the same meaning")]
pub struct VaultSettings {
    pub storage: Option<Vec<StorageSetting>>,
    pub soft_delete: Option<SoftDeleteState>,
    pub soft_delete_days: Option<f64>,
    pub immutability: Option<Immutability>,
    pub alert_on_failures: Option<bool>,
    pub cross_subscription: Option<CrossSubscription>,
    pub cross_region: Option<bool>,
    pub cost: Option<CostGranularity>,
}

impl Service {
    /// Makes or changes a vault.
    ///
    /// # Errors
    /// `InvalidInput` with the field, `OneWaySetting`, `LocationChanged`, `GroupNotFound`;
    /// `GuardRefused` when the vault's guard does not consent to weaker settings.
    pub async fn vault_put(&self, caller: &Caller, spec: VaultSpec) -> Result<Outcome> {
        let location = self.location(&spec.location)?;
        let _change = self.change.lock().await;
        self.require_group(&spec.id).await?;
        let old = self.catalogue.resource(&spec.id).await?;
        if let Some(old) = &old {
            self.same_location(old, &spec.location)?;
        }
        let before = old.as_ref().and_then(Resource::as_vault);
        let vault = self.settled_vault(before, &spec.id, &spec.settings).await?;
        self.consent_to_change(caller, &spec.id, before, &vault).await?;
        let head = (spec.id.clone(), location, spec.tags);
        let family = vault.unique_id;
        let (new, mut writes) =
            self.vault_writes(caller, old.as_ref(), head, vault, spec.identity).await?;
        let operation = self.done(self.begin(caller, &new.id, family));
        writes.push(Write::PutOperation(operation.clone()));
        self.apply(writes).await?;
        Ok(Outcome { resource: new, operation, created: old.is_none() })
    }

    /// Changes members of a vault.
    ///
    /// # Errors
    /// As [`Service::vault_put`], and when there is no such vault.
    pub async fn vault_patch(
        &self,
        caller: &Caller,
        id: &ResourceId,
        patch: VaultPatch,
    ) -> Result<Resource> {
        let _change = self.change.lock().await;
        let (old, before) = self.vault(id).await?;
        let vault = self.settled_vault(Some(&before), id, &patch.settings).await?;
        self.consent_to_change(caller, id, Some(&before), &vault).await?;
        let tags = patch.tags.unwrap_or_else(|| old.tags.clone());
        let head = (id.clone(), old.location.clone(), tags);
        let mut identity = patch.identity;
        if let (Some(wanted), Some(changes)) = (&mut identity, &patch.user_identities) {
            wanted.user = super::identity::patched(&before.identity.user, changes)?;
        }
        let (new, writes) = self.vault_writes(caller, Some(&old), head, vault, identity).await?;
        self.apply(writes).await?;
        Ok(new)
    }

    /// Deletes a vault; None when there was none. Soft-deleted instances do not hold it: they go
    /// where it goes, and by its soft delete it can be had back.
    ///
    /// # Errors
    /// `VaultNotEmpty`, with the names of what is in it; `GuardInUse` under a guard.
    pub async fn vault_delete(
        &self,
        caller: &Caller,
        id: &ResourceId,
    ) -> Result<Option<Operation>> {
        let _change = self.change.lock().await;
        let Some(old) = self.catalogue.resource(id).await? else {
            return Ok(None);
        };
        let Some(vault) = old.as_vault() else {
            return Ok(None);
        };
        self.refuse_if_guarded(id).await?;
        let filter = ResourceFilter { under: Some(id.clone()), ..ResourceFilter::default() };
        let inside = self.all(filter).await?;
        let alive: Vec<&str> = inside
            .iter()
            .filter(|r| r.as_instance().is_none_or(|i| i.deletion.is_none()))
            .map(|r| r.id.name())
            .collect();
        if !alive.is_empty() {
            let message = format!(
                "Cannot delete the Backup vault '{}' as there are existing backup instances or \
                 backup policies in the vault: {}.",
                id.name(),
                alive.join(", ")
            );
            return Err(Fault::new(FaultKind::VaultNotEmpty, message)
                .advise("Delete all backup instances and backup policies, then the vault.")
                .into());
        }
        let operation = self.done(self.begin(caller, id, vault.unique_id));
        let mut writes = self.vault_removal(caller, &old, &inside.iter().collect::<Vec<_>>())?;
        writes.push(Write::PutOperation(operation.clone()));
        self.apply(writes).await?;
        Ok(Some(operation))
    }

    /// Asks the vault's guard about what weakens it, however the request words it.
    async fn consent_to_change(
        &self,
        caller: &Caller,
        id: &ResourceId,
        before: Option<&Vault>,
        after: &Vault,
    ) -> Result<()> {
        let operations = before.map(|before| guard::of_vault_change(before, after));
        let operations = &operations.unwrap_or_default();
        let intent = Intent { vault: id, on: id, operations, deletes: None };
        self.consent(caller, intent).await.map(drop)
    }

    pub(super) async fn vault_writes(
        &self,
        caller: &Caller,
        old: Option<&Resource>,
        (id, location, tags): (ResourceId, String, BTreeMap<String, String>),
        mut vault: Vault,
        identity: Option<IdentitySpec>,
    ) -> Result<(Resource, Vec<Write>)> {
        let mut writes = vec![];
        if let Some(wanted) = identity {
            writes = self.settle_identity(caller, &id, &mut vault.identity, &wanted).await?;
        }
        let new = self.written(caller, old, &id, &location, tags, Model::Vault(vault));
        let expect = old.map_or(Expect::Absent, |o| Expect::Version(o.version));
        writes.push(Write::PutResource(new.clone(), expect));
        Ok((new, writes))
    }

    pub(super) async fn settled_vault(
        &self,
        before: Option<&Vault>,
        id: &ResourceId,
        wanted: &VaultSettings,
    ) -> Result<Vault> {
        let mut vault = before.cloned().unwrap_or_else(|| Vault {
            unique_id: self.env.uuid(),
            identity: Identity::default(),
            storage: default_storage(),
            soft_delete: SoftDelete { state: SoftDeleteState::On, days: SOFT_DELETE_DAYS },
            immutability: Immutability::Disabled,
            alert_on_failures: true,
            cross_subscription: CrossSubscription::Enabled,
            cross_region: None,
            cost: None,
        });
        if let Some(storage) = &wanted.storage {
            if before.is_some() && vault.storage != *storage {
                self.refuse_if_storage_fixed(id).await?;
            }
            vault.storage.clone_from(storage);
        }
        if vault.storage.is_empty() {
            let field = "properties.storageSettings";
            let message = "storageSettings must have at least one element.";
            return Err(Fault::invalid(field, message).into());
        }
        settle(&mut vault, wanted)?;
        Ok(vault)
    }

    async fn refuse_if_storage_fixed(&self, vault: &ResourceId) -> Result<()> {
        let filter = ResourceFilter {
            kind: Some(INSTANCES.into()),
            under: Some(vault.clone()),
            limit: 1,
            ..ResourceFilter::default()
        };
        if self.catalogue.resources(&filter).await?.rows.is_empty() {
            return Ok(());
        }
        let message = "storageSettings cannot change once the vault protects something.";
        Err(Fault::invalid("properties.storageSettings", message).into())
    }
}

/// Applies settings, refusing what never goes back.
fn settle(vault: &mut Vault, wanted: &VaultSettings) -> Result<()> {
    let soft = "properties.securitySettings.softDeleteSettings";
    if let Some(state) = wanted.soft_delete {
        one_way(
            vault.soft_delete.state,
            state,
            SoftDeleteState::AlwaysOn,
            &format!("{soft}.state"),
        )?;
        vault.soft_delete.state = state;
    }
    if let Some(days) = wanted.soft_delete_days {
        let off = vault.soft_delete.state == SoftDeleteState::Off;
        if off && days != 0.0 && !SOFT_DELETE_DAYS_RANGE.contains(&days)
            || !off && !SOFT_DELETE_DAYS_RANGE.contains(&days)
        {
            let field = format!("{soft}.retentionDurationInDays");
            let message = "retentionDurationInDays must be between 14 and 180.";
            return Err(Fault::invalid(field, message).into());
        }
        if days != 0.0 {
            vault.soft_delete.days = days;
        }
    }
    if let Some(state) = wanted.immutability {
        let field = "properties.securitySettings.immutabilitySettings.state";
        one_way(vault.immutability, state, Immutability::Locked, field)?;
        vault.immutability = state;
    }
    if let Some(state) = wanted.cross_subscription {
        let field = "properties.featureSettings.crossSubscriptionRestoreSettings.state";
        let fin = CrossSubscription::PermanentlyDisabled;
        one_way(vault.cross_subscription, state, fin, field)?;
        vault.cross_subscription = state;
    }
    if let Some(on) = wanted.cross_region {
        let field = "properties.featureSettings.crossRegionRestoreSettings.state";
        one_way(vault.cross_region.unwrap_or_default(), on, true, field)?;
        vault.cross_region = Some(on);
    }
    let geo = vault.storage.iter().any(|s| s.redundancy == GEO_REDUNDANT);
    if vault.cross_region == Some(true) && !geo {
        let field = "properties.featureSettings.crossRegionRestoreSettings.state";
        let message = format!("crossRegionRestoreSettings needs {GEO_REDUNDANT} storageSettings.");
        return Err(Fault::invalid(field, message).into());
    }
    vault.cost = wanted.cost.or(vault.cost);
    vault.alert_on_failures = wanted.alert_on_failures.unwrap_or(vault.alert_on_failures);
    Ok(())
}

/// The storage of a vault whose request names none. It steers nothing for disks.
fn default_storage() -> Vec<StorageSetting> {
    vec![StorageSetting { store: "VaultStore".into(), redundancy: "LocallyRedundant".into() }]
}

fn one_way<T: PartialEq>(now: T, wanted: T, last: T, field: &str) -> Result<()> {
    if now == last && wanted != last {
        let name = field.trim_start_matches("properties.");
        let message = format!("The setting {name} is final and cannot be changed any more.");
        return Err(Fault::new(FaultKind::OneWaySetting, message).at(field).into());
    }
    Ok(())
}

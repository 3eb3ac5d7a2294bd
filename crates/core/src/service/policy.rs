//! Backup policies of a vault.
//!
//! A policy that instances use does not change: points were promised its retention. A PUT of what
//! is already there is fine and changes nothing, as Terraform and `az` repeat their requests.

use super::resource::INSTANCES;
use super::{Caller, Service};
use crate::catalogue::{Expect, ResourceFilter, Write};
use crate::error::{Fault, FaultKind, Result};
use crate::model::{Model, Policy, Resource, ResourceId, Rule};
use std::collections::BTreeMap;

impl Service {
    /// Makes a policy, or changes one that nobody uses.
    ///
    /// # Errors
    /// `InvalidInput` with the field, `PolicyImmutable` when it is in use and would change.
    pub async fn policy_put(
        &self,
        caller: &Caller,
        id: &ResourceId,
        datasource_types: Vec<String>,
        rules: Vec<Rule>,
    ) -> Result<Resource> {
        crate::policy::check(&datasource_types, &rules)?;
        if self.settings.limits == crate::limits::Limits::Azure {
            crate::policy::azure_caps(&rules)?;
        }
        let _change = self.change.lock().await;
        let vault = id.parent().ok_or_else(|| Fault::not_found("backup policy", id))?;
        self.vault(&vault).await?;
        let old = self.catalogue.resource(id).await?;
        let unique_id = match old.as_ref().and_then(Resource::as_policy) {
            Some(policy) => policy.unique_id,
            None => self.env.uuid(),
        };
        let policy = Policy { unique_id, datasource_types, rules };
        if let Some(old) = &old {
            if old.as_policy() == Some(&policy) {
                return Ok(old.clone());
            }
            self.refuse_if_used(id, FaultKind::PolicyImmutable).await?;
        }
        if old.is_none() {
            self.check_count(&vault, super::resource::POLICIES).await?;
        }
        let tags = BTreeMap::new();
        let new = self.written(caller, old.as_ref(), id, "", tags, Model::Policy(policy));
        let expect = old.as_ref().map_or(Expect::Absent, |o| Expect::Version(o.version));
        self.apply(vec![Write::PutResource(new.clone(), expect)]).await?;
        Ok(new)
    }

    /// Deletes a policy; false when there was none.
    ///
    /// # Errors
    /// `PolicyInUse`, with the instances that use it.
    pub async fn policy_delete(&self, _caller: &Caller, id: &ResourceId) -> Result<bool> {
        let _change = self.change.lock().await;
        if self.catalogue.resource(id).await?.is_none() {
            return Ok(false);
        }
        self.refuse_if_used(id, FaultKind::PolicyInUse).await?;
        self.apply(vec![Write::DeleteResource(id.clone())]).await?;
        Ok(true)
    }

    async fn refuse_if_used(&self, id: &ResourceId, kind: FaultKind) -> Result<()> {
        let users = self.catalogue.instances_naming(id).await?;
        let names: Vec<String> = users
            .iter()
            .filter(|r| r.as_instance().is_some_and(|i| i.deletion.is_none() && i.policy == *id))
            .map(|r| r.id.name().to_owned())
            .collect();
        if names.is_empty() {
            return Ok(());
        }
        let does = match kind {
            FaultKind::PolicyInUse => "deleted",
            _ => "changed",
        };
        let message = format!(
            "The backup policy '{}' cannot be {does}: backup instances use it: {}.",
            id.name(),
            names.join(", ")
        );
        Err(Fault::new(kind, message)
            .at(id.as_str())
            .advise("Make another policy and move the named instances to it first.")
            .into())
    }

    /// Refuses one more child of a vault when Azure's quota is on and reached.
    pub(crate) async fn check_count(&self, vault: &ResourceId, kind: &str) -> Result<()> {
        let table = self.settings.limits.table();
        let most = match kind {
            INSTANCES => table.instances_per_vault,
            _ => table.policies_per_vault,
        };
        let Some(most) = most else { return Ok(()) };
        let filter = ResourceFilter {
            kind: Some(kind.into()),
            under: Some(vault.clone()),
            ..ResourceFilter::default()
        };
        if self.all(filter).await?.len() < most as usize {
            return Ok(());
        }
        let message = format!("The vault '{}' has {most} of these already.", vault.name());
        Err(Fault::new(FaultKind::Quota, message).into())
    }
}

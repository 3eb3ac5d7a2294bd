//! Proxies: each puts its vault under a resource guard.
//!
//! Who may see a guard can put a vault under it; only who has a right at the guard can take the
//! vault away again, by whatever way: deletion of the proxy, another guard in it, deletion of the
//! vault or of a group.

use super::consent::{Intent, linked, still_guarded};
use super::{Caller, Service, canonical_location};
use crate::catalogue::{Expect, Write};
use crate::error::{Error, Fault, Result};
use crate::guard::{Critical, GUARD_READ, Ruling};
use crate::model::{GuardProxy, Model, Resource, ResourceId, Unlock, Unlocked};
use jiff::SignedDuration;
use std::collections::BTreeMap;

/// How long an unlocked deletion stays unlocked: time for one request after the other, not for an
/// afternoon. Real time, as for tokens: a domain clock that a test moves must not end or prolong
/// somebody's consent.
const UNLOCK_TIME: SignedDuration = SignedDuration::from_mins(15);
/// Unlocks that a proxy remembers; beyond that the oldest is forgotten.
const UNLOCKS_MAX: usize = 100;
/// Where a proxy names its guard.
const GUARD_FIELD: &str = "properties.resourceGuardResourceId";

impl Service {
    /// Puts a vault under a guard, or under another one.
    ///
    /// # Errors
    /// `GuardRefused` when the caller may not see the guard, or when the vault is under another
    /// one that does not consent; `InvalidInput` when there is no such guard or the vault has a
    /// proxy already.
    pub async fn proxy_put(
        &self,
        caller: &Caller,
        id: &ResourceId,
        guard: ResourceId,
    ) -> Result<Resource> {
        let _change = self.change.lock().await;
        let vault = id.parent().ok_or_else(|| Fault::not_found("backup vault", id))?;
        let (vault_head, _) = self.vault(&vault).await?;
        let mut old = None;
        for (head, proxy) in self.proxies_of(&vault).await? {
            if head.id != *id {
                let message = format!(
                    "name: the vault is under a resource guard by its proxy '{}' already, and it \
                     can have only one.",
                    head.id.name()
                );
                return Err(Fault::invalid("name", message).into());
            }
            if proxy.guard == guard {
                return Ok(head);
            }
            let operations = &[Critical::RemoveProxy];
            let deletes = Some(Unlocked::Proxy);
            let intent = Intent { vault: &vault, on: id, operations, deletes };
            self.consent(caller, intent).await?;
            old = Some(head);
        }
        self.check_guard(caller, &vault_head, id, &guard).await?;
        let updated = self.env.domain();
        let model = Model::GuardProxy(GuardProxy { guard, updated, unlocks: vec![] });
        let new = self.written(caller, old.as_ref(), id, "", BTreeMap::new(), model);
        let expect = old.as_ref().map_or(Expect::Absent, |o| Expect::Version(o.version));
        self.apply(vec![Write::PutResource(new.clone(), expect)]).await?;
        Ok(new)
    }

    async fn check_guard(
        &self,
        caller: &Caller,
        vault: &Resource,
        proxy: &ResourceId,
        guard: &ResourceId,
    ) -> Result<()> {
        // The right first: who may not see a guard does not learn whether it is there.
        if !self.any_may(caller, &[(GUARD_READ, guard)]).await? {
            let may = "Microsoft.DataProtection/backupVaults/backupResourceGuardProxies/write";
            let advice = "Ask the owner of the resource guard for the role Reader on it.";
            return Err(linked(caller, may, proxy, GUARD_READ, guard).advise(advice).into());
        }
        let found = self.catalogue.resource(guard).await?;
        let Some(found) = found.filter(|found| found.as_guard().is_some()) else {
            let message = format!("resourceGuardResourceId: there is no resource guard '{guard}'.");
            return Err(Fault::invalid(GUARD_FIELD, message).into());
        };
        if canonical_location(&found.location) == canonical_location(&vault.location) {
            return Ok(());
        }
        let message = format!(
            "resourceGuardResourceId: the guard is in '{}' and the vault in '{}': they must be in \
             the same region.",
            found.location, vault.location
        );
        Err(Fault::invalid(GUARD_FIELD, message).into())
    }

    /// Takes a vault from under its guard; false when there was no such proxy.
    ///
    /// # Errors
    /// `GuardRefused` without the guard's consent.
    pub async fn proxy_delete(&self, caller: &Caller, id: &ResourceId) -> Result<bool> {
        let _change = self.change.lock().await;
        let (Some(old), Some(vault)) = (self.catalogue.resource(id).await?, id.parent()) else {
            return Ok(false);
        };
        let operations = &[Critical::RemoveProxy];
        let deletes = Some(Unlocked::Proxy);
        let mut writes =
            self.consent(caller, Intent { vault: &vault, on: id, operations, deletes }).await?;
        writes.push(Write::RequireResource(id.clone(), old.version));
        writes.push(Write::DeleteResource(id.clone()));
        self.apply(writes).await?;
        Ok(true)
    }

    /// Unlocks one deletion for the caller; the real time until which it stays unlocked, or None
    /// when the guard does not protect it and nothing needs to be unlocked.
    ///
    /// # Errors
    /// `NotFound`, `GuardRefused`, `InvalidInput` when it is not told what to unlock.
    pub async fn proxy_unlock(
        &self,
        caller: &Caller,
        id: &ResourceId,
        doomed: Option<&ResourceId>,
    ) -> Result<Option<jiff::Timestamp>> {
        let _change = self.change.lock().await;
        let (head, mut proxy) = self.guard_proxy(id).await?;
        let vault = id.parent().ok_or_else(|| Fault::not_found("backup vault", id))?;
        let (what, on) = self.to_unlock(caller, &head.id, &vault, &proxy, doomed).await?;
        let operation = match what {
            Unlocked::Proxy => Critical::RemoveProxy,
            Unlocked::Instance(_) => Critical::DeleteInstance,
        };
        if self.ruling(caller, operation, &proxy.guard, false).await? == Ruling::Excluded {
            return Ok(None);
        }
        // No unlock counts here: consent cannot be prolonged without the right.
        let operations = &[operation];
        self.consent(caller, Intent { vault: &vault, on: &on, operations, deletes: None }).await?;
        let from = self.env.real();
        let until = from.checked_add(UNLOCK_TIME).unwrap_or(from);
        let by = caller.object_id;
        proxy.unlocks.retain(|old| old.until > from && !(old.by == by && old.what == what));
        let over = (proxy.unlocks.len() + 1).saturating_sub(UNLOCKS_MAX);
        proxy.unlocks.drain(..over);
        proxy.unlocks.push(Unlock { by, what, from, until });
        let tags = head.tags.clone();
        let model = Model::GuardProxy(proxy);
        let new = self.written(caller, Some(&head), id, "", tags, model);
        self.apply(vec![Write::PutResource(new, Expect::Version(head.version))]).await?;
        Ok(Some(until))
    }

    /// What a request wants to delete: the named resource, or the proxy itself when the request
    /// names the guard's request for that, as the Azure CLI does.
    async fn to_unlock(
        &self,
        caller: &Caller,
        proxy_id: &ResourceId,
        vault: &ResourceId,
        proxy: &GuardProxy,
        named: Option<&ResourceId>,
    ) -> Result<(Unlocked, ResourceId)> {
        const FIELD: &str = "resourceToBeDeleted";
        let Some(named) = named else {
            let removal = Critical::RemoveProxy;
            if caller.guard_requests.iter().any(|id| removal.is_named_by(id, &proxy.guard)) {
                return Ok((Unlocked::Proxy, proxy_id.clone()));
            }
            let message = "resourceToBeDeleted: name the backup instance or the proxy to delete.";
            return Err(Fault::invalid(FIELD, message).into());
        };
        if named == proxy_id {
            return Ok((Unlocked::Proxy, named.clone()));
        }
        let found = self.catalogue.resource(named).await?;
        let instance = found.as_ref().and_then(Resource::as_instance);
        match instance.filter(|i| i.deletion.is_none() && i.vault == *vault) {
            Some(instance) => Ok((Unlocked::Instance(instance.unique_id), named.clone())),
            None => {
                let message = format!(
                    "resourceToBeDeleted: '{named}' is no backup instance of this vault, nor its \
                     proxy '{proxy_id}'."
                );
                Err(Fault::invalid(FIELD, message).into())
            }
        }
    }

    /// Refuses to delete a vault that is under a guard.
    pub(super) async fn refuse_if_guarded(&self, vault: &ResourceId) -> Result<()> {
        let proxies = self.proxies_of(vault).await?;
        let ids: Vec<ResourceId> = proxies.into_iter().map(|(head, _)| head.id).collect();
        if ids.is_empty() { Ok(()) } else { Err(still_guarded("backup vault", vault, &ids)) }
    }

    /// Refuses to delete a group with a vault that is under a guard, or with the guard of a vault.
    pub(super) async fn refuse_if_guarding(
        &self,
        group: &ResourceId,
        inside: &[Resource],
    ) -> Result<(), Error> {
        let mut ids: Vec<ResourceId> = vec![];
        for row in inside {
            if row.as_guard_proxy().is_some() {
                ids.push(row.id.clone());
            }
            if row.as_guard().is_some() {
                ids.extend(self.proxies_to(&row.id).await?);
            }
        }
        ids.sort();
        ids.dedup();
        if ids.is_empty() { Ok(()) } else { Err(still_guarded("resource group", group, &ids)) }
    }
}

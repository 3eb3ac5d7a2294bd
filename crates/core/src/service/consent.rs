//! Consent to critical operations at vaults that are under a resource guard.
//!
//! Every operation of [`crate::guard::Critical`] asks [`Service::consent`] while it holds
//! [`Service::change`], under which it also writes: whoever takes a right, an exclusion or a proxy
//! away does so before the decision or after the write, never between (`docs/adr/0004`).
//! [`crate::guard::rule`] decides; here is gathered what it needs to know.

use super::resource::PROXIES;
use super::{Caller, Service};
use crate::access;
use crate::catalogue::{Expect, ResourceFilter, Write};
use crate::error::{Error, Fault, FaultKind, Result};
use crate::guard::{self, Critical, Question, Ruling};
use crate::model::{GuardProxy, Model, Resource, ResourceId, RoleAssignment, Unlock, Unlocked};
use std::collections::BTreeSet;

/// What somebody is about to do at a vault.
#[derive(Clone, Copy, Debug)]
pub(super) struct Intent<'a> {
    /// The vault.
    pub(super) vault: &'a ResourceId,
    /// What is acted on: the vault or something in it.
    pub(super) on: &'a ResourceId,
    /// The critical operations that lie in it.
    pub(super) operations: &'a [Critical],
    /// What an unlock would have to name, when it is a deletion.
    pub(super) deletes: Option<Unlocked>,
}

impl Service {
    /// Asks the guard of a vault, if it has one; [`Service::change`] must be held. The writes that
    /// come back belong into the list of the operation: they spend an unlock.
    ///
    /// # Errors
    /// `GuardRefused` when nobody with the right consents, `InvalidInput` when the request names
    /// another request of the guard.
    pub(super) async fn consent(&self, caller: &Caller, intent: Intent<'_>) -> Result<Vec<Write>> {
        if intent.operations.is_empty() {
            return Ok(vec![]);
        }
        let mut writes = vec![];
        for (head, proxy) in self.proxies_of(intent.vault).await? {
            writes.extend(self.consent_of(caller, intent, head, proxy).await?);
        }
        Ok(writes)
    }

    async fn consent_of(
        &self,
        caller: &Caller,
        intent: Intent<'_>,
        head: Resource,
        mut proxy: GuardProxy,
    ) -> Result<Option<Write>> {
        let now = self.env.real();
        let opens = |unlock: &Unlock| {
            intent.deletes.is_some_and(|what| guard::opens(unlock, caller.object_id, what, now))
        };
        let unlocked = proxy.unlocks.iter().any(opens);
        let mut spent = false;
        for operation in intent.operations {
            match self.ruling(caller, *operation, &proxy.guard, unlocked).await? {
                Ruling::Excluded | Ruling::Consented => {}
                Ruling::Unlocked => spent = true,
                Ruling::Refused => {
                    return Err(refused(caller, intent, *operation, &proxy.guard).into());
                }
                Ruling::WrongRequest => return Err(wrong_request(*operation, &proxy.guard).into()),
            }
        }
        // The proxy's own unlock goes with the proxy.
        if !spent || intent.deletes == Some(Unlocked::Proxy) {
            return Ok(None);
        }
        proxy.unlocks.retain(|unlock| !opens(unlock));
        let tags = head.tags.clone();
        let model = Model::GuardProxy(proxy);
        let new = self.written(caller, Some(&head), &head.id, "", tags, model);
        Ok(Some(Write::PutResource(new, Expect::Version(head.version))))
    }

    /// What the guard says to one operation.
    pub(super) async fn ruling(
        &self,
        caller: &Caller,
        operation: Critical,
        guard: &ResourceId,
        unlocked: bool,
    ) -> Result<Ruling> {
        // A guard that is gone excludes nothing and can be asked by nobody below its group.
        let found = self.catalogue.resource(guard).await?;
        let exclusions = found.as_ref().and_then(Resource::as_guard).map(|g| g.exclusions.clone());
        let exclusions = exclusions.unwrap_or_default();
        let request = operation.request_id(guard);
        let at = request.as_ref().unwrap_or(guard);
        let rights = [(operation.action(), at), (guard::GUARD_WRITE, guard)];
        let has_right = self.any_may(caller, &rights).await?;
        let named = &caller.guard_requests;
        Ok(guard::rule(Question {
            operation,
            guard,
            exclusions: &exclusions,
            has_right,
            unlocked,
            named,
        }))
    }

    /// Whether who asks, or somebody whose token the request carries, has one of these rights.
    pub(super) async fn any_may(
        &self,
        caller: &Caller,
        rights: &[(&str, &ResourceId)],
    ) -> Result<bool> {
        let custom = self.catalogue.roles().await?;
        let role = |id| super::role::role_of(&custom, id);
        for principal in std::iter::once(&caller.object_id).chain(&caller.auxiliary) {
            let held: Vec<RoleAssignment> = self.catalogue.assignments_of(*principal).await?;
            if rights.iter().any(|(action, scope)| access::decide(&held, role, action, scope)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The proxies of a vault: none or one.
    pub(super) async fn proxies_of(
        &self,
        vault: &ResourceId,
    ) -> Result<Vec<(Resource, GuardProxy)>> {
        let filter = ResourceFilter {
            kind: Some(PROXIES.into()),
            under: Some(vault.clone()),
            ..ResourceFilter::default()
        };
        let rows = self.all(filter).await?;
        let known = |row: Resource| row.as_guard_proxy().cloned().map(|proxy| (row, proxy));
        Ok(rows.into_iter().filter_map(known).collect())
    }

    /// Those of these vaults that are under a guard. The cost follows the number of vaults asked
    /// about, not of those that there are.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn guarded(&self, vaults: &[&ResourceId]) -> Result<BTreeSet<ResourceId>> {
        let asked: BTreeSet<&ResourceId> = vaults.iter().copied().collect();
        let mut found = BTreeSet::new();
        // A proxy's key is its vault's and more, so those of the page lie between these two.
        let first = vaults.iter().map(|id| format!("{}/", id.key())).min();
        let last = vaults.iter().map(|id| format!("{}/~", id.key())).max().unwrap_or_default();
        let mut after = first;
        while after.is_some() {
            let filter = ResourceFilter {
                kind: Some(PROXIES.into()),
                after: after.take(),
                limit: crate::catalogue::PAGE_MAX,
                ..ResourceFilter::default()
            };
            let page = self.catalogue.resources(&filter).await?;
            let inside = page.rows.iter().take_while(|row| row.id.key() < last.as_str());
            let homes = inside.filter_map(|row| row.id.parent());
            found.extend(homes.filter(|home| asked.contains(home)));
            after = page.after.filter(|after| *after < last);
        }
        Ok(found)
    }

    /// The names of the proxies that put vaults under this guard.
    pub(super) async fn proxies_to(&self, guard: &ResourceId) -> Result<Vec<ResourceId>> {
        let filter = ResourceFilter { kind: Some(PROXIES.into()), ..ResourceFilter::default() };
        let all = self.all(filter).await?;
        let here = |row: &Resource| row.as_guard_proxy().is_some_and(|p| p.guard == *guard);
        Ok(all.into_iter().filter(here).map(|row| row.id).collect())
    }
}

/// Azure's words for a right that is missing at a second resource, and what to do about it.
fn refused(caller: &Caller, intent: Intent<'_>, operation: Critical, guard: &ResourceId) -> Fault {
    let request = operation.request_id(guard).unwrap_or_else(|| guard.clone());
    let fault = linked(caller, operation.operation(), intent.on, operation.action(), &request);
    let mut fault = Fault {
        message: format!(
            "{} The vault '{}' is under the resource guard '{guard}', which protects this \
             operation: ask the guard's owner for the role Backup MUA Operator on it, or send the \
             token of somebody who has it in the header x-ms-authorization-auxiliary.",
            fault.message, intent.vault
        ),
        ..fault
    };
    let unlock = "Or have the deletion unlocked by POST unlockDelete at the vault's \
                  backupResourceGuardProxies, and delete before that expires.";
    fault.guidance = vec![
        format!("Ask the owner of the resource guard for the role Backup MUA Operator on {guard}."),
        "Or send the token of a principal that has it in x-ms-authorization-auxiliary.".into(),
    ];
    fault.guidance.extend(intent.deletes.map(|_| unlock.to_owned()));
    fault
}

/// Azure's refusal of who may act on one resource and lacks a right at another.
pub(super) fn linked(
    caller: &Caller,
    may: &str,
    on: &ResourceId,
    lacks: &str,
    at: &ResourceId,
) -> Fault {
    let message = format!(
        "The client '{}' with object id '{}' has permission to perform action '{may}' on scope \
         '{on}'; however, it does not have permission to perform action(s) '{lacks}' on the linked \
         scope(s) '{at}' or the linked scope(s) are invalid.",
        caller.client_id, caller.object_id
    );
    Fault::new(FaultKind::GuardRefused, message).at(at.as_str())
}

fn wrong_request(operation: Critical, guard: &ResourceId) -> Fault {
    let request = operation.request_id(guard).unwrap_or_else(|| guard.clone());
    let message = format!(
        "resourceGuardOperationRequests: it must name '{request}', which is the guard's request \
         for {}.",
        operation.operation()
    );
    Fault::invalid("resourceGuardOperationRequests", message)
        .advise("Send that id, or leave the list out.")
}

/// Refuses what would take a vault from under its guard on the side.
pub(super) fn still_guarded(what: &str, name: &ResourceId, proxies: &[ResourceId]) -> Error {
    let names: Vec<&str> = proxies.iter().map(ResourceId::as_str).collect();
    let message = format!(
        "The {what} '{name}' cannot be deleted while a vault is put under a resource guard by it \
         or in it: {}.",
        names.join(", ")
    );
    Fault::new(FaultKind::GuardInUse, message)
        .at(name.as_str())
        .advise("Delete the named backupResourceGuardProxies first; the guard must consent to it.")
        .into()
}

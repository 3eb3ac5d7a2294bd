//! User-assigned managed identities: principals that are resources of their own, and vaults'
//! use of them.
//!
//! What must always hold: a principal lives exactly as long as its identity; an identity that a
//! vault uses is not deleted; nobody gives a vault an identity that they may not assign, because
//! whoever directs the vault then acts with the identity's rights.

use super::resource::VAULTS;
use super::{Caller, IdentitySpec, Service};
use crate::catalogue::{Expect, ResourceFilter, Write};
use crate::error::{Fault, FaultKind, Result};
use crate::model::{Identity, Model, Principal, PrincipalKind, Resource, ResourceId, UserIdentity};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The type of user-assigned identities.
pub(crate) const USER_IDENTITIES: &str = "microsoft.managedidentity/userassignedidentities";
/// The right to let a resource work as an identity.
pub const IDENTITY_ASSIGN: &str = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action";
/// User-assigned identities that a vault may have.
const IDENTITIES_MAX: usize = 100;
/// Where a request names them.
const FIELD: &str = "identity.userAssignedIdentities";

/// A user-assigned identity as a client wants it.
#[derive(Clone, Debug)]
pub struct UserIdentitySpec {
    /// Its id.
    pub id: ResourceId,
    /// Its location.
    pub location: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// What a PATCH does to a vault's user-assigned identities: true adds, false takes away.
pub type IdentityChanges = BTreeMap<String, bool>;

impl Service {
    /// Makes a user-assigned identity, or changes its tags; true when it is new.
    ///
    /// # Errors
    /// `GroupNotFound`, `LocationChanged`, `LimitReached`, `InvalidInput` with the field.
    pub async fn user_identity_put(
        &self,
        caller: &Caller,
        spec: UserIdentitySpec,
    ) -> Result<(Resource, bool)> {
        let location = self.location(&spec.location)?;
        let _change = self.change.lock().await;
        self.require_group(&spec.id).await?;
        let old = self.catalogue.resource(&spec.id).await?;
        let mut writes = vec![];
        let model = match &old {
            Some(old) => {
                self.same_location(old, &spec.location)?;
                old.model.clone()
            }
            None => {
                self.check_principal_count().await?;
                let principal = self.identity_of(&spec.id);
                let made =
                    UserIdentity { principal: principal.object_id, client: principal.client_id };
                writes.push(Write::PutPrincipal(principal));
                Model::UserIdentity(made)
            }
        };
        let new = self.written(caller, old.as_ref(), &spec.id, &location, spec.tags, model);
        let expect = old.as_ref().map_or(Expect::Absent, |o| Expect::Version(o.version));
        writes.push(Write::PutResource(new.clone(), expect));
        self.apply(writes).await?;
        Ok((new, old.is_none()))
    }

    /// Changes the tags of a user-assigned identity.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn user_identity_patch(
        &self,
        caller: &Caller,
        id: &ResourceId,
        tags: Option<BTreeMap<String, String>>,
    ) -> Result<Resource> {
        let _change = self.change.lock().await;
        let (old, _) = self.user_identity(id).await?;
        let tags = tags.unwrap_or_else(|| old.tags.clone());
        let new = self.written(caller, Some(&old), id, &old.location, tags, old.model.clone());
        self.apply(vec![Write::PutResource(new.clone(), Expect::Version(old.version))]).await?;
        Ok(new)
    }

    /// Deletes a user-assigned identity with its principal and role assignments; false when there
    /// was none.
    ///
    /// # Errors
    /// `IdentityInUse` with the vaults that have it: their backups would fail without a word.
    pub async fn user_identity_delete(&self, _caller: &Caller, id: &ResourceId) -> Result<bool> {
        let _change = self.change.lock().await;
        let Some(old) = self.catalogue.resource(id).await? else {
            return Ok(false);
        };
        let Some(identity) = old.as_user_identity() else {
            return Ok(false);
        };
        self.refuse_identity_in_use(id, None).await?;
        self.apply(vec![
            Write::RequireResource(id.clone(), old.version),
            Write::DeleteResource(id.clone()),
            Write::DeletePrincipal(identity.principal),
        ])
        .await?;
        Ok(true)
    }

    /// Refuses when a vault, outside of a group that goes, has an identity at or below this id.
    pub(super) async fn refuse_identity_in_use(
        &self,
        id: &ResourceId,
        going: Option<&ResourceId>,
    ) -> Result<()> {
        let filter = ResourceFilter { kind: Some(VAULTS.into()), ..ResourceFilter::default() };
        let vaults = self.all(filter).await?;
        let uses = |vault: &&Resource| {
            let model = vault.as_vault();
            let mut named = model.into_iter().flat_map(|v| v.identity.user.keys());
            let stays = going.is_none_or(|group| !vault.id.is_within(group));
            stays && named.any(|key| ResourceId::parse(key).is_ok_and(|own| own.is_within(id)))
        };
        let names: Vec<&str> = vaults.iter().filter(uses).map(|v| v.id.as_str()).collect();
        if names.is_empty() {
            return Ok(());
        }
        let message = format!("'{id}' cannot be deleted: vaults work as it: {}.", names.join(", "));
        Err(Fault::new(FaultKind::IdentityInUse, message)
            .at(id.as_str())
            .advise("Take the identity away from the named vaults first.")
            .into())
    }

    /// A new principal of a managed identity that belongs to `resource`.
    pub(super) fn identity_of(&self, resource: &ResourceId) -> Principal {
        Principal {
            object_id: self.env.uuid(),
            client_id: self.env.uuid(),
            name: resource.name().to_owned(),
            kind: PrincipalKind::ManagedIdentity,
            secrets: vec![],
            created: Some(self.env.domain()),
            resource: Some(resource.clone()),
        }
    }

    /// Brings a vault's identities to what is wanted.
    pub(super) async fn settle_identity(
        &self,
        caller: &Caller,
        vault: &ResourceId,
        identity: &mut Identity,
        wanted: &IdentitySpec,
    ) -> Result<Vec<Write>> {
        identity.user = self.user_identities(caller, &identity.user, &wanted.user).await?;
        Ok(match (wanted.system, identity.system) {
            (true, None) => {
                let principal = self.identity_of(vault);
                identity.system = Some(principal.object_id);
                vec![Write::PutPrincipal(principal)]
            }
            (false, Some(object_id)) => {
                identity.system = None;
                vec![Write::DeletePrincipal(object_id)]
            }
            (true, Some(_)) | (false, None) => vec![],
        })
    }

    /// Takes away the user-assigned identities that were deleted while a vault was: a later one of
    /// the same name is another one.
    pub(super) async fn forget_lost_identities(&self, identity: &mut Identity) -> Result<()> {
        let held = std::mem::take(&mut identity.user);
        for (text, ids) in held {
            if self.catalogue.principal(ids.0).await?.is_some() {
                identity.user.insert(text, ids);
            }
        }
        Ok(())
    }

    async fn user_identities(
        &self,
        caller: &Caller,
        held: &BTreeMap<String, (Uuid, Uuid)>,
        wanted: &[String],
    ) -> Result<BTreeMap<String, (Uuid, Uuid)>> {
        if wanted.len() > IDENTITIES_MAX {
            let message = format!("{FIELD}: a vault has at most {IDENTITIES_MAX} of them.");
            return Err(Fault::invalid(FIELD, message).into());
        }
        let mut found: BTreeMap<ResourceId, (String, (Uuid, Uuid))> = BTreeMap::new();
        for text in wanted {
            let wrong = |why: &str| Fault::invalid(FIELD, format!("{FIELD}: '{text}' {why}."));
            let id = ResourceId::parse(text).map_err(|_| wrong("is not a resource id"))?;
            if id.kind() != USER_IDENTITIES {
                return Err(wrong("is not the id of a user-assigned identity").into());
            }
            let Some(Model::UserIdentity(model)) =
                self.catalogue.resource(&id).await?.map(|found| found.model)
            else {
                return Err(wrong("does not exist").into());
            };
            // What the vault has already was assigned by somebody who might.
            if named(held, &id).is_none() {
                self.allow(caller, IDENTITY_ASSIGN, &id).await?;
            }
            found.insert(id, (text.clone(), (model.principal, model.client)));
        }
        Ok(found.into_values().collect())
    }
}

/// The ids that a PATCH leads to.
pub(super) fn patched(
    held: &BTreeMap<String, (Uuid, Uuid)>,
    changes: &IdentityChanges,
) -> Result<Vec<String>> {
    let parse = |text: &str| {
        let message = format!("{FIELD}: '{text}' is not a resource id.");
        ResourceId::parse(text).map_err(|_| Fault::invalid(FIELD, message))
    };
    let mut ids: BTreeMap<ResourceId, String> = BTreeMap::new();
    for text in held.keys() {
        ids.insert(parse(text)?, text.clone());
    }
    for (text, stays) in changes {
        let id = parse(text)?;
        match stays {
            true => drop(ids.entry(id).or_insert_with(|| text.clone())),
            false => drop(ids.remove(&id)),
        }
    }
    if ids.is_empty() {
        let message = format!("{FIELD}: the type UserAssigned needs at least one identity.");
        return Err(Fault::invalid(FIELD, message).into());
    }
    Ok(ids.into_values().collect())
}

/// The object id of an identity that a vault has.
pub(super) fn named(held: &BTreeMap<String, (Uuid, Uuid)>, id: &ResourceId) -> Option<Uuid> {
    let same = |text: &str| ResourceId::parse(text).is_ok_and(|own| own == *id);
    held.iter().find(|(text, _)| same(text)).map(|(_, (principal, _))| *principal)
}

/// The principal that goes when a resource goes.
pub(super) fn principal_of(model: &Model) -> Option<Uuid> {
    match model {
        Model::Vault(vault) => vault.identity.system,
        Model::UserIdentity(identity) => Some(identity.principal),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/rg\
        /providers/Microsoft.ManagedIdentity/userAssignedIdentities";

    fn held(names: &[&str]) -> BTreeMap<String, (Uuid, Uuid)> {
        let ids = (Uuid::from_u128(1), Uuid::from_u128(2));
        names.iter().map(|name| (format!("{HEAD}/{name}"), ids)).collect()
    }

    fn after(names: &[&str], changes: &[(&str, bool)]) -> Option<Vec<String>> {
        let named = |(name, stays): &(&str, bool)| (format!("{HEAD}/{name}"), *stays);
        let found = patched(&held(names), &changes.iter().map(named).collect()).ok()?;
        Some(found.iter().map(|id| id.rsplit('/').next().unwrap().to_owned()).collect())
    }

    #[test]
    fn a_patch_adds_and_takes_away() {
        let some = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(after(&["A", "b"], &[]), some(&["A", "b"]));
        assert_eq!(after(&["A", "b"], &[("a", false)]), some(&["b"]), "case does not count");
        assert_eq!(after(&["A"], &[("a", true), ("c", true)]), some(&["A", "c"]));
        assert_eq!(after(&["A"], &[("a", false), ("c", true)]), some(&["c"]));
        assert_eq!(after(&["A"], &[("a", false)]), None, "none is left");
        assert!(patched(&BTreeMap::new(), &[("x".to_owned(), true)].into()).is_err());
    }

    #[test]
    fn identities_are_found_in_any_case() {
        let id = ResourceId::parse(&format!("{HEAD}/A").to_uppercase()).unwrap();
        assert_eq!(named(&held(&["a"]), &id), Some(Uuid::from_u128(1)));
        assert_eq!(named(&held(&["b"]), &id), None);
    }
}

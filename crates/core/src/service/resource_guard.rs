//! Resource guards: kept by those who consent, used by vaults of others.

use super::consent::still_guarded;
use super::{Caller, Service};
use crate::catalogue::{Expect, Write};
use crate::error::{Fault, Result};
use crate::guard;
use crate::model::{Model, Resource, ResourceGuard, ResourceId};
use std::collections::BTreeMap;

/// A guard as a client wants it.
#[derive(Clone, Debug)]
pub struct GuardSpec {
    /// Its id.
    pub id: ResourceId,
    /// Its location.
    pub location: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Operations that it does not protect.
    pub exclusions: Vec<String>,
}

impl Service {
    /// Makes or replaces a guard; true when it is new. Exclusions that are left out are gone: a
    /// forgotten list protects more, never less.
    ///
    /// # Errors
    /// `ExclusionRefused`, `LocationChanged`, `GroupNotFound`.
    pub async fn guard_put(&self, caller: &Caller, spec: GuardSpec) -> Result<(Resource, bool)> {
        let location = self.location(&spec.location)?;
        guard::check_exclusions(&spec.exclusions)?;
        let _change = self.change.lock().await;
        self.require_group(&spec.id).await?;
        let old = self.catalogue.resource(&spec.id).await?;
        if let Some(old) = &old {
            self.same_location(old, &spec.location)?;
        }
        let model = Model::Guard(ResourceGuard { exclusions: spec.exclusions });
        let new = self.written(caller, old.as_ref(), &spec.id, &location, spec.tags, model);
        let expect = old.as_ref().map_or(Expect::Absent, |o| Expect::Version(o.version));
        self.apply(vec![Write::PutResource(new.clone(), expect)]).await?;
        Ok((new, old.is_none()))
    }

    /// Changes a guard's tags.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn guard_patch(
        &self,
        caller: &Caller,
        id: &ResourceId,
        tags: Option<BTreeMap<String, String>>,
    ) -> Result<Resource> {
        let _change = self.change.lock().await;
        let (old, _) = self.resource_guard(id).await?;
        let tags = tags.unwrap_or_else(|| old.tags.clone());
        let new = self.written(caller, Some(&old), id, &old.location, tags, old.model.clone());
        self.apply(vec![Write::PutResource(new.clone(), Expect::Version(old.version))]).await?;
        Ok(new)
    }

    /// Deletes a guard; false when there was none.
    ///
    /// # Errors
    /// `GuardInUse` with the proxies that use it: a guard does not vanish from over a vault.
    pub async fn guard_delete(&self, _caller: &Caller, id: &ResourceId) -> Result<bool> {
        let _change = self.change.lock().await;
        let Some(old) = self.catalogue.resource(id).await? else {
            return Ok(false);
        };
        let users = self.proxies_to(id).await?;
        if !users.is_empty() {
            return Err(still_guarded("resource guard", &old.id, &users));
        }
        let writes = vec![
            Write::RequireResource(id.clone(), old.version),
            Write::DeleteResource(id.clone()),
        ];
        self.apply(writes).await?;
        Ok(true)
    }

    /// The exact spelling of a kind of request at a guard, and the guard.
    ///
    /// # Errors
    /// `NotFound` when there is no such guard or kind.
    pub async fn guard_requests(
        &self,
        guard: &ResourceId,
        kind: &str,
    ) -> Result<(Resource, &'static str)> {
        let (found, _) = self.resource_guard(guard).await?;
        let kind = guard::request_kind(kind)
            .ok_or_else(|| Fault::not_found("kind of resource guard request", kind))?;
        Ok((found, kind))
    }
}

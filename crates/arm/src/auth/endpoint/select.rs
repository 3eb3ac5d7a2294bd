//! Which of the configured identities a request means.

use super::Refusal;
use crate::wire::request::Query;
use tresor_core::error::Result;
use tresor_core::model::{Model, Principal, PrincipalKind, ResourceId};
use tresor_core::service::Service;
use uuid::Uuid;

/// How the protocols name an identity; each may be named in one way only.
const CLIENT: [&str; 2] = ["client_id", "clientid"];
const OBJECT: [&str; 2] = ["object_id", "principal_id"];
const RESOURCE: [&str; 2] = ["mi_res_id", "msi_res_id"];

/// A configured identity that exists.
struct Known {
    principal: Principal,
    /// The resource that it belongs to.
    resource: Option<ResourceId>,
}

/// The identity that a request means; the only one there is, when it names none.
pub(super) async fn identity(
    service: &Service,
    configured: &[String],
    query: &Query,
) -> std::result::Result<Principal, Refusal> {
    let named = |names: [&str; 2]| names.into_iter().find_map(|name| query.get(name));
    let wanted = (named(CLIENT), named(OBJECT), named(RESOURCE));
    let absent = || Refusal::bad("Identity not found: the endpoint does not speak for it.");
    let guid = |text: &str| Uuid::try_parse(text).map_err(|_| absent());
    let mut known = known(service, configured).await?;
    match wanted {
        (None, None, None) => {}
        (Some(id), None, None) => {
            let id = guid(id)?;
            known.retain(|known| known.principal.client_id == id);
        }
        (None, Some(id), None) => {
            let id = guid(id)?;
            known.retain(|known| known.principal.object_id == id);
        }
        (None, None, Some(text)) => {
            let id = ResourceId::parse(text).map_err(|_| absent())?;
            known.retain(|known| known.resource.as_ref() == Some(&id));
        }
        _ => {
            let text = "Name the identity in one way: client_id, object_id or mi_res_id.";
            return Err(Refusal::bad(text));
        }
    }
    match (known.pop(), known.is_empty()) {
        (Some(found), true) => Ok(found.principal),
        (None, _) => Err(absent()),
        (Some(_), false) => Err(Refusal::bad(
            "Multiple identities exist; name one by client_id, object_id or mi_res_id.",
        )),
    }
}

/// The configured identities that exist now, each once.
async fn known(service: &Service, configured: &[String]) -> Result<Vec<Known>> {
    let mut all: Vec<Known> = vec![];
    for text in configured {
        let Some(found) = resolve(service, text).await? else {
            continue;
        };
        let id = found.principal.object_id;
        if all.iter().all(|other| other.principal.object_id != id) {
            all.push(found);
        }
    }
    Ok(all)
}

async fn resolve(service: &Service, text: &str) -> Result<Option<Known>> {
    let (principal, resource) = match Uuid::try_parse(text) {
        Ok(id) => {
            let found = match service.principal(id).await? {
                None => service.principal_by_client(id).await?,
                found => found,
            };
            (found, None)
        }
        Err(_) => {
            let Ok(id) = ResourceId::parse(text) else {
                return Ok(None);
            };
            let owner = match service.find(&id).await?.map(|found| found.model) {
                Some(Model::UserIdentity(identity)) => Some(identity.principal),
                Some(Model::Vault(vault)) => vault.identity.system,
                _ => None,
            };
            match owner {
                Some(owner) => (service.principal(owner).await?, Some(id)),
                None => (None, None),
            }
        }
    };
    // An application has secrets of its own; nobody gets its tokens without one.
    let found = principal.filter(|found| found.kind == PrincipalKind::ManagedIdentity);
    Ok(found.map(|principal| {
        let resource = resource.or_else(|| principal.resource.clone());
        Known { principal, resource }
    }))
}

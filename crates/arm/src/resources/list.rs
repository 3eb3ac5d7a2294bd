//! All resources of a subscription or group, whatever their type.

use crate::types::time::instant;
use crate::wire::error::ArmError;
use crate::wire::filter::{self, Term};
use crate::wire::paging;
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use serde_json::{Value, json};
use tresor_core::catalogue::ResourceFilter;
use tresor_core::error::{Fault, FaultKind};
use tresor_core::model::{Model, Resource, ResourceId};

/// What a list asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    group: Option<String>,
    kind: Option<String>,
    name: Option<String>,
    tag: Option<String>,
    tag_value: Option<String>,
}

impl Wanted {
    fn read(text: Option<&str>) -> Result<Self, ArmError> {
        let mut wanted = Self::default();
        let Some(text) = text else { return Ok(wanted) };
        for term in filter::terms(text)? {
            let Term::Equals(name, value) = term else {
                return Err(filter::refusal(text));
            };
            let slot = match name.as_str() {
                "resourcegroup" => &mut wanted.group,
                "resourcetype" => &mut wanted.kind,
                "name" => &mut wanted.name,
                "tagname" => &mut wanted.tag,
                "tagvalue" => &mut wanted.tag_value,
                _ => return Err(filter::refusal(text)),
            };
            *slot = Some(value);
        }
        if wanted.tag_value.is_some() && wanted.tag.is_none() {
            return Err(filter::refusal(text));
        }
        Ok(wanted)
    }

    fn takes(&self, resource: &Resource) -> bool {
        let name = self.name.as_ref();
        let named = name.is_none_or(|name| name.eq_ignore_ascii_case(resource.id.name()));
        named
            && self.tag.as_ref().is_none_or(|tag| {
                let own = resource.tags.iter().find(|(own, _)| own.eq_ignore_ascii_case(tag));
                let value = self.tag_value.as_ref();
                own.is_some_and(|(_, own)| value.is_none_or(|value| value == own))
            })
    }
}

/// The type in exact spelling; None for what is no resource of its own.
fn kind(resource: &Resource) -> Option<&'static str> {
    match &resource.model {
        Model::Disk(_) => Some("Microsoft.Compute/disks"),
        Model::Snapshot(_) => Some("Microsoft.Compute/snapshots"),
        Model::UserIdentity(_) => Some("Microsoft.ManagedIdentity/userAssignedIdentities"),
        Model::Vault(_) => Some("Microsoft.DataProtection/backupVaults"),
        Model::Guard(_) => Some("Microsoft.DataProtection/resourceGuards"),
        Model::Group(_)
        | Model::Policy(_)
        | Model::Instance(_)
        | Model::GuardProxy(_)
        | Model::DeletedVault(_) => None,
    }
}

fn document(resource: &Resource, expand: bool) -> Option<Value> {
    let mut document = json!({
        "id": resource.id.as_str(),
        "name": resource.id.name(),
        "type": kind(resource)?,
        "location": resource.location,
        "tags": resource.tags,
    });
    let sku = match &resource.model {
        Model::Disk(disk) => Some(&disk.sku),
        Model::Snapshot(snapshot) => Some(&snapshot.sku),
        _ => None,
    };
    let object = document.as_object_mut()?;
    if let Some(sku) = sku {
        object.insert("sku".into(), json!({ "name": sku }));
    }
    if expand {
        object.insert("createdTime".into(), instant(resource.created.at).into());
        object.insert("changedTime".into(), instant(resource.modified.at).into());
        object.insert("provisioningState".into(), "Succeeded".into());
    }
    Some(document)
}

pub(super) async fn list(request: Request) -> Result<Reply, ArmError> {
    let service = &request.app.service;
    let filter = paging::filter(&request)?;
    let wanted = Wanted::read(filter.as_deref())?;
    let under = match &wanted.group {
        Some(group) if request.id.group().is_none() => within(&request, group)?,
        Some(group) if request.id.group().is_none_or(|own| !own.eq_ignore_ascii_case(group)) => {
            return Ok(Reply::ok(json!({ "value": [] })));
        }
        _ => request.id.clone(),
    };
    if under.group().is_some() && service.find(&under).await?.is_none() {
        let message = format!("Resource group '{}' could not be found.", under.name());
        return Err(Fault::new(FaultKind::GroupNotFound, message).into());
    }
    let page = service
        .resources(&ResourceFilter {
            kind: wanted.kind.as_ref().map(|kind| kind.to_lowercase()),
            under: Some(under),
            after: paging::cursor(&request)?,
            limit: paging::limit(&request)?,
            ..ResourceFilter::default()
        })
        .await?;
    let expand = request.query.get("$expand").is_some();
    let rows = page.rows.iter().filter(|row| wanted.takes(row));
    let rows = rows.filter_map(|row| document(row, expand)).collect();
    Ok(Reply::ok(paging::page(&request, rows, page.after)?))
}

fn within(request: &Request, group: &str) -> Result<ResourceId, ArmError> {
    let id = request.id.join(&format!("resourceGroups/{group}"));
    id.map_err(|_| filter::refusal(&format!("resourceGroup eq '{group}'")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_of_known_clients() {
        let wanted = Wanted::read(Some("resourceGroup eq 'rg' and resourceType eq 'A/b'")).unwrap();
        assert_eq!(wanted.group.as_deref(), Some("rg"));
        assert_eq!(wanted.kind.as_deref(), Some("A/b"));
        for bad in ["color eq 'red'", "tagValue eq 'x'", "substringof('a')", "name ne 'x'"] {
            assert!(Wanted::read(Some(bad)).is_err(), "{bad}");
        }
    }
}

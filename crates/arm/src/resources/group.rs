//! Resource groups.
//!
//! Clients write `resourcegroups` and `resourceGroups` as they like; the id of a group comes out in
//! one spelling with the casing of its own name, because clients take it apart again.

use crate::wire::error::ArmError;
use crate::wire::filter::{self, Term};
use crate::wire::operation::{StatusScope, accept};
use crate::wire::paging;
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use http::StatusCode;
use serde_json::{Value, json};
use tresor_core::catalogue::ResourceFilter;
use tresor_core::error::{Fault, FaultKind};
use tresor_core::model::{Resource, ResourceId};
use tresor_core::service::GroupSpec;

/// Type of groups in the catalogue.
const KIND: &str = "microsoft.resources/resourcegroups";
const RETRY_AFTER: u32 = 15;

/// A group as clients see it.
fn document(resource: &Resource) -> Value {
    let mut document = json!({
        "id": canonical(&resource.id),
        "name": resource.id.name(),
        "type": "Microsoft.Resources/resourceGroups",
        "location": resource.location,
        "tags": resource.tags,
        "properties": {"provisioningState": "Succeeded"},
    });
    let managed_by = resource.as_group().and_then(|group| group.managed_by.clone());
    if let (Some(by), Some(object)) = (managed_by, document.as_object_mut()) {
        object.insert("managedBy".into(), by.into());
    }
    document
}

fn canonical(id: &ResourceId) -> String {
    let subscription = id.subscription().unwrap_or_default();
    format!("/subscriptions/{subscription}/resourceGroups/{}", id.name())
}

fn absent(request: &Request) -> ArmError {
    let name = request.params.get("resourceGroupName");
    let message = format!("Resource group '{name}' could not be found.");
    ArmError::from(Fault::new(FaultKind::GroupNotFound, message))
}

pub(super) async fn list(request: Request) -> Result<Reply, ArmError> {
    let filter = ResourceFilter {
        kind: Some(KIND.into()),
        under: Some(request.id.clone()),
        after: paging::cursor(&request)?,
        limit: paging::limit(&request)?,
        ..ResourceFilter::default()
    };
    let tags = tag_filter(&request)?;
    let page = request.app.service.resources(&filter).await?;
    let matching = page.rows.iter().filter(|row| {
        let mut tags = tags.iter();
        tags.all(|(name, value)| {
            let own = row.tags.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
            own.is_some_and(|(_, own)| value.as_ref().is_none_or(|value| own == value))
        })
    });
    let rows = matching.map(document).collect();
    Ok(Reply::ok(paging::page(&request, rows, page.after)?))
}

/// The tags that a list asks for: name and perhaps value.
fn tag_filter(request: &Request) -> Result<Vec<(String, Option<String>)>, ArmError> {
    let Some(text) = paging::filter(request)? else {
        return Ok(vec![]);
    };
    let mut wanted: Vec<(String, Option<String>)> = vec![];
    for term in filter::terms(&text)? {
        match (term, wanted.last_mut()) {
            (Term::Equals(name, tag), _) if name == "tagname" => wanted.push((tag, None)),
            (Term::Equals(name, value), Some((_, slot))) if name == "tagvalue" => {
                *slot = Some(value);
            }
            _ => return Err(filter::refusal(&text)),
        }
    }
    Ok(wanted)
}

pub(super) async fn get(request: Request) -> Result<Reply, ArmError> {
    let found = request.app.service.find(&request.id).await?;
    found.map(|group| Reply::ok(document(&group))).ok_or_else(|| absent(&request))
}

pub(super) async fn exists(request: Request) -> Result<Reply, ArmError> {
    let found = request.app.service.find(&request.id).await?;
    let status = if found.is_some() { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND };
    Ok(Reply::empty(status))
}

pub(super) async fn put(request: Request) -> Result<Reply, ArmError> {
    let body = request.root()?;
    let name = request.params.get("resourceGroupName");
    check_name(name)?;
    let id = ResourceId::parse(&canonical(&request.id));
    let id = id.map_err(|error| ArmError::bad("InvalidResourceGroup", error.to_string()))?;
    let spec = GroupSpec {
        id,
        location: body.get("location").need_str()?.to_owned(),
        tags: body.get("tags").tags()?.unwrap_or_default(),
        managed_by: body.get("managedBy").str()?.map(str::to_owned),
    };
    let (group, created) = request.app.service.group_put(&request.caller, spec).await?;
    let document = document(&group);
    Ok(if created { Reply::created(document) } else { Reply::ok(document) })
}

pub(super) async fn patch(request: Request) -> Result<Reply, ArmError> {
    let tags = request.root()?.get("tags").tags()?;
    let group = request.app.service.group_patch(&request.caller, &request.id, tags).await?;
    Ok(Reply::ok(document(&group)))
}

pub(super) async fn delete(request: Request) -> Result<Reply, ArmError> {
    match request.app.service.group_delete(&request.caller, &request.id).await? {
        Some(operation) => {
            let scope = StatusScope::Subscription;
            Ok(accept(&request, &operation, scope, request.app.home(), RETRY_AFTER))
        }
        None => Err(absent(&request)),
    }
}

fn check_name(name: &str) -> Result<(), ArmError> {
    let plain = |c: char| c.is_alphanumeric() || "-_.()".contains(c);
    if (1..=90).contains(&name.chars().count()) && name.chars().all(plain) && !name.ends_with('.') {
        return Ok(());
    }
    let shown: String = name.chars().take(100).collect();
    let mut error = ArmError::bad(
        "InvalidResourceGroup",
        format!(
            "The resource group name '{shown}' is invalid: use 1 to 90 letters, digits, '-', '_', \
             '.', '(' and ')', and no '.' at the end."
        ),
    );
    error.target = Some("resourceGroupName".into());
    Err(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_groups() {
        for good in ["rg", "Rg-1_(a).b", &"x".repeat(90)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "a.", "a b", "a/b", &"x".repeat(91)] {
            assert_eq!(check_name(bad).unwrap_err().code, "InvalidResourceGroup", "{bad}");
        }
    }

    #[test]
    fn ids_have_one_spelling() {
        let subscription = "/subscriptions/11111111-2222-3333-4444-555555555555";
        let id = ResourceId::parse(&format!("{subscription}/resourcegroups/Rg")).unwrap();
        assert_eq!(canonical(&id), format!("{subscription}/resourceGroups/Rg"));
    }
}

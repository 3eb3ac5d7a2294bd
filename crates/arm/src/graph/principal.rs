//! Service principals in Graph's shape.

use super::filter::{self, Wanted};
use crate::types::time::second;
use crate::wire::body::Field;
use crate::wire::error::ArmError;
use crate::wire::paging;
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use tresor_core::error::Fault;
use tresor_core::model::{ClientSecret, Principal, PrincipalKind, ResourceId};
use tresor_core::service::{PRINCIPAL_WRITE, SecretSpec};
use uuid::Uuid;

/// Rows of a page when the client does not say, and at most.
const ROWS: u32 = 100;
const ROWS_MAX: u32 = 999;
/// Ids that one request may look up.
const IDS_MAX: usize = 1000;
/// Queries that would change what a list shows, and are not served.
const REFUSED: [&str; 4] = ["$search", "$orderby", "$expand", "$apply"];
const ODATA_TYPE: &str = "#microsoft.graph.servicePrincipal";

/// A principal as Graph shows it; `secrets` tells whether its secrets are described.
fn document(request: &Request, principal: &Principal, secrets: bool) -> Value {
    let explicit = principal
        .resource
        .as_ref()
        .is_some_and(|id| id.kind() == "microsoft.managedidentity/userassignedidentities");
    let names = principal.resource.as_ref().map(|id| {
        let explicit = if explicit { "True" } else { "False" };
        json!([format!("isExplicit={explicit}"), id.as_str()])
    });
    let mut document = json!({
        "id": principal.object_id.to_string(),
        "deletedDateTime": null,
        "accountEnabled": true,
        "alternativeNames": names.unwrap_or_else(|| json!([])),
        "appDisplayName": principal.name,
        "appId": principal.client_id.to_string(),
        "appOwnerOrganizationId": request.app.service.tenant().to_string(),
        "appRoleAssignmentRequired": false,
        "createdDateTime": principal.created.map(second),
        "displayName": principal.name,
        "servicePrincipalNames": [principal.client_id.to_string()],
        "servicePrincipalType": match principal.kind {
            PrincipalKind::Application => "Application",
            PrincipalKind::ManagedIdentity => "ManagedIdentity",
        },
        "signInAudience": "AzureADMyOrg",
        "tags": [],
        "keyCredentials": [],
    });
    if let (true, Some(members)) = (secrets, document.as_object_mut()) {
        let all = principal.secrets.iter().map(|kept| credential(kept, None));
        members.insert("passwordCredentials".into(), all.collect());
    }
    document
}

/// A secret as Graph shows it; its text only in the answer that made it.
fn credential(kept: &ClientSecret, text: Option<&str>) -> Value {
    json!({
        "customKeyIdentifier": null,
        "displayName": kept.name,
        "endDateTime": kept.ends.map(second),
        "hint": kept.hint,
        "keyId": kept.id.to_string(),
        "secretText": text,
        "startDateTime": second(kept.starts),
    })
}

/// Whether the caller may administer principals.
async fn administers(request: &Request) -> bool {
    let root = ResourceId::root();
    request.app.service.allow(&request.caller, PRINCIPAL_WRITE, &root).await.is_ok()
}

/// An answer about one entity of a set.
fn entity(request: &Request, set: &str, mut document: Value) -> Value {
    if let Some(members) = document.as_object_mut() {
        let context = format!("{}/v1.0/$metadata#{set}", request.base);
        members.insert("@odata.context".into(), context.into());
    }
    selected(request, &mut document);
    document
}

/// Leaves what `$select` names.
fn selected(request: &Request, document: &mut Value) {
    let (Some(text), Some(members)) = (request.query.get("$select"), document.as_object_mut())
    else {
        return;
    };
    let names: Vec<&str> = text.split(',').map(str::trim).collect();
    members.retain(|own, _| {
        own.starts_with('@') || names.iter().any(|name| name.eq_ignore_ascii_case(own))
    });
}

pub(super) async fn list(request: Request) -> Result<Reply, ArmError> {
    if let Some(name) = REFUSED.iter().find(|name| request.query.get(name).is_some()) {
        let text = format!("The query option {name} is not supported here.");
        return Err(ArmError::bad("Request_UnsupportedQuery", text));
    }
    let service = &request.app.service;
    let text = paging::filter(&request)?;
    let (rows, after) = match filter::read(text.as_deref())? {
        Wanted::Client(id) => match Uuid::try_parse(&id) {
            Ok(id) => (Vec::from_iter(service.principal_by_client(id).await?), None),
            Err(_) => (vec![], None),
        },
        Wanted::Object(id) => match Uuid::try_parse(&id) {
            Ok(id) => (Vec::from_iter(service.principal(id).await?), None),
            Err(_) => (vec![], None),
        },
        Wanted::Named(query) => {
            let (cursor, limit) = (paging::cursor(&request)?, limit(&request)?);
            let page = service.principals(&query, cursor, limit).await?;
            (page.rows, page.after)
        }
    };
    let all = administers(&request).await;
    let rows = rows.iter().map(|row| {
        let mut row = document(&request, row, all || row.object_id == request.caller.object_id);
        selected(&request, &mut row);
        row
    });
    let mut body = json!({
        "@odata.context": format!("{}/v1.0/$metadata#servicePrincipals", request.base),
        "value": rows.collect::<Vec<_>>(),
    });
    if let (Some(link), Some(members)) = (next(&request, after)?, body.as_object_mut()) {
        members.insert("@odata.nextLink".into(), link.into());
    }
    Ok(Reply::ok(body))
}

fn limit(request: &Request) -> Result<u32, ArmError> {
    let Some(text) = request.query.get("$top") else {
        return Ok(ROWS);
    };
    match text.parse::<u32>() {
        Ok(rows) if (1..=ROWS_MAX).contains(&rows) => Ok(rows),
        _ => {
            let text = format!("$top must be a whole number from 1 to {ROWS_MAX}.");
            Err(ArmError::bad("Request_BadRequest", text))
        }
    }
}

/// The URL of the next page, with what this one was asked for.
fn next(request: &Request, after: Option<String>) -> Result<Option<String>, ArmError> {
    let Some(sealed) = paging::sealed(request, after)? else {
        return Ok(None);
    };
    let mut link = format!("{}{}?", request.base, request.path);
    for name in ["$top", "$select"] {
        if let Some(value) = request.query.get(name) {
            let value: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
            link.push_str(&format!("{name}={value}&"));
        }
    }
    Ok(Some(format!("{link}$skiptoken={sealed}")))
}

/// The object id in the path.
fn object_id(request: &Request) -> Result<Uuid, ArmError> {
    let text = request.params.get("id");
    Uuid::try_parse(text).map_err(|_| {
        let shown: String = text.chars().take(100).collect();
        let text = format!("Invalid object identifier '{shown}': it must be a GUID.");
        ArmError::bad("Request_BadRequest", text)
    })
}

fn absent(id: Uuid) -> ArmError {
    Fault::not_found("service principal", id).into()
}

pub(super) async fn get(request: Request) -> Result<Reply, ArmError> {
    let id = object_id(&request)?;
    let found = request.app.service.principal(id).await?.ok_or_else(|| absent(id))?;
    let secrets = id == request.caller.object_id || administers(&request).await;
    let document = document(&request, &found, secrets);
    Ok(Reply::ok(entity(&request, "servicePrincipals/$entity", document)))
}

pub(super) async fn create(request: Request) -> Result<Reply, ArmError> {
    let body = request.root()?;
    let name = body.get("displayName").need_str()?;
    for member in ["appId", "passwordCredentials", "keyCredentials"] {
        let field = body.get(member);
        if field.value().is_some_and(|value| *value != json!([])) {
            return Err(field.invalid(
                "cannot be given: the application is made together with its principal, and its \
                 secrets by addPassword.",
            ));
        }
    }
    let made = request.app.service.principal_make(&request.caller, name).await?;
    let document = document(&request, &made, true);
    Ok(Reply::created(entity(&request, "servicePrincipals/$entity", document)))
}

pub(super) async fn delete(request: Request) -> Result<Reply, ArmError> {
    let id = object_id(&request)?;
    match request.app.service.principal_delete(&request.caller, id).await? {
        true => Ok(Reply::no_content()),
        false => Err(absent(id)),
    }
}

pub(super) async fn add_password(request: Request) -> Result<Reply, ArmError> {
    let id = object_id(&request)?;
    let body = request.optional_root()?;
    let spec = match body.as_ref().map(|body| body.get("passwordCredential")) {
        Some(wanted) if wanted.object()?.is_some() => SecretSpec {
            name: wanted.get("displayName").str()?.map(str::to_owned),
            starts: time(&wanted.get("startDateTime"))?,
            ends: time(&wanted.get("endDateTime"))?,
        },
        _ => SecretSpec::default(),
    };
    let (kept, text) = request.app.service.secret_add(&request.caller, id, spec).await?;
    let set = "microsoft.graph.passwordCredential";
    let reply = Reply::ok(entity(&request, set, credential(&kept, Some(&text))));
    Ok(reply.header(http::header::CACHE_CONTROL, "no-store"))
}

fn time(field: &Field<'_>) -> Result<Option<Timestamp>, ArmError> {
    let parse = |text: &str| {
        text.parse().map_err(|_| field.invalid("must be a time, as 2027-01-31T00:00:00Z."))
    };
    field.str()?.map(parse).transpose()
}

pub(super) async fn remove_password(request: Request) -> Result<Reply, ArmError> {
    let id = object_id(&request)?;
    let body = request.root()?;
    let field = body.get("keyId");
    let key = Uuid::try_parse(field.need_str()?).map_err(|_| field.invalid("must be a GUID."))?;
    request.app.service.secret_remove(&request.caller, id, key).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

pub(super) async fn by_ids(request: Request) -> Result<Reply, ArmError> {
    let body = request.root()?;
    let ids = body.get("ids").need_items()?;
    if ids.len() > IDS_MAX {
        return Err(body.get("ids").invalid(format!("at most {IDS_MAX} ids can be looked up.")));
    }
    let types = body.get("types").items()?.unwrap_or_default();
    let mut wanted = types.is_empty();
    for kind in types {
        let kind = kind.need_str()?.to_ascii_lowercase();
        wanted |= ["serviceprincipal", "directoryobject"].contains(&kind.as_str());
    }
    let mut rows = vec![];
    for field in ids.iter().filter(|_| wanted) {
        let id =
            Uuid::try_parse(field.need_str()?).map_err(|_| field.invalid("must be a GUID."))?;
        if let Some(found) = request.app.service.principal(id).await? {
            let mut row = json!({ "@odata.type": ODATA_TYPE });
            if let (Some(members), Value::Object(found)) =
                (row.as_object_mut(), document(&request, &found, false))
            {
                members.extend(found);
            }
            rows.push(row);
        }
    }
    Ok(Reply::ok(json!({
        "@odata.context": format!("{}/v1.0/$metadata#directoryObjects", request.base),
        "value": rows,
    })))
}

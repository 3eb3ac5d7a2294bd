//! Long-running operations: their names, URLs, headers and documents.
//!
//! Every client follows absolute URLs that the first answer gave it, and needs both styles: the
//! status document of `Azure-AsyncOperation` and the bare result of `Location`. An operation's name
//! is opaque to clients; for data protection it is base64 of `family;id`, as Azure's is, for the
//! other providers the id itself. All scopes read the same operations.

use super::body::Dialect;
use super::error::operation_error;
use super::reply::{AsyncHeaders, Reply};
use super::request::Request;
use crate::types::time::instant;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde_json::{Value, json};
use tresor_core::model::{Operation, OperationStatus, ResourceId};
use tresor_core::service::canonical_location;
use uuid::Uuid;

/// From here on the status documents of data protection live below the vault.
const VAULT_SCOPE_SINCE: &str = "2022-12-01";
/// What stands in place of an end that has not come.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Below what an operation's status document lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatusScope {
    /// Subscription and location.
    Location,
    /// The vault; subscription and location for api-versions that do not know it.
    Vault,
    /// Resource group and location: for the deletion of a vault, which cannot hold it any more.
    GroupLocation,
    /// Subscription and location of Microsoft.Compute.
    Compute,
    /// The subscription's operation results; there is no status document.
    Subscription,
}

/// The name of a data protection operation.
pub(crate) fn name(operation: &Operation) -> String {
    STANDARD.encode(format!("{};{}", operation.family, operation.id))
}

/// The family, when named, and the id of an operation.
pub(crate) fn parse_name(text: &str) -> Option<(Option<Uuid>, Uuid)> {
    if let Ok(id) = Uuid::try_parse(text) {
        return Some((None, id));
    }
    if text.len() > 128 {
        return None;
    }
    let bytes = STANDARD_NO_PAD.decode(text.trim_end_matches('=')).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (family, id) = text.split_once(';')?;
    Some((Some(Uuid::try_parse(family).ok()?), Uuid::try_parse(id).ok()?))
}

/// 202 without a body, with both URLs.
pub(crate) fn accept(
    request: &Request,
    operation: &Operation,
    scope: StatusScope,
    location: &str,
    retry_after_azure: u32,
) -> Reply {
    let headers = headers(request, operation, scope, location, retry_after_azure);
    Reply::accepted(request, headers)
}

/// Adds the headers of an operation to an answer that has a body.
pub(crate) fn begin(
    reply: Reply,
    request: &Request,
    operation: &Operation,
    scope: StatusScope,
    location: &str,
    retry_after_azure: u32,
    with_location: bool,
) -> Reply {
    let mut headers = headers(request, operation, scope, location, retry_after_azure);
    if !with_location {
        headers.location = None;
    }
    reply.polled(request, headers)
}

fn headers(
    request: &Request,
    operation: &Operation,
    scope: StatusScope,
    location: &str,
    retry_after: u32,
) -> AsyncHeaders {
    let subscription = operation.resource.subscription().unwrap_or_default();
    let location = &canonical_location(location);
    let provider =
        |name: &str| format!("/subscriptions/{subscription}/providers/{name}/locations/{location}");
    let id = name(operation);
    let (status, result) = match scope {
        StatusScope::Subscription => {
            let path = format!("/subscriptions/{subscription}/operationresults/{}", operation.id);
            (None, request.url(&path))
        }
        StatusScope::Compute => {
            let path = format!("{}/DiskOperations/{}", provider("Microsoft.Compute"), operation.id);
            (Some(request.url(&path)), format!("{}&monitor=true", request.url(&path)))
        }
        _ => {
            let below = scope_path(request, operation, scope, location)
                .unwrap_or_else(|| provider("Microsoft.DataProtection"));
            let status = request.url(&format!("{below}/operationStatus/{id}"));
            let result = provider("Microsoft.DataProtection");
            (Some(status), request.url(&format!("{result}/operationResults/{id}")))
        }
    };
    AsyncHeaders { status, location: Some(result), retry_after }
}

/// The path above `operationStatus`, where it is not that of subscription and location.
fn scope_path(
    request: &Request,
    operation: &Operation,
    scope: StatusScope,
    location: &str,
) -> Option<String> {
    if !request.version.at_least(VAULT_SCOPE_SINCE) {
        return None;
    }
    match scope {
        StatusScope::Vault => vault_of(&request.id).or_else(|| vault_of(&operation.resource)),
        StatusScope::GroupLocation => {
            let group = request.id.group_id().or_else(|| operation.resource.group_id())?;
            Some(format!("{group}/providers/Microsoft.DataProtection/locations/{location}"))
        }
        _ => None,
    }
}

/// The id of the vault that an id lies in, in the id's own casing.
fn vault_of(id: &ResourceId) -> Option<String> {
    let segments: Vec<&str> = id.as_str().split('/').collect();
    let at = segments.iter().position(|s| s.eq_ignore_ascii_case("backupVaults"))?;
    segments.get(..=at + 1).map(|head| head.join("/"))
}

/// The status document of data protection, whose id is the path by which it was asked for.
pub(crate) fn status_document(request: &Request, operation: &Operation) -> Value {
    let named = request.path.rsplit('/').next().unwrap_or_default();
    let ended = operation.ended.map_or_else(|| NEVER.to_owned(), instant);
    let status = match operation.status {
        OperationStatus::Running => "Inprogress",
        OperationStatus::Succeeded => "Succeeded",
        OperationStatus::Failed(_) => "Failed",
    };
    let mut document = json!({
        "id": request.path,
        "name": named,
        "status": status,
        "startTime": instant(operation.started),
        "endTime": ended,
    });
    if let Some(object) = document.as_object_mut() {
        match &operation.status {
            OperationStatus::Failed(fault) => {
                let error = operation_error(fault, Dialect::DataProtection, operation.correlation);
                object.insert("error".into(), error);
            }
            OperationStatus::Succeeded if operation.job.is_some() => {
                object.insert("properties".into(), job_info(operation));
            }
            _ => {}
        }
    }
    document
}

/// The bare result of a data protection operation.
pub(crate) fn job_info(operation: &Operation) -> Value {
    match &operation.job {
        Some(job) => {
            json!({"jobId": job.as_str(), "objectType": "OperationJobExtendedInfo"})
        }
        None => json!({"objectType": "OperationJobExtendedInfo"}),
    }
}

/// The status document of Microsoft.Compute.
pub(crate) fn compute_document(operation: &Operation, output: Option<Value>) -> Value {
    let status = match operation.status {
        OperationStatus::Running => "InProgress",
        OperationStatus::Succeeded => "Succeeded",
        OperationStatus::Failed(_) => "Failed",
    };
    let mut document = json!({"startTime": instant(operation.started)});
    if let Some(object) = document.as_object_mut() {
        if let Some(ended) = operation.ended {
            object.insert("endTime".into(), instant(ended).into());
        }
        object.insert("status".into(), status.into());
        if let Some(output) = output {
            object.insert("properties".into(), json!({ "output": output }));
        }
        if let OperationStatus::Failed(fault) = &operation.status {
            let error = operation_error(fault, Dialect::Compute, operation.correlation);
            object.insert("error".into(), error);
        }
        object.insert("name".into(), operation.id.to_string().into());
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use tresor_core::error::{Fault, FaultKind};

    const VAULT: &str = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/Rg/\
                         providers/Microsoft.DataProtection/backupVaults/V1";

    fn operation(status: OperationStatus) -> Operation {
        Operation {
            id: Uuid::from_u128(2),
            resource: ResourceId::parse(VAULT).unwrap(),
            family: Uuid::from_u128(1),
            caller: Uuid::nil(),
            correlation: Uuid::nil(),
            ended: (status != OperationStatus::Running).then_some(Timestamp::UNIX_EPOCH),
            status,
            started: Timestamp::UNIX_EPOCH,
            job: None,
            output: None,
        }
    }

    #[test]
    fn names_are_read_back_in_any_escaping() {
        let operation = operation(OperationStatus::Running);
        let name = name(&operation);
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'='));
        let both = Some((Some(operation.family), operation.id));
        assert_eq!(parse_name(&name), both);
        assert_eq!(parse_name(name.trim_end_matches('=')), both);
        assert_eq!(parse_name(&operation.id.to_string()), Some((None, operation.id)));
        for bad in ["", "x", "ZmM=", &"A".repeat(200)] {
            assert_eq!(parse_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn vaults_are_found_in_ids() {
        let id = ResourceId::parse(&format!("{VAULT}/backupInstances/i")).unwrap();
        assert_eq!(vault_of(&id).as_deref(), Some(VAULT));
        assert_eq!(vault_of(&ResourceId::root()), None);
    }

    #[test]
    fn compute_documents() {
        let running = compute_document(&operation(OperationStatus::Running), None);
        assert_eq!(running["status"], "InProgress");
        assert!(running.get("endTime").is_none());
        let done = compute_document(&operation(OperationStatus::Succeeded), Some(json!({"a": 1})));
        assert_eq!(done["properties"]["output"]["a"], 1);
        let fault = Fault::new(FaultKind::DiskNotFound, "gone");
        let failed = compute_document(&operation(OperationStatus::Failed(fault)), None);
        assert_eq!(failed["error"]["code"], "ResourceNotFound");
        assert_eq!(failed["error"]["message"], "gone");
    }

    #[test]
    fn results_name_the_job() {
        let mut done = operation(OperationStatus::Succeeded);
        assert_eq!(job_info(&done), json!({"objectType": "OperationJobExtendedInfo"}));
        done.job = ResourceId::parse(&format!("{VAULT}/backupJobs/j")).ok();
        assert_eq!(job_info(&done)["jobId"], format!("{VAULT}/backupJobs/j"));
    }
}

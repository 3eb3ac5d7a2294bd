//! Resource providers: always registered; their types are read off the table of operations.

use crate::table::Route;
use crate::wire::error::ArmError;
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use crate::wire::version::{DATA_PROTECTION, OTHERS, Versions};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tresor_core::model::ResourceId;

/// The providers served here, in exact spelling.
const NAMESPACES: [&str; 6] = [
    "Microsoft.Authorization",
    "Microsoft.Compute",
    "Microsoft.DataProtection",
    "Microsoft.Insights",
    "Microsoft.ManagedIdentity",
    "Microsoft.Resources",
];

/// The types of a provider and the versions they take.
fn types<'a>(
    routes: impl Iterator<Item = &'a Route>,
    namespace: &str,
) -> BTreeMap<String, Versions> {
    let mut types = BTreeMap::new();
    if namespace == "Microsoft.Resources" {
        for name in ["subscriptions", "subscriptions/resourceGroups", "tenants"] {
            types.insert(name.to_owned(), Versions::AnyDate);
        }
    }
    if namespace == "Microsoft.Insights" {
        types.insert("eventtypes".to_owned(), Versions::AnyDate);
    }
    let head = format!("/providers/{namespace}/");
    for route in routes.filter(|route| route.method == Method::GET) {
        let Some((_, tail)) = route.path.split_once(head.as_str()) else {
            continue;
        };
        let words: Vec<&str> = tail.split('/').step_by(2).collect();
        let names: Vec<&str> = tail.split('/').skip(1).step_by(2).collect();
        let named = names.len() == words.len() && names.iter().all(|n| n.starts_with('{'));
        if named && words.iter().all(|w| !w.starts_with('{')) {
            types.insert(words.join("/"), route.versions);
        }
    }
    types
}

fn document(request: &Request, namespace: &str) -> Value {
    let locations = request.app.service.locations();
    let types = types(request.app.table.routes(), namespace);
    let types = types.into_iter().map(|(name, versions)| {
        let known: &[&str] = match versions {
            Versions::DataProtection => &DATA_PROTECTION,
            _ => &OTHERS,
        };
        let newest: Vec<&str> = known.iter().rev().copied().collect();
        let stable = newest.iter().find(|version| version.len() == 10);
        json!({
            "resourceType": name,
            "locations": locations,
            "apiVersions": newest,
            "defaultApiVersion": stable,
            "capabilities": "SupportsTags, SupportsLocation",
        })
    });
    let subscription = ResourceId::of_subscription(request.app.service.subscription());
    json!({
        "id": format!("{subscription}/providers/{namespace}"),
        "namespace": namespace,
        "registrationPolicy": "RegistrationRequired",
        "registrationState": "Registered",
        "resourceTypes": types.collect::<Vec<_>>(),
    })
}

pub(super) async fn list(request: Request) -> Result<Reply, ArmError> {
    let rows: Vec<Value> = NAMESPACES.iter().map(|name| document(&request, name)).collect();
    Ok(Reply::ok(json!({ "value": rows })))
}

/// One provider; also the answer to its registration, which is never needed.
pub(super) async fn get(request: Request) -> Result<Reply, ArmError> {
    let asked = request.params.get("namespace");
    match NAMESPACES.iter().find(|name| name.eq_ignore_ascii_case(asked)) {
        Some(name) => Ok(Reply::ok(document(&request, name))),
        None => {
            let text = format!("The resource namespace '{asked}' is invalid.");
            Err(ArmError::new(StatusCode::NOT_FOUND, "InvalidResourceNamespace", text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_come_from_the_table() {
        let routes = crate::table::routes();
        let backup = types(routes.iter(), "Microsoft.DataProtection");
        assert_eq!(backup.get("backupVaults"), Some(&Versions::DataProtection));
        assert!(backup.contains_key("backupVaults/backupInstances/recoveryPoints"));
        let compute = types(routes.iter(), "Microsoft.Compute");
        assert!(compute.contains_key("disks") && compute.contains_key("snapshots"));
        assert!(compute.contains_key("locations/DiskOperations"));
        for name in NAMESPACES {
            assert!(!types(routes.iter(), name).is_empty(), "{name}");
        }
    }
}

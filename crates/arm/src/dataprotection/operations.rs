//! The list of the provider's actions, made of the table itself.

use crate::table::{self, Action, Route, handler};
use crate::wire::error::ArmError;
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use crate::wire::version::Versions;
use http::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tresor_core::guard::Critical;

const PROVIDER: &str = "Microsoft.DataProtection/";

pub(super) fn routes() -> Vec<Route> {
    vec![Route {
        method: Method::GET,
        path: "/providers/Microsoft.DataProtection/operations",
        versions: Versions::DataProtection,
        since: None,
        action: Action::Open("the list is the same for everybody"),
        handler: handler!(list),
        name: "DataProtectionOperations_List",
    }]
}

async fn list(_request: Request) -> Result<Reply, ArmError> {
    Ok(Reply::ok(json!({ "value": rows(&table::routes()), "nextLink": null })))
}

/// One row for each action, whichever routes need it, and for what a resource guard asks for.
fn rows(routes: &[Route]) -> Vec<Value> {
    let mut actions = BTreeMap::new();
    for route in routes {
        if let Action::Rbac(action) = route.action
            && action.starts_with(PROVIDER)
        {
            actions.entry(action).or_insert(route.name);
        }
    }
    let asked = Critical::ALL.iter().map(|critical| (critical.action(), critical.operation()));
    actions.extend(asked);
    actions.into_iter().map(|(action, name)| row(action, name)).collect()
}

fn row(action: &str, name: &str) -> Value {
    let tail = action.strip_prefix(PROVIDER).unwrap_or(action);
    let mut words: Vec<&str> = tail.split('/').collect();
    if words.len() > 1 {
        words.pop();
    }
    json!({
        "name": action,
        "isDataAction": false,
        "display": {
            "provider": "Microsoft.DataProtection",
            "resource": words.join("/"),
            "operation": name,
            "description": format!("Allows {}.", name.replace('_', ": ")),
        },
        "origin": "user",
    })
}

//! Golden tests of the mapping, against the published shapes.

mod compute;
mod guard;
mod instance;
mod job;
mod policy;
mod time;
mod vault;

use crate::wire::body::{Dialect, Field};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tresor_core::model::{Model, Resource, ResourceId, Stamp};

const S: &str = "/subscriptions/11111111-2222-3333-4444-555555555555";

fn id(tail: &str) -> ResourceId {
    ResourceId::parse(&format!("{S}{tail}")).unwrap()
}

fn vault_id() -> ResourceId {
    id("/resourceGroups/rg-bkp/providers/Microsoft.DataProtection/backupVaults/vault1")
}

fn at(text: &str) -> jiff::Timestamp {
    text.parse().unwrap()
}

fn resource(id: ResourceId, location: &str, model: Model) -> Resource {
    let stamp = Stamp { by: "me".into(), at: at("2026-01-08T06:00:01.4110868Z") };
    Resource {
        id,
        location: location.into(),
        tags: BTreeMap::from([("env".to_owned(), "test".to_owned())]),
        created: stamp.clone(),
        modified: stamp,
        version: 1,
        model,
    }
}

fn root(value: &Value) -> Field<'_> {
    Field::root(value, Dialect::DataProtection)
}

/// Fails unless everything in `part` is in `whole`, lists in the same order and length.
fn assert_within(part: &Value, whole: &Value, path: &str) {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => {
            for (name, value) in part {
                let found = whole.get(name).unwrap_or_else(|| panic!("{path}.{name} is lost"));
                assert_within(value, found, &format!("{path}.{name}"));
            }
        }
        (Value::Array(part), Value::Array(whole)) => {
            assert_eq!(part.len(), whole.len(), "{path}");
            for (number, (part, whole)) in part.iter().zip(whole).enumerate() {
                assert_within(part, whole, &format!("{path}[{number}]"));
            }
        }
        _ => assert_eq!(part, whole, "{path}"),
    }
}

fn disk_json(name: &str) -> Value {
    let id = format!("{S}/resourceGroups/rg-src/providers/Microsoft.Compute/disks/{name}");
    json!({
        "resourceID": id,
        "resourceUri": id,
        "datasourceType": "Microsoft.Compute/disks",
        "resourceName": name,
        "resourceType": "Microsoft.Compute/disks",
        "resourceLocation": "westus",
        "objectType": "Datasource",
    })
}

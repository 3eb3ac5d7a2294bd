//! Settings of disks and snapshots that steer nothing here, kept so that reading a resource and
//! writing it back changes nothing.

use crate::wire::body::Field;
use crate::wire::error::ArmError;
use serde_json::{Map, Value};
use tresor_core::model::Attributes;

/// What a disk may carry in its properties.
pub(crate) const DISK: &[&str] = &[
    "osType",
    "purchasePlan",
    "supportedCapabilities",
    "hyperVGeneration",
    "encryptionSettingsCollection",
    "diskIOPSReadWrite",
    "diskMBpsReadWrite",
    "diskIOPSReadOnly",
    "diskMBpsReadOnly",
    "encryption",
    "maxShares",
    "networkAccessPolicy",
    "diskAccessId",
    "tier",
    "burstingEnabled",
    "supportsHibernation",
    "securityProfile",
    "publicNetworkAccess",
    "dataAccessAuthMode",
    "optimizedForFrequentAttach",
    "availabilityPolicy",
];

/// What a snapshot may carry in its properties.
pub(crate) const SNAPSHOT: &[&str] = &[
    "osType",
    "purchasePlan",
    "supportedCapabilities",
    "hyperVGeneration",
    "encryptionSettingsCollection",
    "encryption",
    "networkAccessPolicy",
    "diskAccessId",
    "securityProfile",
    "supportsHibernation",
    "publicNetworkAccess",
    "dataAccessAuthMode",
];

/// What stands beside the properties.
pub(crate) const HEAD: &[&str] = &["zones", "extendedLocation"];

/// Reads the known settings of a request's root and its properties.
///
/// # Errors
/// When one that must be text, a number or a switch is something else.
pub(crate) fn read(
    root: &Field<'_>,
    properties: &Field<'_>,
    known: &[&'static str],
) -> Result<Attributes, ArmError> {
    let mut out = Attributes::new();
    for (from, names) in [(root, HEAD), (properties, known)] {
        for name in names {
            let field = from.get(name);
            check(name, &field)?;
            if let Some(value) = field.value() {
                out.insert((*name).to_owned(), value.clone());
            }
        }
    }
    Ok(out)
}

fn check(name: &str, field: &Field<'_>) -> Result<(), ArmError> {
    match name {
        "zones" => field.items().map(drop),
        "osType" => field.word(&["Windows", "Linux"]).map(drop),
        "hyperVGeneration" => field.word(&["V1", "V2"]).map(drop),
        "networkAccessPolicy" => field.word(&["AllowAll", "AllowPrivate", "DenyAll"]).map(drop),
        "publicNetworkAccess" => field.word(&["Enabled", "Disabled"]).map(drop),
        "burstingEnabled" | "supportsHibernation" | "optimizedForFrequentAttach" => {
            field.bool().map(drop)
        }
        "maxShares" | "diskIOPSReadWrite" | "diskMBpsReadWrite" | "diskIOPSReadOnly"
        | "diskMBpsReadOnly" => field.i64().map(drop),
        "diskAccessId" | "tier" | "dataAccessAuthMode" => field.str().map(drop),
        _ => field.object().map(drop),
    }
}

/// Writes the settings among `names` into a JSON object.
pub(crate) fn write(attributes: &Attributes, names: &[&str], out: &mut Map<String, Value>) {
    for name in names {
        if let Some(value) = attributes.get(*name) {
            out.insert((*name).to_owned(), value.clone());
        }
    }
}

//! Microsoft.Compute/snapshots.

use super::attributes;
use super::disk::{self, gib};
use super::time::instant;
use crate::wire::body::Field;
use crate::wire::error::ArmError;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use tresor_core::model::{Resource, ResourceId, Snapshot};
use tresor_core::service::SnapshotSpec;

/// The storage classes of snapshots.
const SKUS: &[&str] = &["Standard_LRS", "Premium_LRS", "Standard_ZRS"];

/// A snapshot as ARM shows it.
pub(crate) fn json(resource: &Resource, snapshot: &Snapshot) -> Value {
    let mut properties = Map::new();
    let shown = json!({
        "creationData": {
            "createOption": "Copy",
            "sourceResourceId": snapshot.source.as_str(),
            "sourceUniqueId": snapshot.source_unique_id.to_string(),
        },
        "diskSizeGB": gib(snapshot.size),
        "diskSizeBytes": snapshot.size,
        "uniqueId": snapshot.unique_id.to_string(),
        "timeCreated": instant(resource.created.at),
        "provisioningState": disk::provisioning(snapshot.provisioning),
        "diskState": "Unattached",
        "incremental": snapshot.incremental,
        // Names the family of snapshots whose differences can be asked for.
        "incrementalSnapshotFamilyId": snapshot.source_unique_id.to_string(),
        "completionPercent": 100.0,
        "encryption": { "type": "EncryptionAtRestWithPlatformKey" },
        "networkAccessPolicy": "AllowAll",
        "publicNetworkAccess": "Enabled",
    });
    if let Value::Object(shown) = shown {
        properties.extend(shown);
    }
    if !snapshot.incremental {
        properties.remove("incrementalSnapshotFamilyId");
    }
    if snapshot.provisioning == tresor_core::model::Provisioning::Creating {
        properties.remove("completionPercent");
    }
    attributes::write(&snapshot.attributes, attributes::SNAPSHOT, &mut properties);
    let kind = "Microsoft.Compute/snapshots";
    disk::head(resource, kind, &snapshot.sku, &snapshot.attributes, properties)
}

/// A request to make or replace a snapshot.
///
/// # Errors
/// Names the field that is wrong.
pub(crate) fn spec(
    id: ResourceId,
    root: Field<'_>,
    exists: bool,
) -> Result<SnapshotSpec, ArmError> {
    let properties = root.get("properties").need_object()?;
    let creation = properties.get("creationData");
    Ok(SnapshotSpec {
        location: root.get("location").need_str()?.to_owned(),
        tags: root.get("tags").tags()?.unwrap_or_default(),
        source: source(creation, exists)?,
        incremental: properties.get("incremental").bool()?.unwrap_or(false),
        sku: disk::sku(root.get("sku"), SKUS)?,
        attributes: attributes::read(&root, &properties, attributes::SNAPSHOT)?,
        id,
    })
}

/// What a request to change a snapshot changes: its tags and its storage class.
pub(crate) type Patch = (Option<BTreeMap<String, String>>, Option<String>);

/// A request to change some of a snapshot.
///
/// # Errors
/// Names the field that is wrong.
pub(crate) fn patch(root: Field<'_>) -> Result<Patch, ArmError> {
    Ok((disk::tags(&root)?, disk::sku(root.get("sku"), SKUS)?))
}

fn source(creation: Field<'_>, exists: bool) -> Result<Option<ResourceId>, ArmError> {
    let option = creation.get("createOption");
    if exists && !option.is_present() {
        return Ok(None);
    }
    let wanted = option.need_str()?;
    if !wanted.eq_ignore_ascii_case("Copy") {
        return Err(option.invalid(format!(
            "Tresor does not support '{wanted}'; a snapshot is made with Copy."
        )));
    }
    creation.get("sourceResourceId").need_id().map(Some)
}

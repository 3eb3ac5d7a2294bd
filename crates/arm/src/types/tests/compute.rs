//! Disks, snapshots and names.

use super::{id, resource};
use crate::types::disk::{self, GIB};
use crate::types::name::{self, Named};
use crate::types::snapshot;
use crate::wire::body::{Dialect, Field};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tresor_core::model::{Disk, DiskState, Model, Origin, Provisioning, ResourceId, Snapshot};
use tresor_core::service::OriginSpec;
use uuid::Uuid;

const UNIQUE: Uuid = Uuid::from_u128(0xd15c);

fn disk_id() -> ResourceId {
    id("/resourceGroups/rg-src/providers/Microsoft.Compute/disks/disk1")
}

fn root(value: &Value) -> Field<'_> {
    Field::root(value, Dialect::Compute)
}

fn model(origin: Origin, size: u64) -> Disk {
    Disk {
        unique_id: UNIQUE,
        size,
        origin,
        state: DiskState::ReadyToUpload,
        provisioning: Provisioning::Succeeded,
        restored_by: None,
        sku: "StandardSSD_LRS".into(),
        attributes: BTreeMap::new(),
    }
}

fn create(creation: Value, more: Value) -> Value {
    let mut properties = json!({ "creationData": creation });
    properties.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "location": "westus", "sku": { "name": "premium_lrs" }, "properties": properties })
}

#[test]
fn a_disk_as_published() {
    let model = model(Origin::Upload { bytes: (4 << 20) + 512 }, 4 << 20);
    let made = resource(disk_id(), "westus", Model::Disk(model.clone()));
    let expected = json!({
        "name": "disk1",
        "id": disk_id().as_str(),
        "type": "Microsoft.Compute/disks",
        "location": "westus",
        "tags": { "env": "test" },
        "sku": { "name": "StandardSSD_LRS", "tier": "Standard" },
        "properties": {
            "creationData": { "createOption": "Upload", "uploadSizeBytes": 4_194_816 },
            "diskSizeGB": 1,
            "diskSizeBytes": 4_194_304,
            "uniqueId": UNIQUE.to_string(),
            "timeCreated": "2026-01-08T06:00:01.4110868Z",
            "provisioningState": "Succeeded",
            "diskState": "ReadyToUpload",
            "encryption": { "type": "EncryptionAtRestWithPlatformKey" },
            "networkAccessPolicy": "AllowAll",
            "publicNetworkAccess": "Enabled",
        },
    });
    assert_eq!(disk::json(&made, &model), expected);
}

#[test]
fn what_was_read_can_be_written_back() {
    let body = create(
        json!({ "createOption": "Empty" }),
        json!({
            "diskSizeGB": 2, "osType": "Linux", "hyperVGeneration": "V2", "maxShares": 3,
            "networkAccessPolicy": "DenyAll", "tier": "P30", "burstingEnabled": true,
            "encryption": {
                "type": "EncryptionAtRestWithCustomerKey", "diskEncryptionSetId": "/d",
            },
        }),
    );
    let spec = disk::spec(disk_id(), root(&body), None).unwrap();
    assert_eq!((spec.size, spec.sku.as_deref()), (Some(2 * GIB), Some("Premium_LRS")));
    let mut model = model(Origin::Empty, 2 * GIB);
    model.attributes = spec.attributes.clone();
    let made = resource(disk_id(), "westus", Model::Disk(model.clone()));
    let shown = disk::json(&made, &model);
    let again = disk::spec(disk_id(), root(&shown), Some(model.size)).unwrap();
    assert_eq!((again.size, &again.origin), (None, &Some(OriginSpec::Empty)));
    for (name, value) in &spec.attributes {
        assert_eq!(&again.attributes[name], value, "{name}");
    }
    assert_eq!(shown["properties"]["networkAccessPolicy"], "DenyAll");
}

#[test]
fn a_rounded_size_sent_back_grows_nothing() {
    let body = create(
        json!({ "createOption": "Upload", "uploadSizeBytes": 4_194_816 }),
        json!({
            "diskSizeGB": 1,
        }),
    );
    let new = disk::spec(disk_id(), root(&body), None).unwrap();
    assert_eq!(new.size, None);
    assert_eq!(disk::spec(disk_id(), root(&body), Some(4 << 20)).unwrap().size, None);
    let grow = json!({ "properties": { "diskSizeGB": 2 } });
    assert_eq!(disk::patch(root(&grow), 4 << 20).unwrap().size, Some(2 * GIB));
    assert_eq!(disk::patch(root(&grow), 2 * GIB).unwrap().size, None);
}

#[test]
fn every_origin_is_read() {
    let source = disk_id().to_string();
    let copy = create(
        json!({ "createOption": "copy", "sourceResourceId": source, "sourceUniqueId": UNIQUE }),
        json!({}),
    );
    let spec = disk::spec(disk_id(), root(&copy), None).unwrap();
    let expected = OriginSpec::Copy { source: disk_id(), unique_id: Some(UNIQUE) };
    assert_eq!(spec.origin, Some(expected));
    let import =
        create(json!({ "createOption": "Import", "sourceUri": "file:///a.raw" }), json!({}));
    let spec = disk::spec(disk_id(), root(&import), None).unwrap();
    assert_eq!(spec.origin, Some(OriginSpec::Import { uri: "file:///a.raw".into() }));
}

#[test]
fn wrong_disks_name_the_field() {
    let empty = || json!({ "createOption": "Empty" });
    let cases = [
        (json!({ "location": "westus" }), "properties"),
        (create(json!({}), json!({})), "creationData.createOption"),
        (create(json!({ "createOption": "Attach" }), json!({})), "createOption: Tresor does not"),
        (create(empty(), json!({})), "properties.diskSizeGB"),
        (create(empty(), json!({ "diskSizeGB": 0 })), "properties.diskSizeGB"),
        (create(empty(), json!({ "diskSizeGB": 1.5 })), "properties.diskSizeGB"),
        (create(empty(), json!({ "diskSizeGB": 65_537 })), "properties.diskSizeGB"),
        (create(json!({ "createOption": "Upload" }), json!({})), "creationData.uploadSizeBytes"),
        (
            create(json!({ "createOption": "Upload", "uploadSizeBytes": 512 }), json!({})),
            "creationData.uploadSizeBytes",
        ),
        (
            create(json!({ "createOption": "Upload", "uploadSizeBytes": 1_000_000 }), json!({})),
            "creationData.uploadSizeBytes",
        ),
        (create(json!({ "createOption": "Copy" }), json!({})), "creationData.sourceResourceId"),
        (create(json!({ "createOption": "Import" }), json!({})), "creationData.sourceUri"),
        (create(empty(), json!({ "diskSizeGB": 1, "osType": "BeOS" })), "properties.osType"),
        (create(empty(), json!({ "diskSizeGB": 1, "encryption": "no" })), "properties.encryption"),
    ];
    for (body, field) in cases {
        let error = disk::spec(disk_id(), root(&body), None).unwrap_err();
        assert_eq!((error.status.as_u16(), error.code.as_str()), (400, "InvalidParameter"));
        assert!(error.message.contains(field), "{field}: {}", error.message);
    }
}

#[test]
fn a_snapshot_as_published() {
    let model = Snapshot {
        unique_id: Uuid::from_u128(7),
        size: GIB + 1,
        source: disk_id(),
        source_unique_id: UNIQUE,
        incremental: true,
        point: "p".into(),
        made_by: None,
        provisioning: Provisioning::Succeeded,
        sku: "Standard_LRS".into(),
        attributes: BTreeMap::new(),
    };
    let snapshot_id = id("/resourceGroups/rg-snap/providers/Microsoft.Compute/snapshots/s1");
    let made = resource(snapshot_id, "westus", Model::Snapshot(model.clone()));
    let shown = snapshot::json(&made, &model);
    assert_eq!(shown["type"], "Microsoft.Compute/snapshots");
    let properties = &shown["properties"];
    assert_eq!(properties["incremental"], true);
    assert_eq!(properties["diskSizeGB"], 2);
    assert_eq!(properties["creationData"]["sourceUniqueId"], UNIQUE.to_string());
    assert_eq!(properties["completionPercent"], 100.0);
    let back = snapshot::spec(disk_id(), root(&shown), true).unwrap();
    assert_eq!((back.source, back.incremental), (Some(disk_id()), true));
    let bad = json!({ "location": "a", "properties": { "creationData": {
        "createOption": "CopyStart", "sourceResourceId": disk_id().as_str(),
    }}});
    let error = snapshot::spec(disk_id(), root(&bad), false).unwrap_err();
    assert!(error.message.contains("properties.creationData.createOption"), "{}", error.message);
}

#[test]
fn names_have_rules() {
    let cases = [
        (Named::Vault, "vault1", true),
        (Named::Vault, "v", false),
        (Named::Vault, "1vault", false),
        (Named::Vault, "vault-", false),
        (Named::Vault, "va_ult", false),
        (Named::Policy, "abc", true),
        (Named::Policy, "ab", false),
        (Named::Policy, "a.b", false),
        (Named::Instance, "disk1-disk1-3df6ac08", true),
        (Named::Disk, "a_b.c-d_", true),
        (Named::Disk, "-a", false),
        (Named::Disk, "a.", false),
    ];
    for (kind, text, good) in cases {
        assert_eq!(name::problem(kind, text).is_none(), good, "{kind:?} {text}");
        assert_eq!(name::check(kind, text).is_ok(), good);
    }
    assert!(name::problem(Named::Vault, &"v".repeat(51)).is_some());
    assert!(name::problem(Named::Disk, &"d".repeat(81)).is_some());
}

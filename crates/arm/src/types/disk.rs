//! Microsoft.Compute/disks.
//!
//! Azure counts disks in whole GiB; ours have any multiple of 512 bytes. A disk shows its size
//! rounded up, and the same figure sent back means "as it is", never "grow to the whole GiB".

use super::attributes;
use super::time::instant;
use crate::wire::body::Field;
use crate::wire::error::ArmError;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use tresor_core::model::{Disk, DiskState, Origin, Provisioning, Resource, ResourceId};
use tresor_core::service::{DISK_BYTES_MAX, DiskPatch, DiskSpec, FOOTER_BYTES, OriginSpec, SECTOR};
use uuid::Uuid;

/// One GiB.
pub(crate) const GIB: u64 = 1 << 30;
/// The largest disk, in GiB.
const GIB_MAX: u64 = DISK_BYTES_MAX / GIB;
/// The storage classes of disks, with what Azure calls their tier.
pub(crate) const SKUS: &[&str] = &[
    "Standard_LRS",
    "Premium_LRS",
    "StandardSSD_LRS",
    "UltraSSD_LRS",
    "Premium_ZRS",
    "StandardSSD_ZRS",
    "PremiumV2_LRS",
];
const OPTIONS: &[&str] = &["Empty", "Upload", "Copy", "Import"];

/// Size in GiB, rounded up.
pub(crate) fn gib(bytes: u64) -> u64 {
    bytes.div_ceil(GIB)
}

/// A disk as ARM shows it.
pub(crate) fn json(resource: &Resource, disk: &Disk) -> Value {
    let mut properties = Map::new();
    if let Some(os) = disk.attributes.get("osType") {
        properties.insert("osType".into(), os.clone());
    }
    let shown = json!({
        "creationData": creation(&disk.origin),
        "diskSizeGB": gib(disk.size),
        "diskSizeBytes": disk.size,
        "uniqueId": disk.unique_id.to_string(),
        "timeCreated": instant(resource.created.at),
        "provisioningState": provisioning(disk.provisioning),
        "diskState": state(disk.state),
        "encryption": { "type": "EncryptionAtRestWithPlatformKey" },
        "networkAccessPolicy": "AllowAll",
        "publicNetworkAccess": "Enabled",
    });
    if let Value::Object(shown) = shown {
        properties.extend(shown);
    }
    attributes::write(&disk.attributes, attributes::DISK, &mut properties);
    head(resource, "Microsoft.Compute/disks", &disk.sku, &disk.attributes, properties)
}

/// What disks and snapshots have in common.
pub(super) fn head(
    resource: &Resource,
    kind: &str,
    sku: &str,
    kept: &tresor_core::model::Attributes,
    properties: Map<String, Value>,
) -> Value {
    let mut out = Map::new();
    out.insert("name".into(), resource.id.name().into());
    out.insert("id".into(), resource.id.as_str().into());
    out.insert("type".into(), kind.into());
    out.insert("location".into(), resource.location.as_str().into());
    out.insert("tags".into(), json!(resource.tags));
    let tier = sku.split('_').next().unwrap_or_default();
    out.insert(
        "sku".into(),
        json!({ "name": sku, "tier": tier.trim_end_matches("SSD").trim_end_matches("V2") }),
    );
    attributes::write(kept, attributes::HEAD, &mut out);
    out.insert("properties".into(), Value::Object(properties));
    Value::Object(out)
}

/// The word for a provisioning state; a resource that is being filled is `Creating`.
pub(super) fn provisioning(state: Provisioning) -> &'static str {
    match state {
        Provisioning::Creating => "Creating",
        Provisioning::Succeeded => "Succeeded",
        Provisioning::Failed => "Failed",
    }
}

fn state(state: DiskState) -> &'static str {
    match state {
        DiskState::Unattached => "Unattached",
        DiskState::ReadyToUpload => "ReadyToUpload",
        DiskState::ActiveUpload => "ActiveUpload",
        DiskState::ActiveGrant => "ActiveSAS",
    }
}

fn creation(origin: &Origin) -> Value {
    match origin {
        Origin::Empty => json!({ "createOption": "Empty" }),
        Origin::Upload { bytes } => {
            json!({ "createOption": "Upload", "uploadSizeBytes": bytes })
        }
        Origin::Copy { source, source_unique_id } => json!({
            "createOption": "Copy",
            "sourceResourceId": source.as_str(),
            "sourceUniqueId": source_unique_id.to_string(),
        }),
        Origin::Import { uri, .. } => json!({ "createOption": "Import", "sourceUri": uri }),
        // Azure shows a disk that Backup restored as a copy of the recovery point's snapshot.
        Origin::Restore { source } => {
            json!({ "createOption": "Copy", "sourceResourceId": source.as_str() })
        }
    }
}

/// A request to make or replace a disk. `size_now` is the size of the disk that is there.
///
/// # Errors
/// Names the field that is wrong.
pub(crate) fn spec(
    id: ResourceId,
    root: Field<'_>,
    size_now: Option<u64>,
) -> Result<DiskSpec, ArmError> {
    let properties = root.get("properties").need_object()?;
    let origin = origin(properties.get("creationData"), size_now.is_some())?;
    let uploaded = match origin {
        Some(OriginSpec::Upload { bytes }) => Some(bytes.saturating_sub(FOOTER_BYTES)),
        _ => None,
    };
    let size = size(&properties, size_now.or(uploaded))?;
    if size.is_none() && size_now.is_none() && matches!(origin, Some(OriginSpec::Empty)) {
        return Err(properties.get("diskSizeGB").invalid("an empty disk needs its size."));
    }
    Ok(DiskSpec {
        location: root.get("location").need_str()?.to_owned(),
        tags: root.get("tags").tags()?.unwrap_or_default(),
        size,
        origin,
        sku: sku(root.get("sku"), SKUS)?,
        attributes: attributes::read(&root, &properties, attributes::DISK)?,
        id,
    })
}

/// A request to change some of a disk.
///
/// # Errors
/// Names the field that is wrong.
pub(crate) fn patch(root: Field<'_>, size_now: u64) -> Result<DiskPatch, ArmError> {
    let properties = root.get("properties");
    let kept = attributes::read(&root, &properties, attributes::DISK)?;
    Ok(DiskPatch {
        tags: root.get("tags").tags()?,
        size: size(&properties, Some(size_now))?,
        sku: sku(root.get("sku"), SKUS)?,
        attributes: Some(kept).filter(|kept| !kept.is_empty()),
    })
}

/// The storage class in `sku.name`.
pub(super) fn sku(field: Field<'_>, known: &[&'static str]) -> Result<Option<String>, ArmError> {
    Ok(field.get("name").word(known)?.map(str::to_owned))
}

fn size(properties: &Field<'_>, as_it_is: Option<u64>) -> Result<Option<u64>, ArmError> {
    let field = properties.get("diskSizeGB");
    let Some(wanted) = field.i64()? else {
        return Ok(None);
    };
    let count = u64::try_from(wanted).ok().filter(|count| (1..=GIB_MAX).contains(count));
    let Some(count) = count else {
        return Err(
            field.invalid(format!("must be a whole number from 1 to {GIB_MAX}, not {wanted}."))
        );
    };
    Ok(Some(count * GIB).filter(|_| as_it_is.map(gib) != Some(count)))
}

fn origin(field: Field<'_>, exists: bool) -> Result<Option<OriginSpec>, ArmError> {
    let option = field.get("createOption");
    if exists && !option.is_present() {
        return Ok(None);
    }
    let wanted = option.need_str()?;
    let known = OPTIONS.iter().find(|known| known.eq_ignore_ascii_case(wanted)).copied();
    match known {
        Some("Empty") => Ok(Some(OriginSpec::Empty)),
        Some("Upload") => upload(field.get("uploadSizeBytes")).map(Some),
        Some("Copy") => Ok(Some(OriginSpec::Copy {
            source: field.get("sourceResourceId").need_id()?,
            unique_id: unique_id(field.get("sourceUniqueId"))?,
        })),
        Some("Import") => {
            Ok(Some(OriginSpec::Import { uri: field.get("sourceUri").need_str()?.to_owned() }))
        }
        _ => Err(option.invalid(format!(
            "Tresor does not support '{wanted}'; it supports {}.",
            OPTIONS.join(", ")
        ))),
    }
}

fn upload(field: Field<'_>) -> Result<OriginSpec, ArmError> {
    let sent = field.i64()?;
    let bytes = sent.and_then(|n| u64::try_from(n).ok()).unwrap_or_default();
    let disk = bytes.saturating_sub(FOOTER_BYTES);
    if disk == 0 || disk % SECTOR != 0 || disk > DISK_BYTES_MAX {
        return Err(field.invalid(format!(
            "must be the size of the disk, a multiple of {SECTOR} up to {DISK_BYTES_MAX} bytes, \
             plus {FOOTER_BYTES} bytes for the VHD footer."
        )));
    }
    Ok(OriginSpec::Upload { bytes })
}

fn unique_id(field: Field<'_>) -> Result<Option<Uuid>, ArmError> {
    let Some(text) = field.str()?.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    Uuid::try_parse(text).map(Some).map_err(|_| field.invalid(format!("'{text}' is not a GUID.")))
}

/// The tags of a request that changes nothing else, for both kinds.
pub(super) fn tags(root: &Field<'_>) -> Result<Option<BTreeMap<String, String>>, ArmError> {
    root.get("tags").tags()
}

//! Backup vaults.
//!
//! Members that a request leaves out stay None, which keeps what the vault has: an older
//! api-version that does not know a setting can then never reset it.

use super::identity;
use super::time::instant;
use crate::wire::body::Field;
use crate::wire::error::ArmError;
use serde_json::{Map, Value, json};
use tresor_core::model::{
    CostGranularity, CrossSubscription, DeletedVault, Immutability, Resource, ResourceId,
    SoftDelete, SoftDeleteState, StorageSetting, Vault,
};
use tresor_core::service::{VaultPatch, VaultSettings, VaultSpec};
use uuid::Uuid;

/// A vault as ARM shows it; `state` is its provisioning state, `guarded` whether it is under a
/// resource guard.
pub(crate) fn json(
    resource: &Resource,
    vault: &Vault,
    tenant: Uuid,
    state: &str,
    guarded: bool,
) -> Value {
    json!({
        "location": resource.location,
        "tags": resource.tags,
        "identity": identity::json(&vault.identity, tenant),
        "properties": properties(vault, state, guarded),
        "id": resource.id.as_str(),
        "name": resource.id.name(),
        "type": "Microsoft.DataProtection/backupVaults",
    })
}

/// A deleted vault as ARM shows it.
pub(crate) fn deleted_json(resource: &Resource, deleted: &DeletedVault) -> Value {
    let mut properties = properties(&deleted.vault, "Succeeded", false);
    properties.extend([
        ("originalBackupVaultId".to_owned(), json!(deleted.was.as_str())),
        ("originalBackupVaultName".to_owned(), json!(deleted.was.name())),
        ("originalBackupVaultResourcePath".to_owned(), json!(deleted.was.as_str())),
        (
            "resourceDeletionInfo".to_owned(),
            json!({
                "deletionTime": instant(deleted.at),
                "scheduledPurgeTime": instant(deleted.purge_at),
                "deleteActivityId": deleted.activity.to_string(),
            }),
        ),
    ]);
    json!({
        "properties": properties,
        "id": resource.id.as_str(),
        "name": resource.id.name(),
        "type": "Microsoft.DataProtection/locations/deletedVaults",
    })
}

fn properties(vault: &Vault, state: &str, guarded: bool) -> Map<String, Value> {
    let storage: Vec<Value> = vault
        .storage
        .iter()
        .map(|s| json!({ "datastoreType": s.store, "type": s.redundancy }))
        .collect();
    let mut features = json!({
        "crossSubscriptionRestoreSettings": { "state": cross_subscription(vault) },
    });
    if let (Some(on), Value::Object(features)) = (vault.cross_region, &mut features) {
        let state = switch(on);
        features.insert("crossRegionRestoreSettings".into(), json!({ "state": state }));
    }
    let alerts = switch(vault.alert_on_failures);
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| drop(out.insert(name.to_owned(), value));
    put("provisioningState", state.into());
    put("storageSettings", storage.into());
    put(
        "monitoringSettings",
        json!({ "azureMonitorAlertSettings": { "alertsForAllJobFailures": alerts } }),
    );
    put(
        "securitySettings",
        json!({
            "softDeleteSettings": soft_delete(vault.soft_delete),
            "immutabilitySettings": { "state": immutability(vault.immutability) },
            // The store has its own keys; a customer's are not taken.
            "encryptionSettings": { "state": "Disabled", "infrastructureEncryption": "Disabled" },
        }),
    );
    put("isVaultProtectedByResourceGuard", guarded.into());
    put("featureSettings", features);
    put("secureScore", secure_score(vault).into());
    // Redundancy settings move no bytes here, so none may raise the level.
    put("bcdrSecurityLevel", "Poor".into());
    put("replicatedRegions", json!([]));
    if let Some(cost) = vault.cost {
        put("costManagementSettings", json!({ "granularityLevel": granularity(cost) }));
    }
    out
}

/// The levels of cost, as the wire knows them.
const GRANULARITY: &[(CostGranularity, &str)] = &[
    (CostGranularity::Vault, "VaultLevel"),
    (CostGranularity::Item, "ProtectedItemLevel"),
    (CostGranularity::ItemWithParentTag, "ProtectedItemWithParentTag"),
];

fn granularity(cost: CostGranularity) -> &'static str {
    GRANULARITY.iter().find(|(own, _)| *own == cost).map_or("VaultLevel", |(_, word)| word)
}

fn read_granularity(properties: &Field<'_>) -> Result<Option<CostGranularity>, ArmError> {
    let settings = properties.get("costManagementSettings");
    settings.object()?;
    let words = GRANULARITY.iter().map(|(_, word)| *word).collect::<Vec<_>>();
    let word = settings.get("granularityLevel").word(&words)?;
    Ok(GRANULARITY.iter().find(|(_, own)| Some(*own) == word).map(|(cost, _)| *cost))
}

fn switch(on: bool) -> &'static str {
    if on { "Enabled" } else { "Disabled" }
}

fn soft_delete(setting: SoftDelete) -> Value {
    let (state, days) = match setting.state {
        SoftDeleteState::Off => ("Off", 0.0),
        SoftDeleteState::On => ("On", setting.days),
        SoftDeleteState::AlwaysOn => ("AlwaysOn", setting.days),
    };
    json!({ "state": state, "retentionDurationInDays": days })
}

fn immutability(state: Immutability) -> &'static str {
    match state {
        Immutability::Disabled => "Disabled",
        Immutability::Unlocked => "Unlocked",
        Immutability::Locked => "Locked",
    }
}

fn cross_subscription(vault: &Vault) -> &'static str {
    match vault.cross_subscription {
        CrossSubscription::Disabled => "Disabled",
        CrossSubscription::PermanentlyDisabled => "PermanentlyDisabled",
        CrossSubscription::Enabled => "Enabled",
    }
}

/// What really protects the backups: soft delete, and more so when nobody can switch it off.
/// Immutability is not counted while it holds back no deletion of a point of a disk.
fn secure_score(vault: &Vault) -> &'static str {
    match vault.soft_delete.state {
        SoftDeleteState::Off => "None",
        SoftDeleteState::On => "Minimum",
        SoftDeleteState::AlwaysOn => "Adequate",
    }
}

/// A request to make or replace a vault.
///
/// # Errors
/// Names the field that is wrong.
pub(crate) fn spec(id: ResourceId, root: Field<'_>) -> Result<VaultSpec, ArmError> {
    let properties = root.get("properties").need_object()?;
    let mut settings = settings(&properties)?;
    settings.storage = storage(properties.get("storageSettings"))?;
    Ok(VaultSpec {
        location: root.get("location").need_str()?.to_owned(),
        tags: root.get("tags").tags()?.unwrap_or_default(),
        identity: identity::spec(root.get("identity"))?,
        settings,
        id,
    })
}

/// A request to change some of a vault.
///
/// # Errors
/// Names the field that is wrong.
pub(crate) fn patch(root: Field<'_>) -> Result<VaultPatch, ArmError> {
    let properties = root.get("properties");
    properties.object()?;
    let storage = properties.get("storageSettings");
    if storage.is_present() {
        return Err(storage.invalid("a PATCH cannot change the storage settings of a vault."));
    }
    let identity = identity::patch(root.get("identity"))?;
    Ok(VaultPatch {
        tags: root.get("tags").tags()?,
        identity: identity.spec,
        user_identities: identity.changes,
        settings: settings(&properties)?,
    })
}

/// The place of a request's soft-delete state.
pub(crate) fn soft_delete_state<'a>(root: &Field<'a>) -> Field<'a> {
    let security = root.get("properties").get("securitySettings");
    security.get("softDeleteSettings").get("state")
}

const SOFT_DELETE: &[&str] = &["Off", "On", "AlwaysOn"];

fn settings(properties: &Field<'_>) -> Result<VaultSettings, ArmError> {
    let security = properties.get("securitySettings");
    security.object()?;
    let features = properties.get("featureSettings");
    features.object()?;
    let soft = security.get("softDeleteSettings");
    refuse_own_keys(&security)?;
    refuse_replicas(properties)?;
    let alerts = properties
        .get("monitoringSettings")
        .get("azureMonitorAlertSettings")
        .get("alertsForAllJobFailures");
    Ok(VaultSettings {
        storage: None,
        soft_delete: soft.get("state").word(SOFT_DELETE)?.map(|word| match word {
            "Off" => SoftDeleteState::Off,
            "AlwaysOn" => SoftDeleteState::AlwaysOn,
            _ => SoftDeleteState::On,
        }),
        soft_delete_days: soft.get("retentionDurationInDays").f64()?,
        immutability: read_immutability(&security)?,
        alert_on_failures: enabled(&alerts)?,
        cross_subscription: read_cross_subscription(&features)?,
        cross_region: enabled(&features.get("crossRegionRestoreSettings").get("state"))?,
        cost: read_granularity(properties)?,
    })
}

fn enabled(field: &Field<'_>) -> Result<Option<bool>, ArmError> {
    Ok(field.word(&["Enabled", "Disabled"])?.map(|word| word == "Enabled"))
}

fn read_immutability(security: &Field<'_>) -> Result<Option<Immutability>, ArmError> {
    let state = security.get("immutabilitySettings").get("state");
    Ok(state.word(&["Disabled", "Unlocked", "Locked"])?.map(|word| match word {
        "Locked" => Immutability::Locked,
        "Unlocked" => Immutability::Unlocked,
        _ => Immutability::Disabled,
    }))
}

fn read_cross_subscription(features: &Field<'_>) -> Result<Option<CrossSubscription>, ArmError> {
    let state = features.get("crossSubscriptionRestoreSettings").get("state");
    let word = state.word(&["Disabled", "PermanentlyDisabled", "Enabled"])?;
    Ok(word.map(|word| match word {
        "Enabled" => CrossSubscription::Enabled,
        "PermanentlyDisabled" => CrossSubscription::PermanentlyDisabled,
        _ => CrossSubscription::Disabled,
    }))
}

/// Takes only what a GET shows: the encryption of a vault by its customer's keys is not built.
fn refuse_own_keys(security: &Field<'_>) -> Result<(), ArmError> {
    let settings = security.get("encryptionSettings");
    settings.object()?;
    let state = settings.get("state");
    let twice = settings.get("infrastructureEncryption");
    let why = "Tresor does not support customer-managed keys for vaults yet.";
    if !matches!(state.word(&["Enabled", "Disabled", "Inconsistent"])?, None | Some("Disabled")) {
        return Err(state.invalid(why));
    }
    if twice.word(&["Enabled", "Disabled"])? == Some("Enabled") {
        return Err(twice.invalid("Tresor does not support a second encryption for vaults yet."));
    }
    for name in ["keyVaultProperties", "kekIdentity"] {
        let field = settings.get(name);
        if !field.members()?.iter().all(|(_, member)| !member.is_present()) {
            return Err(field.invalid(why));
        }
    }
    Ok(())
}

fn refuse_replicas(properties: &Field<'_>) -> Result<(), ArmError> {
    let regions = properties.get("replicatedRegions");
    match regions.items()? {
        Some(regions_named) if !regions_named.is_empty() => {
            Err(regions.invalid("Tresor does not replicate vaults to other regions yet."))
        }
        _ => Ok(()),
    }
}

fn storage(field: Field<'_>) -> Result<Option<Vec<StorageSetting>>, ArmError> {
    let Some(items) = field.items()? else {
        return Ok(None);
    };
    let mut out = Vec::with_capacity(items.len());
    for item in items {
        let store = item.get("datastoreType").need_word(&[
            "ArchiveStore",
            "OperationalStore",
            "VaultStore",
        ])?;
        let redundancy =
            item.get("type").need_word(&["GeoRedundant", "LocallyRedundant", "ZoneRedundant"])?;
        out.push(StorageSetting { store: store.to_owned(), redundancy: redundancy.to_owned() });
    }
    if out.is_empty() {
        return Err(field.invalid("must have at least one element."));
    }
    Ok(Some(out))
}

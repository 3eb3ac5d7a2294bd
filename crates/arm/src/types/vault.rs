//! Backup vaults.
//!
//! Members that a request leaves out stay None, which keeps what the vault has: an older
//! api-version that does not know a setting can then never reset it.

use super::identity;
use crate::wire::body::Field;
use crate::wire::error::ArmError;
use serde_json::{Value, json};
use tresor_core::model::{
    CrossSubscription, Immutability, Resource, ResourceId, SoftDelete, SoftDeleteState,
    StorageSetting, Vault,
};
use tresor_core::service::{VaultPatch, VaultSettings, VaultSpec};
use uuid::Uuid;

/// A vault as ARM shows it; `state` is its provisioning state.
pub(crate) fn json(resource: &Resource, vault: &Vault, tenant: Uuid, state: &str) -> Value {
    json!({
        "location": resource.location,
        "tags": resource.tags,
        "identity": identity::json(&vault.identity, tenant),
        "properties": properties(vault, state),
        "id": resource.id.as_str(),
        "name": resource.id.name(),
        "type": "Microsoft.DataProtection/backupVaults",
    })
}

fn properties(vault: &Vault, state: &str) -> Value {
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
    json!({
        "provisioningState": state,
        "storageSettings": storage,
        "monitoringSettings": {
            "azureMonitorAlertSettings": {
                "alertsForAllJobFailures": switch(vault.alert_on_failures),
            },
        },
        "securitySettings": {
            "softDeleteSettings": soft_delete(vault.soft_delete),
            "immutabilitySettings": { "state": immutability(vault.immutability) },
        },
        "isVaultProtectedByResourceGuard": false,
        "featureSettings": features,
        "secureScore": secure_score(vault),
        // Redundancy settings move no bytes here, so none may raise the level.
        "bcdrSecurityLevel": "Poor",
        "replicatedRegions": [],
    })
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

fn secure_score(vault: &Vault) -> &'static str {
    let soft = vault.soft_delete.state != SoftDeleteState::Off;
    let immutable = vault.immutability != Immutability::Disabled;
    match (soft, immutable) {
        (false, false) => "None",
        (false, true) => "Minimum",
        (true, _) => "Adequate",
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

fn refuse_own_keys(security: &Field<'_>) -> Result<(), ArmError> {
    let state = security.get("encryptionSettings").get("state");
    match state.word(&["Enabled", "Disabled", "Inconsistent"])? {
        Some("Enabled") => {
            Err(state.invalid("Tresor does not support customer-managed keys for vaults yet."))
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

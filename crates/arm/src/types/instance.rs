//! Backup instances, and deleted ones that can still be had back.

use super::time::instant;
use super::{datasource, identity};
use crate::wire::body::{Dialect, Field};
use crate::wire::catalogue;
use crate::wire::error::ArmError;
use serde_json::{Map, Value, json};
use tresor_core::model::{Deletion, Instance, ProtectionState, Resource, ResourceId};
use tresor_core::service::InstanceSpec;
use uuid::Uuid;

/// When in its life an instance is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// In the answer to the PUT that made it.
    Creating,
    /// In the answer to a PUT that changed it.
    Updating,
    /// At any other time.
    Settled,
}

/// Reads a BackupInstance. `at` holds it: the body's `properties`, or `backupInstance` of a
/// validation, which has no id and no tags.
///
/// # Errors
/// Names the field that is wrong.
pub(crate) fn spec(id: Option<ResourceId>, at: Field<'_>) -> Result<InstanceSpec, ArmError> {
    check_kind(&at)?;
    let credentials = at.get("datasourceAuthCredentials");
    if credentials.is_present() {
        return Err(credentials.invalid("disks take no credentials."));
    }
    let policy = at.get("policyInfo").need_object()?;
    let validation = at.get("validationType").word(&["ShallowValidation", "DeepValidation"])?;
    Ok(InstanceSpec {
        id,
        tags: None,
        friendly_name: at.get("friendlyName").str()?.map(str::to_owned),
        disk: datasource::read(at.get("dataSourceInfo"))?,
        disk_set: datasource::read_optional(at.get("dataSourceSetInfo"))?,
        policy: policy.get("policyId").need_id()?,
        snapshot_group: snapshot_group(&policy)?,
        identity: identity::choice(at.get("identityDetails"))?,
        deep: validation == Some("DeepValidation"),
    })
}

fn check_kind(at: &Field<'_>) -> Result<(), ArmError> {
    let kind = at.get("objectType");
    // Azure takes an empty discriminator here for the base kind.
    match kind.str()? {
        None | Some("") => Ok(()),
        Some(_) => kind.word(&["BackupInstance"]).map(drop),
    }
}

fn snapshot_group(policy: &Field<'_>) -> Result<Option<ResourceId>, ArmError> {
    let parameters = policy.get("policyParameters");
    parameters.object()?;
    let list = parameters.get("dataStoreParametersList").items()?.unwrap_or_default();
    for entry in list {
        // The kind was seen as null in recorded traffic; the store says it as well.
        entry.get("objectType").word(&["AzureOperationalStoreParameters"])?;
        entry.get("dataStoreType").need_word(&["OperationalStore"])?;
        if let Some(group) = entry.get("resourceGroupId").id()? {
            return Ok(Some(group));
        }
    }
    Ok(None)
}

/// An instance as ARM shows it.
pub(crate) fn json(resource: &Resource, instance: &Instance, phase: Phase) -> Value {
    json!({
        "properties": properties(instance, phase, "BackupInstance", Map::new()),
        "tags": resource.tags,
        "id": resource.id.as_str(),
        "name": resource.id.name(),
        "type": "Microsoft.DataProtection/backupVaults/backupInstances",
    })
}

/// A deleted instance as ARM shows it.
pub(crate) fn deleted_json(
    vault: &ResourceId,
    resource: &Resource,
    instance: &Instance,
    deletion: &Deletion,
) -> Value {
    let name = resource.id.name();
    let mut first = Map::new();
    let info = json!({
        "deletionTime": instant(deletion.at),
        // Nothing is billed here, so it ends with the deletion.
        "billingEndDate": instant(deletion.at),
        "scheduledPurgeTime": instant(deletion.purge_at),
        "deleteActivityID": deletion.activity.to_string(),
    });
    first.insert("deletionInfo".into(), info);
    json!({
        "properties": properties(instance, Phase::Settled, "DeletedBackupInstance", first),
        "id": format!("{vault}/deletedBackupInstances/{name}"),
        "name": name,
        "type": "Microsoft.DataProtection/backupVaults/deletedBackupInstances",
    })
}

/// Where the protection of a settled instance stands, as `currentProtectionState` says it.
pub(crate) fn current_state(instance: &Instance) -> &'static str {
    words(instance.state, Phase::Settled).1
}

fn properties(
    instance: &Instance,
    phase: Phase,
    kind: &str,
    mut out: Map<String, Value>,
) -> Map<String, Value> {
    out.insert("friendlyName".into(), instance.friendly_name.as_str().into());
    let disk = datasource::json(&instance.disk, "Datasource");
    out.insert("dataSourceInfo".into(), disk);
    if let Some(set) = &instance.disk_set {
        out.insert("dataSourceSetInfo".into(), datasource::json(set, "DatasourceSet"));
    }
    out.insert("policyInfo".into(), policy_json(instance));
    if let Some(choice) = &instance.identity {
        out.insert("identityDetails".into(), identity::choice_json(choice));
    }
    let (status, current, provisioning) = words(instance.state, phase);
    let mut protection = Map::new();
    protection.insert("status".into(), status.into());
    if let Some(error) = &instance.error {
        let error = catalogue::user_facing(error, Dialect::DataProtection, Uuid::nil());
        protection.insert("errorDetails".into(), error.clone());
        out.insert("protectionErrorDetails".into(), error);
    }
    out.insert("protectionStatus".into(), Value::Object(protection));
    out.insert("currentProtectionState".into(), current.into());
    out.insert("provisioningState".into(), provisioning.into());
    out.insert("objectType".into(), kind.into());
    out
}

fn policy_json(instance: &Instance) -> Value {
    json!({
        "policyId": instance.policy.as_str(),
        "policyVersion": "",
        "policyParameters": {
            "dataStoreParametersList": [{
                "resourceGroupId": instance.snapshot_group.as_str(),
                "dataStoreType": "OperationalStore",
                "objectType": "AzureOperationalStoreParameters",
            }],
        },
    })
}

/// The status, the protection state and the provisioning state.
///
/// Terraform waits on the status and takes any word but `ConfiguringProtection` and
/// `ProtectionConfigured` for a failure, so an update shows in the protection state alone.
fn words(state: ProtectionState, phase: Phase) -> (&'static str, &'static str, &'static str) {
    let word = state_word(state);
    match phase {
        Phase::Creating => ("ConfiguringProtection", "ConfiguringProtection", "Provisioning"),
        Phase::Updating => ("ConfiguringProtection", "UpdatingProtection", "Updating"),
        Phase::Settled => match state {
            ProtectionState::ConfiguringFailed => (word, word, "Failed"),
            ProtectionState::Configuring => (word, word, "Provisioning"),
            _ => (word, word, "Succeeded"),
        },
    }
}

fn state_word(state: ProtectionState) -> &'static str {
    match state {
        ProtectionState::Configuring => "ConfiguringProtection",
        ProtectionState::Configured => "ProtectionConfigured",
        ProtectionState::ConfiguringFailed => "ConfiguringProtectionFailed",
        ProtectionState::Stopped => "ProtectionStopped",
        ProtectionState::Suspended => "BackupsSuspended",
        ProtectionState::Error => "ProtectionError",
        ProtectionState::SoftDeleted => "SoftDeleted",
    }
}

//! Restore requests.

use super::{datasource, identity, policy};
use crate::wire::body::Field;
use crate::wire::error::ArmError;
use tresor_core::service::RestoreSpec;

/// Reads the body of a restore.
///
/// # Errors
/// Names the field that is wrong.
pub(crate) fn spec(request: Field<'_>) -> Result<RestoreSpec, ArmError> {
    let point = request.get("recoveryPointId").need_str()?.to_owned();
    read(request, point)
}

/// Reads the body of a validation. Published examples put the point beside the request object
/// instead of inside it; both places count, the inner one first.
///
/// # Errors
/// Names the field that is wrong.
pub(crate) fn validation(root: Field<'_>) -> Result<RestoreSpec, ArmError> {
    let request = root.get("restoreRequestObject").need_object()?;
    let inner = request.get("recoveryPointId");
    let outer = root.get("recoveryPointId");
    let point = match (inner.str()?, outer.str()?) {
        (Some(point), _) | (None, Some(point)) => point.to_owned(),
        (None, None) => inner.need_str()?.to_owned(),
    };
    read(request, point)
}

fn read(request: Field<'_>, point: String) -> Result<RestoreSpec, ArmError> {
    request.get("objectType").need_word(&["AzureBackupRecoveryPointBasedRestoreRequest"])?;
    let target = request.get("restoreTargetInfo").need_object()?;
    target.get("objectType").need_word(&["RestoreTargetInfo"])?;
    target.get("recoveryOption").need_word(&["FailIfExists"])?;
    let credentials = target.get("datasourceAuthCredentials");
    if credentials.is_present() {
        return Err(credentials.invalid("disks take no credentials."));
    }
    Ok(RestoreSpec {
        point,
        source: policy::read_store(request.get("sourceDataStoreType"))?,
        target: datasource::read(target.get("datasourceInfo"))?,
        location: target.get("restoreLocation").str()?.map(str::to_owned),
        identity: identity::choice(request.get("identityDetails"))?,
    })
}

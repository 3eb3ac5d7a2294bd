//! Recovery points, and the filter that lists take.

use super::time::{instant, ticks};
use crate::wire::error::ArmError;
use crate::wire::filter::{self, Term};
use serde_json::{Value, json};
use tresor_core::model::{Point, PointState, ResourceId};
use tresor_core::service::PointQuery;
use uuid::Uuid;

/// What a point's friendly name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// The name of its snapshot, to clients of older api-versions.
    Snapshot,
    /// The point's own, to newer ones.
    Point,
}

/// A recovery point as ARM shows it.
pub(crate) fn json(instance: &ResourceId, point: &Point, names: Names) -> Value {
    let made = instant(point.time);
    let expires = point.expires.map(instant);
    let friendly = match names {
        Names::Snapshot => &point.friendly_name,
        Names::Point => &point.key,
    };
    let state = match point.state {
        PointState::Completed => "Completed",
        PointState::Partial => "Partial",
    };
    json!({
        "id": format!("{instance}/recoveryPoints/{}", point.key),
        "name": point.key,
        "type": "Microsoft.DataProtection/backupVaults/backupInstances/recoveryPoints",
        "properties": {
            "objectType": "AzureBackupDiscreteRecoveryPoint",
            "recoveryPointId": point.key,
            "recoveryPointTime": made,
            "recoveryPointType": "Incremental",
            "friendlyName": friendly,
            "recoveryPointDataStoresDetails": [{
                "id": point.store.to_string(),
                "type": "OperationalStore",
                "creationTime": made,
                "expiryTime": expires,
                "metaData": null,
                "visible": true,
                "state": "COMMITTED",
                "rehydrationExpiryTime": null,
                "rehydrationStatus": null,
            }],
            "retentionTagName": point.tag,
            "retentionTagVersion": ticks(point.tag_version),
            "policyName": point.policy_name,
            "policyVersion": null,
            "expiryTime": expires,
            "recoveryPointState": state,
        },
    })
}

/// Reads the filter of a list of recovery points; None when nothing can fit it.
///
/// # Errors
/// Names the part that has another form, an unknown name or a bad value.
pub(crate) fn query(text: &str) -> Result<Option<PointQuery>, ArmError> {
    let mut query = PointQuery::default();
    let mut possible = true;
    for term in filter::terms(text)? {
        let Term::Equals(name, value) = term else {
            return Err(filter::refusal(text));
        };
        match name.as_str() {
            "startdate" => query.from = Some(filter::instant(&name, &value)?),
            "enddate" => query.to = Some(filter::instant(&name, &value)?),
            // Every point that is kept is visible.
            "isvisible" => possible &= filter::truth(&name, &value)?,
            // Lists show all that there is to show, asked or not.
            "extendedinfo" => drop(filter::truth(&name, &value)?),
            "restorepointdatastoreid" => {
                let id = Uuid::try_parse(value.trim());
                query.store =
                    Some(id.map_err(|_| filter::wrong(format!("{name}: '{value}' is no GUID.")))?);
            }
            "restorepointstate" => {
                let state =
                    [("completed", PointState::Completed), ("partial", PointState::Partial)]
                        .into_iter()
                        .find(|(word, _)| word.eq_ignore_ascii_case(value.trim()));
                let wrong = || filter::wrong(format!("{name}: use Completed or Partial."));
                query.state = Some(state.ok_or_else(wrong)?.1);
            }
            _ => {
                return Err(filter::wrong(format!(
                    "'{name}' is unknown; use startDate, endDate, restorePointDataStoreId, \
                     restorePointState, isVisible and extendedInfo."
                )));
            }
        }
    }
    Ok(possible.then_some(query))
}

//! Recovery points, and the filter that lists take.

use super::time::{instant, ticks};
use crate::wire::body::Dialect;
use crate::wire::error::ArmError;
use crate::wire::filter::{self, Term};
use jiff::Timestamp;
use serde_json::{Value, json};
use tresor_core::model::{Point, PointState, ResourceId};

/// A recovery point as ARM shows it.
pub(crate) fn json(instance: &ResourceId, point: &Point) -> Value {
    let made = instant(point.time);
    let expires = point.expires.map(instant);
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
            "friendlyName": point.friendly_name,
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

/// The times that a `$filter` names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    /// At or after.
    pub(crate) from: Option<Timestamp>,
    /// At or before.
    pub(crate) to: Option<Timestamp>,
}

/// Reads the filter of a list of recovery points.
///
/// # Errors
/// Names the part that has another form, an unknown name or a bad time.
pub(crate) fn span(text: &str) -> Result<Span, ArmError> {
    let mut span = Span::default();
    for term in filter::terms(text)? {
        let Term::Equals(name, value) = term else {
            return Err(filter::refusal(text));
        };
        match name.as_str() {
            "startdate" => span.from = Some(bound(&name, &value)?),
            "enddate" => span.to = Some(bound(&name, &value)?),
            // Every point listed is visible, committed and in the one store: these cannot narrow.
            "restorepointdatastoreid" | "isvisible" | "extendedinfo" | "restorepointstate" => {}
            _ => {
                return Err(refuse(format!("'{name}' is unknown; use startDate and endDate.")));
            }
        }
    }
    Ok(span)
}

fn bound(name: &str, value: &str) -> Result<Timestamp, ArmError> {
    let time = value.trim().parse().ok();
    time.ok_or_else(|| {
        refuse(format!("{name} is '{value}', not a time such as 2026-01-31T00:00:00Z."))
    })
}

fn refuse(message: String) -> ArmError {
    ArmError::invalid(Dialect::DataProtection, "$filter", format!("$filter: {message}"))
}

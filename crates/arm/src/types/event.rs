//! Events of the audit trail in the shape of Azure's activity log (`EventData` of
//! Microsoft.Insights 2015-04-01), and the filter of their list.

use super::time::{instant, ticks};
use crate::wire::error::ArmError;
use crate::wire::filter::{self, Term};
use http::StatusCode;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use std::ops::RangeInclusive;
use tresor_core::catalogue::EventFilter;
use tresor_core::model::{Event, ResourceId};
use uuid::Uuid;

/// An event as clients see it.
pub(crate) fn json(event: &Event, tenant: Uuid) -> Value {
    let id = event.resource.as_str().trim_end_matches('/');
    let actor = event.actor.as_ref();
    let text = |id: Option<Uuid>| id.map(|id| id.to_string());
    let object = text(actor.and_then(|actor| actor.object_id));
    let client = text(actor.and_then(|actor| actor.client_id));
    let category = if event.action.is_empty() { "Security" } else { "Administrative" };
    let word = |word: &str| json!({ "value": word, "localizedValue": word });
    json!({
        "authorization": {
            "action": event.action,
            "scope": event.resource.as_str(),
        },
        "caller": object.clone().or_else(|| client.clone()),
        "channels": "Operation",
        "claims": claims(event, tenant, object.as_deref(), client.as_deref()),
        "correlationId": event.correlation.to_string(),
        "description": "",
        "eventDataId": event.id.to_string(),
        "eventName": { "value": "EndRequest", "localizedValue": "End request" },
        "category": word(category),
        "httpRequest": {
            "clientRequestId": event.client_request,
            "clientIpAddress": event.peer.map(|peer| peer.to_string()),
            "method": event.verb,
        },
        "id": format!("{id}/events/{}/ticks/{}", event.id, ticks(event.at)),
        "level": if is_good(event.status) { "Informational" } else { "Error" },
        "resourceGroupName": event.resource.group().unwrap_or_default(),
        "resourceProviderName": word(event.provider()),
        "resourceId": event.resource.as_str(),
        "resourceType": word(&event.resource.kind()),
        "operationId": event.request.to_string(),
        "operationName": {
            "value": if event.action.is_empty() { &event.operation } else { &event.action },
            "localizedValue": event.operation,
        },
        "properties": properties(event),
        "status": word(status(event.status)),
        "subStatus": sub_status(event.status),
        "eventTimestamp": instant(event.at),
        "submissionTimestamp": instant(event.recorded),
        "subscriptionId": event.resource.subscription(),
        "tenantId": tenant.to_string(),
    })
}

fn claims(event: &Event, tenant: Uuid, object: Option<&str>, client: Option<&str>) -> Value {
    let identity = "http://schemas.microsoft.com/identity/claims/";
    let mut claims = Map::new();
    if let Some(client) = client {
        claims.insert("appid".into(), client.into());
    }
    if let Some(object) = object {
        claims.insert(format!("{identity}objectidentifier"), object.into());
        claims.insert(format!("{identity}tenantid"), tenant.to_string().into());
    }
    if let Some(actor) = event.actor.as_ref().filter(|actor| !actor.name.is_empty()) {
        claims.insert("name".into(), actor.name.clone().into());
    }
    claims.into()
}

/// Every value is text here, as in Azure.
fn properties(event: &Event) -> Value {
    let mut properties = Map::new();
    let mut set = |name: &str, value: String| properties.insert(name.into(), value.into());
    set("entity", event.resource.as_str().to_owned());
    set("message", event.action.clone());
    set("operation", event.operation.clone());
    if event.status != 0 {
        set("statusCode", reason(event.status));
    }
    if !event.code.is_empty() {
        set("errorCode", event.code.clone());
    }
    if event.unrecorded > 0 {
        set("unrecordedBefore", event.unrecorded.to_string());
    }
    properties.into()
}

fn is_good(status: u16) -> bool {
    (200..400).contains(&status)
}

/// The word of a status; an end that nobody saw leaves what has started.
fn status(status: u16) -> &'static str {
    match status {
        0 => "Started",
        202 => "Accepted",
        other if is_good(other) => "Succeeded",
        _ => "Failed",
    }
}

fn statuses(word: &str) -> Option<Vec<RangeInclusive<u16>>> {
    Some(match word.to_ascii_lowercase().as_str() {
        "started" => vec![0..=0],
        "accepted" => vec![202..=202],
        "succeeded" => vec![200..=201, 203..=399],
        "failed" => vec![1..=199, 400..=u16::MAX],
        _ => return None,
    })
}

/// `Created` of 201.
fn reason(status: u16) -> String {
    let known = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    known.map_or_else(|| status.to_string(), |reason| reason.replace(' ', ""))
}

fn sub_status(status: u16) -> Value {
    if status == 0 {
        return json!({ "value": "", "localizedValue": "" });
    }
    let known = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let words = known.unwrap_or_default();
    let localized = format!("{words} (HTTP Status Code: {status})");
    json!({ "value": reason(status), "localizedValue": localized })
}

/// Leaves only the members of a `$select`, which names them with commas between.
pub(crate) fn selected(event: Value, names: &str) -> Value {
    let names: Vec<&str> = names.split(',').map(str::trim).filter(|n| !n.is_empty()).collect();
    let Value::Object(members) = event else {
        return event;
    };
    let wanted = |name: &String| names.iter().any(|n| n.eq_ignore_ascii_case(name));
    if names.is_empty() {
        return members.into();
    }
    members.into_iter().filter(|(name, _)| wanted(name)).collect::<Map<_, _>>().into()
}

/// Reads the filter of a list.
///
/// # Errors
/// Names what is not understood.
pub(crate) fn filter(text: &str) -> Result<EventFilter, ArmError> {
    let mut wanted = EventFilter::default();
    for term in filter::terms(text)? {
        match term {
            Term::AtLeast(name, value) if name == "eventtimestamp" => {
                wanted.from = Some(time(&value)?);
            }
            Term::AtMost(name, value) if name == "eventtimestamp" => {
                wanted.to = Some(time(&value)?);
            }
            Term::Equals(name, value) => equals(&mut wanted, text, &name, value)?,
            _ => return Err(filter::refusal(text)),
        }
    }
    Ok(wanted)
}

fn equals(wanted: &mut EventFilter, text: &str, name: &str, value: String) -> Result<(), ArmError> {
    let wrong = |what: &str| refuse(format!("{name} is '{value}', which is no {what}."));
    match name {
        "resourcegroupname" => wanted.group = Some(value),
        "resourceprovider" => wanted.provider = Some(value),
        "caller" => wanted.caller = Some(value),
        "resourceuri" | "resourceid" => {
            let id = ResourceId::parse(&value).map_err(|_| wrong("id of a resource"))?;
            wanted.resource = Some(id);
        }
        "correlationid" => {
            wanted.correlation = Some(Uuid::try_parse(&value).map_err(|_| wrong("GUID"))?);
        }
        "status" | "status/value" => {
            let why = "status: use Started, Accepted, Succeeded or Failed";
            wanted.statuses = statuses(&value).ok_or_else(|| wrong(why))?;
        }
        // Everything here was asked for by somebody: both channels show it.
        "eventchannels" | "channels" => {}
        _ => return Err(filter::refusal(text)),
    }
    Ok(())
}

/// A time, or a date, in UTC where no zone is named.
fn time(text: &str) -> Result<Timestamp, ArmError> {
    let text = text.trim();
    let zoned = text.parse::<Timestamp>().ok();
    let civil = || text.parse::<DateTime>().ok();
    let day = || text.parse::<Date>().ok().map(|date| date.to_datetime(jiff::civil::Time::MIN));
    let found = zoned.or_else(|| {
        let civil = civil().or_else(day)?;
        civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    });
    found.ok_or_else(|| {
        refuse(format!("eventTimestamp is '{text}', not a time such as 2026-01-31T00:00:00Z."))
    })
}

fn refuse(message: String) -> ArmError {
    ArmError::bad("InvalidFilterInQueryString", format!("$filter: {message}"))
}

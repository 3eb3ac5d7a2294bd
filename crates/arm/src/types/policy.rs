//! Backup policies.
//!
//! Order and texts survive the way in and out, and a list that was absent stays absent: Terraform
//! and `az` compare what they read with what they wrote.

use crate::wire::body::Field;
use crate::wire::error::ArmError;
use serde_json::{Map, Value, json};
use tresor_core::model::{
    BackupRule, DataStore, Lifecycle, Policy, Resource, RetentionRule, Rule, TagCriteria, TagRule,
};

const STORES: &[&str] = &["OperationalStore", "VaultStore", "ArchiveStore"];
const MARKERS: &[&str] = &["AllBackup", "FirstOfDay", "FirstOfWeek", "FirstOfMonth", "FirstOfYear"];
const DAYS: &[&str] =
    &["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS: &[&str] = &[
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKS: &[&str] = &["First", "Second", "Third", "Fourth", "Last"];

/// The word for a data store.
pub(crate) fn store_word(store: DataStore) -> &'static str {
    match store {
        DataStore::Operational => "OperationalStore",
        DataStore::Vault => "VaultStore",
        DataStore::Archive => "ArchiveStore",
    }
}

/// Reads a word for a data store.
///
/// # Errors
/// When it is absent or unknown.
pub(crate) fn read_store(field: Field<'_>) -> Result<DataStore, ArmError> {
    Ok(match field.need_word(STORES)? {
        "VaultStore" => DataStore::Vault,
        "ArchiveStore" => DataStore::Archive,
        _ => DataStore::Operational,
    })
}

/// Reads a policy: its datasource types and its rules in the order sent.
///
/// # Errors
/// Names the field that is wrong.
pub(crate) fn read(root: Field<'_>) -> Result<(Vec<String>, Vec<Rule>), ArmError> {
    let properties = root.get("properties").need_object()?;
    properties.get("objectType").need_word(&["BackupPolicy"])?;
    let types = need_texts(&properties.get("datasourceTypes"))?;
    let rules = properties.get("policyRules").need_items()?;
    let rules = rules.into_iter().map(read_rule).collect::<Result<Vec<_>, _>>()?;
    Ok((types, rules))
}

fn read_rule(field: Field<'_>) -> Result<Rule, ArmError> {
    match field.get("objectType").need_word(&["AzureBackupRule", "AzureRetentionRule"])? {
        "AzureBackupRule" => read_backup(field).map(Rule::Backup),
        _ => read_retention(field).map(Rule::Retention),
    }
}

fn read_backup(field: Field<'_>) -> Result<BackupRule, ArmError> {
    let parameters = field.get("backupParameters").need_object()?;
    parameters.get("objectType").word(&["AzureBackupParams"])?;
    let trigger = field.get("trigger").need_object()?;
    trigger.get("objectType").need_word(&["ScheduleBasedTriggerContext"])?;
    let schedule = trigger.get("schedule").need_object()?;
    let tags = trigger.get("taggingCriteria").need_items()?;
    Ok(BackupRule {
        name: field.get("name").need_str()?.to_owned(),
        backup_type: parameters.get("backupType").need_word(&["Incremental"])?.to_owned(),
        store: read_store(field.get("dataStore").need_object()?.get("dataStoreType"))?,
        intervals: need_texts(&schedule.get("repeatingTimeIntervals"))?,
        time_zone: schedule.get("timeZone").str()?.map(str::to_owned),
        tags: tags.into_iter().map(read_tag).collect::<Result<_, _>>()?,
    })
}

fn read_tag(field: Field<'_>) -> Result<TagRule, ArmError> {
    let criteria = match field.get("criteria").items()? {
        Some(items) => Some(items.into_iter().map(read_criteria).collect::<Result<_, _>>()?),
        None => None,
    };
    Ok(TagRule {
        tag: field.get("tagInfo").need_object()?.get("tagName").need_str()?.to_owned(),
        is_default: field.get("isDefault").need_bool()?,
        priority: field.get("taggingPriority").need_i64()?,
        criteria,
    })
}

fn read_criteria(field: Field<'_>) -> Result<TagCriteria, ArmError> {
    field.get("objectType").need_word(&["ScheduleBasedBackupCriteria"])?;
    let days = match field.get("daysOfMonth").items()? {
        Some(items) => Some(
            items
                .into_iter()
                .map(|day| Ok((day.get("date").i64()?, day.get("isLast").bool()?)))
                .collect::<Result<_, ArmError>>()?,
        ),
        None => None,
    };
    Ok(TagCriteria {
        absolute: words(field.get("absoluteCriteria"), MARKERS)?,
        days_of_month: days,
        days_of_week: words(field.get("daysOfTheWeek"), DAYS)?,
        months: words(field.get("monthsOfYear"), MONTHS)?,
        weeks_of_month: words(field.get("weeksOfTheMonth"), WEEKS)?,
        times: texts(field.get("scheduleTimes"))?,
    })
}

fn read_retention(field: Field<'_>) -> Result<RetentionRule, ArmError> {
    let lifecycles = field.get("lifecycles").need_items()?;
    Ok(RetentionRule {
        name: field.get("name").need_str()?.to_owned(),
        is_default: field.get("isDefault").bool()?.unwrap_or(false),
        lifecycles: lifecycles.into_iter().map(read_lifecycle).collect::<Result<_, _>>()?,
    })
}

fn read_lifecycle(field: Field<'_>) -> Result<Lifecycle, ArmError> {
    let delete = field.get("deleteAfter").need_object()?;
    delete.get("objectType").word(&["AbsoluteDeleteOption"])?;
    let copies = field.get("targetDataStoreCopySettings");
    let listed = copies.items()?;
    if listed.as_ref().is_some_and(|items| !items.is_empty()) {
        return Err(copies.invalid("Tresor does not copy to other stores yet; leave it empty."));
    }
    Ok(Lifecycle {
        delete_after: delete.get("duration").need_str()?.to_owned(),
        store: read_store(field.get("sourceDataStore").need_object()?.get("dataStoreType"))?,
        copies_listed: listed.is_some(),
    })
}

fn texts(field: Field<'_>) -> Result<Option<Vec<String>>, ArmError> {
    if field.is_present() { need_texts(&field).map(Some) } else { Ok(None) }
}

fn need_texts(field: &Field<'_>) -> Result<Vec<String>, ArmError> {
    let read = |item: Field<'_>| Ok(item.need_str()?.to_owned());
    field.need_items()?.into_iter().map(read).collect()
}

fn words(field: Field<'_>, known: &[&'static str]) -> Result<Option<Vec<String>>, ArmError> {
    let Some(items) = field.items()? else {
        return Ok(None);
    };
    let read = |item: Field<'_>| Ok(item.need_word(known)?.to_owned());
    items.into_iter().map(read).collect::<Result<_, _>>().map(Some)
}

/// A policy as ARM shows it.
pub(crate) fn json(resource: &Resource, policy: &Policy) -> Value {
    let rules: Vec<Value> = policy.rules.iter().map(rule_json).collect();
    json!({
        "properties": {
            "policyRules": rules,
            "datasourceTypes": policy.datasource_types,
            "objectType": "BackupPolicy",
        },
        "id": resource.id.as_str(),
        "name": resource.id.name(),
        "type": "Microsoft.DataProtection/backupVaults/backupPolicies",
    })
}

fn store_json(store: DataStore) -> Value {
    json!({ "dataStoreType": store_word(store), "objectType": "DataStoreInfoBase" })
}

fn rule_json(rule: &Rule) -> Value {
    match rule {
        Rule::Backup(rule) => backup_json(rule),
        Rule::Retention(rule) => retention_json(rule),
    }
}

fn backup_json(rule: &BackupRule) -> Value {
    let mut schedule = Map::new();
    schedule.insert("repeatingTimeIntervals".into(), json!(rule.intervals));
    if let Some(zone) = &rule.time_zone {
        schedule.insert("timeZone".into(), zone.as_str().into());
    }
    let tags: Vec<Value> = rule.tags.iter().map(tag_json).collect();
    json!({
        "backupParameters": { "backupType": rule.backup_type, "objectType": "AzureBackupParams" },
        "trigger": {
            "schedule": schedule,
            "taggingCriteria": tags,
            "objectType": "ScheduleBasedTriggerContext",
        },
        "dataStore": store_json(rule.store),
        "name": rule.name,
        "objectType": "AzureBackupRule",
    })
}

fn tag_json(tag: &TagRule) -> Value {
    let mut out = Map::new();
    out.insert("tagInfo".into(), json!({ "tagName": tag.tag, "id": format!("{}_", tag.tag) }));
    out.insert("taggingPriority".into(), tag.priority.into());
    out.insert("isDefault".into(), tag.is_default.into());
    if let Some(criteria) = &tag.criteria {
        let criteria: Vec<Value> = criteria.iter().map(criteria_json).collect();
        out.insert("criteria".into(), criteria.into());
    }
    Value::Object(out)
}

fn criteria_json(criteria: &TagCriteria) -> Value {
    let mut out = Map::new();
    let lists = [
        ("absoluteCriteria", &criteria.absolute),
        ("daysOfTheWeek", &criteria.days_of_week),
        ("monthsOfYear", &criteria.months),
        ("weeksOfTheMonth", &criteria.weeks_of_month),
        ("scheduleTimes", &criteria.times),
    ];
    for (name, list) in lists {
        if let Some(list) = list {
            out.insert(name.into(), json!(list));
        }
    }
    if let Some(days) = &criteria.days_of_month {
        let days: Vec<Value> = days.iter().map(day_json).collect();
        out.insert("daysOfMonth".into(), days.into());
    }
    out.insert("objectType".into(), "ScheduleBasedBackupCriteria".into());
    Value::Object(out)
}

fn day_json(day: &(Option<i64>, Option<bool>)) -> Value {
    let mut out = Map::new();
    if let Some(date) = day.0 {
        out.insert("date".into(), date.into());
    }
    if let Some(last) = day.1 {
        out.insert("isLast".into(), last.into());
    }
    Value::Object(out)
}

fn retention_json(rule: &RetentionRule) -> Value {
    let lifecycles: Vec<Value> = rule.lifecycles.iter().map(lifecycle_json).collect();
    json!({
        "lifecycles": lifecycles,
        "isDefault": rule.is_default,
        "name": rule.name,
        "objectType": "AzureRetentionRule",
    })
}

fn lifecycle_json(lifecycle: &Lifecycle) -> Value {
    let mut out = Map::new();
    let delete =
        json!({ "objectType": "AbsoluteDeleteOption", "duration": lifecycle.delete_after });
    out.insert("deleteAfter".into(), delete);
    if lifecycle.copies_listed {
        out.insert("targetDataStoreCopySettings".into(), json!([]));
    }
    out.insert("sourceDataStore".into(), store_json(lifecycle.store));
    Value::Object(out)
}

//! Policies.

use super::{assert_within, resource, root, vault_id};
use crate::types::policy;
use serde_json::{Value, json};
use tresor_core::model::{Model, Policy, Rule};
use uuid::Uuid;

fn store() -> Value {
    json!({ "dataStoreType": "OperationalStore", "objectType": "DataStoreInfoBase" })
}

fn retention(name: &str, duration: &str) -> Value {
    json!({
        "name": name,
        "objectType": "AzureRetentionRule",
        "isDefault": name == "Default",
        "lifecycles": [{
            "deleteAfter": { "duration": duration, "objectType": "AbsoluteDeleteOption" },
            "sourceDataStore": store(),
            "targetDataStoreCopySettings": [],
        }],
    })
}

fn body(schedule: Value, criteria: Value, retention: Vec<Value>) -> Value {
    let mut rules = vec![json!({
        "name": "BackupDaily",
        "objectType": "AzureBackupRule",
        "backupParameters": { "objectType": "AzureBackupParams", "backupType": "Incremental" },
        "dataStore": store(),
        "trigger": {
            "objectType": "ScheduleBasedTriggerContext",
            "schedule": schedule,
            "taggingCriteria": criteria,
        },
    })];
    rules.extend(retention);
    json!({ "properties": {
        "objectType": "BackupPolicy",
        "datasourceTypes": ["Microsoft.Compute/disks"],
        "policyRules": rules,
    }})
}

fn default_tag() -> Value {
    json!({ "isDefault": true, "taggingPriority": 99, "tagInfo": { "tagName": "Default" } })
}

fn weekly() -> Value {
    let schedule = json!({
        "repeatingTimeIntervals": ["R/2025-10-16T14:00:00+00:00/P1D", "R/2025-10-16T02:00Z/P1D"],
        "timeZone": "Coordinated Universal Time",
    });
    let weekly = json!({
        "isDefault": false,
        "taggingPriority": 20,
        "tagInfo": { "tagName": "Weekly" },
        "criteria": [{
            "objectType": "ScheduleBasedBackupCriteria",
            "absoluteCriteria": ["FirstOfWeek"],
            "daysOfMonth": [{ "date": 1, "isLast": false }, { "isLast": true }],
            "daysOfTheWeek": ["Monday"],
            "monthsOfYear": ["January", "May"],
            "weeksOfTheMonth": ["First", "Last"],
            "scheduleTimes": ["2025-10-16T14:00:00Z"],
        }],
    });
    let retention = vec![retention("Weekly", "P12W"), retention("Default", "P7D")];
    body(schedule, json!([weekly, default_tag()]), retention)
}

fn shown(body: &Value) -> Value {
    let (datasource_types, rules) = policy::read(root(body)).unwrap();
    let model = Policy { unique_id: Uuid::nil(), datasource_types, rules };
    let id = vault_id().join("backupPolicies/DiskPolicy4h").unwrap();
    policy::json(&resource(id, "", Model::Policy(model.clone())), &model)
}

#[test]
fn the_default_policy_as_published() {
    let schedule = json!({ "repeatingTimeIntervals": ["R/2020-04-05T13:00:00+00:00/PT4H"] });
    let body = body(schedule, json!([default_tag()]), vec![retention("Default", "P7D")]);
    let expected = json!({
        "properties": {
            "policyRules": [
                {
                    "backupParameters": {
                        "backupType": "Incremental", "objectType": "AzureBackupParams",
                    },
                    "trigger": {
                        "schedule": {
                            "repeatingTimeIntervals": ["R/2020-04-05T13:00:00+00:00/PT4H"],
                        },
                        "taggingCriteria": [{
                            "tagInfo": { "tagName": "Default", "id": "Default_" },
                            "taggingPriority": 99,
                            "isDefault": true,
                        }],
                        "objectType": "ScheduleBasedTriggerContext",
                    },
                    "dataStore": store(),
                    "name": "BackupDaily",
                    "objectType": "AzureBackupRule",
                },
                {
                    "lifecycles": [{
                        "deleteAfter": { "objectType": "AbsoluteDeleteOption", "duration": "P7D" },
                        "targetDataStoreCopySettings": [],
                        "sourceDataStore": store(),
                    }],
                    "isDefault": true,
                    "name": "Default",
                    "objectType": "AzureRetentionRule",
                },
            ],
            "datasourceTypes": ["Microsoft.Compute/disks"],
            "objectType": "BackupPolicy",
        },
        "id": format!("{}/backupPolicies/DiskPolicy4h", vault_id()),
        "name": "DiskPolicy4h",
        "type": "Microsoft.DataProtection/backupVaults/backupPolicies",
    });
    assert_eq!(shown(&body), expected);
}

#[test]
fn what_was_put_is_read_back_equal() {
    let body = weekly();
    let first = shown(&body);
    assert_within(&body, &first, "$");
    assert_eq!(shown(&first), first);
    // A list that was absent stays absent.
    let mut bare = body;
    let rule = &mut bare["properties"]["policyRules"][2]["lifecycles"][0];
    rule.as_object_mut().unwrap().remove("targetDataStoreCopySettings");
    let text = shown(&bare)["properties"]["policyRules"][2].to_string();
    assert!(!text.contains("targetDataStoreCopySettings"), "{text}");
}

#[test]
fn the_order_of_rules_is_kept() {
    let mut body = weekly();
    body["properties"]["policyRules"].as_array_mut().unwrap().reverse();
    let (_, rules) = policy::read(root(&body)).unwrap();
    assert!(matches!(&rules[0], Rule::Retention(rule) if rule.name == "Default"));
    assert!(matches!(&rules[2], Rule::Backup(_)));
}

#[test]
fn discriminators_and_names_match_without_case() {
    let text = weekly().to_string().replace("AzureBackupRule", "azurebackuprule");
    let text = text.replace("policyRules", "POLICYRULES").replace("FirstOfWeek", "firstofweek");
    let body: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(shown(&body), shown(&weekly()));
}

#[test]
fn wrong_policies_name_the_field() {
    let change = |pointer: &str, value: Value| {
        let mut body = weekly();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    let rule = "/properties/policyRules/0";
    let kept = "/properties/policyRules/1/lifecycles/0";
    let cases = [
        (change("/properties/objectType", json!("Policy")), "properties.objectType"),
        (change("/properties/datasourceTypes", Value::Null), "properties.datasourceTypes"),
        (change("/properties/policyRules", json!({})), "properties.policyRules"),
        (change(&format!("{rule}/objectType"), json!("X")), "policyRules[0].objectType"),
        (change(&format!("{rule}/backupParameters"), Value::Null), "[0].backupParameters"),
        (
            change(&format!("{rule}/trigger/objectType"), json!("AdhocBasedTriggerContext")),
            "policyRules[0].trigger.objectType",
        ),
        (
            change(&format!("{rule}/trigger/schedule/repeatingTimeIntervals"), json!([5])),
            "schedule.repeatingTimeIntervals[0]",
        ),
        (
            change(&format!("{rule}/trigger/taggingCriteria/0/taggingPriority"), json!("high")),
            "taggingCriteria[0].taggingPriority",
        ),
        (
            change(
                &format!("{rule}/trigger/taggingCriteria/0/criteria/0/daysOfTheWeek"),
                json!(["Someday"]),
            ),
            "criteria[0].daysOfTheWeek[0]",
        ),
        (change(&format!("{kept}/deleteAfter/duration"), json!("")), "deleteAfter.duration"),
        (
            change(&format!("{kept}/targetDataStoreCopySettings"), json!([{}])),
            "targetDataStoreCopySettings",
        ),
        (
            change(&format!("{kept}/sourceDataStore/dataStoreType"), json!("SnapshotStore")),
            "sourceDataStore.dataStoreType",
        ),
    ];
    for (body, field) in cases {
        let error = policy::read(root(&body)).unwrap_err();
        assert_eq!(error.code, "BMSUserErrorInvalidInput");
        assert!(error.message.contains(field), "{field}: {}", error.message);
    }
}

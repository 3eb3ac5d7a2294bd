//! The body of a backup policy, from what people say: how often, and how long to keep.
//!
//! The names of rules, tags and priorities are those of Azure's own templates: `BackupHourly` or
//! `BackupDaily`; `Default`, and `Daily`, `Weekly`, `Monthly` and `Yearly` for the first backup of
//! such a span. Of two tags the one with the smaller priority wins.

use serde_json::{Value, json};

/// A policy's schedule and retention; spans are ISO 8601.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Time between two backups.
    pub(crate) every: String,
    /// When the first one is.
    pub(crate) start: String,
    pub(crate) time_zone: Option<String>,
    /// How long a backup is kept.
    pub(crate) keep: String,
    /// How long the first backup of each day, week, month and year is kept, where that differs.
    pub(crate) longer: [Option<String>; 4],
}

/// The tags of [`Plan::longer`]: name, which backups, priority.
const LONGER: [(&str, &str, u8); 4] = [
    ("Daily", "FirstOfDay", 25),
    ("Weekly", "FirstOfWeek", 20),
    ("Monthly", "FirstOfMonth", 15),
    ("Yearly", "FirstOfYear", 10),
];

impl Plan {
    /// The name of the backup rule.
    fn rule(&self) -> &'static str {
        if self.every.eq_ignore_ascii_case("P1D") { "BackupDaily" } else { "BackupHourly" }
    }

    /// The policy as it is sent.
    pub(crate) fn body(&self) -> Value {
        let longer = || {
            let tags = self.longer.iter().zip(LONGER);
            tags.filter_map(|(keep, tag)| keep.as_deref().map(|keep| (keep, tag)))
        };
        let mut criteria = vec![json!({
            "isDefault": true, "taggingPriority": 99, "tagInfo": {"tagName": "Default"},
        })];
        criteria.extend(longer().map(|(_, (name, which, priority))| {
            json!({
                "isDefault": false,
                "taggingPriority": priority,
                "tagInfo": {"tagName": name},
                "criteria": [{
                    "objectType": "ScheduleBasedBackupCriteria", "absoluteCriteria": [which],
                }],
            })
        }));
        let mut schedule = json!({
            "repeatingTimeIntervals": [format!("R/{}/{}", self.start, self.every)],
        });
        if let (Some(zone), Some(schedule)) = (&self.time_zone, schedule.as_object_mut()) {
            schedule.insert("timeZone".to_owned(), zone.as_str().into());
        }
        let mut rules = vec![json!({
            "name": self.rule(),
            "objectType": "AzureBackupRule",
            "backupParameters": {"backupType": "Incremental", "objectType": "AzureBackupParams"},
            "dataStore": store(),
            "trigger": {
                "objectType": "ScheduleBasedTriggerContext",
                "schedule": schedule,
                "taggingCriteria": criteria,
            },
        })];
        rules.push(retention("Default", &self.keep, true));
        rules.extend(longer().map(|(keep, (name, ..))| retention(name, keep, false)));
        json!({"properties": {
            "objectType": "BackupPolicy",
            "datasourceTypes": ["Microsoft.Compute/disks"],
            "policyRules": rules,
        }})
    }
}

fn store() -> Value {
    json!({"dataStoreType": "OperationalStore", "objectType": "DataStoreInfoBase"})
}

fn retention(name: &str, keep: &str, is_default: bool) -> Value {
    json!({
        "name": name,
        "objectType": "AzureRetentionRule",
        "isDefault": is_default,
        "lifecycles": [{
            "deleteAfter": {"duration": keep, "objectType": "AbsoluteDeleteOption"},
            "sourceDataStore": store(),
            "targetDataStoreCopySettings": [],
        }],
    })
}

/// The name of a policy's backup rule.
pub(crate) fn rule_of(policy: &Value) -> Option<&str> {
    let rules = policy.pointer("/properties/policyRules")?.as_array()?;
    let rule = rules.iter().find(|rule| {
        super::text(rule, "/objectType").is_some_and(|kind| kind == "AzureBackupRule")
    });
    super::text(rule?, "/name")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            every: "PT4H".to_owned(),
            start: "2026-01-01T13:00:00+00:00".to_owned(),
            time_zone: None,
            keep: "P7D".to_owned(),
            longer: [None, None, None, None],
        }
    }

    #[test]
    fn a_plain_plan_is_azures_default_policy() {
        let body = plan().body();
        let rules = body.pointer("/properties/policyRules").and_then(Value::as_array).unwrap();
        assert_eq!(rules.len(), 2);
        assert_eq!(rule_of(&body), Some("BackupHourly"));
        let schedule = &rules[0]["trigger"]["schedule"];
        let intervals = json!(["R/2026-01-01T13:00:00+00:00/PT4H"]);
        assert_eq!(*schedule, json!({"repeatingTimeIntervals": intervals}));
        assert_eq!(rules[1]["lifecycles"][0]["deleteAfter"]["duration"], "P7D");
        assert_eq!(rules[1]["isDefault"], true);
    }

    #[test]
    fn longer_spans_have_a_tag_and_a_rule_each() {
        let longer = [Some("P30D".to_owned()), Some("P12W".to_owned()), None, None];
        let plan =
            Plan { every: "P1D".to_owned(), time_zone: Some("UTC".to_owned()), longer, ..plan() };
        let body = plan.body();
        assert_eq!(rule_of(&body), Some("BackupDaily"));
        let rules = body.pointer("/properties/policyRules").and_then(Value::as_array).unwrap();
        let names: Vec<_> = rules.iter().map(|rule| rule["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["BackupDaily", "Default", "Daily", "Weekly"]);
        let tags = rules[0]["trigger"]["taggingCriteria"].as_array().unwrap();
        let told: Vec<_> = tags
            .iter()
            .map(|tag| {
                (tag["tagInfo"]["tagName"].as_str().unwrap(), tag["taggingPriority"].as_i64())
            })
            .collect();
        assert_eq!(told, [("Default", Some(99)), ("Daily", Some(25)), ("Weekly", Some(20))]);
        assert_eq!(tags[2]["criteria"][0]["absoluteCriteria"], json!(["FirstOfWeek"]));
        assert_eq!(rules[0]["trigger"]["schedule"]["timeZone"], "UTC");
        assert_eq!(rules[3]["lifecycles"][0]["deleteAfter"]["duration"], "P12W");
    }
}

//! A good policy passes, and each wrong change to it is refused with the path of its field.

mod whole;

use super::*;
use crate::model::{Lifecycle, TagCriteria, TagRule};

const BACKUP: &str = "properties.policyRules[0]";
const SCHEDULE: &str = "properties.policyRules[0].trigger.schedule";
const TAGS: &str = "properties.policyRules[0].trigger.taggingCriteria";

fn types() -> Vec<String> {
    vec!["Microsoft.Compute/disks".into()]
}

fn tag(name: &str, priority: i64, marker: Option<&str>) -> TagRule {
    let criteria = marker.map(|marker| {
        vec![TagCriteria { absolute: Some(vec![marker.into()]), ..TagCriteria::default() }]
    });
    TagRule { tag: name.into(), is_default: marker.is_none(), priority, criteria }
}

fn retention(name: &str, is_default: bool, duration: &str) -> Rule {
    Rule::Retention(RetentionRule {
        name: name.into(),
        is_default,
        lifecycles: vec![Lifecycle {
            delete_after: duration.into(),
            store: DataStore::Operational,
            copies_listed: true,
        }],
    })
}

fn backup(intervals: &[&str]) -> BackupRule {
    BackupRule {
        name: "BackupDaily".into(),
        backup_type: "Incremental".into(),
        store: DataStore::Operational,
        intervals: intervals.iter().map(|text| (*text).to_owned()).collect(),
        time_zone: Some("Coordinated Universal Time".into()),
        tags: vec![tag("Weekly", 20, Some("FirstOfWeek")), tag("Default", 99, None)],
    }
}

fn good() -> Vec<Rule> {
    vec![
        Rule::Backup(backup(&["R/2025-10-16T14:00:00+00:00/P1D"])),
        retention("Weekly", false, "P12W"),
        retention("Default", true, "P7D"),
    ]
}

/// The good policy with a change to its backup rule.
fn with_backup(change: impl Fn(&mut BackupRule)) -> Vec<Rule> {
    let mut rules = good();
    if let Rule::Backup(rule) = &mut rules[0] {
        change(rule);
    }
    rules
}

/// The good policy with a change to its weekly retention rule.
fn with_retention(change: impl Fn(&mut RetentionRule)) -> Vec<Rule> {
    let mut rules = good();
    if let Rule::Retention(rule) = &mut rules[1] {
        change(rule);
    }
    rules
}

/// Criteria that say nothing.
fn none() -> TagCriteria {
    TagCriteria::default()
}

fn words(word: &str) -> Option<Vec<String>> {
    Some(vec![word.into()])
}

fn refused(rules: &[Rule], target: &str, word: &str) {
    refused_as(FaultKind::InvalidInput, rules, target, word);
}

fn refused_as(kind: FaultKind, rules: &[Rule], target: &str, word: &str) {
    let fault = check(&types(), rules).expect_err(target);
    assert_eq!(fault.target.as_deref(), Some(target), "{}", fault.message);
    assert_eq!(fault.kind, kind, "{}", fault.message);
    assert!(fault.message.contains(word), "'{word}' is not in: {}", fault.message);
    let field = target.rsplit('.').next().unwrap().split('[').next().unwrap();
    let wire = if field == "duration" { "deleteAfter" } else { field };
    assert!(fault.message.contains(&format!("'{wire}'")), "{wire}: {}", fault.message);
}

#[test]
fn good_policies_pass() {
    let mut variants = vec![good()];
    for hours in crate::schedule::HOURS {
        let text = format!("R/2020-04-05T13:00:00+00:00/PT{hours}H");
        variants.push(with_backup(|rule| rule.intervals = vec![text.clone()]));
    }
    for zone in [None, Some(""), Some("UTC"), Some("W. Europe Standard Time")] {
        variants.push(with_backup(|rule| rule.time_zone = zone.map(str::to_owned)));
    }
    for marker in ["AllBackup", "FirstOfDay", "FirstOfWeek", "FirstOfMonth", "firstofyear"] {
        variants.push(with_backup(|rule| rule.tags[0] = tag("WEEKLY", 20, Some(marker))));
    }
    variants.push(with_backup(|rule| {
        rule.intervals.push("R/2025-10-16T02:00:00+00:00/P1D".into());
        rule.backup_type = "incremental".into();
        rule.tags[1].criteria = Some(vec![]);
        let criteria = &mut rule.tags[0].criteria.as_mut().unwrap()[0];
        criteria.days_of_week = Some(vec![]);
        criteria.times = Some(vec![]);
    }));
    // A rule that no tag leads to is for backups on demand.
    let mut extra = good();
    extra.push(retention("Keep", false, "P1Y"));
    variants.push(extra);
    for rules in variants {
        check(&types(), &rules).unwrap();
        check(&["microsoft.compute/DISKS".to_owned()], &rules).unwrap();
    }
}

#[test]
fn the_datasource_is_a_disk() {
    let table: [(&[&str], &str); 4] = [
        (&[], "properties.datasourceTypes"),
        (&["Microsoft.Compute/disks", "Microsoft.Compute/disks"], "properties.datasourceTypes"),
        (&["Microsoft.Compute/virtualMachines"], "properties.datasourceTypes[0]"),
        (&[""], "properties.datasourceTypes[0]"),
    ];
    for (types, target) in table {
        let types: Vec<String> = types.iter().map(|text| (*text).to_owned()).collect();
        let fault = check(&types, &good()).unwrap_err();
        assert_eq!(fault.target.as_deref(), Some(target));
        assert!(fault.message.contains("'datasourceTypes'"), "{}", fault.message);
        assert!(fault.message.contains("Microsoft.Compute/disks"), "{}", fault.message);
    }
}

#[test]
fn there_is_one_backup_rule() {
    let path = "properties.policyRules";
    for rules in [vec![], good()[1..].to_vec()] {
        let fault = check(&types(), &rules).unwrap_err();
        assert_eq!(fault.target.as_deref(), Some(path));
        assert!(fault.message.contains("exactly one"), "{}", fault.message);
    }
    let mut two = good();
    two.push(good().remove(0));
    let fault = check(&types(), &two).unwrap_err();
    assert_eq!(fault.target.as_deref(), Some("properties.policyRules[3]"));
    let many: Vec<Rule> = std::iter::repeat_n(good(), 30).flatten().collect();
    assert_eq!(check(&types(), &many).unwrap_err().target.as_deref(), Some(path));
}

#[test]
fn the_backup_rule_is_checked() {
    let name = format!("{BACKUP}.name");
    refused(&with_backup(|rule| rule.name = " ".into()), &name, "1 to 128");
    refused(&with_backup(|rule| rule.name = "a\nb".into()), &name, "1 to 128");
    refused(&with_backup(|rule| rule.name = "a".repeat(129)), &name, "1 to 128");
    let kind = format!("{BACKUP}.backupParameters.backupType");
    refused(&with_backup(|rule| rule.backup_type = "Full".into()), &kind, "Incremental");
    let store = format!("{BACKUP}.dataStore.dataStoreType");
    for other in [DataStore::Vault, DataStore::Archive] {
        let rules = with_backup(|rule| rule.store = other);
        refused_as(FaultKind::Unsupported, &rules, &store, "not supported yet");
    }
}

#[test]
fn the_schedule_is_checked() {
    let list = format!("{SCHEDULE}.repeatingTimeIntervals");
    refused(&with_backup(|rule| rule.intervals = vec![]), &list, "1 to 24");
    let daily = "R/2025-10-16T14:00:00+00:00/P1D";
    refused(&with_backup(|rule| rule.intervals = vec![daily.into(); 25]), &list, "1 to 24");
    let bad = with_backup(|rule| rule.intervals = vec!["R/20251016T1400/PT4H".into()]);
    refused(&bad, &format!("{list}[0]"), "PT1H, PT2H, PT4H, PT6H, PT8H, PT12H or P1D");
    let second = with_backup(|rule| rule.intervals.push("R/2025-10-16T14:00:00Z/PT5H".into()));
    refused(&second, &format!("{list}[1]"), "PT12H");
    let mixed = with_backup(|rule| rule.intervals.push("R/2025-10-16T14:00:00Z/PT4H".into()));
    refused(&mixed, &format!("{list}[1]"), "only when each is daily");
    let zone = with_backup(|rule| rule.time_zone = Some("Middle Earth Time".into()));
    refused(&zone, &format!("{SCHEDULE}.timeZone"), "Windows time zone name");
}

#[test]
fn the_tags_are_checked() {
    let first = format!("{TAGS}[0]");
    refused(&with_backup(|r| r.tags.clear()), TAGS, "exactly one");
    refused(&with_backup(|r| r.tags[0] = tag("Weekly", 20, None)), TAGS, "exactly one");
    let none = with_backup(|r| r.tags.truncate(1));
    refused(&none, TAGS, "exactly one");
    let name = format!("{first}.tagInfo.tagName");
    refused(&with_backup(|r| r.tags[0].tag.clear()), &name, "1 to 128");
    let twice = with_backup(|r| r.tags.insert(1, tag("weekly", 21, Some("FirstOfDay"))));
    refused(&twice, &format!("{TAGS}[1].tagInfo.tagName"), "once");
    refused(&with_backup(|r| r.tags[0].tag = "Daily".into()), &name, "no AzureRetentionRule");
    for priority in [-1, i64::from(i32::MAX) + 1] {
        let rules = with_backup(|r| r.tags[0].priority = priority);
        refused(&rules, &format!("{first}.taggingPriority"), "smaller wins");
    }
    let mut swapped = good();
    swapped[1] = retention("Weekly", true, "P7D");
    swapped[2] = retention("Default", false, "P7D");
    refused(&swapped, &format!("{first}.isDefault"), "both must be the same");
}

#[test]
fn the_criteria_are_checked() {
    let criteria = format!("{TAGS}[0].criteria");
    for empty in [None, Some(vec![])] {
        refused(&with_backup(|r| r.tags[0].criteria = empty.clone()), &criteria, "missing");
    }
    let on_default = with_backup(|r| r.tags[1].criteria = r.tags[0].criteria.clone());
    refused(&on_default, &format!("{TAGS}[1].criteria"), "not allowed");
    let absolute = format!("{criteria}[0].absoluteCriteria");
    let set = |list: Option<Vec<String>>| {
        with_backup(|r| r.tags[0].criteria.as_mut().unwrap()[0].absolute = list.clone())
    };
    refused(&set(None), &absolute, "FirstOfWeek");
    refused(&set(Some(vec![])), &absolute, "FirstOfWeek");
    let bad = set(Some(vec!["FirstOfDay".into(), "LastOfDay".into()]));
    refused(&bad, &format!("{absolute}[1]"), "FirstOfMonth");
    let table = [
        ("daysOfMonth", TagCriteria { days_of_month: Some(vec![(Some(1), None)]), ..none() }),
        ("daysOfTheWeek", TagCriteria { days_of_week: words("Monday"), ..none() }),
        ("monthsOfYear", TagCriteria { months: words("May"), ..none() }),
        ("weeksOfTheMonth", TagCriteria { weeks_of_month: words("First"), ..none() }),
        ("scheduleTimes", TagCriteria { times: words("2026-01-01T00:00:00Z"), ..none() }),
    ];
    for (field, wrong) in table {
        let rules = with_backup(|r| r.tags[0].criteria = Some(vec![wrong.clone()]));
        let path = format!("{criteria}[0].{field}");
        refused_as(FaultKind::Unsupported, &rules, &path, "only absoluteCriteria");
    }
}

#[test]
fn the_retention_rules_are_checked() {
    let path = "properties.policyRules[1]";
    let name = format!("{path}.name");
    refused(&with_retention(|r| r.name.clear()), &name, "1 to 128");
    let twice = with_retention(|r| r.name = "default".into());
    refused(&twice, "properties.policyRules[2].name", "each tag is allowed one");
    refused(&with_retention(|r| r.is_default = true), RULES, "exactly one");
    let mut none = good();
    none[2] = retention("Default", false, "P7D");
    refused(&none, RULES, "exactly one");
    let list = format!("{path}.lifecycles");
    refused(&with_retention(|r| r.lifecycles.clear()), &list, "exactly one");
    let two = with_retention(|r| r.lifecycles = vec![r.lifecycles[0].clone(); 2]);
    refused(&two, &list, "exactly one");
    let vault = with_retention(|r| r.lifecycles[0].store = DataStore::Vault);
    let store = format!("{list}[0].sourceDataStore.dataStoreType");
    refused_as(FaultKind::Unsupported, &vault, &store, "not supported yet");
    for bad in ["", "7", "P0D", "PT12H", "-P1D", "P1000Y"] {
        let rules = with_retention(|r| r.lifecycles[0].delete_after = bad.into());
        refused(&rules, &format!("{list}[0].deleteAfter.duration"), "P7D");
    }
}

#[test]
fn rules_are_found() {
    let policy = Policy { unique_id: uuid::Uuid::nil(), datasource_types: types(), rules: good() };
    assert_eq!(backup_rule(&policy).unwrap().name, "BackupDaily");
    assert_eq!(retention_of(&policy, "WEEKLY").unwrap().name, "Weekly");
    assert_eq!(retention_of(&policy, "Monthly"), None);
}

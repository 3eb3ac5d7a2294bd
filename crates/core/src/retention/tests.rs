//! Expiry and tags, against the calendar and a naive model.

use super::*;
use crate::model::Lifecycle;
use jiff::ToSpan;
use proptest::prelude::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn keeping(duration: &str) -> RetentionRule {
    RetentionRule {
        name: "Default".into(),
        is_default: true,
        lifecycles: vec![Lifecycle {
            delete_after: duration.into(),
            store: DataStore::Operational,
            copies_listed: true,
        }],
    }
}

fn tag(name: &str, priority: i64, markers: &[&str]) -> TagRule {
    let absolute = Some(markers.iter().map(|name| (*name).to_owned()).collect());
    TagRule {
        tag: name.into(),
        is_default: markers.is_empty(),
        priority,
        criteria: (!markers.is_empty())
            .then(|| vec![TagCriteria { absolute, ..TagCriteria::default() }]),
    }
}

fn rule(zone: &str, tags: Vec<TagRule>) -> BackupRule {
    BackupRule {
        name: "BackupDaily".into(),
        backup_type: "Incremental".into(),
        store: DataStore::Operational,
        intervals: vec!["R/2026-01-01T00:00:00Z/PT4H".into()],
        time_zone: Some(zone.into()),
        tags,
    }
}

fn grandfathers(zone: &str) -> BackupRule {
    rule(
        zone,
        vec![
            tag("Default", 1, &[]),
            tag("Daily", 25, &["FirstOfDay"]),
            tag("Weekly", 20, &["firstofweek"]),
            tag("Monthly", 15, &["FirstOfMonth"]),
            tag("Yearly", 10, &["FirstOfYear"]),
        ],
    )
}

#[test]
fn expiry_follows_the_calendar() {
    let table = [
        ("2021-08-30T10:02:11.6354913Z", "P7D", "2021-09-06T10:02:11.6354913Z"),
        ("2026-01-31T23:59:59Z", "P1M", "2026-02-28T23:59:59Z"),
        ("2024-02-29T00:00:00Z", "P1Y", "2025-02-28T00:00:00Z"),
        ("2026-03-28T12:00:00Z", "P12W", "2026-06-20T12:00:00Z"),
        ("2026-03-28T12:00:00Z", "P1Y2M3W4D", "2027-06-22T12:00:00Z"),
    ];
    for (created, duration, expected) in table {
        let end = expires(at(created), &keeping(duration)).unwrap();
        assert_eq!(end, at(expected), "{created} + {duration}");
    }
}

#[test]
fn durations_are_whole_days_and_longer() {
    for good in ["P1D", "P7D", "P12W", "P6M", "P1Y", "P1Y6M", "P1Y2M3W4D", "P100Y", "P36525D"] {
        assert!(parse_duration(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "P",
        "PT",
        "7D",
        "P0D",
        "P0Y0D",
        "-P7D",
        "P-7D",
        "+P7D",
        "P7",
        "P1.5D",
        "P1,5D",
        "PT24H",
        "P1DT1H",
        "p7d",
        "P7d",
        "7 days",
        "P 7D",
        "P7D ",
        "P1M1Y",
        "P1D1D",
        "P101Y",
        "P36526D",
        "P99999999999999999999D",
        "P1H",
        "\u{ff30}7D",
    ] {
        let fault = parse_duration(bad).expect_err(bad);
        assert_eq!(fault.kind, FaultKind::InvalidInput);
        assert!(fault.message.contains("P7D, P12W"), "{}", fault.message);
        assert!(expires(at("2026-01-01T00:00:00Z"), &keeping(bad)).is_err(), "{bad}");
    }
    assert!(expires(Timestamp::MAX, &keeping("P1D")).is_err());
    let mut elsewhere = keeping("P7D");
    elsewhere.lifecycles[0].store = DataStore::Vault;
    assert!(expires(at("2026-01-01T00:00:00Z"), &elsewhere).is_err());
}

#[test]
fn the_first_of_each_period_gets_the_best_tag() {
    let rule = grandfathers("UTC");
    let mut past = vec![];
    let mut tags = vec![];
    // 2026-01-01 is a Thursday.
    for text in [
        "2026-01-01T04:00:00Z",
        "2026-01-01T08:00:00Z",
        "2026-01-02T04:00:00Z",
        "2026-01-04T23:59:00Z",
        "2026-01-05T00:00:00Z",
        "2026-02-01T00:00:00Z",
        "2026-02-02T00:00:00Z",
        "2026-02-02T00:00:01Z",
        "2027-01-01T00:00:00Z",
    ] {
        tags.push(tag_of(&rule, at(text), &past));
        past.push(at(text));
    }
    assert_eq!(
        tags,
        ["Yearly", "Default", "Daily", "Daily", "Weekly", "Monthly", "Weekly", "Default", "Yearly"]
    );
}

#[test]
fn periods_are_those_of_the_zone() {
    // 23:30 UTC on Sunday is Monday in India and the same Sunday in UTC.
    let (sunday, monday) = (at("2026-11-15T03:00:00Z"), at("2026-11-15T23:30:00Z"));
    let week = |zone| rule(zone, vec![tag("D", 99, &[]), tag("W", 20, &["FirstOfWeek"])]);
    assert_eq!(tag_of(&week("UTC"), monday, &[sunday]), "D");
    assert_eq!(tag_of(&week("India Standard Time"), monday, &[sunday]), "W");
}

#[test]
fn ties_go_by_order_and_criteria_by_any() {
    let tie = rule(
        "UTC",
        vec![tag("B", 20, &["FirstOfDay"]), tag("A", 20, &["FirstOfDay"]), tag("Default", 0, &[])],
    );
    let now = at("2026-01-01T04:00:00Z");
    assert_eq!(tag_of(&tie, now, &[]), "B");
    let any = rule("UTC", vec![tag("X", 20, &["FirstOfYear", "FirstOfDay"]), tag("D", 9, &[])]);
    assert_eq!(tag_of(&any, now, &[at("2026-01-01T00:00:00Z")]), "D");
    assert_eq!(tag_of(&any, now, &[at("2025-12-31T23:00:00Z")]), "X");
    let all = rule("UTC", vec![tag("X", 20, &["AllBackup"]), tag("D", 9, &[])]);
    assert_eq!(tag_of(&all, now, &[now, at("2026-01-01T00:00:00Z")]), "X");
    assert_eq!(tag_of(&rule("UTC", vec![]), now, &[]), "Default");
    // A point does not stand in its own way, nor do later ones.
    assert_eq!(tag_of(&tie, now, &[now, at("2026-01-01T05:00:00Z")]), "B");
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    (1_735_689_600_i64..1_861_920_000).prop_map(|second| Timestamp::from_second(second).unwrap())
}

/// The tag by text: periods are prefixes of the local date, weeks are days since a Monday.
fn model(time: Timestamp, past: &[Timestamp], zone: &TimeZone) -> &'static str {
    let day = |t: Timestamp| t.to_zoned(zone.clone()).date().to_string();
    let week = |t: Timestamp| {
        let monday = date(1970, 1, 5);
        let days = monday.until(t.to_zoned(zone.clone()).date()).unwrap().get_days();
        days.div_euclid(7)
    };
    let past: Vec<Timestamp> = past.iter().copied().filter(|t| *t < time).collect();
    let fresh = |len: usize| !past.iter().any(|t| day(*t)[..len] == day(time)[..len]);
    if fresh(4) {
        "Yearly"
    } else if fresh(7) {
        "Monthly"
    } else if !past.iter().any(|t| week(*t) == week(time)) {
        "Weekly"
    } else if fresh(10) {
        "Daily"
    } else {
        "Default"
    }
}

proptest! {
    #[test]
    fn tags_are_those_of_the_model(
        time in any_time(),
        past in proptest::collection::vec(any_time(), 0..12),
        near in proptest::collection::vec(0..2_000_000_i64, 0..4),
        zone in prop_oneof![
            Just("UTC"),
            Just("India Standard Time"),
            Just("Hawaiian Standard Time"),
        ],
    ) {
        let mut past = past;
        past.extend(near.iter().map(|s| time - jiff::SignedDuration::from_secs(*s)));
        let tz = schedule::zone(Some(zone)).unwrap();
        let expected = model(time, &past, &tz);
        prop_assert_eq!(tag_of(&grandfathers(zone), time, &past), expected);
        past.reverse();
        prop_assert_eq!(tag_of(&grandfathers(zone), time, &past), expected);
    }

    #[test]
    fn expiry_is_later_and_grows(
        time in any_time(), years in 0..50_i64, months in 0..12_i64, days in 1..400_i64,
    ) {
        let shorter = expires(time, &keeping(&format!("P{years}Y{months}M{days}D"))).unwrap();
        let longer = expires(time, &keeping(&format!("P{years}Y{months}M{}D", days + 1))).unwrap();
        prop_assert!(time < shorter);
        prop_assert_eq!(longer.duration_since(shorter).as_secs(), 86_400);
        let whole = expires(time, &keeping(&format!("P{days}D"))).unwrap();
        prop_assert_eq!(whole, time + (days * 24).hours());
    }

    #[test]
    fn parsing_never_panics(text in "\\PC{0,20}") {
        let _ = parse_duration(&text);
        let _ = parse_duration(&format!("P{text}"));
    }
}

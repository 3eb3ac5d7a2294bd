//! Runs, against a search minute by minute and by their properties.

use super::*;
use crate::model::DataStore;
use jiff::tz::AmbiguousOffset;
use proptest::prelude::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn rule(intervals: &[&str], time_zone: Option<&str>) -> BackupRule {
    BackupRule {
        name: "BackupDaily".into(),
        backup_type: "Incremental".into(),
        store: DataStore::Operational,
        intervals: intervals.iter().map(|text| (*text).to_owned()).collect(),
        time_zone: time_zone.map(str::to_owned),
        tags: vec![],
    }
}

/// The next `count` runs after an instant, as texts.
fn runs(rule: &BackupRule, after: &str, count: usize) -> Vec<String> {
    let first = next_run(rule, at(after));
    std::iter::successors(first, |run| next_run(rule, *run))
        .take(count)
        .map(|run| run.to_string())
        .collect()
}

#[test]
fn intervals_follow_the_grammar() {
    for good in [
        "R/2020-04-05T13:00:00+00:00/PT4H",
        "R/2020-04-05T13:00:00Z/PT1H",
        "R/2020-04-05T13:00+05:30/PT2H",
        "R/2020-04-05T13:00:00.1234567-11:00/PT12H",
        "R/2020-02-29T23:59:59/P1D",
        "R/2021-09-20T07:30:00.123456789+14:00/PT6H",
        "R/2021-09-20T07:30/PT8H",
    ] {
        assert!(parse_interval(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "R",
        "R/",
        "R//",
        "R//PT4H",
        "R5/2020-04-05T13:00:00Z/PT4H",
        "r/2020-04-05T13:00:00Z/PT4H",
        "R/2020-04-05T13:00:00Z",
        "R/2020-04-05T13:00:00Z/",
        "R/2020-04-05T13:00:00Z/PT3H",
        "R/2020-04-05T13:00:00Z/PT04H",
        "R/2020-04-05T13:00:00Z/PT24H",
        "R/2020-04-05T13:00:00Z/PT30M",
        "R/2020-04-05T13:00:00Z/P1W",
        "R/2020-04-05T13:00:00Z/P2D",
        "R/2020-04-05T13:00:00Z/pt4h",
        "R/2020-04-05T13:00:00Z/PT4H/x",
        "R/20200405T130000Z/PT4H",
        "R/2020-04-05T1300/PT4H",
        "R/T14:30:00Z/PT4H",
        "R/14:30/PT4H",
        "R/2020-04-05/PT4H",
        "R/2020-04-05 13:00:00Z/PT4H",
        "R/2020-04-05t13:00:00Z/PT4H",
        "R/2020-04-05T13:00:00z/PT4H",
        "R/2020-13-05T13:00:00Z/PT4H",
        "R/2021-02-29T13:00:00Z/PT4H",
        "R/2020-04-05T24:00:00Z/PT4H",
        "R/2020-04-05T13:60:00Z/PT4H",
        "R/2020-04-05T13:00:60Z/PT4H",
        "R/2020-04-05T13:00:00.Z/PT4H",
        "R/2020-04-05T13:00:00.1234567890Z/PT4H",
        "R/2020-04-05T13:00.5Z/PT4H",
        "R/2020-04-05T13:00:0Z/PT4H",
        "R/2020-04-05T13:00:00+0000/PT4H",
        "R/2020-04-05T13:00:00+00/PT4H",
        "R/2020-04-05T13:00:00+15:00/PT4H",
        "R/2020-04-05T13:00:00+01:60/PT4H",
        "R/2020-04-05T13:00:00+01:00Z/PT4H",
        "R/9999-12-31T23:59:59Z/PT4H",
        "R/-020-04-05T13:00:00Z/PT4H",
        "R/2020-04-05T13:00:00\u{2212}01:00/PT4H",
        "R/\u{663}020-04-05T13:00:00Z/PT4H",
    ] {
        let fault = parse_interval(bad).expect_err(bad);
        assert_eq!(fault.kind, FaultKind::InvalidInput);
        assert!(fault.message.contains("PT12H or P1D"), "{}", fault.message);
    }
}

#[test]
fn zones_have_windows_names() {
    for utc in [None, Some(""), Some("UTC"), Some("utc"), Some("Coordinated Universal Time")] {
        assert_eq!(zone(utc).unwrap(), TimeZone::UTC, "{utc:?}");
    }
    let berlin = zone(Some("W. Europe Standard Time")).unwrap();
    assert_eq!(berlin.iana_name(), Some("Europe/Berlin"));
    let india = at("2026-01-01T00:00:00Z").to_zoned(zone(Some("India Standard Time")).unwrap());
    assert_eq!(india.time().to_string(), "05:30:00");
    for bad in ["Europe/Berlin", "CET", "W. Europe", "UTC+1", "India Standard Time "] {
        let fault = zone(Some(bad)).unwrap_err();
        assert!(fault.message.contains("Windows time zone name"), "{}", fault.message);
    }
}

#[test]
fn hours_count_from_the_start() {
    let rule = rule(&["R/2020-04-05T13:00:00+00:00/PT4H"], None);
    assert_eq!(
        runs(&rule, "2026-11-22T12:59:59.999999999Z", 3),
        ["2026-11-22T13:00:00Z", "2026-11-22T17:00:00Z", "2026-11-22T21:00:00Z"]
    );
    assert_eq!(runs(&rule, "2026-11-22T13:00:00Z", 1), ["2026-11-22T17:00:00Z"]);
    assert_eq!(previous_run(&rule, at("2026-11-22T13:00:00Z")), Some(at("2026-11-22T13:00:00Z")));
    assert_eq!(previous_run(&rule, at("2026-11-22T12:59:59.9Z")), Some(at("2026-11-22T09:00:00Z")));
}

#[test]
fn nothing_runs_before_the_start() {
    for text in ["R/2030-04-05T13:00:00+02:00/PT4H", "R/2030-04-05T13:00:00+02:00/P1D"] {
        let rule = rule(&[text], Some("India Standard Time"));
        let start = at("2030-04-05T11:00:00Z");
        assert_eq!(next_run(&rule, at("1970-01-01T00:00:00Z")), Some(start));
        assert_eq!(previous_run(&rule, start), Some(start));
        assert_eq!(previous_run(&rule, at("2030-04-05T10:59:59Z")), None);
    }
}

#[test]
fn a_daily_run_keeps_its_local_time() {
    // Berlin skips 02:00-03:00 on 2026-03-29 and repeats it on 2026-10-25.
    let rule = rule(&["R/2026-01-01T02:30:00+01:00/P1D"], Some("W. Europe Standard Time"));
    assert_eq!(
        runs(&rule, "2026-03-28T00:00:00Z", 3),
        ["2026-03-28T01:30:00Z", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"]
    );
    assert_eq!(
        runs(&rule, "2026-10-24T00:00:00Z", 3),
        ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
    );
    // A start inside the repeated hour, the second time: that instant, then the first times.
    let second = self::rule(&["R/2026-10-25T02:30:00+01:00/P1D"], Some("W. Europe Standard Time"));
    assert_eq!(
        runs(&second, "2026-10-25T00:30:00Z", 2),
        ["2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"]
    );
    let noon = at("2026-10-25T12:00:00Z");
    assert_eq!(previous_run(&second, noon), Some(at("2026-10-25T01:30:00Z")));
    // Without an offset the start is local.
    let local = self::rule(&["R/2026-07-01T02:30/P1D"], Some("W. Europe Standard Time"));
    assert_eq!(runs(&local, "2026-01-01T00:00:00Z", 1), ["2026-07-01T00:30:00Z"]);
}

#[test]
fn a_skipped_day_is_no_gap_of_two() {
    // Samoa had no 2011-12-30.
    let rule = rule(&["R/2011-12-01T09:00:00Z/P1D"], Some("Samoa Standard Time"));
    let found = runs(&rule, "2011-12-28T20:00:00Z", 4);
    assert_eq!(
        found,
        [
            "2011-12-29T09:00:00Z",
            "2011-12-30T09:00:00Z",
            "2011-12-31T09:00:00Z",
            "2012-01-01T09:00:00Z"
        ]
    );
}

#[test]
fn several_times_a_day() {
    let rule = rule(&["R/2026-01-01T18:00:00Z/P1D", "R/2026-01-01T06:00:00Z/P1D"], Some("UTC"));
    assert_eq!(
        runs(&rule, "2026-05-01T06:00:00Z", 3),
        ["2026-05-01T18:00:00Z", "2026-05-02T06:00:00Z", "2026-05-02T18:00:00Z"]
    );
    assert_eq!(previous_run(&rule, at("2026-05-01T05:59:59Z")), Some(at("2026-04-30T18:00:00Z")));
}

#[test]
fn a_rule_that_makes_no_sense_has_no_runs() {
    let now = at("2026-05-01T06:00:00Z");
    for rule in [
        rule(&[], None),
        rule(&["nonsense"], None),
        rule(&["R/2026-01-01T18:00:00Z/P1D"], Some("nowhere")),
    ] {
        assert_eq!((next_run(&rule, now), previous_run(&rule, now)), (None, None));
    }
    let any = rule(&["R/2026-01-01T18:00:00Z/P1D"], None);
    assert_eq!(next_run(&any, Timestamp::MAX), None);
}

const ZONES: [&str; 8] = [
    "UTC",
    "W. Europe Standard Time",
    "Eastern Standard Time",
    "India Standard Time",
    "Samoa Standard Time",
    "Lord Howe Standard Time",
    "Nepal Standard Time",
    "Line Islands Standard Time",
];

fn any_rule() -> impl Strategy<Value = BackupRule> {
    let minute = 1_262_304_000_i64 / 60..1_893_456_000 / 60;
    (proptest::collection::vec((minute, 0..7usize), 1..4), 0..ZONES.len()).prop_map(
        |(parts, zone)| {
            let texts: Vec<String> = parts
                .iter()
                .map(|(minute, every)| {
                    let start = Timestamp::from_second(minute * 60).unwrap();
                    let every = HOURS.get(*every).map_or("P1D".into(), |h| format!("PT{h}H"));
                    format!("R/{start}/{every}")
                })
                .collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            rule(&texts, Some(ZONES[zone]))
        },
    )
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    (1_230_768_000_i64..1_924_992_000, 0..1_000_000_000_i32)
        .prop_map(|(second, nano)| Timestamp::new(second, nano).unwrap())
}

proptest! {
    #[test]
    fn next_and_previous_are_neighbours(rule in any_rule(), time in any_time()) {
        let next = next_run(&rule, time).unwrap();
        prop_assert!(next > time);
        prop_assert_eq!(previous_run(&rule, next), Some(next));
        // Nothing lies between: from the instant before the next run, the last one is that of
        // the time itself, and the next one does not move.
        let before = next - SignedDuration::from_nanos(1);
        prop_assert_eq!(next_run(&rule, before), Some(next));
        prop_assert_eq!(previous_run(&rule, before), previous_run(&rule, time));
        if let Some(previous) = previous_run(&rule, time) {
            prop_assert!(previous <= time);
            prop_assert_eq!(next_run(&rule, previous), Some(next));
        }
    }

    #[test]
    fn daily_runs_come_daily(minute in 0..1440_i64, zone in 0..ZONES.len(), time in any_time()) {
        let start = Timestamp::from_second(1_199_145_600 + minute * 60).unwrap();
        let rule = rule(&[&format!("R/{start}/P1D")], Some(ZONES[zone]));
        let tz = self::zone(Some(ZONES[zone])).unwrap();
        let wanted = start.to_zoned(tz.clone()).time();
        let next = next_run(&rule, time).unwrap();
        let following = next_run(&rule, next).unwrap();
        let hours = following.duration_since(next).as_secs_f64() / 3600.0;
        prop_assert!((22.9..=25.1).contains(&hours), "{hours} hours");
        let local = next.to_zoned(tz.clone());
        let skipped = tz.to_ambiguous_timestamp(local.date().to_datetime(wanted));
        let in_gap = matches!(skipped.offset(), AmbiguousOffset::Gap { .. });
        prop_assert!(local.time() == wanted || in_gap);
    }

    #[test]
    fn parsing_never_panics(text in "\\PC{0,40}") {
        let _ = parse_interval(&text);
        let _ = parse_interval(&format!("R/{text}/PT4H"));
        let _ = zone(Some(&text));
    }
}

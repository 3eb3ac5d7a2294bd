//! Whole policies: Azure's limits, and what can be carried out.

use super::*;
use proptest::prelude::*;

#[test]
fn azure_keeps_points_for_a_year_or_450_runs() {
    let table = [
        ("PT1H", 18),
        ("PT2H", 37),
        ("PT4H", 75),
        ("PT6H", 112),
        ("PT8H", 150),
        ("PT12H", 225),
        ("P1D", 365),
    ];
    for (every, most) in table {
        let interval = format!("R/2025-10-16T14:00:00+00:00/{every}");
        let with = |days: i64| {
            vec![
                Rule::Backup(backup(&[&interval])),
                retention("Weekly", false, "P1Y"),
                retention("Default", true, &format!("P{days}D")),
            ]
        };
        azure_caps(&with(most)).unwrap();
        let fault = azure_caps(&with(most + 1)).unwrap_err();
        assert!(fault.message.contains(&format!("P{most}D")), "{}", fault.message);
        assert_eq!(
            fault.target.as_deref(),
            Some("properties.policyRules[2].lifecycles[0].deleteAfter.duration")
        );
        // Without Azure's limits the same policy is fine.
        check(&types(), &with(most + 1)).unwrap();
    }
    let weekly = |text: &str| with_retention(|rule| rule.lifecycles[0].delete_after = text.into());
    for (text, fits) in [("P1Y", true), ("P12M", true), ("P366D", false), ("P13M", false)] {
        assert_eq!(azure_caps(&weekly(text)).is_ok(), fits, "{text}");
    }
    let twice = with_backup(|r| r.intervals.push("R/2025-10-16T02:00:00+00:00/P1D".into()));
    azure_caps(&twice).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// What passes can be carried out: it has runs, and each of its points a tag and an expiry.
    #[test]
    fn what_passes_can_be_carried_out(
        every in prop_oneof![4 => Just("PT1H"), 4 => Just("P1D"), 1 => Just("PT3H")],
        zone in prop_oneof![
            4 => Just(None),
            4 => Just(Some("Tokyo Standard Time")),
            1 => Just(Some("x")),
        ],
        tags in proptest::collection::vec(
            (
                prop_oneof![2 => Just("A"), 1 => Just("a"), 2 => Just("B"), 9 => Just("Default")],
                prop::bool::weighted(0.05),
                0..3_i64,
            ),
            1..4,
        ),
        kept in proptest::collection::vec(
            (
                prop_oneof![Just("A"), Just("B"), Just("Default")],
                prop::bool::weighted(0.05),
                prop_oneof![9 => Just("P7D"), 9 => Just("P1Y"), 1 => Just("P0D")],
            ),
            1..4,
        ),
        seconds in 0..2_000_000_000_i64,
    ) {
        let mut rule = backup(&[&format!("R/2025-10-16T14:00:00+00:00/{every}")]);
        rule.time_zone = zone.map(str::to_owned);
        let default = |name: &str, flip: bool| (name == "Default") != flip;
        rule.tags = tags.iter().map(|(name, flip, priority)| {
            tag(name, *priority, (!default(name, *flip)).then_some("FirstOfDay"))
        }).collect();
        let mut rules = vec![Rule::Backup(rule.clone())];
        rules.extend(kept.iter().map(|(name, flip, text)| {
            retention(name, default(name, *flip), text)
        }));
        if check(&types(), &rules).is_err() {
            return Ok(());
        }
        let policy = Policy { unique_id: uuid::Uuid::nil(), datasource_types: types(), rules };
        let now = jiff::Timestamp::from_second(seconds).unwrap();
        let run = crate::schedule::next_run(backup_rule(&policy).unwrap(), now).unwrap();
        for earlier in [&[][..], &[now][..]] {
            let tag = crate::retention::tag_of(&rule, run, earlier);
            let kept = retention_of(&policy, &tag).unwrap();
            prop_assert!(crate::retention::expires(run, kept).unwrap() > run);
        }
    }
}

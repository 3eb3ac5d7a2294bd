//! How long recovery points are kept, and which tag decides it.
//!
//! A point's expiry is fixed when it is made: its time plus the duration of its tag's rule, by the
//! calendar in UTC. A point gets exactly one tag: the first criteria in the order of priority that
//! hold, or the default tag when none do.

use crate::error::{Fault, FaultKind};
use crate::model::{BackupRule, DataStore, RetentionRule, TagCriteria, TagRule};
use crate::schedule;
use jiff::civil::{Date, date};
use jiff::fmt::temporal::SpanParser;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

#[cfg(test)]
mod tests;

/// Years that a point can be kept at most. Ours: longer durations are rather mistakes, and every
/// one below it can be added to any date that a clock shows.
pub const YEARS_MAX: i64 = 100;

/// The tag of a rule that has no default, which [`crate::policy::check`] refuses.
const NO_DEFAULT: &str = "Default";

/// What makes a point the bearer of a tag. The names are the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// Every point.
    AllBackup,
    /// The first of a day.
    FirstOfDay,
    /// The first of a week; weeks begin on Monday.
    FirstOfWeek,
    /// The first of a month.
    FirstOfMonth,
    /// The first of a year.
    FirstOfYear,
}

impl Marker {
    /// All of them with their names.
    pub const ALL: [(&'static str, Self); 5] = [
        ("AllBackup", Self::AllBackup),
        ("FirstOfDay", Self::FirstOfDay),
        ("FirstOfWeek", Self::FirstOfWeek),
        ("FirstOfMonth", Self::FirstOfMonth),
        ("FirstOfYear", Self::FirstOfYear),
    ];

    /// The marker of a name, in any case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, marker)| *marker)
    }

    /// Whether two days lie in one period of this marker.
    fn together(self, one: Date, other: Date) -> bool {
        match self {
            Self::AllBackup => false,
            Self::FirstOfDay => one == other,
            Self::FirstOfWeek => {
                let (one, other) = (one.iso_week_date(), other.iso_week_date());
                (one.year(), one.week()) == (other.year(), other.week())
            }
            Self::FirstOfMonth => one.first_of_month() == other.first_of_month(),
            Self::FirstOfYear => one.year() == other.year(),
        }
    }
}

/// Reads how long points are kept: an ISO 8601 duration of years, months, weeks and days that is
/// longer than nothing and not longer than [`YEARS_MAX`].
///
/// # Errors
/// [`FaultKind::InvalidInput`] with a message that says what is allowed.
pub fn parse_duration(text: &str) -> Result<Span, Fault> {
    calendar_span(text).filter(|span| in_bounds(*span)).ok_or_else(|| {
        let shown: String = text.chars().take(100).collect();
        Fault::new(
            FaultKind::InvalidInput,
            format!(
                "The duration '{shown}' is not valid: it must be an ISO 8601 duration of days, \
                 weeks, months or years, such as P7D, P12W, P6M or P1Y, longer than nothing and \
                 at most P{YEARS_MAX}Y."
            ),
        )
    })
}

fn calendar_span(text: &str) -> Option<Span> {
    // The parser knows more forms than the wire allows: signs, fractions, hours, small letters.
    let wire = text.bytes().all(|b| b.is_ascii_digit() || b"PYMWD".contains(&b));
    wire.then(|| SpanParser::new().parse_span(text).ok()).flatten()
}

fn in_bounds(span: Span) -> bool {
    let from = date(2000, 1, 1);
    let Ok(last) = from.checked_add(Span::new().years(YEARS_MAX)) else {
        return false;
    };
    from.checked_add(span).is_ok_and(|end| end > from && end <= last)
}

/// When a point that was made at `created` may go.
///
/// # Errors
/// [`FaultKind::InvalidInput`] when the rule is not one that [`crate::policy::check`] passes, or
/// when time ends before.
pub fn expires(created: Timestamp, rule: &RetentionRule) -> Result<Timestamp, Fault> {
    let near = rule.lifecycles.iter().find(|cycle| cycle.store == DataStore::Operational);
    let cycle = near.ok_or_else(|| {
        let message = format!("The retention rule '{}' keeps nothing near the disks.", rule.name);
        Fault::new(FaultKind::InvalidInput, message)
    })?;
    let span = parse_duration(&cycle.delete_after)?;
    let end = created.to_zoned(TimeZone::UTC).checked_add(span).map_err(|_| {
        let message = format!("The duration '{}' ends after all dates.", cycle.delete_after);
        Fault::new(FaultKind::InvalidInput, message)
    })?;
    Ok(end.timestamp())
}

/// The tag of a point of time `time`, given the times of the instance's earlier points. Days,
/// weeks, months and years are those of the rule's zone.
#[must_use]
pub fn tag_of(rule: &BackupRule, time: Timestamp, earlier: &[Timestamp]) -> String {
    // An unknown zone is refused with the policy; UTC would decide for one that came otherwise.
    let zone = schedule::zone(rule.time_zone.as_deref()).unwrap_or(TimeZone::UTC);
    let day = |time: Timestamp| time.to_zoned(zone.clone()).date();
    let today = day(time);
    let past: Vec<Date> = earlier.iter().filter(|t| **t < time).map(|t| day(*t)).collect();
    let mut special: Vec<&TagRule> = rule.tags.iter().filter(|tag| !tag.is_default).collect();
    // Stable: tags of one priority stay in the order that the client wrote.
    special.sort_by_key(|tag| tag.priority);
    let holds = |tag: &&&TagRule| {
        tag.criteria.iter().flatten().any(|criteria| is_met(criteria, today, &past))
    };
    let default = || rule.tags.iter().find(|tag| tag.is_default);
    let chosen = special.iter().find(holds).copied().or_else(default);
    chosen.map_or(NO_DEFAULT, |tag| tag.tag.as_str()).to_owned()
}

fn is_met(criteria: &TagCriteria, today: Date, past: &[Date]) -> bool {
    let first = |marker: Marker| !past.iter().any(|day| marker.together(*day, today));
    let mut markers = criteria.absolute.iter().flatten().filter_map(|name| Marker::parse(name));
    markers.any(first)
}

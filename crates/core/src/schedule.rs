//! When a policy's backups are due.
//!
//! Runs are a pure function of the rule: they begin at the start that the interval names and never
//! before it. Intervals of hours count elapsed time, so runs stay evenly apart when clocks change.
//! `P1D` keeps the local time of its start in the rule's zone: a time that clocks skip is moved
//! behind the gap, a time that comes twice is taken once, the first time. Nothing runs schedules
//! yet; see `docs/coverage.md`.

use crate::error::{Fault, FaultKind};
use crate::model::BackupRule;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Span, Timestamp};

#[cfg(test)]
mod tests;

/// Hours between runs that are allowed.
pub const HOURS: [i64; 6] = [1, 2, 4, 6, 8, 12];

/// What an interval must look like, for people.
const GRAMMAR: &str = "R/<date>T<time><Z or offset>/<duration>, such as \
    R/2020-04-05T13:00:00+00:00/PT4H, where the duration is \
    PT1H, PT2H, PT4H, PT6H, PT8H, PT12H or P1D";

/// Days around an instant in which its neighbour runs are looked for: a zone that crosses the
/// date line skips a whole day.
const NEAR_DAYS: i64 = 2;

/// A repeating interval: a start and a distance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interval {
    start: DateTime,
    offset: Option<Offset>,
    every: Every,
}

/// The distance between two runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    /// Hours of elapsed time, one of [`HOURS`].
    Hours(i64),
    /// The same local time each day.
    Day,
}

/// Reads an interval: `R/<start>/<duration>`.
///
/// # Errors
/// [`FaultKind::InvalidInput`] with a message that says what is allowed.
pub fn parse_interval(text: &str) -> Result<Interval, Fault> {
    interval(text).ok_or_else(|| {
        let shown: String = text.chars().take(100).collect();
        Fault::new(
            FaultKind::InvalidInput,
            format!("The repeating time interval '{shown}' is not valid: it must be {GRAMMAR}."),
        )
    })
}

fn interval(text: &str) -> Option<Interval> {
    let (start, duration) = text.strip_prefix("R/")?.split_once('/')?;
    let every = match duration {
        "P1D" => Every::Day,
        hours => {
            let count = hours.strip_prefix("PT")?.strip_suffix('H')?;
            Every::Hours(HOURS.into_iter().find(|hours| hours.to_string() == count)?)
        }
    };
    let (start, offset) = instant(start)?;
    let interval = Interval { start, offset, every };
    // A start outside the range of time has no runs.
    interval.anchor(&TimeZone::UTC)?;
    Some(interval)
}

/// A date and time in the extended form, with its offset when it has one.
fn instant(text: &str) -> Option<(DateTime, Option<Offset>)> {
    if let Some(local) = text.strip_suffix('Z') {
        return Some((date_time(local)?, Some(Offset::UTC)));
    }
    // Only behind the time can a sign begin an offset.
    let (_, time) = text.split_once('T')?;
    let Some(sign) = time.find(['+', '-']) else {
        return Some((date_time(text)?, None));
    };
    let (local, tail) = text.split_at_checked(text.len() - (time.len() - sign))?;
    let digits = tail.get(1..).filter(|rest| shaped(rest, "dd:dd"))?;
    let (hours, minutes): (i32, i32) =
        (digits.get(..2)?.parse().ok()?, digits.get(3..)?.parse().ok()?);
    if hours > 14 || minutes > 59 {
        return None;
    }
    let seconds = (hours * 60 + minutes) * 60;
    let seconds = if tail.starts_with('-') { -seconds } else { seconds };
    Some((date_time(local)?, Some(Offset::from_seconds(seconds).ok()?)))
}

/// `YYYY-MM-DDThh:mm`, with seconds and a fraction of them if present.
fn date_time(text: &str) -> Option<DateTime> {
    let (minute, rest) = text.split_at_checked(16)?;
    if !shaped(minute, "dddd-dd-ddTdd:dd") {
        return None;
    }
    let (second, fraction) = rest.split_once('.').unwrap_or((rest, "0"));
    let second_shaped = shaped(second, ":dd") || rest.is_empty();
    let fraction_shaped =
        (1..=9).contains(&fraction.len()) && fraction.bytes().all(|b| b.is_ascii_digit());
    if !second_shaped || !fraction_shaped {
        return None;
    }
    let nanosecond: i32 = format!("{fraction:0<9}").parse().ok()?;
    let at = |range: std::ops::Range<usize>| minute.get(range)?.parse::<i8>().ok();
    let second: i8 = second.get(1..).map_or(Some(0), |digits| digits.parse().ok())?;
    let year: i16 = minute.get(..4)?.parse().ok()?;
    DateTime::new(year, at(5..7)?, at(8..10)?, at(11..13)?, at(14..16)?, second, nanosecond).ok()
}

/// Whether a text has a shape: `d` is a digit, anything else is itself.
fn shaped(text: &str, shape: &str) -> bool {
    text.len() == shape.len()
        && text.bytes().zip(shape.bytes()).all(|(byte, wanted)| match wanted {
            b'd' => byte.is_ascii_digit(),
            _ => byte == wanted,
        })
}

/// The zone of a Windows time-zone name; no name is UTC.
///
/// # Errors
/// [`FaultKind::InvalidInput`] for a name that is none.
pub fn zone(name: Option<&str>) -> Result<TimeZone, Fault> {
    let name = name.unwrap_or_default();
    let aliases = ["", "UTC", "Coordinated Universal Time"];
    if aliases.iter().any(|alias| name.eq_ignore_ascii_case(alias)) {
        return Ok(TimeZone::UTC);
    }
    let known = name.parse::<windows_timezones::WindowsTimezone>().ok().and_then(|zone| {
        let id = zone.tzdb_id();
        // The machine's own table may be newer; the one we carry is always there.
        TimeZone::get(id).or_else(|_| TimeZoneDatabase::bundled().get(id)).ok()
    });
    known.ok_or_else(|| {
        let shown: String = name.chars().take(100).collect();
        Fault::new(
            FaultKind::InvalidInput,
            format!(
                "The time zone '{shown}' is not known: it must be a Windows time zone name, such \
                 as 'UTC', 'W. Europe Standard Time' or 'India Standard Time'."
            ),
        )
    })
}

impl Interval {
    /// The distance between two runs.
    #[must_use]
    pub fn every(&self) -> Every {
        self.every
    }

    /// The first run. A start without an offset is meant in the rule's zone.
    #[must_use]
    pub fn anchor(&self, zone: &TimeZone) -> Option<Timestamp> {
        match self.offset {
            Some(offset) => offset.to_timestamp(self.start).ok(),
            None => zone.to_ambiguous_timestamp(self.start).compatible().ok(),
        }
    }

    fn next(&self, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
        let anchor = self.anchor(zone)?;
        if after < anchor {
            return Some(anchor);
        }
        match self.every {
            Every::Hours(hours) => stride(anchor, hours, after, 1),
            Every::Day => days(anchor, zone, after).filter(|run| *run > after).min(),
        }
    }

    fn previous(&self, zone: &TimeZone, at: Timestamp) -> Option<Timestamp> {
        let anchor = self.anchor(zone).filter(|anchor| *anchor <= at)?;
        match self.every {
            Every::Hours(hours) => stride(anchor, hours, at, 0),
            Every::Day => days(anchor, zone, at).filter(|run| *run <= at).max(),
        }
    }
}

/// The run `more` strides behind the last one at or before `at`, which is not before the anchor.
fn stride(anchor: Timestamp, hours: i64, at: Timestamp, more: i64) -> Option<Timestamp> {
    let seconds = hours.checked_mul(3600)?;
    let passed = at.duration_since(anchor).as_secs().checked_div(seconds)?;
    let strides = passed.checked_add(more)?;
    anchor.checked_add(SignedDuration::from_secs(strides.checked_mul(seconds)?)).ok()
}

/// Runs of a daily interval around an instant, in order.
fn days(anchor: Timestamp, zone: &TimeZone, at: Timestamp) -> impl Iterator<Item = Timestamp> {
    let first = anchor.to_zoned(zone.clone());
    let (start, time) = (first.date(), first.time());
    let today = at.to_zoned(zone.clone()).date();
    let zone = zone.clone();
    (-NEAR_DAYS..=NEAR_DAYS)
        .filter_map(move |day| today.checked_add(Span::new().days(day)).ok())
        .filter_map(move |date| match date.cmp(&start) {
            std::cmp::Ordering::Less => None,
            std::cmp::Ordering::Equal => Some(anchor),
            std::cmp::Ordering::Greater => {
                zone.to_ambiguous_timestamp(date.to_datetime(time)).compatible().ok()
            }
        })
}

/// The first run after an instant; None when the rule is not one that [`crate::policy::check`]
/// passes, or time ends.
#[must_use]
pub fn next_run(rule: &BackupRule, after: Timestamp) -> Option<Timestamp> {
    let zone = zone(rule.time_zone.as_deref()).ok()?;
    rule.intervals.iter().filter_map(|text| interval(text)?.next(&zone, after)).min()
}

/// The last run at or before an instant; None when there was none yet.
#[must_use]
pub fn previous_run(rule: &BackupRule, at: Timestamp) -> Option<Timestamp> {
    let zone = zone(rule.time_zone.as_deref()).ok()?;
    rule.intervals.iter().filter_map(|text| interval(text)?.previous(&zone, at)).max()
}

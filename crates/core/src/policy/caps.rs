//! Azure's limits on retention, for those who want to stay inside them.

use super::RULES;
use crate::error::{Fault, FaultKind};
use crate::model::Rule;
use crate::retention::parse_duration;
use crate::schedule::{Every, parse_interval};
use jiff::civil::date;

/// Snapshots of a disk that a policy's runs may use.
const SNAPSHOTS: u64 = 450;

/// Days that a point may be kept.
const DAYS: u64 = 365;

/// Whether a policy that passed [`super::check`] stays inside Azure's limits: no point is kept for
/// more than a year, and the points of the default tag, one for each run, are never more than 450:
/// <https://learn.microsoft.com/azure/backup/disk-backup-support-matrix>.
///
/// # Errors
/// [`FaultKind::InvalidInput`] at the duration that is too long.
pub fn azure_caps(rules: &[Rule]) -> Result<(), Fault> {
    let by_runs = SNAPSHOTS.checked_div(runs_a_day(rules).max(1)).unwrap_or(DAYS);
    for (at, rule) in rules.iter().enumerate() {
        let Rule::Retention(rule) = rule else {
            continue;
        };
        let most = if rule.is_default { by_runs.min(DAYS) } else { DAYS };
        for (cycle_at, cycle) in rule.lifecycles.iter().enumerate() {
            if days(&cycle.delete_after).is_some_and(|days| days <= most) {
                continue;
            }
            let message = format!(
                "'deleteAfter' of the retention rule '{}' is '{}'; with this schedule at most \
                 P{most}D is allowed, as Azure keeps a point for at most a year and at most \
                 {SNAPSHOTS} points of a schedule.",
                super::shown(&rule.name),
                super::shown(&cycle.delete_after)
            );
            let path = format!("{RULES}[{at}].lifecycles[{cycle_at}].deleteAfter.duration");
            return Err(Fault::new(FaultKind::InvalidInput, message).at(path));
        }
    }
    Ok(())
}

fn runs_a_day(rules: &[Rule]) -> u64 {
    let intervals = rules.iter().flat_map(|rule| match rule {
        Rule::Backup(rule) => rule.intervals.as_slice(),
        Rule::Retention(_) => &[],
    });
    let runs = intervals.filter_map(|text| match parse_interval(text).ok()?.every() {
        Every::Day => Some(1),
        Every::Hours(hours) => 24_u64.checked_div(hours.unsigned_abs()),
    });
    runs.sum()
}

/// The length of a duration in days, in a year that is no leap year.
fn days(duration: &str) -> Option<u64> {
    let from = date(2025, 1, 1);
    let to = from.checked_add(parse_duration(duration).ok()?).ok()?;
    u64::try_from(from.until(to).ok()?.get_days()).ok()
}

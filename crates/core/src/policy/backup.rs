//! The backup rule: what is backed up when, and which tags its points can get.

use super::{Placed, check_name, check_store, shown};
use crate::error::{Fault, FaultKind};
use crate::model::{BackupRule, TagCriteria, TagRule};
use crate::retention::Marker;
use crate::schedule::{self, Every};

/// Runs a day that a list of daily intervals can ask for. Ours.
const INTERVALS_MAX: usize = 24;

pub(super) fn check(backup: &Placed<'_, BackupRule>) -> Result<(), Fault> {
    let Placed { path, rule } = backup;
    check_name(format!("{path}.name"), "name", &rule.name)?;
    if !rule.backup_type.eq_ignore_ascii_case("Incremental") {
        let message = format!(
            "'backupType' is '{}'; only Incremental is allowed for disks.",
            shown(&rule.backup_type)
        );
        return Err(Fault::invalid(format!("{path}.backupParameters.backupType"), message));
    }
    check_store(format!("{path}.dataStore.dataStoreType"), "dataStoreType", rule.store)?;
    check_schedule(&format!("{path}.trigger.schedule"), rule)?;
    check_tags(&format!("{path}.trigger.taggingCriteria"), &rule.tags)
}

fn check_schedule(path: &str, rule: &BackupRule) -> Result<(), Fault> {
    let list = format!("{path}.repeatingTimeIntervals");
    let count = rule.intervals.len();
    if count == 0 || count > INTERVALS_MAX {
        let message = format!(
            "'repeatingTimeIntervals' has {count} entries; 1 to {INTERVALS_MAX} are allowed."
        );
        return Err(Fault::invalid(list, message));
    }
    for (at, text) in rule.intervals.iter().enumerate() {
        let place = format!("{list}[{at}]");
        let interval = schedule::parse_interval(text)
            .map_err(|fault| field("repeatingTimeIntervals", fault).at(&place))?;
        if count > 1 && interval.every() != Every::Day {
            let message = format!(
                "'repeatingTimeIntervals' has {count} entries and one is '{}'; several are \
                 allowed only when each is daily (P1D).",
                shown(text)
            );
            return Err(Fault::invalid(place, message));
        }
    }
    let zone = schedule::zone(rule.time_zone.as_deref());
    zone.map(|_| ()).map_err(|fault| field("timeZone", fault).at(format!("{path}.timeZone")))
}

/// Puts the field's name before a message that does not know it.
fn field(name: &str, fault: Fault) -> Fault {
    Fault { message: format!("'{name}' is wrong. {}", fault.message), ..fault }
}

fn check_tags(path: &str, tags: &[TagRule]) -> Result<(), Fault> {
    if tags.len() > super::RULES_MAX {
        let message = format!("'taggingCriteria' has more than {} entries.", super::RULES_MAX);
        return Err(Fault::invalid(path, message));
    }
    for (at, tag) in tags.iter().enumerate() {
        let place = format!("{path}[{at}]");
        let name = format!("{place}.tagInfo.tagName");
        check_name(name.clone(), "tagName", &tag.tag)?;
        if tags.iter().take(at).any(|other| other.tag.eq_ignore_ascii_case(&tag.tag)) {
            let message =
                format!("'tagName' is '{}' twice; each tag is allowed once.", shown(&tag.tag));
            return Err(Fault::invalid(name, message));
        }
        if i32::try_from(tag.priority).map_or(true, i32::is_negative) {
            let message = format!(
                "'taggingPriority' is {}; it must be a number from 0 to {}, smaller wins.",
                tag.priority,
                i32::MAX
            );
            return Err(Fault::invalid(format!("{place}.taggingPriority"), message));
        }
        check_criteria(&format!("{place}.criteria"), tag)?;
    }
    let defaults = tags.iter().filter(|tag| tag.is_default).count();
    if defaults != 1 {
        let message = format!(
            "'taggingCriteria' has {defaults} entries with isDefault true; exactly one is allowed."
        );
        return Err(Fault::invalid(path, message));
    }
    Ok(())
}

fn check_criteria(path: &str, tag: &TagRule) -> Result<(), Fault> {
    let list = tag.criteria.as_deref().unwrap_or_default();
    if tag.is_default && !list.is_empty() {
        let message = format!(
            "'criteria' is not allowed for the default tag '{}': it is the tag of all points that \
             no other tag claims.",
            shown(&tag.tag)
        );
        return Err(Fault::invalid(path, message));
    }
    if !tag.is_default && list.is_empty() {
        let message = format!(
            "'criteria' is missing for the tag '{}', which is not the default one; it must hold \
             absoluteCriteria.",
            shown(&tag.tag)
        );
        return Err(Fault::invalid(path, message));
    }
    if list.len() > super::RULES_MAX {
        let message = format!("'criteria' has more than {} entries.", super::RULES_MAX);
        return Err(Fault::invalid(path, message));
    }
    list.iter()
        .enumerate()
        .try_for_each(|(at, criteria)| check_one(&format!("{path}[{at}]"), criteria))
}

fn check_one(path: &str, criteria: &TagCriteria) -> Result<(), Fault> {
    let given = |list: Option<usize>| list.is_some_and(|count| count > 0);
    for (name, count) in [
        ("daysOfMonth", criteria.days_of_month.as_ref().map(Vec::len)),
        ("daysOfTheWeek", criteria.days_of_week.as_ref().map(Vec::len)),
        ("monthsOfYear", criteria.months.as_ref().map(Vec::len)),
        ("weeksOfTheMonth", criteria.weeks_of_month.as_ref().map(Vec::len)),
        ("scheduleTimes", criteria.times.as_ref().map(Vec::len)),
    ] {
        if given(count) {
            let message = format!(
                "'{name}' is not supported for disks; only absoluteCriteria is allowed, with {}.",
                marker_names()
            );
            return Err(Fault::new(FaultKind::Unsupported, message).at(format!("{path}.{name}")));
        }
    }
    let path = format!("{path}.absoluteCriteria");
    let markers = criteria.absolute.as_deref().unwrap_or_default();
    if markers.is_empty() {
        let message = format!("'absoluteCriteria' is empty; it must hold {}.", marker_names());
        return Err(Fault::invalid(path, message));
    }
    match markers.iter().enumerate().find(|(_, name)| Marker::parse(name).is_none()) {
        None => Ok(()),
        Some((at, name)) => Err(Fault::invalid(
            format!("{path}[{at}]"),
            format!("'absoluteCriteria' is '{}'; it must be {}.", shown(name), marker_names()),
        )),
    }
}

fn marker_names() -> String {
    let names: Vec<&str> = Marker::ALL.iter().map(|(name, _)| *name).collect();
    format!("one of {}", names.join(", "))
}

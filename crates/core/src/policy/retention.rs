//! The retention rules: one for each tag, one of them the default.

use super::{Placed, RULES, check_name, check_store, shown};
use crate::error::Fault;
use crate::model::{BackupRule, RetentionRule};
use crate::retention::parse_duration;

pub(super) fn check(rules: &[Placed<'_, RetentionRule>]) -> Result<(), Fault> {
    for (at, Placed { path, rule }) in rules.iter().enumerate() {
        let name = format!("{path}.name");
        check_name(name.clone(), "name", &rule.name)?;
        if rules.iter().take(at).any(|other| other.rule.name.eq_ignore_ascii_case(&rule.name)) {
            let message = format!(
                "'name' is '{}' in two rules of type AzureRetentionRule; each tag is allowed one.",
                shown(&rule.name)
            );
            return Err(Fault::invalid(name, message));
        }
        check_lifecycles(&format!("{path}.lifecycles"), rule)?;
    }
    let defaults = rules.iter().filter(|placed| placed.rule.is_default).count();
    if defaults != 1 {
        let message = format!(
            "'policyRules' has {defaults} rules of type AzureRetentionRule with isDefault true; \
             exactly one is allowed."
        );
        return Err(Fault::invalid(RULES, message));
    }
    Ok(())
}

fn check_lifecycles(path: &str, rule: &RetentionRule) -> Result<(), Fault> {
    for (at, cycle) in rule.lifecycles.iter().enumerate() {
        let place = format!("{path}[{at}]");
        let store = format!("{place}.sourceDataStore.dataStoreType");
        check_store(store, "dataStoreType", cycle.store)?;
        parse_duration(&cycle.delete_after).map_err(|fault| {
            let message = format!("'deleteAfter' is wrong. {}", fault.message);
            Fault { message, ..fault }.at(format!("{place}.deleteAfter.duration"))
        })?;
    }
    match rule.lifecycles.len() {
        1 => Ok(()),
        count => {
            let message =
                format!("'lifecycles' has {count} entries; exactly one is allowed for disks.");
            Err(Fault::invalid(path, message))
        }
    }
}

/// Each tag has its retention rule, and the default tag has the default rule.
pub(super) fn check_tags(
    backup: &Placed<'_, BackupRule>,
    rules: &[Placed<'_, RetentionRule>],
) -> Result<(), Fault> {
    for (at, tag) in backup.rule.tags.iter().enumerate() {
        let path = format!("{}.trigger.taggingCriteria[{at}]", backup.path);
        let found = rules.iter().find(|placed| placed.rule.name.eq_ignore_ascii_case(&tag.tag));
        let Some(found) = found else {
            let message = format!(
                "'tagName' is '{}', but no AzureRetentionRule has this name; each tag must have \
                 one.",
                shown(&tag.tag)
            );
            return Err(Fault::invalid(format!("{path}.tagInfo.tagName"), message));
        };
        if found.rule.is_default != tag.is_default {
            let message = format!(
                "'isDefault' of the tag '{}' is {}, that of its AzureRetentionRule is {}; both \
                 must be the same.",
                shown(&tag.tag),
                tag.is_default,
                found.rule.is_default
            );
            return Err(Fault::invalid(format!("{path}.isDefault"), message));
        }
    }
    Ok(())
}

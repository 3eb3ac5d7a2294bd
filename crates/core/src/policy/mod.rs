//! What a backup policy may say.
//!
//! A policy that passes [`check`] can be carried out to the letter: every run can be computed,
//! every tag leads to exactly one retention rule, every duration can be added to any date. What
//! cannot be carried out yet, such as copies in a vault store, is refused instead of ignored.
//! Faults name the field by its path in the request.

mod backup;
mod caps;
mod retention;
#[cfg(test)]
mod tests;

pub use caps::azure_caps;

use crate::error::{Fault, FaultKind};
use crate::model::{BackupRule, DataStore, Policy, RetentionRule, Rule};

/// The one datasource type that policies can be for.
pub const DATASOURCE_TYPE: &str = "Microsoft.Compute/disks";

/// Rules of a policy at most. Ours.
pub const RULES_MAX: usize = 64;

/// Characters of a rule's or tag's name at most. Ours.
pub const NAME_MAX: usize = 128;

/// Where the rules are in the request.
const RULES: &str = "properties.policyRules";

/// A rule with its path in the request.
struct Placed<'a, T> {
    path: String,
    rule: &'a T,
}

/// Checks a policy.
///
/// # Errors
/// The first thing that is wrong: [`FaultKind::InvalidInput`], or [`FaultKind::Unsupported`] for
/// what Azure knows and this service does not do yet. The fault's target is the field's path.
pub fn check(datasource_types: &[String], rules: &[Rule]) -> Result<(), Fault> {
    check_datasource_types(datasource_types)?;
    if rules.len() > RULES_MAX {
        let message = format!("'policyRules' has more than {RULES_MAX} rules.");
        return Err(Fault::invalid(RULES, message));
    }
    let (mut backups, mut retentions) = (vec![], vec![]);
    for (at, rule) in rules.iter().enumerate() {
        let path = format!("{RULES}[{at}]");
        match rule {
            Rule::Backup(rule) => backups.push(Placed { path, rule }),
            Rule::Retention(rule) => retentions.push(Placed { path, rule }),
        }
    }
    let [backup] = backups.as_slice() else {
        let path = backups.get(1).map_or(RULES, |second| second.path.as_str());
        let message = format!(
            "'policyRules' has {} rules of type AzureBackupRule; exactly one is allowed.",
            backups.len()
        );
        return Err(Fault::invalid(path, message));
    };
    backup::check(backup)?;
    retention::check(&retentions)?;
    retention::check_tags(backup, &retentions)
}

/// The backup rule of a policy; one that passed [`check`] has it.
#[must_use]
pub fn backup_rule(policy: &Policy) -> Option<&BackupRule> {
    policy.rules.iter().find_map(|rule| match rule {
        Rule::Backup(rule) => Some(rule),
        Rule::Retention(_) => None,
    })
}

/// The retention rule of a tag; names are compared without regard to case.
#[must_use]
pub fn retention_of<'a>(policy: &'a Policy, tag: &str) -> Option<&'a RetentionRule> {
    policy.rules.iter().find_map(|rule| match rule {
        Rule::Retention(rule) if rule.name.eq_ignore_ascii_case(tag) => Some(rule),
        _ => None,
    })
}

fn check_datasource_types(types: &[String]) -> Result<(), Fault> {
    let path = "properties.datasourceTypes";
    match types {
        [only] if only.eq_ignore_ascii_case(DATASOURCE_TYPE) => Ok(()),
        [other] => Err(Fault::new(
            FaultKind::InvalidInput,
            format!(
                "'datasourceTypes' names '{}'; only {DATASOURCE_TYPE} is allowed.",
                shown(other)
            ),
        )
        .at(format!("{path}[0]"))),
        _ => Err(Fault::invalid(
            path,
            format!(
                "'datasourceTypes' has {} entries; exactly one, {DATASOURCE_TYPE}, is allowed.",
                types.len()
            ),
        )),
    }
}

fn check_name(path: String, field: &str, name: &str) -> Result<(), Fault> {
    let long = name.chars().count() > NAME_MAX;
    if long || name.trim().is_empty() || name.chars().any(char::is_control) {
        let message = format!(
            "'{field}' is '{}'; it must have 1 to {NAME_MAX} characters that can be printed.",
            shown(name)
        );
        return Err(Fault::invalid(path, message));
    }
    Ok(())
}

fn check_store(path: String, field: &str, store: DataStore) -> Result<(), Fault> {
    let name = match store {
        DataStore::Operational => return Ok(()),
        DataStore::Vault => "VaultStore",
        DataStore::Archive => "ArchiveStore",
    };
    let message = format!(
        "'{field}' is {name}; only OperationalStore is allowed, copies in a vault store are not \
         supported yet."
    );
    Err(Fault::new(FaultKind::Unsupported, message).at(path).advise("Use OperationalStore."))
}

/// A client's text in a message, without what would spoil a log line.
fn shown(text: &str) -> String {
    text.chars().take(100).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

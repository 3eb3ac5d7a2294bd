//! What names of resources may look like.

use crate::wire::body::Dialect;
use crate::wire::error::ArmError;

/// A kind of resource whose names have a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// Backup vaults.
    Vault,
    /// Backup policies.
    Policy,
    /// Backup instances; Azure publishes no rule.
    Instance,
    /// Resource guards.
    Guard,
    /// What puts a vault under a guard.
    Proxy,
    /// Disks and snapshots.
    Disk,
    /// User-assigned identities.
    Identity,
}

/// Refuses a name that breaks its kind's rule.
///
/// # Errors
/// Tells the rule.
pub(crate) fn check(kind: Named, name: &str) -> Result<(), ArmError> {
    let dialect = match kind {
        Named::Disk => Dialect::Compute,
        Named::Identity => Dialect::Arm,
        _ => Dialect::DataProtection,
    };
    match problem(kind, name) {
        Some(rule) => Err(ArmError::invalid(dialect, "name", format!("name: '{name}' {rule}"))),
        None => Ok(()),
    }
}

/// The rule that a name breaks.
pub(crate) fn problem(kind: Named, name: &str) -> Option<&'static str> {
    let plain = |also: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c));
    let first = name.chars().next().unwrap_or(' ');
    let last = name.chars().next_back().unwrap_or(' ');
    let length = name.chars().count();
    let (good, rule) = match kind {
        Named::Vault => (
            (2..=50).contains(&length)
                && first.is_ascii_alphabetic()
                && last.is_ascii_alphanumeric()
                && plain("-"),
            "must have 2 to 50 letters, digits and hyphens, begin with a letter and end with a \
             letter or digit.",
        ),
        Named::Policy => (
            (3..=150).contains(&length) && plain("-"),
            "must have 3 to 150 letters, digits and hyphens.",
        ),
        Named::Instance => (
            (1..=260).contains(&length) && !name.chars().any(|c| c.is_control() || c == '/'),
            "must have 1 to 260 characters.",
        ),
        Named::Guard => (
            (1..=260).contains(&length) && first.is_ascii_alphanumeric() && plain("-_."),
            "must have 1 to 260 letters, digits, '_', '.' and '-', and begin with a letter or \
             digit.",
        ),
        Named::Proxy => {
            ((1..=150).contains(&length) && plain(""), "must have 1 to 150 letters and digits.")
        }
        Named::Disk => (
            (1..=80).contains(&length)
                && first.is_ascii_alphanumeric()
                && (last.is_ascii_alphanumeric() || last == '_')
                && plain("-_."),
            "must have 1 to 80 letters, digits, '_', '.' and '-', begin with a letter or digit \
             and end with a letter, digit or '_'.",
        ),
        Named::Identity => (
            (3..=128).contains(&length) && first.is_ascii_alphanumeric() && plain("-_"),
            "must have 3 to 128 letters, digits, '-' and '_', and begin with a letter or digit.",
        ),
    };
    (!good).then_some(rule)
}

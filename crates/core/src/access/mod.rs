//! Who may do what, decided at once and everywhere.
//!
//! Decisions are functions of what they are given: assignments, roles, an action and a scope.
//! Nothing is kept between two of them, so a role that was given or taken counts from the next
//! request on. Access is only ever added up: a role's exceptions limit that role alone, and what
//! no role allows is refused.

mod bound;
mod built_in;
mod need;
#[cfg(test)]
mod tests;

pub use bound::{check_role, check_text};
pub use built_in::{
    CONTRIBUTOR, DISK_BACKUP_READER, DISK_RESTORE_OPERATOR, DISK_SNAPSHOT_CONTRIBUTOR, OWNER,
    READER, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR, USER_ACCESS_ADMINISTRATOR, built_in,
};
pub use need::{Need, backup_needs, missing, restore_needs};

use crate::model::{ResourceId, RoleAssignment, RoleDefinition};
use std::borrow::Borrow;
use uuid::Uuid;

/// Whether an action is one that the pattern names: `*` stands for any run of characters, slashes
/// too, and case does not count. The time is linear in both lengths, whatever the pattern: roles
/// are written by clients.
#[must_use]
pub fn matches(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_ascii_lowercase(), action.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let head = parts.next().unwrap_or_default();
    let Some(mut rest) = action.strip_prefix(head) else {
        return false;
    };
    let Some(tail) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        // The leftmost place leaves most for what follows, so there is never a way back.
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(tail)
}

/// Whether a role allows an action.
#[must_use]
pub fn allows(role: &RoleDefinition, action: &str) -> bool {
    let named = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, action));
    named(&role.actions) && !named(&role.not_actions)
}

/// Whether one of the assignments allows an action at a scope. An assignment holds at its own
/// scope and below. All assignments must be those of the principal who asks. A role that `role`
/// does not know allows nothing.
pub fn decide<R: Borrow<RoleDefinition>>(
    assignments: &[RoleAssignment],
    role: impl Fn(Uuid) -> Option<R>,
    action: &str,
    scope: &ResourceId,
) -> bool {
    assignments
        .iter()
        .filter(|assignment| scope.is_within(&assignment.scope))
        .filter_map(|assignment| role(assignment.role))
        .any(|role| allows(role.borrow(), action))
}

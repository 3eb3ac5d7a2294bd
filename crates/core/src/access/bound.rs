//! How large a custom role may be. Every decision about access reads the roles, and whoever may
//! define one must not make all of them slow.

use crate::error::Fault;
use crate::model::RoleDefinition;

/// Characters of a role's name.
const NAME_MAX: usize = 128;
/// Characters of a description.
const DESCRIPTION_MAX: usize = 1024;
/// Patterns of one kind, and bytes of each.
const PATTERNS_MAX: usize = 300;
const PATTERN_MAX: usize = 256;
/// Scopes that a role can be assigned in.
const SCOPES_MAX: usize = 100;

/// Refuses a role that is larger than it may be, or that names no action or scope.
///
/// # Errors
/// Names the field.
pub fn check_role(role: &RoleDefinition) -> Result<(), Fault> {
    let name = role.name.trim().chars().count();
    if !(1..=NAME_MAX).contains(&name) || role.name.chars().any(char::is_control) {
        let message = format!("roleName: must have 1 to {NAME_MAX} characters.");
        return Err(Fault::invalid("properties.roleName", message));
    }
    check_text("properties.description", &role.description)?;
    for (name, patterns) in [
        ("actions", &role.actions),
        ("notActions", &role.not_actions),
        ("dataActions", &role.data_actions),
        ("notDataActions", &role.not_data_actions),
    ] {
        check_patterns(name, patterns)?;
    }
    if role.actions.is_empty() && role.data_actions.is_empty() {
        let message = "permissions: a role must have at least one action or data action.";
        return Err(Fault::invalid("properties.permissions", message));
    }
    if !(1..=SCOPES_MAX).contains(&role.assignable_scopes.len()) {
        let message = format!("assignableScopes: must name 1 to {SCOPES_MAX} scopes.");
        return Err(Fault::invalid("properties.assignableScopes", message));
    }
    Ok(())
}

/// Refuses a free text that is too long.
///
/// # Errors
/// Names the field.
pub fn check_text(field: &str, text: &str) -> Result<(), Fault> {
    if text.chars().count() <= DESCRIPTION_MAX {
        return Ok(());
    }
    let name = field.rsplit('.').next().unwrap_or_default();
    let message = format!("{name}: must have at most {DESCRIPTION_MAX} characters.");
    Err(Fault::invalid(field, message))
}

fn check_patterns(name: &str, patterns: &[String]) -> Result<(), Fault> {
    let wrong =
        |message: String| Fault::invalid(format!("properties.permissions[0].{name}"), message);
    if patterns.len() > PATTERNS_MAX {
        return Err(wrong(format!("{name}: must have at most {PATTERNS_MAX} entries.")));
    }
    // Azure's own roles have `{operationName}`, to the letter.
    let plain = |c: char| c.is_ascii_alphanumeric() || "./*-_{}".contains(c);
    for pattern in patterns {
        if pattern.is_empty() || pattern.len() > PATTERN_MAX || !pattern.chars().all(plain) {
            let shown: String = pattern.chars().take(100).collect();
            return Err(wrong(format!(
                "{name}: '{shown}' must have 1 to {PATTERN_MAX} letters, digits, '.', '/', '-', \
                 '_', '{{', '}}' and '*'."
            )));
        }
    }
    Ok(())
}

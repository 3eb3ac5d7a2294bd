//! Whether a critical operation may go on at a vault under a guard: a function of what is known.

use super::critical::{Critical, protects};
use crate::model::{ResourceId, Unlock, Unlocked};
use jiff::Timestamp;
use uuid::Uuid;

/// What is known when a critical operation is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What somebody wants to do.
    pub operation: Critical,
    /// The guard of the vault.
    pub guard: &'a ResourceId,
    /// What the guard excludes.
    pub exclusions: &'a [String],
    /// Whether who asks, or one whose token the request carries, has the right at the guard.
    pub has_right: bool,
    /// Whether exactly this was unlocked for who asks, and still is.
    pub unlocked: bool,
    /// The guard's requests that the request names; empty when it names none.
    pub named: &'a [ResourceId],
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// The guard does not protect this operation.
    Excluded,
    /// The right is there.
    Consented,
    /// The deletion was unlocked before; the unlock is spent with it.
    Unlocked,
    /// Nobody consented.
    Refused,
    /// The right is there, but the request names other requests of the guard than this one.
    WrongRequest,
}

/// Decides. What a request names gives no right: it can only be wrong.
#[must_use]
pub fn rule(question: Question<'_>) -> Ruling {
    let Question { operation, guard, exclusions, has_right, unlocked, named } = question;
    if !protects(exclusions, operation) {
        return Ruling::Excluded;
    }
    match (has_right, unlocked) {
        (true, _) if named.is_empty() => Ruling::Consented,
        (true, _) if named.iter().any(|id| operation.is_named_by(id, guard)) => Ruling::Consented,
        (true, _) => Ruling::WrongRequest,
        (false, true) => Ruling::Unlocked,
        (false, false) => Ruling::Refused,
    }
}

/// Whether an unlock opens this deletion for this principal at this real time.
#[must_use]
pub fn opens(unlock: &Unlock, who: Uuid, what: Unlocked, now: Timestamp) -> bool {
    unlock.by == who && unlock.what == what && unlock.from <= now && now < unlock.until
}

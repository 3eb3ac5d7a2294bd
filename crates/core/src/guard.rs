//! The one gate for deletions of recovery points, and for the critical operations of vaults that
//! are under a resource guard.
//!
//! Nothing else may decide that a point goes, or that a critical operation may be done. Today it
//! knows soft delete and consent; immutability and holds join it here, and nowhere else.

mod consent;
mod critical;
#[cfg(test)]
mod tests;

pub use consent::{Question, Ruling, opens, rule};
pub use critical::{
    Critical, GUARD_READ, GUARD_WRITE, check_exclusions, of_vault_change, protects, request_kind,
    request_kinds,
};

use crate::model::{SoftDeleteState, Vault};
use jiff::{SignedDuration, Timestamp};

/// What may be done with what somebody deletes, and with the points behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They stay until this domain time and can be had back.
    KeepUntil(Timestamp),
    /// They go now.
    DeleteNow,
}

/// Decides by the vault's soft delete as it is at this moment, which is the one that governs.
#[must_use]
pub fn delete_instance(vault: &Vault, now: Timestamp) -> Verdict {
    if vault.soft_delete.state == SoftDeleteState::Off {
        return Verdict::DeleteNow;
    }
    let kept = SignedDuration::try_from_secs_f64(vault.soft_delete.days * 86_400.0);
    let until = kept.ok().and_then(|kept| now.checked_add(kept).ok());
    Verdict::KeepUntil(until.unwrap_or(Timestamp::MAX))
}

/// Decides about a vault. `promised` is the latest time until which a soft-deleted instance in it
/// is kept: that was promised when it was deleted, whatever the vault says now.
#[must_use]
pub fn delete_vault(vault: &Vault, promised: Option<Timestamp>, now: Timestamp) -> Verdict {
    match (delete_instance(vault, now), promised) {
        (Verdict::KeepUntil(own), Some(promised)) => Verdict::KeepUntil(own.max(promised)),
        (Verdict::DeleteNow, Some(promised)) => Verdict::KeepUntil(promised),
        (own, None) => own,
    }
}

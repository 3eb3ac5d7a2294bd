//! The one gate for deletions of recovery points.
//!
//! Nothing else may decide that a point goes. Today it knows soft delete; immutability, approval
//! and holds join it here, and nowhere else.

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CrossSubscription, Identity, Immutability, SoftDelete};

    fn vault(state: SoftDeleteState, days: f64) -> Vault {
        Vault {
            unique_id: uuid::Uuid::nil(),
            identity: Identity::default(),
            storage: vec![],
            soft_delete: SoftDelete { state, days },
            immutability: Immutability::Disabled,
            alert_on_failures: true,
            cross_subscription: CrossSubscription::Enabled,
            cross_region: None,
            cost: None,
        }
    }

    #[test]
    fn soft_delete_keeps_for_its_days_and_off_deletes() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let off = vault(SoftDeleteState::Off, 14.0);
        assert_eq!(delete_instance(&off, now), Verdict::DeleteNow);
        for state in [SoftDeleteState::On, SoftDeleteState::AlwaysOn] {
            let kept = delete_instance(&vault(state, 14.5), now);
            let until: Timestamp = "2026-01-15T12:00:00Z".parse().unwrap();
            assert_eq!(kept, Verdict::KeepUntil(until));
        }
        let endless = delete_instance(&vault(SoftDeleteState::On, 1e300), now);
        assert_eq!(endless, Verdict::KeepUntil(Timestamp::MAX));
    }

    #[test]
    fn a_vault_is_kept_as_long_as_anything_in_it() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let day = |d: i64| now.checked_add(SignedDuration::from_hours(24 * d)).unwrap();
        let (off, on) = (vault(SoftDeleteState::Off, 14.0), vault(SoftDeleteState::On, 14.0));
        assert_eq!(delete_vault(&off, None, now), Verdict::DeleteNow);
        assert_eq!(delete_vault(&on, None, now), Verdict::KeepUntil(day(14)));
        for (vault, promised, until) in [(&off, 3, 3), (&off, -3, -3), (&on, 3, 14), (&on, 90, 90)]
        {
            let verdict = delete_vault(vault, Some(day(promised)), now);
            assert_eq!(verdict, Verdict::KeepUntil(day(until)), "{promised}");
        }
    }
}

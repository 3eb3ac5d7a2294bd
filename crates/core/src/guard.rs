//! The one gate for deletions of recovery points.
//!
//! Nothing else may decide that a point goes. Today it knows soft delete; immutability, approval
//! and holds join it here, and nowhere else.

use crate::model::{SoftDeleteState, Vault};
use jiff::{SignedDuration, Timestamp};

/// What may be done with the points of an instance that somebody deletes.
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
}

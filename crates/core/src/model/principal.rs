//! Who may do what: principals, their secrets, roles and assignments.

use super::ResourceId;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Somebody who can hold roles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "kept::Principal")]
pub struct Principal {
    /// Object id; role assignments name it.
    pub object_id: Uuid,
    /// Application (client) id; sign-in names it.
    pub client_id: Uuid,
    /// Name shown to people.
    pub name: String,
    /// What it is.
    pub kind: PrincipalKind,
    /// Secrets of an application, oldest first.
    pub secrets: Vec<ClientSecret>,
    /// When it was made, domain time; None for those made before this was kept.
    pub created: Option<Timestamp>,
    /// The resource that a managed identity belongs to; None for those made before this was kept.
    pub resource: Option<ResourceId>,
}

/// A secret that a principal signs in with. Only its digest is kept.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientSecret {
    /// Tells it from the principal's other secrets.
    pub id: Uuid,
    /// Name shown to people.
    pub name: Option<String>,
    /// First instant of the real clock at which it is good.
    pub starts: Timestamp,
    /// First instant at which it is not good any more; None is never.
    pub ends: Option<Timestamp>,
    /// Its first three characters, by which people tell secrets apart.
    pub hint: String,
    /// SHA-256 of the secret, which holds 256 random bits.
    pub digest: [u8; 32],
}

impl ClientSecret {
    /// Seconds by which the clock of whoever chose the times may differ from ours.
    pub const SKEW_SECONDS: i64 = 60;

    /// Whether it is good at an instant of the real clock.
    #[must_use]
    pub fn is_good(&self, at: Timestamp) -> bool {
        let skew = SignedDuration::from_secs(Self::SKEW_SECONDS);
        let early = at.saturating_add(skew).unwrap_or(at) < self.starts;
        let late = at.saturating_sub(skew).unwrap_or(at);
        !early && self.ends.is_none_or(|ends| late < ends)
    }
}

impl std::fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientSecret")
            .field("id", &self.id)
            .field("starts", &self.starts)
            .field("ends", &self.ends)
            .finish_non_exhaustive()
    }
}

/// Kinds of principals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// Signs in with a client id and secret.
    Application,
    /// Belongs to a resource and never signs in by itself.
    ManagedIdentity,
}

/// A user-assigned managed identity: a resource whose principal others may work as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserIdentity {
    /// Object id of its principal.
    pub principal: Uuid,
    /// Client id of its principal.
    pub client: Uuid,
}

/// A set of allowed actions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleDefinition {
    /// Its GUID.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Whether it comes with the product.
    pub built_in: bool,
    /// Allowed actions; `*` matches any run of characters.
    pub actions: Vec<String>,
    /// Exceptions from `actions`.
    pub not_actions: Vec<String>,
    /// Allowed data actions.
    pub data_actions: Vec<String>,
    /// Exceptions from `data_actions`.
    pub not_data_actions: Vec<String>,
    /// Where it can be assigned.
    pub assignable_scopes: Vec<ResourceId>,
}

/// A role given to a principal at a scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleAssignment {
    /// Its id, in the casing of its creation: `{scope}/providers/.../roleAssignments/{guid}`.
    pub id: ResourceId,
    /// Where it holds, and below.
    pub scope: ResourceId,
    /// The role.
    pub role: Uuid,
    /// Who has it.
    pub principal: Uuid,
    /// `ServicePrincipal`, `User`, ... as sent.
    pub principal_type: String,
    /// Free text.
    pub description: Option<String>,
    /// Who made it.
    pub created_by: String,
    /// When, domain time.
    pub created_at: Timestamp,
}

/// Records as catalogues of all ages hold them.
mod kept {
    use super::{ClientSecret, PrincipalKind};
    use crate::model::ResourceId;
    use jiff::Timestamp;
    use serde::Deserialize;
    use uuid::Uuid;

    #[derive(Deserialize)]
    pub(super) struct Principal {
        object_id: Uuid,
        client_id: Uuid,
        name: String,
        kind: PrincipalKind,
        #[serde(default)]
        secrets: Vec<ClientSecret>,
        #[serde(default)]
        created: Option<Timestamp>,
        #[serde(default)]
        resource: Option<ResourceId>,
        /// The one secret of the first catalogues.
        #[serde(default)]
        secret_digest: Option<[u8; 32]>,
    }

    impl From<Principal> for super::Principal {
        fn from(kept: Principal) -> Self {
            let mut secrets = kept.secrets;
            if let Some(digest) = kept.secret_digest.filter(|_| secrets.is_empty()) {
                secrets.push(ClientSecret {
                    // The same at each reading, so that it can be named and removed.
                    id: Uuid::new_v5(&kept.object_id, b"secret"),
                    name: None,
                    starts: Timestamp::UNIX_EPOCH,
                    ends: None,
                    hint: String::new(),
                    digest,
                });
            }
            Self {
                object_id: kept.object_id,
                client_id: kept.client_id,
                name: kept.name,
                kind: kept.kind,
                secrets,
                created: kept.created,
                resource: kept.resource,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_the_first_catalogues_are_read() {
        let old = serde_json::json!({
            "object_id": Uuid::from_u128(1), "client_id": Uuid::from_u128(2), "name": "owner",
            "kind": "application", "secret_digest": vec![7_u8; 32],
        });
        let read: Principal = serde_json::from_value(old.clone()).unwrap();
        let again: Principal = serde_json::from_value(old).unwrap();
        assert_eq!(read, again);
        assert_eq!(read.secrets.len(), 1);
        assert!(read.secrets[0].digest == [7; 32] && read.secrets[0].is_good(Timestamp::MAX));
        // What is written is the new form, and reads as itself.
        let new = serde_json::to_value(&read).unwrap();
        assert!(new.get("secret_digest").is_none());
        assert_eq!(serde_json::from_value::<Principal>(new).unwrap(), read);
        let identity = serde_json::json!({
            "object_id": Uuid::from_u128(1), "client_id": Uuid::from_u128(2), "name": "vault",
            "kind": "managed_identity", "secret_digest": null,
        });
        let read: Principal = serde_json::from_value(identity).unwrap();
        assert!(read.secrets.is_empty() && read.resource.is_none());
    }

    #[test]
    fn a_secret_is_good_between_its_times_and_a_minute_around_them() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let secret = ClientSecret {
            id: Uuid::nil(),
            name: None,
            starts: at("2026-01-01T00:00:00Z"),
            ends: Some(at("2026-02-01T00:00:00Z")),
            hint: "abc".into(),
            digest: [7; 32],
        };
        for (time, good) in [
            ("2025-12-31T23:58:59Z", false),
            ("2025-12-31T23:59:00Z", true),
            ("2026-01-15T00:00:00Z", true),
            ("2026-02-01T00:00:59Z", true),
            ("2026-02-01T00:01:00Z", false),
        ] {
            assert_eq!(secret.is_good(at(time)), good, "{time}");
        }
        let endless = ClientSecret { ends: None, ..secret.clone() };
        assert!(endless.is_good(Timestamp::MAX) && !endless.is_good(Timestamp::MIN));
        assert!(!format!("{secret:?}").contains("abc"), "no part of a secret is printed");
    }
}

//! Who may do what: principals, roles and assignments.

use super::ResourceId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Somebody who can hold roles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// Object id; role assignments name it.
    pub object_id: Uuid,
    /// Application (client) id; sign-in names it.
    pub client_id: Uuid,
    /// Name shown to people.
    pub name: String,
    /// What it is.
    pub kind: PrincipalKind,
    /// SHA-256 of its secret (256 random bits), for those that sign in with one.
    pub secret_digest: Option<[u8; 32]>,
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

//! What was asked of the service, by whom, from where, and how it ended.

use super::ResourceId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use uuid::Uuid;

/// One entry of the audit trail. It names things and never holds a body, a query or a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its id.
    pub id: Uuid,
    /// When it began, domain time: what people see.
    pub at: Timestamp,
    /// When it began, real time: what retention counts.
    pub recorded: Timestamp,
    /// Who asked; None when nobody showed who they are.
    pub actor: Option<Actor>,
    /// Name of the operation, such as `Disks_CreateOrUpdate`.
    pub operation: String,
    /// The right that it takes; empty when it takes none.
    pub action: String,
    /// What it is about.
    pub resource: ResourceId,
    /// The verb of the request.
    pub verb: String,
    /// The address that it came from.
    pub peer: Option<IpAddr>,
    /// The client's undertaking.
    pub correlation: Uuid,
    /// The request.
    pub request: Uuid,
    /// The client's own name of the request.
    pub client_request: Option<String>,
    /// The status that was answered; 0 while it is not known, and for ever when the service ended
    /// before it was.
    pub status: u16,
    /// The code of a refusal; empty otherwise.
    pub code: String,
    /// Events like this one that were not recorded before it, because there were too many.
    pub unrecorded: u64,
}

/// Who asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Object id; None when only a claim was made.
    pub object_id: Option<Uuid>,
    /// Client id, shown or claimed.
    pub client_id: Option<Uuid>,
    /// Name shown to people.
    pub name: String,
}

impl Event {
    /// The subscription that it is about, in lower case; empty when it is about none.
    #[must_use]
    pub fn place(&self) -> String {
        self.resource.subscription().unwrap_or_default().to_ascii_lowercase()
    }

    /// The namespace of the provider whose right it takes, such as `Microsoft.Compute`.
    #[must_use]
    pub fn provider(&self) -> &str {
        self.action.split_once('/').map_or("", |(namespace, _)| namespace)
    }
}

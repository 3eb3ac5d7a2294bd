//! Resource guards, and the proxies by which vaults put themselves under one.

use super::ResourceId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A resource guard: whoever owns it decides who may do critical operations at vaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceGuard {
    /// Operations that it does not protect, as sent; they hold for every vault that uses it.
    pub exclusions: Vec<String>,
}

/// What puts a vault under a guard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardProxy {
    /// The guard, in the client's casing.
    pub guard: ResourceId,
    /// When the proxy came to this guard, domain time.
    pub updated: Timestamp,
    /// Deletions that somebody with the right at the guard has unlocked; bounded.
    pub unlocks: Vec<Unlock>,
}

/// A deletion that may be done without asking the guard again: by one principal, once, for a
/// short time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unlock {
    /// Object id of who unlocked it and may delete.
    pub by: Uuid,
    /// What may be deleted.
    pub what: Unlocked,
    /// When it was unlocked, real time: a clock that is set back does not prolong it.
    pub from: Timestamp,
    /// When that ends, real time.
    pub until: Timestamp,
}

/// What an unlock is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unlocked {
    /// The proxy itself.
    Proxy,
    /// The backup instance of this unique id; a later one of the same name is another.
    Instance(Uuid),
}

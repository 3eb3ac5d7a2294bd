//! How the domain's records look on the wire, and how requests become its specifications.
//!
//! Nothing here does IO or decides anything about backups: each file is a pure mapping, one
//! resource kind each, in both directions. Output has exactly the casing of Azure's published
//! models; input is read through [`crate::wire::body::Field`], which ignores case and names the
//! path of whatever is wrong. What a client sent and we only keep (names, URIs, echoed settings)
//! goes out as it came in, because clients compare what they read with what they wrote.

pub(crate) mod attributes;
pub(crate) mod datasource;
pub(crate) mod disk;
pub(crate) mod duration;
pub(crate) mod event;
pub(crate) mod guard;
pub(crate) mod identity;
pub(crate) mod instance;
pub(crate) mod job;
pub(crate) mod name;
pub(crate) mod point;
pub(crate) mod policy;
pub(crate) mod restore;
pub(crate) mod snapshot;
pub(crate) mod time;
pub(crate) mod vault;

#[cfg(test)]
mod tests;

//! The domain of Tresor: policy, backup, restore, jobs, access and the catalogue.
//!
//! It knows disks ([`tresor_disk`]) and the store ([`tresor_store`]) and nothing of HTTP: the wire
//! above it parses, asks [`service::Service`] and maps what comes back.
//!
//! What must always hold:
//! - A change takes effect in one list of writes ([`catalogue::Write`]) or not at all.
//! - A recovery point is listed only after its record in the store is durable.
//! - A worker that lost its lease commits nothing: every write it makes names its fence.
//! - Time and chance come from [`tresor_store::env::Env`] alone.

pub mod access;
pub mod audit;
pub mod blob;
pub mod catalogue;
mod durable;
pub mod error;
pub mod guard;
pub mod hook;
pub mod limits;
pub mod model;
pub mod policy;
pub mod retention;
pub mod schedule;
pub mod service;
mod work;

//! The commands that are not the service itself.

pub(crate) mod api;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod env;
pub(crate) mod store;

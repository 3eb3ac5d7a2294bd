//! What every route shares: reading requests, writing answers, errors, versions, pages, polling.
//!
//! What must always hold: input names, discriminators and ids match without regard to case and
//! come out in exact casing; every error has one shape and one place that chose its code; every
//! body, page, poll and wait is bounded.

pub(crate) mod audit;
pub(crate) mod body;
pub(crate) mod bucket;
pub(crate) mod catalogue;
pub(crate) mod entry;
pub(crate) mod error;
pub(crate) mod fair;
pub(crate) mod filter;
pub(crate) mod header;
pub(crate) mod limit;
pub(crate) mod operation;
pub(crate) mod paging;
pub(crate) mod path;
pub(crate) mod poll;
pub(crate) mod record;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod settings;
pub(crate) mod version;

//! What users write for the command line, and what it means.
//!
//! Only reading: nothing here looks at the network or at a file. It is a crate of its own so that
//! fuzz targets can reach it, which a binary does not let them.

mod address;
mod changes;

pub use address::{Address, Bucket, Provider};
pub use changes::{Unclear, changes};

//! Records as text in rows, instants as numbers, and what the database's errors mean.

use crate::catalogue::{CatalogueError, Result};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The database failed; what it said stays inside.
pub(super) fn database(
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> CatalogueError {
    CatalogueError::Database(error.into())
}

/// A broken uniqueness rule is a conflict about `what`; anything else is a failure.
pub(super) fn conflict(error: sqlx::Error, what: impl FnOnce() -> String) -> CatalogueError {
    let unique = error.as_database_error().is_some_and(|e| e.is_unique_violation());
    if unique { CatalogueError::Conflict(what()) } else { database(error) }
}

/// A record as text.
pub(super) fn encode<T: Serialize>(record: &T) -> Result<String> {
    serde_json::to_string(record).map_err(database)
}

/// A record from text. The error names the place and never the text, which may hold a digest.
pub(super) fn decode<T: DeserializeOwned>(what: &str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| {
        let kind = error.classify();
        CatalogueError::Damaged(format!("{what}, {kind:?} error at byte {}", error.column()))
    })
}

/// Nanoseconds since 1970. Instants before 1677 or after 2262 count as those ends, for order
/// only: the record beside the number is exact.
pub(super) fn instant(time: Timestamp) -> i64 {
    let nanoseconds = time.as_nanosecond();
    i64::try_from(nanoseconds).unwrap_or(if nanoseconds < 0 { i64::MIN } else { i64::MAX })
}

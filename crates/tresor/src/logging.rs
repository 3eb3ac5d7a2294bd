//! Structured logs on standard error.
//!
//! Logs never share standard output with results, and no secret reaches them: types that hold one
//! do not implement a `Debug` that shows it.

use anyhow::Result;
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};
use crate::usage::Usage;

/// Starts logging for the whole process. `RUST_LOG`, when it is set, wins over the configured
/// filter.
pub(crate) fn start(log: &Log) -> Result<()> {
    let wanted = match std::env::var("RUST_LOG") {
        Ok(filter) if !filter.is_empty() => filter,
        _ => log.filter.clone(),
    };
    let filter = EnvFilter::try_new(&wanted)
        .map_err(|error| Usage::error(format!("log.filter \"{wanted}\" is not valid: {error}")))?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Json => logs.json().with_current_span(true).with_span_list(false).try_init(),
        LogFormat::Text => logs.with_ansi(false).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging could not be started: {error}"))
}

//! `tresor config`: the effective settings as a file that can be given back with `--config`.

use anyhow::Result;

use crate::config::{Config, render};
use crate::terminal::say;

/// Prints every setting.
pub(crate) fn run(config: &Config) -> Result<()> {
    say(render(config)?.trim_end())?;
    Ok(())
}

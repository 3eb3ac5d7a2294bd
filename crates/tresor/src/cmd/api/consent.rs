//! A question before something is gone for good.

use std::io::{IsTerminal, stdin};

use anyhow::Result;
use clap::Args;

use crate::terminal::ask;
use crate::usage::Usage;

/// The flag of commands that remove something.
#[derive(Args)]
pub(super) struct Consent {
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

impl Consent {
    /// Asks on a terminal; where nobody can be asked, --yes must have been given.
    pub(super) fn to(&self, deed: &str) -> Result<()> {
        if self.yes {
            return Ok(());
        }
        if !stdin().is_terminal() {
            return Err(Usage::error(format!("to {deed} without being asked, give --yes")));
        }
        let said = ask(&format!("Really {deed}? [y/N] "))?;
        if matches!(said.trim(), "y" | "Y" | "yes") {
            return Ok(());
        }
        Err(Usage::error("nothing was done"))
    }
}

//! `tresor completions`: what shells need to complete the command line.

use std::io;

use anyhow::Result;
use clap::{Args, Command, ValueEnum};
use clap_complete::{Shell, generate};

use crate::terminal::say;

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tresor completions bash > ~/.local/share/bash-completion/completions/tresor\n  \
    tresor completions fish > ~/.config/fish/completions/tresor.fish\n  \
    tresor completions zsh > \"${fpath[1]}/_tresor\"")]
pub(crate) struct CompletionsArgs {
    /// bash, zsh or fish
    #[arg(value_enum, hide_possible_values = true)]
    shell: Known,
}

/// The shells that are tried out.
#[derive(Clone, Copy, ValueEnum)]
enum Known {
    Bash,
    Zsh,
    Fish,
}

/// Prints the script of a shell for a command line.
pub(crate) fn run(args: &CompletionsArgs, mut command: Command) -> Result<()> {
    let shell = match args.shell {
        Known::Bash => Shell::Bash,
        Known::Zsh => Shell::Zsh,
        Known::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    generate(shell, &mut command, "tresor", &mut script);
    say(String::from_utf8(script).map_err(io::Error::other)?.trim_end())?;
    Ok(())
}

//! The project's own tool: `cargo xtask test`, `cargo xtask tidy`, `cargo xtask bench`.
//!
//! It must always hold that a check which did not run is never counted as passed: a part that is
//! killed at its limit, finds nothing to run or lacks a tool says so and does not turn green.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool answers on its standard streams"
)]

mod bench;
mod campaign;
mod coverage;
mod debian;
mod fuzz;
mod licence;
mod orphan;
mod process;
mod test;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own tool.
#[derive(Parser)]
#[command(name = "cargo xtask", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run every check and test, installing what they need into the user's cache.
    Test(test::Options),
    /// Prove the store at length: crashes, faults, flipped bits, interleavings, fuzzing.
    Campaign(campaign::Options),
    /// Check what the compiler cannot: layering, lengths, banned calls, names.
    Tidy,
    /// Write into docs/coverage.md which clients prove which operation, after the client tests.
    Coverage,
    /// Time backups, restores and checks of made disks, beside restic, borg and others.
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<bool> {
    let root = root()?;
    orphan::adopt()?;
    process::stop_children_on_signal()?;
    match command {
        Command::Test(options) => test::run(&root, &options),
        Command::Tidy => {
            let report = tidy::check(&root)?;
            for line in &report.allowed {
                println!("{line}");
            }
            for finding in &report.findings {
                println!("{finding}");
            }
            let (found, allowed) = (report.findings.len(), report.allowed.len());
            println!("tidy: {found} findings, {allowed} exceptions");
            Ok(report.findings.is_empty())
        }
        Command::Coverage => coverage::run(&root),
        Command::Campaign(options) => campaign::run(&root, &options),
        Command::Bench(options) => bench::run(&root, &options),
    }
}

/// The checkout: the folder above this crate, as cargo names it now or named it at build time.
fn root() -> anyhow::Result<PathBuf> {
    let this = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let root = this.parent().map(Path::to_path_buf);
    root.ok_or_else(|| anyhow::anyhow!("{} has no parent folder", this.display()))
}

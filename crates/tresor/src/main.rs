//! Tresor: a disk-backup service that speaks the Azure Data Protection REST API.
//!
//! The binary wires configuration, the domain and the wire together and decides nothing about
//! backups itself. Exit codes: 0 done, 1 failed, 2 called wrongly, 3 damaged data found, 4 what was
//! named is not there, 130 and 143 ended by SIGINT and SIGTERM.

mod client;
mod cmd;
mod config;
mod demo;
mod durable;
mod logging;
mod serve;
mod target;
mod terminal;
mod usage;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, CommandFactory, Parser, Subcommand};

use config::{Config, LogFormat, Sources};

/// Disk backup that you run yourself and that speaks the Azure Data Protection REST API: vaults,
/// policies, backup instances, recovery points, restores and jobs, for the Azure SDKs and az as
/// they are.
#[derive(Parser)]
#[command(name = "tresor", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Start here:\n  \
    tresor demo                      the whole journey on a real disk image, then stays up\n  \
    tresor serve --data DIR          the service\n  \
    tresor login --data DIR          signs in, for all commands from `group` to `setup`\n  \
    eval \"$(tresor env --data DIR)\"  its address and the owner's credentials for clients\n\n\
    Exit codes: 0 done, 1 failed, 2 called wrongly, 3 damaged data found, 4 not there,\n  \
    130 and 143 ended by a signal.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the service until SIGTERM or SIGINT
    Serve(ServeArgs),
    /// Protect and restore a disk image through the REST API, then leave the service up
    Demo(demo::DemoArgs),
    /// Print every effective setting as TOML, with what it means
    Config(ServeArgs),
    /// Print export lines (BASE_URL, TENANT_ID, CLIENT_ID, ...) for a running service
    Env(EnvArgs),
    /// Work on a store of recovery points directly, without a service
    Store(Box<cmd::store::StoreArgs>),
    #[command(flatten)]
    Api(Box<cmd::api::ApiCommand>),
    /// Print the completion script of a shell
    Completions(cmd::completions::CompletionsArgs),
}

/// Settings that have a flag; all others come from the file and the environment.
#[derive(Args)]
struct ServeArgs {
    /// TOML file with settings; `tresor config` prints one with every default.
    /// The environment wins over it: TRESOR_LISTEN, TRESOR_TLS__NAMES, ...
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of everything the service keeps [default: ./data]
    #[arg(long, value_name = "DIR", conflicts_with = "ephemeral")]
    data: Option<PathBuf>,
    /// Address and port; port 0 takes a free one [default: 127.0.0.1:8443; free with --ephemeral]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Shape of the log lines on standard error [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// A service for tests: data in a temporary folder that is removed at the end, a free port, and
    /// /_tresor/clock, /_tresor/faults and /_tresor/reset for clients on this machine
    #[arg(long)]
    ephemeral: bool,
    /// `system`, `manual` or the time at which a manual clock begins; needs --ephemeral
    /// [default: system]
    #[arg(long, value_name = "CLOCK")]
    clock: Option<String>,
    /// Private JSON file with address, folder and the owner's credentials; it appears when the
    /// service listens and goes when it stops
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

impl ServeArgs {
    fn settings(self) -> Result<Config> {
        let mut flags = Vec::new();
        for (flag, name, path) in
            [("--data", "data", self.data), ("--ready-file", "ready_file", self.ready_file)]
        {
            let Some(path) = path else { continue };
            let text = path.into_os_string().into_string();
            let text =
                text.map_err(|_| usage::Usage::error(format!("{flag} is no Unicode text")))?;
            flags.push((name, text));
        }
        if self.ephemeral {
            flags.push(("test.ephemeral", "true".to_owned()));
        }
        if let Some(clock) = self.clock {
            flags.push(("test.clock", clock));
        }
        if let Some(listen) = self.listen {
            flags.push(("listen", listen.to_string()));
        }
        if let Some(format) = self.log_format {
            flags.push(("log.format", format.name().to_owned()));
        }
        Sources { file: self.config, environment: Sources::process_environment(), flags }.load()
    }
}

#[derive(Args)]
struct EnvArgs {
    /// The service's data folder
    #[arg(long, value_name = "DIR", default_value = "./data")]
    data: PathBuf,
}

fn main() -> ExitCode {
    #[cfg(feature = "failpoints")]
    let _scenario = fail::FailScenario::setup();
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if usage::is_of_reader(&error) => usage::exit_code(&error),
        Err(error) => {
            terminal::note(format_args!("error: {error:#}"));
            if let Some(advice) = usage::advice(&error) {
                terminal::note(format_args!("help: {advice}"));
            }
            usage::exit_code(&error)
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    match cli.command {
        Command::Serve(args) => {
            let settings = args.settings()?;
            logging::start(&settings.log)?;
            serve::run(&settings)
        }
        Command::Demo(args) => demo::run(&args),
        Command::Config(args) => cmd::config::run(&args.settings()?),
        Command::Env(args) => cmd::env::run(&args.data),
        Command::Store(args) => cmd::store::run(*args),
        Command::Api(command) => cmd::api::run(*command),
        Command::Completions(args) => {
            cmd::completions::run(&args, <Cli as CommandFactory>::command())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DomainClock;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// The words of every command that does something.
    fn leaves(command: &clap::Command, before: &str, found: &mut Vec<(String, String)>) {
        let path = format!("{before} {}", command.get_name());
        if command.get_subcommands().next().is_none() {
            let help = command.clone().render_long_help().to_string();
            found.push((path.trim().to_owned(), help));
        }
        for below in command.get_subcommands() {
            leaves(below, &path, found);
        }
    }

    #[test]
    fn every_command_is_in_the_handbook_and_has_examples() {
        let handbook = include_str!("../../../docs/cli.md");
        let mut found = Vec::new();
        leaves(&Cli::command(), "", &mut found);
        let own = ["serve", "demo", "config", "env", "store", "logout"];
        let of_api = |path: &str| {
            let noun = path.split(' ').nth(1).unwrap_or_default();
            !own.contains(&noun)
        };
        assert!(found.len() > 60, "{}", found.len());
        for (path, help) in found.iter().filter(|(path, _)| of_api(path)) {
            assert!(handbook.contains(&format!("`{path}`")), "docs/cli.md lacks `{path}`");
            assert!(help.contains("Example"), "{path} has no examples:\n{help}");
        }
    }

    #[test]
    fn flags_become_settings() {
        let cli = Cli::try_parse_from([
            "tresor",
            "serve",
            "--data",
            "/d",
            "--listen",
            "127.0.0.1:0",
            "--log-format",
            "json",
            "--ready-file",
            "/r.json",
        ]);
        let Command::Serve(args) = cli.unwrap().command else { panic!("not serve") };
        let settings = args.settings().unwrap();
        assert_eq!(settings.data, PathBuf::from("/d"));
        assert_eq!(settings.listen.port(), 0);
        assert_eq!(settings.log.format, LogFormat::Json);
        assert_eq!(settings.ready_file, PathBuf::from("/r.json"));
        let test = ["tresor", "serve", "--ephemeral", "--clock", "manual"];
        let Command::Serve(args) = Cli::try_parse_from(test).unwrap().command else {
            panic!("not serve")
        };
        let settings = args.settings().unwrap();
        assert!(settings.test.ephemeral && settings.test.clock == DomainClock::Manual);
        assert!(Cli::try_parse_from(["tresor", "serve", "--ephemeral", "--data", "/d"]).is_err());
    }
}

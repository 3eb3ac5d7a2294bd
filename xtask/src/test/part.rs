//! The parts of the test command: what each runs and what it may cost.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::ValueEnum;

use super::count::{self, Runner};
use super::{Outcome, Places, examples, node, python, tool};
use crate::process::{self, Ended};
use crate::{coverage, fuzz, licence, tidy};

/// One part, in the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Part {
    /// Formatting.
    Fmt,
    /// Layering, lengths, banned calls, names.
    Tidy,
    /// Licences, sources and banned packages of the dependencies.
    Deny,
    /// Lints, all targets.
    Clippy,
    /// Unit and integration tests of all crates.
    Unit,
    /// The store on servers of S3 and Azure Blob, and behind a network that fails.
    Objects,
    /// Examples in the documentation.
    Doc,
    /// The index of a simulated store of one tebibyte.
    Capacity,
    /// The binary, as shipped and with fail points.
    Binary,
    /// Every parser of the store, for half a minute of two processors each.
    Fuzz,
    /// A second reader of the store, written from its description alone.
    Reader,
    /// The demo's whole journey.
    Demo,
    /// The table of wrong requests.
    Badinput,
    /// Unmodified client libraries against a running service.
    Clients,
    /// The same with the last of the first generation of the Python SDK.
    Sdk14,
    /// The SDKs for JavaScript.
    Js,
    /// The Azure command line.
    Az,
    /// The test suites that people copy.
    Examples,
    /// SIGKILL in every step of backup and restore.
    Kill,
    /// What the parts above called, beside what `docs/coverage.md` calls proved.
    Coverage,
}

impl fmt::Display for Part {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        out.pad(value.as_ref().map_or("", |value| value.get_name()))
    }
}

impl Part {
    /// The parts whose logs `Coverage` needs.
    const PROOFS: [Self; 5] = [Self::Unit, Self::Clients, Self::Sdk14, Self::Js, Self::Az];

    /// The time after which the part is killed. A cold build of everything falls into clippy,
    /// unit and binary.
    pub(super) const fn budget(self) -> Duration {
        Duration::from_secs(match self {
            Self::Fmt | Self::Tidy | Self::Coverage => 60,
            Self::Deny => 240,
            Self::Clippy | Self::Binary | Self::Clients => 1200,
            // The states that a loss of power can leave take a quarter of it.
            Self::Unit => 2100,
            Self::Demo | Self::Badinput => 300,
            // Half of it for the first installation of what they drive.
            Self::Sdk14 | Self::Js => 400,
            Self::Az => 600,
            // Most of it for the first installation of their packages.
            Self::Examples => 600,
            Self::Doc | Self::Capacity | Self::Reader => 900,
            // Half of it for a cold build.
            Self::Fuzz => 1200,
            Self::Objects | Self::Kill => 900,
        })
    }

    /// True for parts that drive the built binary.
    pub(super) const fn needs_binary(self) -> bool {
        matches!(
            self,
            Self::Reader
                | Self::Demo
                | Self::Badinput
                | Self::Clients
                | Self::Sdk14
                | Self::Js
                | Self::Az
                | Self::Examples
                | Self::Kill
        )
    }

    /// Runs the part. An error means the same as a failure, told shorter.
    pub(super) fn run(self, places: &Places, limit: Duration) -> anyhow::Result<Outcome> {
        let run = Run { part: self, places, end: Instant::now() + limit };
        match self {
            Self::Fmt => run.component("rustfmt", "fmt", &["--all", "--check"]),
            Self::Tidy => run.tidy(),
            Self::Deny => run.deny(),
            Self::Clippy => run.component("clippy", "clippy", &CLIPPY),
            Self::Unit => run.unit(),
            Self::Objects => run.objects(),
            Self::Doc => run.doc(),
            Self::Capacity => run.capacity(),
            Self::Binary => run.binary(),
            Self::Fuzz => run.fuzz(),
            Self::Reader => run.pytest(READER, &[]),
            Self::Demo => run.demo(),
            Self::Badinput => run.pytest(CLIENTS, &["-m", "badinput"]),
            Self::Clients => run.pytest(CLIENTS, &["-m", "not badinput and not kill"]),
            Self::Sdk14 => run.pytest(SDK14, &[]),
            Self::Js => run.js(),
            Self::Az => run.pytest(AZ, &[]),
            Self::Examples => run.examples(),
            Self::Kill => run.pytest(CLIENTS, &["-m", "kill"]),
            Self::Coverage => run.coverage(),
        }
    }
}

const CLIPPY: [&str; 7] = [
    "--workspace",
    "--all-targets",
    "--locked",
    // Tests that no other part compiles.
    "--features=tresor/servers",
    "--",
    "-D",
    "warnings",
];

/// For each target, on two processors.
const FUZZ_SECONDS: u64 = 15;

const CLIENTS: &str = "crates/tresor/tests/clients/python";
const SDK14: &str = "crates/tresor/tests/clients/sdk14";
const AZ: &str = "crates/tresor/tests/clients/az";
const JS: &str = "crates/tresor/tests/clients/js";
const READER: &str = "crates/store/tests/reader";

/// Only what is worth reading.
const NEXTEST: [&str; 6] =
    ["--color", "never", "--status-level", "slow", "--final-status-level", "fail"];

/// The module whose tests need servers.
const SERVER_TESTS: &str = "servers::";

/// What the demo prints when the restored bytes are equal, and the head of its table.
const DEMO_SAYS: [&str; 2] = ["equals the local one", "seconds"];

/// One part while it runs.
struct Run<'a> {
    part: Part,
    places: &'a Places,
    end: Instant,
}

impl Run<'_> {
    fn log(&self, step: &str) -> PathBuf {
        self.places.work.join("logs").join(format!("{}{step}.log", self.part))
    }

    fn left(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// Runs one command into its log.
    fn step(&self, step: &str, command: &mut Command) -> anyhow::Result<(Ended, PathBuf)> {
        let log = self.log(step);
        tool::quiet(command);
        let ended = process::run_logged(command, self.left(), &log)?;
        Ok((ended, log))
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = process::cargo();
        command.args(arguments).current_dir(&self.places.root);
        command
    }

    /// A cargo subcommand that is a component of the toolchain.
    fn component(&self, name: &str, command: &str, rest: &[&str]) -> anyhow::Result<Outcome> {
        if !tool::has_component(name, command, self.left())? {
            return Ok(Outcome::absent(format!("{name} is not installed")));
        }
        let (ended, log) = self.step("", self.cargo(&[command]).args(rest))?;
        Ok(outcome(ended, log))
    }

    fn tidy(&self) -> anyhow::Result<Outcome> {
        let tidy::Report { findings, allowed } = tidy::check(&self.places.root)?;
        let text: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
        let note = format!("{} findings, {} exceptions", findings.len(), allowed.len());
        Ok(Outcome { text, ..Outcome::of(findings.is_empty(), note) })
    }

    fn deny(&self) -> anyhow::Result<Outcome> {
        let mut findings = licence::check(&self.places.root)?;
        findings.extend(fuzz::stale_lock(&self.places.root)?);
        let text = findings.join("\n");
        let own = Outcome { text, ..Outcome::of(findings.is_empty(), String::new()) };
        if !findings.is_empty() || !tool::has_cargo_command("deny") {
            return Ok(own);
        }
        let rest = ["deny", "--locked", "check", "licenses", "bans", "sources"];
        let (ended, log) = self.step("", &mut self.cargo(&rest))?;
        Ok(outcome(ended, log))
    }

    fn unit(&self) -> anyhow::Result<Outcome> {
        let (rest, runner) = self.runner();
        let mut command = self.cargo(rest);
        command.args(["--workspace", "--locked", "--no-fail-fast"]);
        match runner {
            Runner::Nextest => command.args(NEXTEST),
            _ => command.args(["--lib", "--bins", "--tests"]),
        };
        // Tests of the demo make a file system, those of the command line start a service.
        tool::with_mke2fs(&mut command, &self.places.cache)?;
        command.env("CLIENT_TEST_LOGS", self.requests()?);
        self.counted(&mut command, runner, false)
    }

    /// The tests that the feature `servers` adds, run by a script that has the servers up. They
    /// fail without it; none at all is a failure too.
    fn objects(&self) -> anyhow::Result<Outcome> {
        let folder = self.places.root.join("crates/tresor/tests/servers");
        let python = python::environment(&folder, &self.places.cache, self.left())?;
        let node = node::packages(&folder, &self.places.cache, self.left())?;
        let (rest, runner) = self.runner();
        let tests = self.cargo(rest);
        let mut command = python.command();
        command.arg(folder.join("serve.py")).arg(node).arg(tests.get_program());
        command.args(tests.get_args()).args(["-p", "tresor", "--features", "servers"]);
        command.args(["--locked", "--no-fail-fast"]).current_dir(&self.places.root);
        match runner {
            Runner::Nextest => command.args(NEXTEST).arg(SERVER_TESTS),
            _ => command.args(["--bins", "--test", "buckets", SERVER_TESTS]),
        };
        self.counted(&mut command, runner, false)
    }

    /// The subcommand that runs tests, and how it counts.
    fn runner(&self) -> (&'static [&'static str], Runner) {
        match tool::has_cargo_command("nextest") {
            true => (&["nextest", "run"], Runner::Nextest),
            false => (&["test"], Runner::Libtest),
        }
    }

    fn doc(&self) -> anyhow::Result<Outcome> {
        let rest = ["test", "--doc", "--workspace", "--locked", "--no-fail-fast"];
        self.counted(&mut self.cargo(&rest), Runner::Libtest, true)
    }

    /// Millions of entries go through it: the store alone is optimised, all else is as built.
    fn capacity(&self) -> anyhow::Result<Outcome> {
        let mut command = self.cargo(&["--config", "profile.dev.package.tresor-store.opt-level=2"]);
        command
            .args(["test", "--locked", "-p", "tresor-store", "--lib"])
            .args(["--", "--nocapture", "index::capacity"])
            .env("TRESOR_CAPACITY_TIB", "1");
        self.counted(&mut command, Runner::Libtest, false)
    }

    fn counted(
        &self,
        command: &mut Command,
        runner: Runner,
        may_be_empty: bool,
    ) -> anyhow::Result<Outcome> {
        let (ended, log) = self.step("", command)?;
        let output = std::fs::read(&log).with_context(|| format!("read {}", log.display()))?;
        let read = count::read(runner, &String::from_utf8_lossy(&output));
        let count = count::settle(read, ended.ok(), may_be_empty);
        Ok(Outcome { count, ..outcome(ended, log) })
    }

    /// Builds the binary twice in one target folder: the dependencies are shared, and each result
    /// is copied before the next build replaces it.
    fn binary(&self) -> anyhow::Result<Outcome> {
        let folder = self.places.target.join("clients");
        std::fs::create_dir_all(&folder)?;
        let mut logs = Vec::new();
        for (name, features) in [("tresor-failpoints", "failpoints"), ("tresor", "")] {
            let mut command = self.cargo(&["build", "--locked", "-p", "tresor"]);
            command.args(["--features", features]);
            let (ended, log) = self.step(&format!("-{name}"), &mut command)?;
            logs.push(log);
            if !ended.ok() {
                return Ok(Outcome { logs, ..Outcome::of(false, ended.words()) });
            }
            // Renamed into place: a copy that is cut short must not look like a binary.
            let part = folder.join(format!("{name}.part"));
            std::fs::copy(self.places.target.join("debug/tresor"), &part)?;
            std::fs::rename(&part, folder.join(name))?;
        }
        Ok(Outcome { logs, ..Outcome::of(true, String::new()) })
    }

    fn demo(&self) -> anyhow::Result<Outcome> {
        let data = tempfile::tempdir_in(&self.places.work).context("make a folder for the demo")?;
        let mut command = Command::new(binary(self.places, "tresor")?);
        command.args(["demo", "--exit", "--size", "96", "--data"]).arg(data.path());
        tool::with_mke2fs(&mut command, &self.places.cache)?;
        let (ended, log) = self.step("", command.current_dir(data.path()))?;
        let output = std::fs::read_to_string(&log).context("read the demo's output")?;
        let summary = DEMO_SAYS.iter().all(|words| output.contains(words));
        if ended.ok() && !summary {
            let note = "it printed no summary or no comparison".to_owned();
            return Ok(Outcome { logs: vec![log], ..Outcome::of(false, note) });
        }
        Ok(outcome(ended, log))
    }

    /// Each target counts as one check; that they build is no check of its own.
    fn fuzz(&self) -> anyhow::Result<Outcome> {
        let Places { root, target, work, .. } = self.places;
        let (built, log) = fuzz::build(root, target, work, self.left())?;
        if !built {
            return Ok(Outcome { logs: vec![log], ..Outcome::of(false, "no build".to_owned()) });
        }
        let (mut outcome, mut inputs) = (Outcome::absent(String::new()), 0_u64);
        for name in fuzz::targets(root)? {
            let fuzzed = fuzz::run(root, target, work, &name, FUZZ_SECONDS)?;
            inputs = inputs.saturating_add(fuzzed.inputs);
            if fuzzed.ok {
                outcome.count.passed = outcome.count.passed.saturating_add(1);
            } else {
                outcome.count.failed = outcome.count.failed.saturating_add(1);
                outcome.logs.push(fuzzed.log);
                outcome.note.push_str(&format!("{}, ", fuzzed.target));
            }
        }
        outcome.note.push_str(&format!("{inputs} inputs"));
        Ok(outcome)
    }

    /// Node's own test runner, started by a script that has the service up.
    fn js(&self) -> anyhow::Result<Outcome> {
        let folder = self.places.root.join(JS);
        let node = node::packages(&folder, &self.places.cache, self.left())?;
        let mut command = Command::new("node");
        command.arg(folder.join("run.mjs")).env("CLIENT_TEST_NODE", node);
        self.driven(&mut command, Runner::Tap)
    }

    /// The example in Python, then the one in JavaScript.
    fn examples(&self) -> anyhow::Result<Outcome> {
        let python = self.pytest(examples::PYTHON, &[])?;
        if python.count.failed > 0 {
            return Ok(python);
        }
        let mut command = examples::node(self.places, self.left())?;
        command.env("TRESOR_BIN", binary(self.places, "tresor")?);
        let mut both = self.counted(&mut command, Runner::Tap, false)?;
        both.count.passed = both.count.passed.saturating_add(python.count.passed);
        Ok(both)
    }

    /// Fails when the document calls proved what was not called in this run.
    fn coverage(&self) -> anyhow::Result<Outcome> {
        let Places { root, work, .. } = self.places;
        for part in Part::PROOFS {
            let logs = coverage::logs(work, &part.to_string());
            ensure!(logs.is_dir(), "no logs of the part {part}: it did not run");
        }
        let report = coverage::check(root, &work.join("requests"))?;
        // What no client calls is shown also when all is well.
        print!("{}", report.text());
        Ok(Outcome::of(report.ok(), report.note()))
    }

    /// The Python tests in a folder of the checkout that pytest selects so.
    fn pytest(&self, folder: &str, selection: &[&str]) -> anyhow::Result<Outcome> {
        let folder = self.places.root.join(folder);
        let python = python::environment(&folder, &self.places.cache, self.left())?;
        let mut command = python.command();
        command.args(["-m", "pytest", "-q", "-ra", "-p", "no:cacheprovider"]).args(selection);
        command.arg(&folder).current_dir(&folder);
        command.arg(format!("--basetemp={}", self.temporary().display()));
        self.driven(&mut command, Runner::Pytest)
    }

    /// Where a part's tests put their files.
    fn temporary(&self) -> PathBuf {
        self.places.work.join(format!("files-{}", self.part))
    }

    /// An empty folder for the logs of the services that a part's tests start.
    fn requests(&self) -> anyhow::Result<PathBuf> {
        let folder = coverage::logs(&self.places.work, &self.part.to_string());
        clear(&folder)?;
        std::fs::create_dir_all(&folder).context("make a folder for the logs of the services")?;
        Ok(folder)
    }

    /// Runs tests that start the binary; the logs of their services are kept for `Coverage`.
    fn driven(&self, command: &mut Command, runner: Runner) -> anyhow::Result<Outcome> {
        let temporary = self.temporary();
        clear(&temporary)?;
        command
            .env("TRESOR_BIN", binary(self.places, "tresor")?)
            .env("TRESOR_FAILPOINTS_BIN", binary(self.places, "tresor-failpoints")?)
            .env("CLIENT_TEST_LOGS", self.requests()?)
            .env("CLIENT_TEST_FILES", &temporary);
        let outcome = self.counted(command, runner, false)?;
        if outcome.count.failed == 0 {
            // Disk images of hundreds of megabytes; after a failure they are evidence.
            let _ = std::fs::remove_dir_all(&temporary);
        }
        Ok(outcome)
    }
}

/// Removes what an earlier run has left.
fn clear(folder: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("clear {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// A part of one check: its exit.
fn outcome(ended: Ended, log: PathBuf) -> Outcome {
    let note = if ended.ok() { String::new() } else { ended.words() };
    Outcome { logs: vec![log], ..Outcome::of(ended.ok(), note) }
}

/// A binary that the part `binary` has left.
fn binary(places: &Places, name: &str) -> anyhow::Result<PathBuf> {
    let path: &Path = &places.target.join("clients").join(name);
    ensure!(path.is_file(), "{} is missing", path.display());
    Ok(path.to_owned())
}

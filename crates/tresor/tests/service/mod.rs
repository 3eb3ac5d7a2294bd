//! A `tresor serve` of a test's own, and the command line that talks to it.

#![allow(dead_code, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The variables by which a sign-in can come from the environment.
const NAMES: [&str; 8] = [
    "BASE_URL",
    "TENANT_ID",
    "CLIENT_ID",
    "CLIENT_SECRET",
    "SUBSCRIPTION_ID",
    "CA_FILE",
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
];

/// A running service, a folder to work in and a home without a sign-in.
pub struct Service {
    process: Child,
    folder: TempDir,
    pub base_url: String,
}

impl Service {
    /// Starts one on a free port and returns when it listens.
    pub fn start() -> Service {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tresor"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]);
        command.arg(folder.path().join("data")).stdin(Stdio::null()).stdout(Stdio::piped());
        match std::env::var_os("CLIENT_TEST_LOGS") {
            // `cargo xtask coverage` reads there what the command line has called.
            Some(logs) => {
                let (log, kept) = tempfile::Builder::new()
                    .prefix("cli-")
                    .suffix(".log")
                    .tempfile_in(logs)
                    .and_then(|file| file.keep().map_err(Into::into))
                    .unwrap();
                assert!(kept.exists());
                command.args(["--log-format", "json"]).env_remove("RUST_LOG").stderr(log);
            }
            None => {
                command.env("RUST_LOG", "warn");
            }
        }
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let listening = lines
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("listening on ").map(str::to_owned));
        let base_url = listening.unwrap_or_else(|| panic!("the service ended early"));
        Service { process, folder, base_url }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn data(&self) -> String {
        self.path("data").display().to_string()
    }

    /// The command line, in the folder, as a user who has only what these tests gave.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tresor"));
        command.args(args).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("XDG_CONFIG_HOME", self.path("config"));
        for name in NAMES.iter().chain(&["REQUESTS_CA_BUNDLE"]) {
            command.env_remove(name);
        }
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs with something on standard input.
    pub fn feed(&self, command: &mut Command, input: &str) -> Output {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// What a command that must succeed prints.
    pub fn says(&self, args: &[&str]) -> String {
        let done = self.run(args);
        assert!(done.status.success(), "{args:?}: {}", error(&done));
        String::from_utf8(done.stdout).unwrap()
    }

    /// The same as JSON; nothing else may be on standard output.
    pub fn json(&self, args: &[&str]) -> Value {
        let text = self.says(&[args, &["-o", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error}: {text}"))
    }

    /// What a command that must fail with a code says about it; it prints no result.
    pub fn fails(&self, code: i32, args: &[&str]) -> String {
        failed(&self.run(args), code, args)
    }

    /// The owner's sign-in, as `tresor env` prints it.
    pub fn owner(&self) -> Value {
        let text = std::fs::read(self.path("data/owner.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    pub fn ca_file(&self) -> String {
        let text = std::fs::read(self.path("data/endpoint.json")).unwrap();
        let endpoint: Value = serde_json::from_slice(&text).unwrap();
        endpoint["ca_file"].as_str().unwrap().to_owned()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What an output that must be a failure of a code says.
pub fn failed(done: &Output, code: i32, args: &[&str]) -> String {
    assert_eq!(done.status.code(), Some(code), "{args:?}: {}", error(done));
    let printed = String::from_utf8_lossy(&done.stdout);
    assert!(printed.is_empty(), "{args:?} printed {printed}");
    error(done)
}

pub fn error(done: &Output) -> String {
    String::from_utf8_lossy(&done.stderr).into_owned()
}

/// The bytes of a file.
pub fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

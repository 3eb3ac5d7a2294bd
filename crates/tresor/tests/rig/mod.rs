//! What the tests of `tresor store` have in common: a folder in which the binary runs, and short
//! ways to fill and read it.

#![allow(dead_code, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// The binary under test.
pub fn binary() -> PathBuf {
    let other = std::env::var_os("TRESOR_BINARY").map(PathBuf::from);
    other.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_tresor")))
}

/// A folder with stores, keys and images.
pub struct Bench(pub TempDir);

impl Bench {
    pub fn new() -> Bench {
        Bench(tempfile::tempdir().unwrap())
    }

    /// A bench with the store `a`.
    pub fn with_store() -> Bench {
        let bench = Bench::new();
        bench.init("a", &[]);
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.current_dir(self.0.path()).arg("store").args(args);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TRESOR_")) {
            command.env_remove(name);
        }
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    pub fn init(&self, store: &str, more: &[&str]) -> Value {
        let key = format!("{store}.key");
        let args = ["init", "--store", store, "--key-file", &key, "--json"];
        ok(&self.run(&[&args, more].concat()))
    }

    /// Runs a command on the store `a` and reads its JSON.
    pub fn json(&self, verb: &str, more: &[&str]) -> Value {
        ok(&self.on("a", verb, &[&["--json"], more].concat()))
    }

    pub fn on(&self, store: &str, verb: &str, more: &[&str]) -> Output {
        let key = format!("{store}.key");
        self.run(&[&[verb, "--store", store, "--key-file", &key], more].concat())
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Backs up `bytes` as the image `disk` and returns the point.
    pub fn backup(&self, bytes: &[u8], more: &[&str]) -> String {
        self.write("disk", bytes);
        text(&self.json("backup", &[&["disk"], more].concat())["point"])
    }
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// The JSON of a command that succeeded.
pub fn ok(output: &Output) -> Value {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    assert_eq!(output.stdout.iter().filter(|b| **b == b'\n').count(), 1, "one object, one line");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Bytes that do not compress, the same for the same seed.
pub fn noise(seed: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new_keyed(&[seed; 32]).finalize_xof().fill(&mut bytes);
    bytes
}

/// A disk of 5 MiB and half a block with a hole of one MiB.
pub fn disk(seed: u8) -> Vec<u8> {
    let mut bytes = noise(seed, (5 << 20) + 2048);
    bytes[1 << 20..2 << 20].fill(0);
    bytes
}

/// All files below a folder with their bytes.
pub fn walk(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push((path.clone(), fs::read(path).unwrap())),
            }
        }
    }
    found.sort();
    found
}

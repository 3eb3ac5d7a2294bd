//! Programs that the parts call: which are there, and how they are made quiet.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

use crate::{debian, process};

/// Asking a program for its version.
const PROBE: Duration = Duration::from_secs(30);

/// No colours, no progress bars, no files beside the sources.
pub(super) fn quiet(command: &mut Command) {
    command
        .env("CARGO_TERM_COLOR", "never")
        .env("CARGO_TERM_PROGRESS_WHEN", "never")
        .env("NO_COLOR", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONUNBUFFERED", "1")
        .env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
}

/// True when `cargo NAME` exists.
pub(super) fn has_cargo_command(name: &str) -> bool {
    succeeds(process::cargo().args([name, "--version"]), PROBE)
}

/// True when the toolchain has the component, perhaps after asking rustup for it.
pub(super) fn has_component(name: &str, command: &str, limit: Duration) -> anyhow::Result<bool> {
    if has_cargo_command(command) {
        return Ok(true);
    }
    let added = succeeds(Command::new("rustup").args(["component", "add", name]), limit);
    Ok(added && has_cargo_command(command))
}

/// True when the program can be started and exits with 0.
pub(super) fn succeeds(command: &mut Command, limit: Duration) -> bool {
    quiet(command);
    let ended = process::run(command.stdout(Stdio::null()).stderr(Stdio::null()), limit);
    ended.is_ok_and(|ended| ended.ok())
}

/// Raised when the layout of what is cached changes.
const LAYOUT: &str = "1";

/// A short name for what follows from `parts`.
pub(super) fn key(parts: &[&[u8]]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in [&[LAYOUT.as_bytes()], parts].concat() {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    hasher.finalize().to_hex().chars().take(16).collect()
}

/// Gives the command a PATH with `mke2fs` in it, from the cache when the machine has none.
pub(super) fn with_mke2fs(command: &mut Command, cache: &Path) -> anyhow::Result<()> {
    let mut folders: Vec<PathBuf> =
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    // Where it usually lies, also for users whose PATH leaves it out.
    folders.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    if !folders.iter().any(|folder| folder.join("mke2fs").is_file()) {
        let unpacked = cache.join("e2fsprogs");
        if !unpacked.join("complete").is_file() {
            debian::unpack(&debian::with_dependencies("e2fsprogs")?, &unpacked)
                .context("mke2fs is missing: install the package e2fsprogs")?;
            std::fs::write(unpacked.join("complete"), "")?;
        }
        folders.extend(["usr/sbin", "sbin"].map(|folder| unpacked.join(folder)));
        command.env("LD_LIBRARY_PATH", std::env::join_paths(libraries(&unpacked))?);
    }
    command.env("PATH", std::env::join_paths(folders)?);
    Ok(())
}

/// Folders of shared libraries below an unpacked package.
fn libraries(unpacked: &Path) -> Vec<PathBuf> {
    let tops = ["usr/lib", "lib"].map(|top| unpacked.join(top));
    let below = tops.iter().filter_map(|top| std::fs::read_dir(top).ok()).flatten();
    below.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_follows_each_part() {
        let first = key(&[b"pytest==8\n", b"3.11"]);
        assert_eq!(first.len(), 16);
        assert_eq!(first, key(&[b"pytest==8\n", b"3.11"]));
        assert_ne!(first, key(&[b"pytest==9\n", b"3.11"]));
        assert_ne!(first, key(&[b"pytest==8\n", b"3.12"]));
        assert_ne!(key(&[b"ab", b"c"]), key(&[b"a", b"bc"]));
    }
}

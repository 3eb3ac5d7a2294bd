//! The packages of Node that a part needs, installed once.
//!
//! They are kept in the user's cache as the Python environment is: under a name that is a hash of
//! the package list and of Node's version, with a marker that is written last. A list that has a
//! lock beside it is installed exactly so.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::tool;
use crate::process;

/// The folder with `node_modules` for `folder/package.json`, made when the cache has none.
pub(super) fn packages(folder: &Path, cache: &Path, limit: Duration) -> anyhow::Result<PathBuf> {
    let list = folder.join("package.json");
    let listed = std::fs::read(&list).with_context(|| format!("read {}", list.display()))?;
    let lock = folder.join("package-lock.json");
    let locked =
        lock.exists().then(|| std::fs::read(&lock)).transpose().context("read the lock")?;
    let version = Command::new("node").arg("--version").output();
    let version = version.context("start node: install Node.js with npm")?;
    std::fs::create_dir_all(cache).with_context(|| format!("create {}", cache.display()))?;
    let home = cache.join(format!(
        "node-{}",
        tool::key(&[&listed, locked.as_deref().unwrap_or_default(), &version.stdout,])
    ));

    // Two runs at once must not build into one folder.
    let held = File::create(home.with_extension("lock")).context("create the cache's lock")?;
    held.lock().context("lock the cache")?;
    let marker = home.join("complete");
    if !marker.is_file() {
        if home.exists() {
            std::fs::remove_dir_all(&home).context("clear an unfinished installation")?;
        }
        std::fs::create_dir_all(&home)?;
        std::fs::write(home.join("package.json"), &listed)?;
        if let Some(locked) = &locked {
            std::fs::write(home.join("package-lock.json"), locked)?;
        }
        let verb = if locked.is_some() { "ci" } else { "install" };
        let log = home.join("npm.log");
        let mut command = Command::new("npm");
        command.args([verb, "--no-audit", "--no-fund", "--ignore-scripts"]);
        tool::quiet(command.current_dir(&home));
        let ended = process::run_logged(&mut command, limit, &log)?;
        let output = std::fs::read_to_string(&log).unwrap_or_default();
        ensure!(ended.ok(), "npm {verb}: {}\n{}", ended.words(), output.trim_end());
        std::fs::write(&marker, "").context("mark the installation as complete")?;
    }
    Ok(home)
}

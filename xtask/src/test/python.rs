//! The Python that runs the client tests, with the packages of their requirements file.
//!
//! It is made once and kept in the user's cache, under a name that is a hash of the requirements
//! and of the interpreter; a marker written last tells a finished environment from one whose
//! making was cut short. Machines differ in what their Python brings, so there are three ways:
//! a virtual environment; pip alone, into a folder; or pip itself fetched from Debian.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::tool;
use crate::{debian, process};

/// An interpreter and where it finds the packages.
pub(super) struct Python {
    program: PathBuf,
    packages: Option<PathBuf>,
}

impl Python {
    /// A command of this interpreter, with nothing of the caller's own Python set-up.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env_remove("PYTHONHOME").env_remove("PYTHONPATH");
        if let Some(packages) = &self.packages {
            command.env("PYTHONPATH", packages);
        }
        command
    }
}

/// The environment for `folder/requirements.txt`, made when the cache has none.
pub(super) fn environment(folder: &Path, cache: &Path, limit: Duration) -> anyhow::Result<Python> {
    let requirements = folder.join("requirements.txt");
    let listed =
        std::fs::read(&requirements).with_context(|| format!("read {}", requirements.display()))?;
    let version = Command::new("python3")
        .args(["-c", "import sys; print(sys.executable, sys.version)"])
        .output()
        .context("start python3")?;
    ensure!(version.status.success(), "python3 does not run: {}", version.status);
    std::fs::create_dir_all(cache).with_context(|| format!("create {}", cache.display()))?;
    let home = cache.join(format!("python-{}", tool::key(&[&listed, &version.stdout])));

    // Two runs at once must not build into one folder.
    let lock = File::create(home.with_extension("lock")).context("create the cache's lock")?;
    lock.lock().context("lock the cache")?;
    let marker = home.join("complete");
    if !marker.is_file() {
        if home.exists() {
            std::fs::remove_dir_all(&home).context("clear an unfinished environment")?;
        }
        std::fs::create_dir_all(&home)?;
        let end = Instant::now() + limit;
        install(&home, &requirements, end)
            .with_context(|| format!("install {}", requirements.display()))?;
        std::fs::write(&marker, "").context("mark the environment as complete")?;
    }
    Ok(python(&home))
}

/// The interpreter of a finished environment.
fn python(home: &Path) -> Python {
    let program = home.join("venv/bin/python");
    if program.exists() {
        Python { program, packages: None }
    } else {
        Python { program: PathBuf::from("python3"), packages: Some(home.join("site")) }
    }
}

fn install(home: &Path, requirements: &Path, end: Instant) -> anyhow::Result<()> {
    let left = || end.saturating_duration_since(Instant::now());
    let venv = home.join("venv");
    if tool::succeeds(Command::new("python3").args(["-m", "venv"]).arg(&venv), left()) {
        return pip(python(home).command(), &[], requirements, home, left());
    }
    if venv.exists() {
        std::fs::remove_dir_all(&venv).context("clear a broken virtual environment")?;
    }
    let target = [OsString::from("--target"), home.join("site").into_os_string()];
    let mut command = Command::new("python3");
    if !tool::succeeds(Command::new("python3").args(["-m", "pip", "--version"]), left()) {
        command.env("PYTHONPATH", debian_pip(home)?);
    }
    pip(command, &target, requirements, home, left())
}

/// The wheel of pip in Debian's package, which Python can run as it is.
fn debian_pip(home: &Path) -> anyhow::Result<PathBuf> {
    let unpacked = home.join("debian");
    debian::unpack(&["python3-pip-whl".to_owned()], &unpacked)
        .context("this Python has neither venv nor pip: install python3-venv")?;
    let wheels = std::fs::read_dir(unpacked.join("usr/share/python-wheels"))?;
    let mut paths = wheels.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let pip = paths.find(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("pip-"))
    });
    pip.context("the package python3-pip-whl holds no wheel of pip")
}

fn pip(
    mut command: Command,
    target: &[OsString],
    requirements: &Path,
    home: &Path,
    limit: Duration,
) -> anyhow::Result<()> {
    let log = home.join("pip.log");
    command.args(["-m", "pip", "install", "--no-input", "--quiet"]);
    command.args(target).arg("-r").arg(requirements);
    tool::quiet(&mut command);
    let ended = process::run_logged(&mut command, limit, &log)?;
    let output = std::fs::read_to_string(&log).unwrap_or_default();
    ensure!(ended.ok(), "pip: {}\n{}", ended.words(), output.trim_end());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("requirements.txt"), "# nothing\n").unwrap();
        let cache = folder.path().join("cache");
        let limit = Duration::from_secs(300);
        let python = environment(folder.path(), &cache, limit).unwrap();
        let status = python.command().args(["-c", "import pip"]).status().unwrap();
        assert!(status.success());
        let again = environment(folder.path(), &cache, Duration::ZERO).unwrap();
        assert_eq!(again.program, python.program);
    }

    #[test]
    fn a_failed_installation_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let requirements = folder.path().join("requirements.txt");
        std::fs::write(&requirements, "--no-index\nno-such-package-here==1\n").unwrap();
        let cache = folder.path().join("cache");
        for _ in 0..2 {
            let made = environment(folder.path(), &cache, Duration::from_secs(300));
            let error = made.err().unwrap();
            assert!(format!("{error:#}").contains("no-such-package-here"), "{error:#}");
        }
    }
}

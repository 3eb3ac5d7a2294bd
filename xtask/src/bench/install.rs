//! Getting the tools to race with from their registries into the user's cache.
//!
//! A tool that cannot be had is listed as absent with the reason, and what it would have shown is
//! unknown, never met.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::{debian, process};

/// A build of a large tool on two busy cores.
const BUILD: Duration = Duration::from_secs(90 * 60);

/// Fetching packages, some of which are compiled.
const FETCH: Duration = Duration::from_secs(20 * 60);

const RUSTIC: &str = "0.11.4";
const BORG: &str = "borgbackup==1.4.5";
const BENJI: &str = "benji==0.17.0";

/// What benji needs. It names a `ruamel.yaml` that no longer builds; later ones serve it as well.
const BENJI_NEEDS: &[&str] = &[
    "alembic<2",
    "argcomplete<2",
    "attrs<22",
    "cerberus<2",
    "colorama<1",
    "dateparser<2",
    "diskcache>=3.0.6",
    "prettytable<1",
    "psycopg2-binary<3",
    "pycryptodome<4",
    "pyparsing<3",
    "python-dateutil<3",
    "ruamel.yaml<0.18",
    "semantic-version<3",
    "setproctitle<2",
    "setuptools<80",
    "sparsebitfield<1",
    "sqlalchemy>=1.4.14,<2",
    "structlog>=19.1.0",
    "zstandard",
];

/// The programs that are there and why others are not.
#[derive(Default)]
pub(super) struct Programs {
    found: BTreeMap<&'static str, PathBuf>,
    /// What each of them calls its version.
    pub(super) versions: BTreeMap<&'static str, String>,
    pub(super) absent: BTreeMap<&'static str, String>,
}

impl Programs {
    /// The program's path.
    pub(super) fn get(&self, name: &str) -> Option<PathBuf> {
        self.found.get(name).cloned()
    }

    /// Notes a program that is there, or the reason why it is not.
    pub(super) fn add(&mut self, name: &'static str, got: anyhow::Result<PathBuf>) {
        let checked = got.and_then(|path| Ok((version(name, &path)?, path)));
        match checked {
            Ok((version, path)) => {
                eprintln!("{name}: {version} ({})", path.display());
                self.versions.insert(name, version);
                self.found.insert(name, path);
            }
            Err(error) => {
                eprintln!("{name}: absent: {error:#}");
                self.absent.insert(name, format!("{error:#}"));
            }
        }
    }
}

/// Finds the peers, installing below `cache` what this machine lacks.
pub(super) fn peers(programs: &mut Programs, cache: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(cache).with_context(|| format!("create {}", cache.display()))?;
    programs.add("restic", in_path("restic").map_or_else(|| unpacked("restic", cache), Ok));
    programs.add("rustic", rustic(cache));
    programs.add("borg", borg(cache));
    programs.add("benji", venv(cache, "benji", &[BENJI_NEEDS], &[BENJI]));
    for (name, package) in [("qemu-img", "qemu-utils"), ("zstd", "zstd"), ("cp", "coreutils")] {
        let found = in_path(name).with_context(|| format!("install the package {package}"));
        programs.add(name, found);
    }
    Ok(())
}

/// The first line of what the program says of itself; a program that cannot say it does not work.
fn version(name: &str, path: &Path) -> anyhow::Result<String> {
    let word = match name {
        "restic" => "version",
        "benji" => "version-info",
        _ => "--version",
    };
    let output = Command::new(path)
        .arg(word)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start {}", path.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if name == "benji" {
        // Without a configuration it starts and complains; the package was pinned when installed.
        return Ok(BENJI.to_owned());
    }
    ensure!(output.status.success(), "{} {word}: {}", path.display(), output.status);
    Ok(said.lines().next().unwrap_or_default().trim().to_owned())
}

/// A program of the machine.
fn in_path(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// A Debian package's program, unpacked without installing it.
fn unpacked(name: &str, cache: &Path) -> anyhow::Result<PathBuf> {
    let home = cache.join("debian");
    let program = home.join("usr/bin").join(name);
    if !program.is_file() {
        eprintln!("fetching Debian's {name}");
        debian::unpack(&[name.to_owned()], &home)
            .with_context(|| format!("install the package {name}"))?;
    }
    Ok(program)
}

/// Built once, which takes long, at the lowest priority.
fn rustic(cache: &Path) -> anyhow::Result<PathBuf> {
    let home = cache.join("rustic");
    let program = home.join("bin/rustic");
    if program.is_file() {
        return Ok(program);
    }
    eprintln!("building rustic {RUSTIC}, once");
    let build = cache.join("rustic-build");
    let mut command = Command::new("nice");
    command
        .args(["-n", "19", "cargo", "install", "rustic-rs", "--locked", "--version", RUSTIC])
        .arg("--root")
        .arg(&home)
        .env("CARGO_TARGET_DIR", &build)
        .current_dir(cache);
    install(&mut command, BUILD, &cache.join("rustic.log"))?;
    std::fs::remove_dir_all(&build).context("remove what the build left")?;
    Ok(program)
}

/// From PyPI, where it is newer, or the machine's own.
fn borg(cache: &Path) -> anyhow::Result<PathBuf> {
    let newest = venv(cache, "borg", &[], &[BORG]);
    newest.or_else(|error| {
        let found = in_path("borg");
        found.with_context(|| format!("install the package borgbackup; its build: {error:#}"))
    })
}

/// A program of a Python package, in an environment of its own. The last step takes the package
/// without what it names, which the steps before have brought.
fn venv(
    cache: &Path,
    name: &'static str,
    needs: &[&[&str]],
    package: &[&str],
) -> anyhow::Result<PathBuf> {
    let home = cache.join(name);
    let program = home.join("bin").join(name);
    if home.join("complete").is_file() {
        return Ok(program);
    }
    eprintln!("installing {}", package.join(" "));
    if home.exists() {
        std::fs::remove_dir_all(&home).context("clear an unfinished environment")?;
    }
    let log = cache.join(format!("{name}.log"));
    let mut make = Command::new("python3");
    make.args(["-m", "venv"]).arg(&home);
    install(&mut make, FETCH, &log)?;
    let pip = |packages: &[&str], alone: bool| {
        let mut command = Command::new(home.join("bin/python"));
        command.args(["-m", "pip", "install", "--quiet", "--no-input"]);
        command.env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
        if alone {
            command.arg("--no-deps");
        }
        command.args(packages);
        install(&mut command, FETCH, &log)
    };
    for packages in needs {
        pip(packages, false)?;
    }
    pip(package, !needs.is_empty())?;
    ensure!(program.is_file(), "{} brings no program {name}", package.join(" "));
    std::fs::write(home.join("complete"), "").context("mark the environment as complete")?;
    Ok(program)
}

fn install(command: &mut Command, limit: Duration, log: &Path) -> anyhow::Result<()> {
    let ended = process::run_logged(command, limit, log)?;
    let said = std::fs::read_to_string(log).unwrap_or_default();
    let last = said.lines().rev().find(|line| line.to_lowercase().contains("error"));
    let words = last.or_else(|| said.lines().last()).unwrap_or_default();
    ensure!(ended.ok(), "{}: {words} (see {})", ended.words(), log.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_had_is_absent_with_its_reason() {
        let mut programs = Programs::default();
        programs.add("zstd", Err(anyhow::anyhow!("no such thing")));
        programs.add("borg", Ok(PathBuf::from("/nowhere/borg")));
        assert_eq!(programs.get("zstd"), None);
        assert_eq!(programs.absent["zstd"], "no such thing");
        assert!(programs.absent["borg"].contains("/nowhere/borg"));
        programs.add("cp", in_path("cp").context("no cp"));
        assert!(programs.get("cp").is_some() && programs.versions["cp"].contains("cp"));
    }
}

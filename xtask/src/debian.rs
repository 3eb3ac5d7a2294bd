//! Debian packages, unpacked into the user's cache without root and without installing anything.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::process;

/// One package is small; a stuck mirror must not hold the tests.
const LIMIT: Duration = Duration::from_secs(180);

/// Downloads each package and unpacks it below `into`. A machine without package lists gets them
/// first, which only root can do.
pub(crate) fn unpack(packages: &[String], into: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(into).with_context(|| format!("create {}", into.display()))?;
    let folder = tempfile::tempdir_in(into).context("make a folder for the download")?;
    let download = || {
        let mut command = Command::new("apt-get");
        command.args(["-q", "download"]).args(packages).current_dir(folder.path());
        run(&mut command)
    };
    if download().is_err() {
        run(Command::new("apt-get").args(["-q", "update"]))?;
        download()?;
    }
    let mut unpacked = 0_usize;
    for entry in std::fs::read_dir(folder.path())? {
        let path = entry?.path();
        run(Command::new("dpkg-deb").arg("-x").arg(&path).arg(into))?;
        unpacked = unpacked.saturating_add(1);
    }
    ensure!(unpacked >= packages.len(), "apt-get brought {unpacked} of {packages:?}");
    Ok(())
}

/// `package` and what it needs directly, without the C library that every machine has.
pub(crate) fn with_dependencies(package: &str) -> anyhow::Result<Vec<String>> {
    let output = Command::new("apt-cache")
        .args(["depends", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks"])
        .args(["--no-replaces", "--no-enhances", package])
        .stdin(Stdio::null())
        .output()
        .context("start apt-cache")?;
    ensure!(output.status.success(), "apt-cache depends {package}: {}", output.status);
    Ok(needed(package, &String::from_utf8_lossy(&output.stdout)))
}

fn needed(package: &str, listing: &str) -> Vec<String> {
    let depends = listing.lines().filter_map(|line| {
        let name = line.trim().split_once("Depends: ")?.1;
        let real = !name.starts_with('<') && name != "libc6";
        real.then(|| name.to_owned())
    });
    std::iter::once(package.to_owned()).chain(depends).collect()
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    command.env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null()).stderr(Stdio::null());
    let ended = process::run(command, LIMIT)?;
    ensure!(ended.ok(), "{}: {}", command.get_program().to_string_lossy(), ended.words());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn direct_dependencies_are_listed() {
        let listing = "e2fsprogs\n  PreDepends: libblkid1\n  PreDepends: libc6\n \
                       |Depends: logsave\n  Depends: <virtual>\n";
        assert_eq!(needed("e2fsprogs", listing), ["e2fsprogs", "libblkid1", "logsave"]);
    }
}

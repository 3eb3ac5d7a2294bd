//! The tools that race: Tresor in both profiles, what people back disks up with today, and what
//! they copy disks with.

mod benji;
mod borg;
mod restic;
mod tresor;
mod whole;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::image::Name;
use super::install::Programs;

/// What encrypts every store that can be encrypted; goes by environment or by file.
const PASSWORD: &str = "a password for the race";

/// How a tool stores, which decides what it is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Tresor itself.
    Own,
    /// Keeps backups apart from each other but what they share only once.
    Dedup,
    /// Makes a whole copy each time.
    Whole,
}

/// What a tool can take part in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(super) enum Journey {
    /// D0, then D1, then D2 into one store; restore of D1; deep verification.
    Disk,
    /// D0, then D1 with a list of changes; restore of D1.
    Listed,
    /// R and back.
    Random,
    /// Z and back.
    Sparse,
    /// D0 and D1 from one store to another one; restore of D1 from there.
    Copy,
}

impl Journey {
    pub(super) const ALL: [Self; 5] =
        [Self::Disk, Self::Listed, Self::Random, Self::Sparse, Self::Copy];

    /// The images that it needs.
    pub(super) fn images(self) -> &'static [Name] {
        match self {
            Self::Disk => &[Name::D0, Name::D1, Name::D2],
            Self::Listed | Self::Copy => &[Name::D0, Name::D1],
            Self::Random => &[Name::R],
            Self::Sparse => &[Name::Z],
        }
    }
}

/// Where one tool keeps things during one journey; gone afterwards.
pub(super) struct Place {
    /// Counted as what is stored.
    pub(super) store: PathBuf,
    /// Keys, configuration, caches.
    pub(super) home: PathBuf,
}

impl Place {
    /// A place below a folder.
    pub(super) fn make(folder: &Path, name: &str) -> anyhow::Result<Self> {
        let place = Self { store: folder.join(name), home: folder.join(format!("{name}-home")) };
        std::fs::create_dir_all(&place.home)
            .with_context(|| format!("create {}", place.home.display()))?;
        Ok(place)
    }

    /// A command that finds nothing of the user's own configuration and caches.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env("HOME", &self.home)
            .env("XDG_CONFIG_HOME", self.home.join("config"))
            .env("XDG_CACHE_HOME", self.home.join("cache"));
        command
    }
}

/// One backup.
pub(super) struct Backup<'a> {
    /// Name of the image's file and the folder in which it is.
    pub(super) image: &'a str,
    pub(super) folder: &'a Path,
    /// The point of the disk's last backup, where there is one.
    pub(super) parent: Option<&'a str>,
    /// The lists of what changed since, as lines and as JSON.
    pub(super) lists: Option<(&'a Path, &'a Path)>,
}

/// One tool.
pub(super) trait Tool {
    /// How the table calls it.
    fn name(&self) -> &'static str;

    fn family(&self) -> Family;

    /// True when it takes part.
    fn takes(&self, journey: Journey) -> bool;

    /// What makes a store, not measured. `twin` is the store from which points will be copied.
    fn init(&self, place: &Place, twin: Option<&Place>) -> anyhow::Result<Vec<Command>>;

    fn backup(&self, place: &Place, backup: &Backup<'_>) -> Command;

    /// What `restore` needs to know of a backup that printed `output`.
    fn point(&self, image: &str, output: &str) -> anyhow::Result<String>;

    /// Restores into the folder `out`; the file has the image's name.
    fn restore(&self, place: &Place, point: &str, image: &str, out: &Path) -> Command;

    /// Reads back all that is stored and checks it, where the tool can.
    fn verify(&self, _place: &Place) -> Option<Command> {
        None
    }

    /// Copies a point to another store, where the tool can.
    fn copy(&self, _from: &Place, _to: &Place, _point: &str) -> Option<Command> {
        None
    }

    /// Under which name the copied point is restored; the output is that of `copy`.
    fn copied(&self, point: &str, _output: &str) -> anyhow::Result<String> {
        Ok(point.to_owned())
    }
}

/// All tools for which there is a program.
pub(super) fn all(programs: &Programs) -> Vec<Box<dyn Tool>> {
    let mut tools: Vec<Box<dyn Tool>> = Vec::new();
    for (name, profile) in [(TRESOR, "operational"), (VAULT, "vault")] {
        if let Some(program) = programs.get("tresor") {
            tools.push(Box::new(tresor::Tresor { name, profile, program }));
        }
    }
    if let Some(program) = programs.get("restic") {
        tools.push(Box::new(restic::Restic { program }));
    }
    if let Some(program) = programs.get("rustic") {
        tools.push(Box::new(restic::Rustic { program }));
    }
    if let Some(program) = programs.get("borg") {
        tools.push(Box::new(borg::Borg { fixed: true, program: program.clone() }));
        tools.push(Box::new(borg::Borg { fixed: false, program }));
    }
    if let Some(program) = programs.get("benji") {
        tools.push(Box::new(benji::Benji { program }));
    }
    for copier in whole::COPIERS {
        if let Some(program) = programs.get(copier.program) {
            tools.push(Box::new(whole::Whole { copier, program }));
        }
    }
    tools
}

/// Names in the table that the targets speak of.
pub(super) const TRESOR: &str = "tresor";
pub(super) const VAULT: &str = "tresor (vault)";
pub(super) const RESTIC: &str = "restic";
pub(super) const BORG_FIXED: &str = "borg (fixed, lz4)";
pub(super) const BENJI: &str = "benji";
pub(super) const ZSTD: &str = "zstd -1 -T2";
pub(super) const CP: &str = "cp --sparse";

/// The value of a field in the last JSON object that a tool printed.
fn field(output: &str, wanted: &dyn Fn(&serde_json::Value) -> Option<String>) -> Option<String> {
    let whole = serde_json::from_str(output).ok();
    let lines = output.lines().rev().filter_map(|line| serde_json::from_str(line).ok());
    whole.into_iter().chain(lines).find_map(|value: serde_json::Value| wanted(&value))
}

/// A field of type string.
fn text(output: &str, name: &str) -> anyhow::Result<String> {
    let found = field(output, &|value| value.get(name)?.as_str().map(str::to_owned));
    found.with_context(|| format!("no {name:?} in the answer {output:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_in_one_object_and_in_the_last_of_many() {
        assert_eq!(text("{\n \"point\": \"a\"\n}\n", "point").unwrap(), "a");
        assert_eq!(text("{\"p\":\"x\"}\nnot json\n{\"p\":\"y\"}\n", "p").unwrap(), "y");
        assert!(text("{\"p\":1}", "p").is_err());
    }
}

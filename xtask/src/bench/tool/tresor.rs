//! Tresor, through its command line.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Backup, Family, Journey, Place, Tool};

pub(super) struct Tresor {
    pub(super) name: &'static str,
    pub(super) profile: &'static str,
    pub(super) program: PathBuf,
}

impl Tresor {
    fn store(&self, verb: &str, place: &Place) -> Command {
        let mut command = place.command(&self.program);
        command.args(["store", verb, "--store"]).arg(&place.store);
        command.arg("--key-file").arg(place.home.join("key")).arg("--json");
        command
    }
}

impl Tool for Tresor {
    fn name(&self) -> &'static str {
        self.name
    }

    fn family(&self) -> Family {
        Family::Own
    }

    fn takes(&self, _journey: Journey) -> bool {
        true
    }

    fn init(&self, place: &Place, twin: Option<&Place>) -> anyhow::Result<Vec<Command>> {
        let mut command = self.store("init", place);
        command.args(["--profile", self.profile]);
        if let Some(twin) = twin {
            // One domain of deduplication has one key.
            std::fs::copy(twin.home.join("key"), place.home.join("key"))?;
            command.arg("--domain-of").arg(&twin.store);
        }
        Ok(vec![command])
    }

    fn backup(&self, place: &Place, backup: &Backup<'_>) -> Command {
        let mut command = self.store("backup", place);
        command.arg(backup.folder.join(backup.image));
        if let Some(parent) = backup.parent {
            command.args(["--parent", parent]);
            if let Some((lines, _)) = backup.lists {
                command.arg("--changed").arg(lines);
            }
        }
        command
    }

    fn point(&self, _image: &str, output: &str) -> anyhow::Result<String> {
        super::text(output, "point")
    }

    fn restore(&self, place: &Place, point: &str, image: &str, out: &Path) -> Command {
        let mut command = self.store("restore", place);
        command.args(["--point", point]).arg(out.join(image));
        command
    }

    fn verify(&self, place: &Place) -> Option<Command> {
        let mut command = self.store("verify", place);
        command.arg("--deep");
        Some(command)
    }

    fn copy(&self, from: &Place, to: &Place, point: &str) -> Option<Command> {
        let mut command = self.store("copy", from);
        command.arg("--to").arg(&to.store).args(["--point", point]);
        Some(command)
    }
}

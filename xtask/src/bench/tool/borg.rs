//! borg: cut at fixed places, as suits disk images, and as it does by itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{BORG_FIXED, Backup, Family, Journey, PASSWORD, Place, Tool};

pub(super) struct Borg {
    pub(super) fixed: bool,
    pub(super) program: PathBuf,
}

impl Borg {
    fn command(&self, verb: &str, place: &Place) -> Command {
        let mut command = place.command(&self.program);
        command.arg(verb).env("BORG_PASSPHRASE", PASSWORD).env("BORG_BASE_DIR", &place.home);
        command
    }

    fn archive(place: &Place, image: &str) -> String {
        format!("{}::{image}", place.store.display())
    }
}

impl Tool for Borg {
    fn name(&self) -> &'static str {
        if self.fixed { BORG_FIXED } else { "borg (lz4)" }
    }

    fn family(&self) -> Family {
        Family::Dedup
    }

    fn takes(&self, journey: Journey) -> bool {
        matches!(journey, Journey::Disk | Journey::Random | Journey::Sparse)
    }

    fn init(&self, place: &Place, _twin: Option<&Place>) -> anyhow::Result<Vec<Command>> {
        let mut command = self.command("init", place);
        command.args(["--encryption", "repokey-blake2"]).arg(&place.store);
        Ok(vec![command])
    }

    fn backup(&self, place: &Place, backup: &Backup<'_>) -> Command {
        let mut command = self.command("create", place);
        command.args(["--compression", "lz4"]).current_dir(backup.folder);
        if self.fixed {
            command.args(["--chunker-params", "fixed,4194304", "--sparse"]);
        }
        command.arg(Self::archive(place, backup.image)).arg(backup.image);
        command
    }

    fn point(&self, image: &str, _output: &str) -> anyhow::Result<String> {
        Ok(image.to_owned())
    }

    fn restore(&self, place: &Place, point: &str, _image: &str, out: &Path) -> Command {
        let mut command = self.command("extract", place);
        command.arg("--sparse").arg(Self::archive(place, point)).current_dir(out);
        command
    }

    fn verify(&self, place: &Place) -> Option<Command> {
        let mut command = self.command("check", place);
        command.arg("--verify-data").arg(&place.store);
        Some(command)
    }
}

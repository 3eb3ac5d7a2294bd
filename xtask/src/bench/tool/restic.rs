//! restic and rustic, which share a format.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::super::image::Name;
use super::{Backup, Family, Journey, PASSWORD, Place, RESTIC, Tool};

pub(super) struct Restic {
    pub(super) program: PathBuf,
}

impl Restic {
    fn repository(&self, place: &Place) -> Command {
        let mut command = place.command(&self.program);
        command.env("RESTIC_PASSWORD", PASSWORD).env("RESTIC_REPOSITORY", &place.store);
        command.env_remove("RESTIC_PASSWORD_FILE").args(["--json", "--no-cache"]);
        command
    }

    /// True from version 0.15 on.
    fn leaves_holes(&self) -> bool {
        let help = Command::new(&self.program).args(["restore", "--help"]).output();
        help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains("--sparse"))
    }
}

impl Tool for Restic {
    fn name(&self) -> &'static str {
        RESTIC
    }

    fn family(&self) -> Family {
        Family::Dedup
    }

    fn takes(&self, journey: Journey) -> bool {
        journey != Journey::Listed
    }

    fn init(&self, place: &Place, twin: Option<&Place>) -> anyhow::Result<Vec<Command>> {
        let mut command = self.repository(place);
        // Format 2 compresses.
        command.args(["init", "--repository-version", "2"]);
        if let Some(twin) = twin {
            command.arg("--copy-chunker-params").arg("--from-repo").arg(&twin.store);
            command.env("RESTIC_FROM_PASSWORD", PASSWORD);
        }
        Ok(vec![command])
    }

    fn backup(&self, place: &Place, backup: &Backup<'_>) -> Command {
        let mut command = self.repository(place);
        command.args(["backup", "--host", "race", backup.image]).current_dir(backup.folder);
        command
    }

    fn point(&self, _image: &str, output: &str) -> anyhow::Result<String> {
        super::text(output, "snapshot_id")
    }

    fn restore(&self, place: &Place, point: &str, image: &str, out: &Path) -> Command {
        let sparse = self.leaves_holes();
        if sparse || image != Name::Z.file() {
            let mut command = self.repository(place);
            command.arg("restore").args(sparse.then_some("--sparse"));
            command.args([point, "--target"]).arg(out);
            return command;
        }
        // It would write 64 GiB of zeros; with dd beside it, it leaves the holes.
        let mut command = place.command(Path::new("sh"));
        command.env("RESTIC_PASSWORD", PASSWORD).env("RESTIC_REPOSITORY", &place.store);
        // A dump that fails is seen when the restored file is compared.
        let script =
            "\"$0\" --no-cache dump \"$1\" \"$2\" | dd of=\"$3\" bs=1M iflag=fullblock conv=sparse";
        command.args(["-c", script]).arg(&self.program).args([point, image]).arg(out.join(image));
        command
    }

    fn verify(&self, place: &Place) -> Option<Command> {
        let mut command = self.repository(place);
        command.args(["check", "--read-data"]);
        Some(command)
    }

    fn copy(&self, from: &Place, to: &Place, point: &str) -> Option<Command> {
        let mut command = self.repository(to);
        command.env("RESTIC_FROM_PASSWORD", PASSWORD);
        command.arg("copy").arg("--from-repo").arg(&from.store).arg(point);
        Some(command)
    }

    fn copied(&self, _point: &str, _output: &str) -> anyhow::Result<String> {
        // The copy has another name; the points were copied one after the other.
        Ok("latest".to_owned())
    }
}

pub(super) struct Rustic {
    pub(super) program: PathBuf,
}

impl Rustic {
    fn repository(&self, place: &Place) -> Command {
        let mut command = place.command(&self.program);
        command.env("RUSTIC_PASSWORD", PASSWORD).arg("-r").arg(&place.store);
        command.args(["--no-cache", "--no-progress", "--log-level", "error"]);
        command
    }
}

impl Tool for Rustic {
    fn name(&self) -> &'static str {
        "rustic"
    }

    fn family(&self) -> Family {
        Family::Dedup
    }

    fn takes(&self, journey: Journey) -> bool {
        matches!(journey, Journey::Disk | Journey::Random | Journey::Sparse)
    }

    fn init(&self, place: &Place, _twin: Option<&Place>) -> anyhow::Result<Vec<Command>> {
        let mut command = self.repository(place);
        command.arg("init");
        Ok(vec![command])
    }

    fn backup(&self, place: &Place, backup: &Backup<'_>) -> Command {
        let mut command = self.repository(place);
        command.args(["backup", "--json", "--host", "race", backup.image]);
        command.current_dir(backup.folder);
        command
    }

    fn point(&self, _image: &str, output: &str) -> anyhow::Result<String> {
        let found = super::field(output, &|value| {
            let snapshot = value.get("id").or_else(|| value.get(0)?.get("id"));
            snapshot?.as_str().map(str::to_owned)
        });
        found.with_context(|| format!("no id of a snapshot in {output:?}"))
    }

    fn restore(&self, place: &Place, point: &str, _image: &str, out: &Path) -> Command {
        let mut command = self.repository(place);
        command.args(["restore", point]).arg(out);
        command
    }

    fn verify(&self, place: &Place) -> Option<Command> {
        let mut command = self.repository(place);
        command.args(["check", "--read-data"]);
        Some(command)
    }
}

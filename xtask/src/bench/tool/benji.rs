//! benji: blocks of 4 MiB; the one peer that takes a list of changes.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{BENJI, Backup, Family, Journey, PASSWORD, Place, Tool};

pub(super) struct Benji {
    pub(super) program: PathBuf,
}

impl Benji {
    fn command(&self, place: &Place) -> Command {
        let mut command = place.command(&self.program);
        command.args(["--no-color", "--log-level", "ERROR", "-c"]);
        command.arg(place.home.join("benji.yaml"));
        command
    }
}

impl Tool for Benji {
    fn name(&self) -> &'static str {
        BENJI
    }

    fn family(&self) -> Family {
        Family::Dedup
    }

    fn takes(&self, journey: Journey) -> bool {
        journey == Journey::Listed
    }

    fn init(&self, place: &Place, _twin: Option<&Place>) -> anyhow::Result<Vec<Command>> {
        std::fs::create_dir_all(place.store.join("blocks"))?;
        let store = place.store.display();
        let text = format!(
            "configurationVersion: '1'\n\
             databaseEngine: sqlite:///{store}/benji.sqlite\n\
             defaultStorage: store\n\
             ios:\n\
             \x20 - {{name: file, module: file, configuration: {{}}}}\n\
             storages:\n\
             \x20 - name: store\n\
             \x20   module: file\n\
             \x20   storageId: 1\n\
             \x20   configuration: {{path: {store}/blocks, activeTransforms: [zstd, aes]}}\n\
             transforms:\n\
             \x20 - {{name: zstd, module: zstd, configuration: {{level: 1}}}}\n\
             \x20 - name: aes\n\
             \x20   module: aes_256_gcm\n\
             \x20   configuration:\n\
             \x20     kdfSalt: BBiZ+lIVSefMCdE4eOPX211n/04KY1M4c2SM/9XHUcA=\n\
             \x20     kdfIterations: 20000\n\
             \x20     password: {PASSWORD}\n"
        );
        std::fs::write(place.home.join("benji.yaml"), text)?;
        let mut command = self.command(place);
        command.arg("database-init");
        Ok(vec![command])
    }

    fn backup(&self, place: &Place, backup: &Backup<'_>) -> Command {
        let mut command = self.command(place);
        command.args(["backup", "-u", &uid(backup.image)]);
        if let (Some(parent), Some((_, json))) = (backup.parent, backup.lists) {
            command.args(["-f", parent, "-r"]).arg(json);
        }
        let image = backup.folder.join(backup.image);
        command.arg(format!("file:{}", image.display())).arg("disk");
        command
    }

    fn point(&self, image: &str, _output: &str) -> anyhow::Result<String> {
        Ok(uid(image))
    }

    fn restore(&self, place: &Place, point: &str, image: &str, out: &Path) -> Command {
        let mut command = self.command(place);
        command.args(["restore", "--sparse", point]);
        command.arg(format!("file:{}", out.join(image).display()));
        command
    }
}

fn uid(image: &str) -> String {
    image.trim_end_matches(".img").to_owned()
}

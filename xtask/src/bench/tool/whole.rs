//! Tools that make a whole copy each time.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Backup, CP, Family, Journey, Place, Tool, ZSTD};

/// How a whole copy is made: what comes before and between the two files' names, both ways.
pub(super) struct Copier {
    name: &'static str,
    pub(super) program: &'static str,
    pack: &'static [&'static str],
    unpack: &'static [&'static str],
    /// What comes between the names.
    between: &'static [&'static str],
    /// It knows holes, so that it can be asked to copy a large empty disk.
    sparse: bool,
}

/// All of them.
pub(super) const COPIERS: &[Copier] = &[
    Copier {
        name: "qemu-img -c (zstd)",
        program: "qemu-img",
        pack: &["convert", "-f", "raw", "-c", "-O", "qcow2", "-o", "compression_type=zstd"],
        unpack: &["convert", "-f", "qcow2", "-O", "raw"],
        between: &[],
        sparse: true,
    },
    Copier {
        name: ZSTD,
        program: "zstd",
        pack: &["-1", "-T2", "-q"],
        unpack: &["-d", "-q"],
        between: &["-o"],
        sparse: false,
    },
    Copier {
        name: CP,
        program: "cp",
        pack: &["--sparse=always", "--reflink=never"],
        unpack: &["--sparse=always", "--reflink=never"],
        between: &[],
        sparse: true,
    },
];

pub(super) struct Whole {
    pub(super) copier: &'static Copier,
    pub(super) program: PathBuf,
}

impl Whole {
    fn command(&self, place: &Place, words: &[&str], from: &Path, to: &Path) -> Command {
        let mut command = place.command(&self.program);
        command.args(words).arg(from).args(self.copier.between).arg(to);
        command
    }
}

impl Tool for Whole {
    fn name(&self) -> &'static str {
        self.copier.name
    }

    fn family(&self) -> Family {
        Family::Whole
    }

    fn takes(&self, journey: Journey) -> bool {
        match journey {
            Journey::Disk | Journey::Random => true,
            Journey::Sparse => self.copier.sparse,
            Journey::Listed | Journey::Copy => false,
        }
    }

    fn init(&self, place: &Place, _twin: Option<&Place>) -> anyhow::Result<Vec<Command>> {
        std::fs::create_dir_all(&place.store)?;
        Ok(Vec::new())
    }

    fn backup(&self, place: &Place, backup: &Backup<'_>) -> Command {
        let from = backup.folder.join(backup.image);
        self.command(place, self.copier.pack, &from, &place.store.join(backup.image))
    }

    fn point(&self, image: &str, _output: &str) -> anyhow::Result<String> {
        Ok(image.to_owned())
    }

    fn restore(&self, place: &Place, point: &str, image: &str, out: &Path) -> Command {
        self.command(place, self.copier.unpack, &place.store.join(point), &out.join(image))
    }
}

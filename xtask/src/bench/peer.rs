//! The tools beside which Tresor is timed. They make whole copies: a second one costs as much as
//! the first, so each has one backup and one restore.

use std::path::Path;
use std::process::{Command, Stdio};

use super::measure::{self, Sample};
use super::{Bench, Figures, Step, image};

/// One tool.
pub(super) struct Peer {
    pub(super) name: &'static str,
    program: &'static str,
    pack: fn(&Path, &Path) -> Command,
    unpack: fn(&Path, &Path) -> Command,
}

/// All of them; the Debian packages are qemu-utils and zstd.
pub(super) const PEERS: [Peer; 2] = [
    Peer {
        name: "qemu-img convert -c (zstd)",
        program: "qemu-img",
        pack: |image, out| {
            let mut command = Command::new("qemu-img");
            command.args(["convert", "-f", "raw", "-c", "-O", "qcow2"]);
            command.args(["-o", "compression_type=zstd"]).arg(image).arg(out);
            command
        },
        unpack: |packed, out| {
            let mut command = Command::new("qemu-img");
            command.args(["convert", "-f", "qcow2", "-O", "raw"]).arg(packed).arg(out);
            command
        },
    },
    Peer {
        name: "zstd -1 -T0",
        program: "zstd",
        pack: |image, out| {
            let mut command = Command::new("zstd");
            command.args(["-1", "-T0", "-q", "-f"]).arg(image).arg("-o").arg(out);
            command
        },
        unpack: |packed, out| {
            let mut command = Command::new("zstd");
            command.args(["-d", "-q", "-f"]).arg(packed).arg("-o").arg(out);
            command
        },
    },
];

impl Peer {
    /// Packs and unpacks the image once; a tool that is not installed is only noted.
    pub(super) fn round(&self, bench: &Bench, figures: &mut Figures) -> anyhow::Result<()> {
        if figures.absent.contains(&self.name) {
            return Ok(());
        }
        let mut version = Command::new(self.program);
        let found = version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            figures.absent.push(self.name);
            return Ok(());
        }
        let folder = tempfile::tempdir_in(&bench.folder)?;
        let path = |name: &str| folder.path().join(name);
        let base = &bench.images.base;
        let (sample, _) = measure::run(&mut (self.pack)(base, &path("packed")), &path("log"))?;
        let stored_bytes = Some(measure::stored(&path("packed"))?);
        let sample = Sample { stored_bytes, ..sample };
        figures.add(Step { tool: self.name, name: "backup" }, sample);
        let (sample, _) =
            measure::run(&mut (self.unpack)(&path("packed"), &path("image")), &path("log"))?;
        image::compare(base, &path("image"))?;
        figures.add(Step { tool: self.name, name: "restore" }, sample);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::image::{Layout, make};

    fn round(peer: &Peer) -> anyhow::Result<Figures> {
        let folder = tempfile::tempdir()?;
        let images = make(&Layout::new(2 << 20, 1), folder.path())?;
        let binary = folder.path().join("unused");
        let bench = Bench { binary, folder: folder.path().to_owned(), images };
        let mut figures = Figures::default();
        peer.round(&bench, &mut figures)?;
        Ok(figures)
    }

    fn copier(program: &'static str, honest: bool) -> Peer {
        let pack: fn(&Path, &Path) -> Command = |from, to| {
            let mut command = Command::new("cp");
            command.arg(from).arg(to);
            command
        };
        let forget: fn(&Path, &Path) -> Command = |_, to| {
            let mut command = Command::new("truncate");
            command.args(["-s", "1M"]).arg(to);
            command
        };
        let unpack = if honest { pack } else { forget };
        Peer { name: "copier", program, pack, unpack }
    }

    #[test]
    fn a_peer_is_measured_in_both_directions() {
        let figures = round(&copier("cp", true)).unwrap();
        let names: Vec<&str> = figures.order.iter().map(|step| step.name).collect();
        assert_eq!(names, ["backup", "restore"]);
    }

    #[test]
    fn a_peer_that_loses_bytes_is_an_error() {
        assert!(round(&copier("cp", false)).is_err());
    }

    #[test]
    fn a_missing_peer_is_noted() {
        let figures = round(&copier("no-such-program-here", true)).unwrap();
        assert_eq!(figures.absent, ["copier"]);
        assert!(figures.order.is_empty());
    }
}

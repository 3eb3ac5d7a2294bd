//! `cargo xtask bench`: what a backup costs, beside the tools that people would use instead.
//!
//! All tools work on the same made image in the same run, round by round in turn, so that a busy
//! machine is busy for all of them; what is printed are medians. A restore counts only when it
//! equals the image byte for byte. Tresor syncs what it claims to hold, the other tools do not.

mod image;
mod journey;
mod measure;
mod peer;
mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::process;
use image::Layout;
use measure::Sample;

/// A cold release build on two cores.
const BUILD_LIMIT: Duration = Duration::from_secs(45 * 60);

/// What `cargo xtask bench` takes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Size of the disk image in MiB.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u64).range(8..=65536))]
    size: u64,
    /// How often everything is repeated; the table shows medians.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Seed of the image: the same seed and size give the same bytes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where images, stores and outputs lie while it runs, about five times the size. It should
    /// be the kind of disk that matters. Without it: below cargo's target folder.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Measure this binary instead of building one in release.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Also write the figures of every round to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What one step of one tool is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Step {
    tool: &'static str,
    name: &'static str,
}

/// The samples of all rounds, in the order of the table.
#[derive(Default)]
struct Figures {
    order: Vec<Step>,
    samples: BTreeMap<Step, Vec<Sample>>,
    /// Tools that this machine lacks.
    absent: Vec<&'static str>,
}

impl Figures {
    fn add(&mut self, step: Step, sample: Sample) {
        if !self.order.contains(&step) {
            self.order.push(step);
        }
        self.samples.entry(step).or_default().push(sample);
    }
}

/// The folder of one run and the files in it.
struct Bench {
    binary: PathBuf,
    folder: PathBuf,
    images: image::Images,
}

/// Builds, measures, prints; an error is the only way to fail.
pub(crate) fn run(root: &Path, options: &Options) -> anyhow::Result<bool> {
    let metadata = cargo_metadata::MetadataCommand::new()
        .current_dir(root)
        .no_deps()
        .exec()
        .context("ask cargo for its target folder")?;
    let target = metadata.target_directory.into_std_path_buf();
    let binary = match &options.binary {
        Some(path) => std::path::absolute(path)?,
        None => {
            build(root)?;
            target.join("release/tresor")
        }
    };

    let above = options.folder.clone().unwrap_or_else(|| target.join("xtask"));
    std::fs::create_dir_all(&above).with_context(|| format!("create {}", above.display()))?;
    let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(&above)?;
    eprintln!("making an image of {} MiB and two changed copies", options.size);
    let layout = Layout::new(options.size.saturating_mul(1 << 20), options.seed);
    let images = image::make(&layout, folder.path()).context("make the images")?;
    let bench = Bench { binary, folder: folder.path().to_owned(), images };

    let mut figures = Figures::default();
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        journey::round(&bench, &mut figures).context("tresor")?;
        for peer in &peer::PEERS {
            peer.round(&bench, &mut figures).with_context(|| peer.name)?;
        }
    }
    table::print(options, &bench.images, &figures);
    if let Some(path) = &options.json {
        let text = table::json(options, &bench.images, &figures)?;
        std::fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(true)
}

fn build(root: &Path) -> anyhow::Result<()> {
    eprintln!("building tresor in release");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--locked", "-p", "tresor"]).current_dir(root);
    let ended = process::run(&mut command, BUILD_LIMIT)?;
    ensure!(ended.ok(), "cargo build: {}", ended.words());
    Ok(())
}

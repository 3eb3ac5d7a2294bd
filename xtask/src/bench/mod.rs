//! `cargo xtask bench`: what backups of disks cost, beside the tools that people would use instead.
//!
//! All tools work on the same images in the same run, in turn and from the same state of the page
//! cache, so that a busy machine is busy for all of them; what is printed are medians. A restore
//! counts only when it equals the image byte for byte. A step that fails, of Tresor or of a peer,
//! is named at the end and turns the exit code red; it is never left out in silence. Tresor syncs
//! what it claims to hold, most other tools do not.

mod cold;
mod figures;
mod image;
mod install;
mod journey;
mod measure;
mod random;
mod table;
mod target;
mod tool;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::ValueEnum as _;

use crate::process;
use cold::Cold;
use figures::Figures;
use image::{Images, Name};
use install::Programs;
use journey::Course;
use table::Race;
use tool::{Family, Journey, Tool};

/// A cold release build on two cores.
const BUILD_LIMIT: Duration = Duration::from_secs(45 * 60);

/// Making images at the largest scale on a slow disk.
const MAKE_LIMIT: Duration = Duration::from_secs(60 * 60);

/// MiB at scale 1 that stores and restored images need at most, beside the images.
const ROOM: u64 = 22 << 10;

/// What `cargo xtask bench` takes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Race beside restic, rustic, borg, benji, qemu-img, zstd and cp, which are fetched into the
    /// user's cache when the machine lacks them; without it Tresor runs alone.
    #[arg(long)]
    peers: bool,
    /// Size of everything; 1 is a disk of 8 GiB.
    #[arg(long, default_value_t = 1.0, value_parser = scale)]
    scale: f64,
    /// How often everything is repeated; the table shows medians.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Seed of the images: the same seed and scale give the same bytes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Use the images D0.img, D1.img, D2.img, R.img and Z.img of this folder instead of making
    /// some.
    #[arg(long, value_name = "DIR")]
    image: Option<PathBuf>,
    /// Only make the images that the steps need, in this folder, and stop.
    #[arg(long, value_name = "DIR", conflicts_with = "image")]
    make: Option<PathBuf>,
    /// Only these tools: part of a name, several with commas.
    #[arg(long, value_delimiter = ',')]
    tools: Vec<String>,
    /// Only these journeys, several with commas.
    #[arg(long, value_enum, value_delimiter = ',')]
    steps: Vec<Journey>,
    /// Where images, stores and outputs lie while it runs. It should be the kind of disk that
    /// matters. Without it: below cargo's target folder.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Measure this binary instead of building one in release.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Also write every run and the targets to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn scale(text: &str) -> Result<f64, String> {
    let scale: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    let fits = (0.01..=4.0).contains(&scale);
    fits.then_some(scale).ok_or_else(|| "the scale is from 0.01 to 4".to_owned())
}

impl Options {
    fn permille(&self) -> u64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "10 to 4000")]
        let permille = (self.scale * 1000.0).round() as u64;
        permille
    }

    fn journeys(&self) -> Vec<Journey> {
        let chosen = |journey: &Journey| self.steps.is_empty() || self.steps.contains(journey);
        Journey::ALL.into_iter().filter(chosen).collect()
    }

    /// The images that the journeys need.
    fn wanted(&self) -> Vec<Name> {
        let journeys = self.journeys();
        let needed = |name: &Name| journeys.iter().any(|one| one.images().contains(name));
        Name::ALL.into_iter().filter(needed).collect()
    }
}

/// Builds, measures, prints; true when every step of every tool worked.
pub(crate) fn run(root: &Path, options: &Options) -> anyhow::Result<bool> {
    if let Some(folder) = &options.make {
        std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        let images = Images::make(&options.wanted(), options.permille(), options.seed, folder)?;
        println!("{}", serde_json::to_string_pretty(&images.shape())?);
        return Ok(true);
    }
    let target = process::target_folder(root)?;
    let programs = programs(root, options, &target)?;
    let mut tools = tool::all(&programs);
    tools.retain(|tool| {
        let part_of = |part: &String| tool.name().contains(part.as_str());
        options.tools.is_empty() || options.tools.iter().any(part_of)
    });
    ensure!(!tools.is_empty(), "no tool is called like {:?}", options.tools);

    let above = options.folder.clone().unwrap_or_else(|| target.join("xtask"));
    std::fs::create_dir_all(&above).with_context(|| format!("create {}", above.display()))?;
    need_room(options, &above)?;
    let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(above.canonicalize()?)?;
    process::remove_on_signal(folder.path());
    let images = images(options, folder.path())?;
    let figures = race(options, &tools, &images, folder.path(), |figures| {
        report(options, &images, &programs, &tools, figures, false)
    })?;
    report(options, &images, &programs, &tools, &figures, true)?;
    folder.close().context("remove the images")?;
    Ok(figures.failures.is_empty())
}

/// Tresor's own binary and, when asked for, the peers.
fn programs(root: &Path, options: &Options, target: &Path) -> anyhow::Result<Programs> {
    let mut programs = Programs::default();
    let binary = match &options.binary {
        Some(path) => std::path::absolute(path)?,
        None => {
            build(root)?;
            target.join("release/tresor")
        }
    };
    programs.add("tresor", Ok(binary));
    ensure!(programs.absent.is_empty(), "Tresor does not run: {:?}", programs.absent);
    if options.peers {
        install::peers(&mut programs, &crate::test::cache_root()?.join("tresor-bench"))?;
    }
    Ok(programs)
}

fn images(options: &Options, folder: &Path) -> anyhow::Result<Images> {
    if let Some(ready) = &options.image {
        let images = Images::open(&ready.canonicalize()?, folder)?;
        for name in options.wanted() {
            images.size(name)?;
        }
        return Ok(images);
    }
    let wanted = options.wanted();
    eprintln!("making images {wanted:?} at scale {}", options.scale);
    let made = folder.join("images");
    // In a process of its own: what it needs must not show in the peak of those that we start.
    let mut command = Command::new(std::env::current_exe().context("find this program")?);
    command.args(["bench", "--make"]).arg(&made);
    command.args(["--scale", &options.scale.to_string(), "--seed", &options.seed.to_string()]);
    for journey in options.journeys() {
        let value = journey.to_possible_value().context("a journey without a name")?;
        command.args(["--steps", value.get_name()]);
    }
    command.stdout(Stdio::null());
    let ended = process::run(&mut command, MAKE_LIMIT)?;
    ensure!(ended.ok(), "making the images: {}", ended.words());
    Images::open(&made, folder)
}

/// Refuses to begin what would fill the disk.
fn need_room(options: &Options, folder: &Path) -> anyhow::Result<()> {
    let mut needed = ROOM.saturating_mul(options.permille()).saturating_mul(1 << 20) / 1000;
    if options.image.is_none() {
        needed = needed.saturating_add(image::room(&options.wanted(), options.permille()));
    }
    let disk = rustix::fs::statvfs(folder).context("ask for free room")?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let gib = |bytes: u64| bytes.div_ceil(1 << 30);
    ensure!(
        free >= needed,
        "{} has {} GiB free, this needs {}: choose another --folder or a smaller --scale",
        folder.display(),
        gib(free),
        gib(needed)
    );
    eprintln!("needs up to {} GiB in {}, {} free", gib(needed), folder.display(), gib(free));
    Ok(())
}

/// All rounds: journey by journey, the tools in turn, another one first in each round.
fn race(
    options: &Options,
    tools: &[Box<dyn Tool>],
    images: &Images,
    folder: &Path,
    kept: impl Fn(&Figures) -> anyhow::Result<()>,
) -> anyhow::Result<Figures> {
    let course = Course { images, folder, cold: Cold::find() };
    let names = tools.iter().map(|tool| tool.name()).collect();
    let mut figures = Figures { tools: names, ..Figures::default() };
    for round in 0..options.rounds {
        for journey in options.journeys() {
            eprintln!("round {} of {}, {journey:?}", round + 1, options.rounds);
            let first = usize::try_from(round)? % tools.len();
            for tool in tools.iter().cycle().skip(first).take(tools.len()) {
                if tool.takes(journey) {
                    journey::run(&course, tool.as_ref(), journey, &mut figures)?;
                }
            }
            // What was measured is not lost when the rest is interrupted.
            kept(&figures)?;
        }
    }
    Ok(figures)
}

/// Writes the file and, at the end, prints the table.
fn report(
    options: &Options,
    images: &Images,
    programs: &Programs,
    tools: &[Box<dyn Tool>],
    figures: &Figures,
    last: bool,
) -> anyhow::Result<()> {
    let dedup: Vec<&str> = tools
        .iter()
        .filter(|tool| tool.family() == Family::Dedup)
        .map(|tool| tool.name())
        .collect();
    let targets = target::all(figures, &dedup);
    let shape = images.shape();
    let race = Race {
        scale: options.scale,
        seed: options.seed,
        rounds: options.rounds,
        cold: Cold::find(),
        shape: &shape,
        programs,
        figures,
        targets: &targets,
    };
    if last {
        table::print(&race);
    }
    let Some(path) = &options.json else { return Ok(()) };
    std::fs::write(path, table::json(&race)?).with_context(|| format!("write {}", path.display()))
}

fn build(root: &Path) -> anyhow::Result<()> {
    eprintln!("building tresor in release");
    let mut command = process::cargo();
    command.args(["build", "--release", "--locked", "-p", "tresor"]).current_dir(root);
    let ended = process::run(&mut command, BUILD_LIMIT)?;
    ensure!(ended.ok(), "cargo build: {}", ended.words());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_have_bounds() {
        assert_eq!(scale("0.02"), Ok(0.02));
        assert!(scale("0.001").is_err() && scale("5").is_err() && scale("x").is_err());
    }
}

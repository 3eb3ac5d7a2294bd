//! `cargo xtask campaign`: the proofs of the store, for longer than a test may take.
//!
//! Each campaign is a test of the store that reads its size and its seeds from the environment
//! and prints one line for what it did; those lines make the table. A campaign that printed none
//! did not run and counts as failed.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::{fuzz, process};

/// Longest run of one campaign.
const LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// How the tests begin the lines that say what was done.
const MARKS: [&str; 2] = ["campaign: ", "capacity: "];

/// What can be proved at length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Campaign {
    /// Every state that a loss of power can leave.
    Crash,
    /// Every operation fails; disks are full.
    Faults,
    /// One bit is wrong.
    Flips,
    /// Everybody at once, and lives of stores against a model, by seeds.
    Interleave,
    /// Every parser is fuzzed.
    Fuzz,
    /// An index as large as that of many terabytes; the scale counts 64 GiB of data.
    Capacity,
}

impl Campaign {
    const ALL: [Self; 6] =
        [Self::Crash, Self::Faults, Self::Flips, Self::Interleave, Self::Fuzz, Self::Capacity];

    fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Faults => "faults",
            Self::Flips => "flips",
            Self::Interleave => "interleave",
            Self::Fuzz => "fuzz",
            Self::Capacity => "capacity",
        }
    }

    /// The tests of the store that it is, as cargo names them.
    fn tests(self) -> &'static [&'static str] {
        match self {
            Self::Crash => &["--test", "images", "--"],
            Self::Faults => &["--test", "faults", "--test", "upkeep", "--test", "full", "--"],
            Self::Flips => &["--test", "flips", "--"],
            Self::Interleave => &["--test", "interleave", "--test", "lives", "--"],
            Self::Capacity => &["--lib", "--", "index::capacity"],
            Self::Fuzz => &[],
        }
    }
}

/// What `cargo xtask campaign` takes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Which to run; all of them when none is named.
    #[arg(value_enum)]
    campaigns: Vec<Campaign>,
    /// How many times the ordinary amount of work.
    #[arg(long, default_value_t = 1)]
    scale: u64,
    /// Seeds of interleavings, lives and full disks; 400 times the scale when not given.
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed; an ordinary test begins with its own.
    #[arg(long)]
    seed: Option<u64>,
    /// Seconds for each fuzz target.
    #[arg(long, default_value_t = 60)]
    time: u64,
}

/// A line of the table.
struct Row {
    name: &'static str,
    wall: Duration,
    ok: bool,
    log: PathBuf,
    said: Vec<String>,
}

/// Runs the chosen campaigns and prints their table; true when none failed.
pub(crate) fn run(root: &Path, options: &Options) -> anyhow::Result<bool> {
    let target = process::target_folder(root)?;
    let work = target.join("xtask");
    std::fs::create_dir_all(work.join("logs"))?;
    let chosen = Campaign::ALL.into_iter();
    let chosen = chosen.filter(|c| options.campaigns.is_empty() || options.campaigns.contains(c));
    let mut rows = Vec::new();
    for campaign in chosen {
        eprintln!("{}: running", campaign.name());
        let row = match campaign {
            Campaign::Fuzz => fuzzed(root, &target, &work, options)?,
            other => tested(root, &work, other, options)?,
        };
        rows.push(row);
    }
    print_table(&rows);
    Ok(rows.iter().all(|row| row.ok))
}

fn tested(root: &Path, work: &Path, campaign: Campaign, options: &Options) -> anyhow::Result<Row> {
    let name = campaign.name();
    let log = work.join("logs").join(format!("campaign-{name}.log"));
    let seeds = options.seeds.unwrap_or_else(|| options.scale.saturating_mul(400));
    let mut command = process::cargo();
    command
        .args(["test", "--locked", "-p", "tresor-store"])
        .args(campaign.tests())
        .args(["--nocapture", "--test-threads", "1"])
        .current_dir(root)
        .env("TRESOR_CAMPAIGN_SCALE", options.scale.to_string())
        .env("TRESOR_SEEDS", seeds.to_string())
        .env("TRESOR_FAULTS_STRIDE", "1")
        .env("TRESOR_CAPACITY_TIB", (options.scale as f64 / 16.0).to_string());
    if let Some(seed) = options.seed {
        command.env("TRESOR_CAMPAIGN_SEED", seed.to_string());
    }
    let ended = process::run_logged(&mut command, LIMIT, &log)?;
    let text = std::fs::read_to_string(&log).context("read the log")?;
    let said = said(&text);
    let ok = ended.ok() && !said.is_empty();
    Ok(Row { name, wall: ended.wall, ok, log, said })
}

/// What the tests said they did.
fn said(log: &str) -> Vec<String> {
    let said = |line: &str| MARKS.iter().find_map(|mark| Some(line.split_once(mark)?.1.to_owned()));
    log.lines().filter_map(said).collect()
}

fn fuzzed(root: &Path, target: &Path, work: &Path, options: &Options) -> anyhow::Result<Row> {
    let start = Instant::now();
    let (mut ok, mut log) = fuzz::build(root, target, work, LIMIT)?;
    let mut said = Vec::new();
    let targets = if ok { fuzz::targets(root)? } else { Vec::new() };
    for name in targets {
        let fuzzed = fuzz::run(root, target, work, &name, options.time)?;
        said.push(format!("fuzz, {name}: {} inputs", fuzzed.inputs));
        if !fuzzed.ok {
            (ok, log) = (false, fuzzed.log);
        }
    }
    Ok(Row { name: "fuzz", wall: start.elapsed(), ok, log, said })
}

fn print_table(rows: &[Row]) {
    println!("campaign    seconds  result  log");
    for row in rows {
        let result = if row.ok { "ok" } else { "FAILED" };
        let (seconds, log) = (row.wall.as_secs_f64(), row.log.display());
        println!("{:<10} {seconds:>8.1}  {result:<6}  {log}", row.name);
        for line in &row.said {
            println!("    {line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_tests_say_is_found_also_behind_their_names() {
        let log = "running 1 test\ntest a ... campaign: crash, 5 images\nok\ncapacity: b\n";
        assert_eq!(said(log), ["crash, 5 images", "b"]);
    }
}

//! `cargo xtask test`: everything that must be green, in one command.
//!
//! The parts run one after another, the cheap ones first, each with a budget and all together
//! within a deadline. A part that passes is one line; the output of a part that fails is shown in
//! full. The last line is always `N passed, M failed` and the exit code agrees with it.

mod count;
mod examples;
mod node;
mod part;
mod python;
mod tool;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::ValueEnum as _;

use crate::process;
use part::Part;

/// All parts together: two cores of a build machine must do it within the hour.
const DEADLINE: Duration = Duration::from_secs(58 * 60);

/// What `cargo xtask test` takes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run this part alone, with what it needs; may be given several times.
    #[arg(long, value_enum)]
    only: Vec<Part>,
}

/// The places of one run.
struct Places {
    /// The checkout.
    root: PathBuf,
    /// Cargo's target folder.
    target: PathBuf,
    /// Output of the parts, and their temporary folders.
    work: PathBuf,
    /// Tools that outlive the checkout.
    cache: PathBuf,
}

/// How many checks a part counted. A part that is one check counts 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
    skipped: u64,
}

/// What became of a part.
struct Outcome {
    count: Count,
    /// Why it failed or did not run; empty when there is nothing to say.
    note: String,
    /// What to show when it failed.
    logs: Vec<PathBuf>,
    /// What to show when it failed and no log holds it.
    text: String,
}

impl Outcome {
    /// A part that is one check.
    fn of(ok: bool, note: String) -> Self {
        let count = Count { passed: u64::from(ok), failed: u64::from(!ok), skipped: 0 };
        Self { count, note, logs: Vec::new(), text: String::new() }
    }

    /// A part whose tool this machine lacks: neither passed nor failed, and said so.
    fn absent(note: String) -> Self {
        Self { count: Count::default(), note, logs: Vec::new(), text: String::new() }
    }
}

/// A line of the final table.
struct Row {
    part: Part,
    wall: Duration,
    outcome: Outcome,
}

/// Runs the chosen parts; true when none failed.
pub(crate) fn run(root: &Path, options: &Options) -> anyhow::Result<bool> {
    let start = Instant::now();
    let places = places(root)?;
    let mut rows: Vec<Row> = Vec::new();
    for part in chosen(&options.only) {
        eprintln!("{part}: running, at most {} s", part.budget().as_secs());
        let left = DEADLINE.saturating_sub(start.elapsed());
        let began = Instant::now();
        let broken = part.needs_binary()
            && rows.iter().any(|row| row.part == Part::Binary && row.outcome.count.failed > 0);
        let outcome = if broken {
            Outcome::of(false, "not run: the binary was not built".to_owned())
        } else if left.is_zero() {
            Outcome::of(false, "not run: the time for all parts is over".to_owned())
        } else {
            let limit = left.min(part.budget());
            part.run(&places, limit)
                .unwrap_or_else(|error| Outcome::of(false, format!("{error:#}")))
        };
        let row = Row { part, wall: began.elapsed(), outcome };
        report(&row)?;
        rows.push(row);
    }
    let total = total(&rows);
    print_table(&rows);
    println!("logs: {}", places.work.join("logs").display());
    println!("{} passed, {} failed", total.passed, total.failed);
    Ok(total.failed == 0)
}

/// The parts to run, in their fixed order, with the binary before those that need it.
fn chosen(only: &[Part]) -> Vec<Part> {
    let binary = only.iter().any(|part| part.needs_binary());
    let wanted =
        |part: &Part| only.is_empty() || only.contains(part) || (binary && *part == Part::Binary);
    Part::value_variants().iter().copied().filter(wanted).collect()
}

fn places(root: &Path) -> anyhow::Result<Places> {
    let target = process::target_folder(root)?;
    let work = target.join("xtask");
    std::fs::create_dir_all(work.join("logs"))
        .with_context(|| format!("create {}", work.display()))?;
    let cache = cache_root()?.join("tresor-test");
    Ok(Places { root: root.to_owned(), target, work, cache })
}

/// `$XDG_CACHE_HOME`, or `~/.cache`.
pub(crate) fn cache_root() -> anyhow::Result<PathBuf> {
    let named = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let usable = named.filter(|path| path.is_absolute()).or(home);
    usable.context("neither XDG_CACHE_HOME nor HOME is set: no place for the cached tools")
}

fn total(rows: &[Row]) -> Count {
    rows.iter().fold(Count::default(), |sum, row| Count {
        passed: sum.passed.saturating_add(row.outcome.count.passed),
        failed: sum.failed.saturating_add(row.outcome.count.failed),
        skipped: sum.skipped.saturating_add(row.outcome.count.skipped),
    })
}

/// One line for a part that passed, everything it said for one that failed.
fn report(row: &Row) -> anyhow::Result<()> {
    let outcome = &row.outcome;
    let mut out = std::io::stdout().lock();
    if outcome.count.failed > 0 {
        for log in &outcome.logs {
            writeln!(out, "--- {}: {}", row.part, log.display())?;
            let mut file = std::fs::File::open(log).context("open the log")?;
            std::io::copy(&mut file, &mut out).context("show the log")?;
        }
        if !outcome.text.is_empty() {
            writeln!(out, "--- {}\n{}", row.part, outcome.text.trim_end())?;
        }
    }
    let note = if outcome.note.is_empty() { String::new() } else { format!(" ({})", outcome.note) };
    let seconds = row.wall.as_secs_f64();
    writeln!(out, "{}: {}, {seconds:.1} s{note}", row.part, verdict(outcome))?;
    Ok(())
}

fn verdict(outcome: &Outcome) -> String {
    match outcome.count {
        Count { failed: 0, passed: 0, .. } => "did not run".to_owned(),
        Count { failed: 0, passed, .. } => format!("ok, {passed} passed"),
        Count { failed, passed, .. } => format!("FAILED, {passed} passed, {failed} failed"),
    }
}

fn print_table(rows: &[Row]) {
    println!();
    println!("part       seconds  budget  passed  failed  skipped  result");
    for row in rows {
        let Count { passed, failed, skipped } = row.outcome.count;
        let result = match (failed, passed) {
            (0, 0) => "did not run",
            (0, _) => "ok",
            _ => "FAILED",
        };
        let (seconds, budget) = (row.wall.as_secs_f64(), row.part.budget().as_secs());
        let name = row.part.to_string();
        println!(
            "{name:<9} {seconds:>8.1} {budget:>7} {passed:>7} {failed:>7} {skipped:>8}  {result}"
        );
    }
    println!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_runs_when_nothing_is_chosen() {
        assert_eq!(chosen(&[]), Part::value_variants());
    }

    #[test]
    fn binary_precedes_what_needs_it() {
        assert_eq!(chosen(&[Part::Kill]), [Part::Binary, Part::Kill]);
        assert_eq!(chosen(&[Part::Unit, Part::Fmt]), [Part::Fmt, Part::Unit]);
    }

    #[test]
    fn counts_are_summed_over_parts() {
        let row = |passed, failed| {
            let count = Count { passed, failed, skipped: 1 };
            let outcome = Outcome { count, ..Outcome::of(true, String::new()) };
            Row { part: Part::Unit, wall: Duration::ZERO, outcome }
        };
        let sum = total(&[row(3, 0), row(4, 2)]);
        assert_eq!(sum, Count { passed: 7, failed: 2, skipped: 2 });
    }

    #[test]
    fn a_part_that_ran_nothing_is_not_called_ok() {
        assert_eq!(verdict(&Outcome::absent(String::new())), "did not run");
        assert!(verdict(&Outcome::of(false, String::new())).starts_with("FAILED"));
    }
}

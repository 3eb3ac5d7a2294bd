//! The figures for people and for machines.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::cold::Cold;
use super::figures::{Figures, Row, Step};
use super::image::Shape;
use super::install::Programs;
use super::measure::Sample;
use super::target::Target;
use super::tool::{TRESOR, VAULT};

/// What a race was: everything that is printed.
pub(super) struct Race<'a> {
    pub(super) scale: f64,
    pub(super) seed: u64,
    pub(super) rounds: u32,
    pub(super) cold: Cold,
    pub(super) shape: &'a Shape,
    pub(super) programs: &'a Programs,
    pub(super) figures: &'a Figures,
    pub(super) targets: &'a [Target],
}

/// Tresor's wall and CPU time by a peer's, in the given profile.
fn ratios(figures: &Figures, row: &Row, profile: &str) -> (Option<f64>, Option<f64>) {
    let Some(own) = figures.row(row.step, profile) else { return (None, None) };
    let quotient = |own: f64, peer: f64| (peer > 0.0).then(|| own / peer);
    (quotient(own.seconds, row.seconds), quotient(own.cpu, row.cpu))
}

/// Prints the table.
pub(super) fn print(race: &Race<'_>) {
    println!();
    println!(
        "scale {}, medians of {} rounds, {} cores, page cache {}; D1 {:.1} MiB changed",
        race.scale,
        race.rounds,
        cores(),
        match race.cold {
            Cold::Dropped => "dropped before each step",
            Cold::Advised => "advised away before each step",
        },
        super::figures::mib(race.shape.changes.in_4k),
    );
    println!("ratios: Tresor's wall and CPU time by the tool's, operational and vault profile");
    println!();
    println!(
        "{:<19}{:>9}{:>9}{:>7}{:>9}{:>12}{:>14}{:>12}{:>7}",
        "", "wall s", "CPU s", "MiB", "stored", "oper. wall", "CPU", "vault wall", "CPU"
    );
    let mut step = None;
    for row in race.figures.rows() {
        if step != Some(row.step) {
            step = Some(row.step);
            println!("{}", row.step.name());
        }
        let operational = ratios(race.figures, &row, TRESOR);
        let vault = ratios(race.figures, &row, VAULT);
        println!(
            "  {:<17}{:>9.2}{:>9.2}{:>7.0}{}{}{}{}{}",
            row.tool,
            row.seconds,
            row.cpu,
            row.peak,
            cell(row.stored, 9, 1),
            cell(operational.0, 12, 2),
            cell(operational.1, 14, 2),
            cell(vault.0, 12, 2),
            cell(vault.1, 7, 2),
        );
    }
    print_targets(race);
}

fn print_targets(race: &Race<'_>) {
    println!();
    println!("{:<50}{:>8}{:>8}  met", "target", "ratio", "limit");
    for target in race.targets {
        let met = match target.met {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "unknown",
        };
        let (ratio, limit) = (cell(target.ratio, 8, 3), target.limit);
        println!("{:<50}{ratio}{limit:>8}  {met} ({})", target.name, target.against);
    }
    println!();
    for (name, reason) in &race.programs.absent {
        println!("absent: {name}: {reason}");
    }
    for failure in &race.figures.failures {
        println!("FAILED: {}, {}: {}", failure.tool, failure.step, failure.error);
    }
}

/// The medians, every sample and the targets.
pub(super) fn json(race: &Race<'_>) -> anyhow::Result<String> {
    let steps: Vec<Value> = race
        .figures
        .samples
        .iter()
        .map(|((step, tool), samples)| sampled(race.figures, *step, tool, samples))
        .collect();
    let document = json!({
        "scale": race.scale,
        "seed": race.seed,
        "rounds": race.rounds,
        "cores": cores(),
        "page_cache": race.cold,
        "images": race.shape,
        "versions": race.programs.versions,
        "absent": race.programs.absent,
        "steps": steps,
        "failures": race.figures.failures,
        "targets": race.targets,
    });
    let text = serde_json::to_string_pretty(&document).context("write JSON")?;
    Ok(format!("{text}\n"))
}

fn sampled(figures: &Figures, step: Step, tool: &str, samples: &[Sample]) -> Value {
    let median = figures.row(step, tool).map(|row| {
        let pair = |(wall, cpu): (Option<f64>, Option<f64>)| json!({"wall": wall, "cpu": cpu});
        json!({
            "seconds": row.seconds,
            "cpu_seconds": row.cpu,
            "peak_mib": row.peak,
            "stored_mib": row.stored,
            "operational_ratio": pair(ratios(figures, &row, TRESOR)),
            "vault_ratio": pair(ratios(figures, &row, VAULT)),
        })
    });
    json!({"step": step.name(), "tool": tool, "median": median, "rounds": samples})
}

fn cell(value: Option<f64>, width: usize, digits: usize) -> String {
    value.map_or_else(|| format!("{:>width$}", "-"), |value| format!("{value:>width$.digits$}"))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(0, std::num::NonZero::get)
}

#[cfg(test)]
mod tests {
    use super::super::figures::sample;
    use super::*;

    #[test]
    fn ratios_are_tresor_by_peer_of_the_same_step() {
        let mut figures = Figures::default();
        figures.add(Step::First, TRESOR, sample(2.0, 3.0, 1));
        figures.add(Step::First, VAULT, sample(8.0, 6.0, 1));
        figures.add(Step::First, "peer", sample(4.0, 6.0, 1));
        figures.add(Step::Verify, "peer", sample(4.0, 6.0, 1));
        let row = figures.row(Step::First, "peer").unwrap();
        assert_eq!(ratios(&figures, &row, TRESOR), (Some(0.5), Some(0.5)));
        assert_eq!(ratios(&figures, &row, VAULT), (Some(2.0), Some(1.0)));
        let row = figures.row(Step::Verify, "peer").unwrap();
        assert_eq!(ratios(&figures, &row, TRESOR), (None, None));
    }

    #[test]
    fn a_missing_figure_is_a_dash() {
        assert_eq!(cell(None, 5, 1), "    -");
        assert_eq!(cell(Some(1.25), 6, 1), "   1.2");
    }

    #[test]
    fn the_file_holds_every_run_and_every_target() {
        let mut figures = Figures::default();
        figures.add(Step::First, TRESOR, sample(2.0, 3.0, 1));
        figures.add(Step::First, TRESOR, sample(4.0, 3.0, 1));
        let shape = Shape::default();
        let programs = Programs::default();
        let targets = super::super::target::all(&figures, &[]);
        let race = Race {
            scale: 1.0,
            seed: 1,
            rounds: 2,
            cold: Cold::Advised,
            shape: &shape,
            programs: &programs,
            figures: &figures,
            targets: &targets,
        };
        let value: Value = serde_json::from_str(&json(&race).unwrap()).unwrap();
        assert_eq!(value["steps"][0]["rounds"].as_array().unwrap().len(), 2);
        assert_eq!(value["steps"][0]["median"]["seconds"], 3.0);
        assert_eq!(value["targets"].as_array().unwrap().len(), 19);
        for key in ["name", "ratio", "limit", "met"] {
            assert!(value["targets"][0].get(key).is_some(), "{key}");
        }
    }
}

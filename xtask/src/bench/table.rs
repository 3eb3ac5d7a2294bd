//! The figures for people and for machines.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::image::Images;
use super::measure::{Sample, median};
use super::{Figures, Options, Step};

const MIB: f64 = 1024.0 * 1024.0;

/// The medians of one step.
struct Row {
    step: Step,
    seconds: Option<f64>,
    cpu: Option<f64>,
    peak: Option<f64>,
    read: Option<f64>,
    stored: Option<f64>,
}

fn rows(figures: &Figures) -> Vec<Row> {
    let rows = figures.order.iter().filter_map(|step| {
        let samples = figures.samples.get(step)?;
        Some(Row {
            step: *step,
            seconds: median(samples, |sample| Some(sample.seconds)),
            cpu: median(samples, |sample| Some(sample.cpu_seconds)),
            peak: median(samples, |sample| Some(mib(sample.peak_bytes))),
            read: median(samples, |sample| sample.read_bytes.map(mib)),
            stored: median(samples, |sample| sample.stored_bytes.map(mib)),
        })
    });
    rows.collect()
}

/// How many times as long as Tresor's own step of the same kind.
fn ratio(rows: &[Row], row: &Row) -> Option<f64> {
    let kind = if row.step.name.starts_with("restore") { "restore" } else { "first backup" };
    let own = rows.iter().find(|other| other.step == Step { tool: "tresor", name: kind })?;
    let (seconds, own) = (row.seconds?, own.seconds?);
    (own > 0.0).then(|| seconds / own)
}

/// Prints the table.
pub(super) fn print(options: &Options, images: &Images, figures: &Figures) {
    let rows = rows(figures);
    println!();
    println!(
        "image {} MiB, {:.0} MiB not zero, {:.1} MiB changed; medians of {} rounds; {} cores",
        options.size,
        mib(images.used),
        mib(images.changed.bytes),
        options.rounds,
        cores(),
    );
    println!("x: time as a multiple of Tresor's first backup, or of its restore");
    println!();
    println!(
        "{:<27}{:<21}{:>8}{:>7}{:>8}{:>10}{:>10}{:>12}",
        "tool", "step", "seconds", "x", "CPU s", "peak MiB", "read MiB", "stored MiB"
    );
    for row in &rows {
        println!(
            "{:<27}{:<21}{}{}{}{}{}{}",
            row.step.tool,
            row.step.name,
            cell(row.seconds, 8, 2),
            cell(ratio(&rows, row), 7, 2),
            cell(row.cpu, 8, 2),
            cell(row.peak, 10, 0),
            cell(row.read, 10, 1),
            cell(row.stored, 12, 1),
        );
    }
    for tool in &figures.absent {
        println!("{tool:<27}not installed");
    }
}

/// The medians and every sample.
pub(super) fn json(
    options: &Options,
    images: &Images,
    figures: &Figures,
) -> anyhow::Result<String> {
    let rows = rows(figures);
    let steps: Vec<Value> = rows
        .iter()
        .map(|row| {
            let samples: &[Sample] =
                figures.samples.get(&row.step).map(Vec::as_slice).unwrap_or_default();
            json!({
                "tool": row.step.tool,
                "step": row.step.name,
                "median": {
                    "seconds": row.seconds,
                    "ratio": ratio(&rows, row),
                    "cpu_seconds": row.cpu,
                    "peak_mib": row.peak,
                    "read_mib": row.read,
                    "stored_mib": row.stored,
                },
                "rounds": samples,
            })
        })
        .collect();
    let document = json!({
        "size_mib": options.size,
        "used_bytes": images.used,
        "changed_bytes": images.changed.bytes,
        "seed": options.seed,
        "cores": cores(),
        "steps": steps,
        "not_installed": figures.absent,
    });
    let text = serde_json::to_string_pretty(&document).context("write JSON")?;
    Ok(format!("{text}\n"))
}

fn cell(value: Option<f64>, width: usize, digits: usize) -> String {
    value.map_or_else(|| format!("{:>width$}", "-"), |value| format!("{value:>width$.digits$}"))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(0, std::num::NonZero::get)
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people, exact up to 8 PiB")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_to_the_step_of_the_same_kind() {
        let mut figures = Figures::default();
        let sample = |seconds| Sample {
            seconds,
            cpu_seconds: 1.0,
            peak_bytes: 1 << 20,
            read_bytes: None,
            stored_bytes: Some(3 << 20),
        };
        let steps = [
            ("tresor", "first backup", 2.0),
            ("tresor", "restore", 4.0),
            ("other", "backup", 6.0),
            ("other", "restore", 6.0),
        ];
        for (tool, name, seconds) in steps {
            figures.add(Step { tool, name }, sample(seconds));
        }
        let rows = rows(&figures);
        let ratios: Vec<Option<f64>> = rows.iter().map(|row| ratio(&rows, row)).collect();
        assert_eq!(ratios, [Some(1.0), Some(1.0), Some(3.0), Some(1.5)]);
        assert_eq!(rows.first().unwrap().stored, Some(3.0));
    }

    #[test]
    fn a_missing_figure_is_a_dash() {
        assert_eq!(cell(None, 5, 1), "    -");
        assert_eq!(cell(Some(1.25), 6, 1), "   1.2");
    }
}

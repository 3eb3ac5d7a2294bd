//! What one run of one child cost.
//!
//! The kernel counts it for us when the child is waited for, descendants included. The peak of
//! memory begins with what this tool itself held when it forked: so this tool stays small.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::Serialize;
use walkdir::WalkDir;

use crate::process;

/// One step may take this long, whatever the size.
const LIMIT: Duration = Duration::from_secs(3600);

/// The cost of one step.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Sample {
    /// From start to end.
    pub(super) seconds: f64,
    /// User and system time of all threads.
    pub(super) cpu_seconds: f64,
    /// Peak of resident memory.
    pub(super) peak_bytes: u64,
    /// Bytes that the step added to what is kept.
    pub(super) stored_bytes: Option<u64>,
}

/// Runs a step that must succeed; returns its cost and what it printed.
pub(super) fn run(command: &mut Command, log: &Path) -> anyhow::Result<(Sample, String)> {
    let output = std::fs::File::create(log).context("create a file for the output")?;
    let errors = log.with_extension("err");
    command.stdout(output).stderr(std::fs::File::create(&errors)?).stdin(Stdio::null());
    let ended = process::run(command, LIMIT)?;
    let said = std::fs::read_to_string(&errors).unwrap_or_default();
    ensure!(ended.ok(), "{}: {}\n{}", words(command), ended.words(), said.trim_end());
    let cpu = ended.usage.utime.saturating_add(ended.usage.stime);
    let sample = Sample {
        seconds: ended.wall.as_secs_f64(),
        cpu_seconds: cpu.as_secs_f64(),
        peak_bytes: ended.usage.maxrss,
        stored_bytes: None,
    };
    Ok((sample, std::fs::read_to_string(log).context("read the output")?))
}

/// The command as one would type it, without its environment, which may hold passwords.
fn words(command: &Command) -> String {
    let program = command.get_program().to_string_lossy().into_owned();
    command.get_args().fold(program, |line, word| format!("{line} {}", word.to_string_lossy()))
}

/// What all files below a folder take, or a file: their length, or less where they have holes.
pub(super) fn stored(path: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0_u64;
    for entry in WalkDir::new(path) {
        let entry = entry?;
        if entry.file_type().is_file() {
            let found = entry.metadata()?;
            bytes = bytes.saturating_add(found.len().min(found.blocks().saturating_mul(512)));
        }
    }
    Ok(bytes)
}

/// The median of one figure over the rounds; none when a round lacks it.
pub(super) fn median(samples: &[Sample], figure: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
    let mut values: Vec<f64> = samples.iter().map(figure).collect::<Option<_>>()?;
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2)?;
    let lower = values.get(values.len().saturating_sub(1) / 2)?;
    Some((lower + upper) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(seconds: f64, stored_bytes: Option<u64>) -> Sample {
        Sample { seconds, cpu_seconds: 0.0, peak_bytes: 0, stored_bytes }
    }

    #[test]
    fn medians() {
        let seconds = |values: &[f64]| {
            let samples: Vec<Sample> = values.iter().map(|value| sample(*value, None)).collect();
            median(&samples, |sample| Some(sample.seconds))
        };
        assert_eq!(seconds(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(seconds(&[4.0, 1.0]), Some(2.5));
        assert_eq!(seconds(&[]), None);
        let partly = [sample(1.0, Some(3)), sample(1.0, None)];
        assert_eq!(median(&partly, |sample| sample.stored_bytes.map(|bytes| bytes as f64)), None);
    }

    #[test]
    fn cost_of_a_child() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done"]);
        let (sample, output) = run(&mut command, &folder.path().join("out")).unwrap();
        assert_eq!(output, "done\n");
        assert!(sample.cpu_seconds > 0.0 && sample.seconds > 0.0);
        assert!(sample.peak_bytes > 1 << 16);
        assert_eq!(stored(&folder.path().join("out")).unwrap(), 5);
        let hole = std::fs::File::create(folder.path().join("hole")).unwrap();
        hole.set_len(1 << 30).unwrap();
        assert_eq!(stored(&folder.path().join("hole")).unwrap(), 0);
        let mut fails = Command::new("sh");
        fails.args(["-c", "echo why >&2; exit 3"]).env("PASSWORD", "secret");
        let error = run(&mut fails, &folder.path().join("out")).unwrap_err().to_string();
        assert!(error.contains("exit code 3") && error.contains("why"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

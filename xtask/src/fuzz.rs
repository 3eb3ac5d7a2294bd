//! The fuzz targets of the store: built with coverage on the stable compiler, run one by one.
//!
//! The folder has the layout of `cargo fuzz`; a stable compiler can build it too, without the
//! address sanitizer, which programs without `unsafe` need least. New inputs go to a work
//! folder, never into the committed corpus; an input that fails is kept beside the logs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::process;

const FOLDER: &str = "crates/store/fuzz";
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// What libFuzzer needs to see of the program, as `cargo fuzz` asks for it.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                     -Cllvm-args=-sanitizer-coverage-pc-table \
                     -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";

/// What became of one target.
pub(crate) struct Fuzzed {
    pub(crate) target: String,
    /// Inputs that were run.
    pub(crate) inputs: u64,
    pub(crate) ok: bool,
    pub(crate) log: PathBuf,
}

/// The names of all targets.
pub(crate) fn targets(root: &Path) -> anyhow::Result<Vec<String>> {
    let folder = root.join(FOLDER).join("fuzz_targets");
    let entries = std::fs::read_dir(&folder).context("list the fuzz targets")?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    ensure!(!names.is_empty(), "{} holds no targets", folder.display());
    Ok(names)
}

/// What cargo says if the lock file of the targets, a workspace of their own, lags behind the
/// crates that they test. Asked in seconds and early: the targets are built late.
pub(crate) fn stale_lock(root: &Path) -> anyhow::Result<Option<String>> {
    let output = process::cargo()
        .args(["metadata", "--locked", "--format-version", "1"])
        .current_dir(root.join(FOLDER))
        .stdin(Stdio::null())
        .output()
        .context("start cargo metadata")?;
    let said = String::from_utf8_lossy(&output.stderr);
    Ok((!output.status.success()).then(|| said.trim_end().to_owned()))
}

/// Builds all targets into `target`; the log, and whether it worked.
pub(crate) fn build(
    root: &Path,
    target: &Path,
    work: &Path,
    limit: Duration,
) -> anyhow::Result<(bool, PathBuf)> {
    let log = work.join("logs/fuzz-build.log");
    let mut command = process::cargo();
    command
        .args(["build", "--release", "--locked", "--target", TRIPLE])
        .current_dir(root.join(FOLDER))
        .env("CARGO_TARGET_DIR", target.join("fuzz"))
        .env("RUSTFLAGS", FLAGS);
    let ended = process::run_logged(&mut command, limit, &log)?;
    Ok((ended.ok(), log))
}

/// Runs one target for `seconds` on two processors.
pub(crate) fn run(
    root: &Path,
    target: &Path,
    work: &Path,
    name: &str,
    seconds: u64,
) -> anyhow::Result<Fuzzed> {
    let program = target.join("fuzz").join(TRIPLE).join("release").join(name);
    let found = work.join("fuzz").join(name);
    let corpus = found.join("corpus");
    std::fs::create_dir_all(&corpus).context("make a folder for new inputs")?;
    let log = work.join("logs").join(format!("fuzz-{name}.log"));
    let started = Instant::now();
    let mut command = Command::new(program);
    command
        .arg(&corpus)
        .arg(root.join(FOLDER).join("corpus").join(name))
        .args(["-jobs=2", "-workers=2", "-print_final_stats=1", "-max_len=32768"])
        .args(["-timeout=10", "-rss_limit_mb=1024"])
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", found.display()))
        .current_dir(&found);
    let limit = Duration::from_secs(seconds.saturating_add(60));
    let ended = process::run_logged(&mut command, limit, &log)?;
    let mut inputs = 0_u64;
    for job in 0..2 {
        let text = std::fs::read_to_string(found.join(format!("fuzz-{job}.log")));
        inputs = inputs.saturating_add(executed(&text.unwrap_or_default()));
    }
    // A target that ended early without a word did not do its work.
    let lasted = started.elapsed() >= Duration::from_secs(seconds);
    let ok = ended.ok() && inputs > 0 && lasted;
    Ok(Fuzzed { target: name.to_owned(), inputs, ok, log })
}

/// The inputs in `stat::number_of_executed_units: 123`.
fn executed(log: &str) -> u64 {
    let counts = log.lines().filter_map(|line| {
        let number = line.strip_prefix("stat::number_of_executed_units:")?;
        number.trim().parse::<u64>().ok()
    });
    counts.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_counted() {
        let log = "#1 INITED\nstat::number_of_executed_units: 1200\nstat::peak_rss_mb: 60\n";
        assert_eq!(executed(log), 1200);
        assert_eq!(executed("nothing"), 0);
    }
}

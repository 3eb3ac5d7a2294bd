//! What was measured: every sample of every step of every tool, and what failed.

use std::collections::BTreeMap;

use super::measure::{Sample, median};

/// What a tool is measured at, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    First,
    Next,
    Listed,
    Sibling,
    Restore,
    ListedRestore,
    Verify,
    Random,
    RandomRestore,
    Sparse,
    SparseRestore,
    CopyFirst,
    CopyNext,
    CopyRestore,
}

impl Step {
    /// How table and file call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::First => "first backup D0",
            Self::Next => "next backup D1",
            Self::Listed => "next backup D1, listed changes",
            Self::Sibling => "sibling D2",
            Self::Restore => "restore D1",
            Self::ListedRestore => "restore D1 (listed)",
            Self::Verify => "deep verify",
            Self::Random => "random R",
            Self::RandomRestore => "restore R",
            Self::Sparse => "sparse Z",
            Self::SparseRestore => "restore Z",
            Self::CopyFirst => "copy D0",
            Self::CopyNext => "copy D1",
            Self::CopyRestore => "restore D1 (copied)",
        }
    }
}

/// A step that did not work: its tool has no figure for it.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct Failure {
    pub(super) tool: &'static str,
    pub(super) step: String,
    pub(super) error: String,
}

/// Everything that was measured.
#[derive(Default)]
pub(super) struct Figures {
    /// Tools in the order of the table.
    pub(super) tools: Vec<&'static str>,
    pub(super) samples: BTreeMap<(Step, &'static str), Vec<Sample>>,
    pub(super) failures: Vec<Failure>,
}

/// The medians of one step of one tool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) step: Step,
    pub(super) tool: &'static str,
    pub(super) seconds: f64,
    pub(super) cpu: f64,
    pub(super) peak: f64,
    pub(super) stored: Option<f64>,
}

impl Figures {
    /// Adds a sample.
    pub(super) fn add(&mut self, step: Step, tool: &'static str, sample: Sample) {
        if !self.tools.contains(&tool) {
            self.tools.push(tool);
        }
        self.samples.entry((step, tool)).or_default().push(sample);
    }

    /// The medians of a step; none when it failed in any round, for then it did not work.
    pub(super) fn row(&self, step: Step, tool: &str) -> Option<Row> {
        let failed = |failure: &Failure| failure.tool == tool && failure.step == step.name();
        if self.failures.iter().any(failed) {
            return None;
        }
        let tool = self.tools.iter().find(|name| **name == tool).copied()?;
        let samples = self.samples.get(&(step, tool))?;
        Some(Row {
            step,
            tool,
            seconds: median(samples, |sample| Some(sample.seconds))?,
            cpu: median(samples, |sample| Some(sample.cpu_seconds))?,
            peak: median(samples, |sample| Some(mib(sample.peak_bytes)))?,
            stored: median(samples, |sample| sample.stored_bytes.map(mib)),
        })
    }

    /// All rows, step by step, the tools in their order.
    pub(super) fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        let mut steps: Vec<Step> = self.samples.keys().map(|(step, _)| *step).collect();
        steps.dedup();
        for step in steps {
            rows.extend(self.tools.iter().filter_map(|tool| self.row(step, tool)));
        }
        rows
    }

    /// The largest peak of any sample of these tools, in MiB.
    pub(super) fn peak(&self, tools: &[&str]) -> Option<f64> {
        let samples = self.samples.iter().filter(|((_, tool), _)| tools.contains(tool));
        samples.flat_map(|(_, samples)| samples).map(|sample| sample.peak_bytes).max().map(mib)
    }
}

/// Bytes in MiB.
#[expect(clippy::cast_precision_loss, reason = "a figure for people, exact up to 8 PiB")]
pub(super) fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

/// A sample for tests.
#[cfg(test)]
pub(super) fn sample(seconds: f64, cpu_seconds: f64, stored: u64) -> Sample {
    Sample { seconds, cpu_seconds, peak_bytes: 50 << 20, stored_bytes: Some(stored << 20) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_failed_once_has_no_figure() {
        let mut figures = Figures::default();
        figures.add(Step::First, "one", sample(1.0, 1.0, 1));
        figures.add(Step::Next, "one", sample(1.0, 1.0, 1));
        assert_eq!(figures.rows().len(), 2);
        let failure = Failure { tool: "one", step: Step::Next.name().into(), error: "x".into() };
        figures.failures.push(failure);
        assert_eq!(figures.row(Step::Next, "one"), None);
        assert_eq!(figures.rows().len(), 1);
    }

    #[test]
    fn rows_go_by_step_then_tool() {
        let mut figures = Figures::default();
        for tool in ["b", "a"] {
            figures.add(Step::Next, tool, sample(1.0, 1.0, 1));
            figures.add(Step::First, tool, sample(3.0, 1.0, 1));
            figures.add(Step::First, tool, sample(5.0, 1.0, 1));
        }
        let order: Vec<_> = figures.rows().iter().map(|row| (row.step, row.tool)).collect();
        let (first, next) = (Step::First, Step::Next);
        assert_eq!(order, [(first, "b"), (first, "a"), (next, "b"), (next, "a")]);
        assert_eq!(figures.rows()[0].seconds, 4.0);
        assert_eq!(figures.peak(&["a"]), Some(50.0));
    }
}

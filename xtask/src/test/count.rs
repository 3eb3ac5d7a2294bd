//! Reads how many tests passed and failed from what the runners print.
//!
//! The exit code has the last word: a runner that failed without naming a failed test counts as
//! one failure, and a runner that succeeded without running anything as one, too.

use super::Count;

/// A runner whose summary we can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runner {
    /// `Summary [ 1.2s] 12 tests run: 11 passed, 1 failed, 0 skipped`
    Nextest,
    /// `test result: ok. 3 passed; 0 failed; 1 ignored; ...`, once for each binary
    Libtest,
    /// `1 failed, 3 passed, 2 skipped in 1.20s`, perhaps between `=` signs
    Pytest,
    /// `# pass 3`, `# fail 1`, each on a line of its own
    Tap,
}

/// The counts in `output`.
pub(super) fn read(runner: Runner, output: &str) -> Count {
    let summaries: Vec<&str> = match runner {
        Runner::Nextest => last(output, |line| line.split_once(" run: ").map(|(_, rest)| rest)),
        Runner::Libtest => output
            .lines()
            .filter_map(|line| line.strip_prefix("test result: ")?.split_once(". "))
            .map(|(_, rest)| rest)
            .collect(),
        Runner::Pytest => last(output, pytest_summary),
        Runner::Tap => return tap(output),
    };
    summaries.into_iter().flat_map(|line| line.split([',', ';'])).fold(Count::default(), add)
}

/// What a runner's counts and its exit mean together.
pub(super) fn settle(count: Count, ok: bool, may_be_empty: bool) -> Count {
    let empty = count.passed == 0 && !may_be_empty;
    let unnamed = count.failed == 0 && (!ok || empty);
    Count { failed: if unnamed { 1 } else { count.failed }, ..count }
}

fn last<'a>(output: &'a str, pick: impl Fn(&'a str) -> Option<&'a str>) -> Vec<&'a str> {
    output.lines().rev().find_map(pick).into_iter().collect()
}

fn pytest_summary(line: &str) -> Option<&str> {
    let (counts, time) = line.trim_matches(['=', ' ']).rsplit_once(" in ")?;
    let timed = time.starts_with(|char: char| char.is_ascii_digit()) && time.contains('s');
    let counted = counts.starts_with(|char: char| char.is_ascii_digit());
    (timed && counted).then_some(counts)
}

/// The counts of Node's runner. What was cancelled did not pass.
fn tap(output: &str) -> Count {
    let number = |name: &str| {
        let mut lines = output.lines().rev().filter_map(|line| line.strip_prefix("# "));
        let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        found.unwrap_or(0_u64)
    };
    Count {
        passed: number("pass"),
        failed: number("fail").saturating_add(number("cancelled")),
        skipped: number("skipped").saturating_add(number("todo")),
    }
}

/// Adds one entry such as `11 passed (1 slow)`.
fn add(count: Count, entry: &str) -> Count {
    let mut words = entry.split_whitespace();
    let Some(Ok(number)) = words.next().map(str::parse::<u64>) else {
        return count;
    };
    match words.next().unwrap_or_default() {
        "passed" => Count { passed: count.passed.saturating_add(number), ..count },
        "failed" | "error" | "errors" | "timed" | "exec" => {
            Count { failed: count.failed.saturating_add(number), ..count }
        }
        "skipped" | "ignored" | "xfailed" | "xpassed" => {
            Count { skipped: count.skipped.saturating_add(number), ..count }
        }
        _ => count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(passed: u64, failed: u64, skipped: u64) -> Count {
        Count { passed, failed, skipped }
    }

    #[test]
    fn nextest() {
        let output = "   PASS [ 0.1s] a b\n     Summary [   1.234s] 14 tests run: 11 passed \
                      (1 slow), 2 failed, 1 timed out, 3 skipped\nerror: test run failed\n";
        assert_eq!(read(Runner::Nextest, output), count(11, 3, 3));
        let one = "     Summary [   0.004s] 1 test run: 1 passed, 0 skipped";
        assert_eq!(read(Runner::Nextest, one), count(1, 0, 0));
        let stopped = "     Summary [   0.004s] 3/9 tests run: 2 passed, 1 failed, 0 skipped";
        assert_eq!(read(Runner::Nextest, stopped), count(2, 1, 0));
    }

    #[test]
    fn libtest_sums_all_binaries() {
        let output = "test a ... ok\n\
            test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished\n\
            test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(read(Runner::Libtest, output), count(4, 2, 1));
    }

    #[test]
    fn pytest() {
        let quiet = "....F\n1 failed, 12 passed, 2 skipped, 5 deselected, 1 error in 62.10s \
                     (0:01:02)\n";
        assert_eq!(read(Runner::Pytest, quiet), count(12, 2, 2));
        let framed = "===== 80 passed in 3.21s =====";
        assert_eq!(read(Runner::Pytest, framed), count(80, 0, 0));
        assert_eq!(read(Runner::Pytest, "12 passed in words only"), count(0, 0, 0));
    }

    #[test]
    fn tap() {
        let output = "ok 1 - a\n# Subtest: pass 99\n# tests 9\n# suites 0\n# pass 5\n# fail 1\n\
                      # cancelled 2\n# skipped 1\n# todo 0\n# duration_ms 99.5\n";
        assert_eq!(read(Runner::Tap, output), count(5, 3, 1));
        assert_eq!(read(Runner::Tap, "TAP version 13\n"), count(0, 0, 0));
    }

    #[test]
    fn the_exit_code_has_the_last_word() {
        assert_eq!(settle(count(3, 0, 0), true, false), count(3, 0, 0));
        assert_eq!(settle(count(3, 0, 0), false, false), count(3, 1, 0));
        assert_eq!(settle(count(3, 2, 0), false, false), count(3, 2, 0));
        assert_eq!(settle(count(0, 0, 9), true, false), count(0, 1, 9));
        assert_eq!(settle(count(0, 0, 0), true, true), count(0, 0, 0));
    }
}

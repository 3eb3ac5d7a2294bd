//! What the user reads: results on standard output, progress on standard error.
//!
//! Results can be piped, so nothing else is ever written to standard output (logs and progress go
//! to standard error). Progress is a moving bar on a terminal and plain lines everywhere else.

use std::fmt::Display;
use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use zeroize::Zeroizing;

/// Writes one line to standard output and hands it on at once, so that a reader of a pipe that
/// waits for the line gets it.
pub(crate) fn say(line: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Text of somebody else as it may stand in a line: control characters are written out, so that
/// it cannot move the cursor or pass for another line.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char.is_control() {
            true => out.extend(char.escape_default()),
            false => out.push(char),
        }
    }
    out
}

/// Writes one line to standard error; a closed standard error is no reason to stop.
pub(crate) fn note(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Asks on standard error and reads one line of standard input.
pub(crate) fn ask(question: &str) -> io::Result<String> {
    let mut error = io::stderr().lock();
    write!(error, "{question}")?;
    error.flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line)
}

/// Asks for a secret on the terminal; what is typed does not show.
pub(crate) fn ask_secret(question: &str) -> io::Result<Zeroizing<String>> {
    let terminal = console::Term::stderr();
    terminal.write_str(question)?;
    terminal.read_secure_line().map(Zeroizing::new)
}

/// One piece of work that the user watches.
pub(crate) struct Progress {
    bar: ProgressBar,
    plain: bool,
    /// Tenths of the work that plain lines have told.
    told: AtomicU64,
}

impl Progress {
    /// Work of `total` bytes.
    pub(crate) fn bytes(title: &str, total: u64) -> Progress {
        let shape = "{msg:<28} {bar:24} {percent:>3} % {bytes:>10} / {total_bytes:<10} \
             {bytes_per_sec:>12} {eta:>4}";
        Progress::shaped(title, total, shape)
    }

    /// Work whose progress is a percentage.
    pub(crate) fn percent(title: &str) -> Progress {
        Progress::shaped(title, 100, "{msg:<28} {bar:30} {pos:>3} % {elapsed:>4} {prefix}")
    }

    fn shaped(title: &str, total: u64, shape: &str) -> Progress {
        let plain = !io::stderr().is_terminal();
        if plain {
            note(format_args!("{title} ..."));
        }
        let target =
            if plain { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        let style =
            ProgressStyle::with_template(shape).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars("=> "));
        bar.set_message(title.to_owned());
        Progress { bar, plain, told: AtomicU64::new(0) }
    }

    /// How much the work is.
    pub(crate) fn expect(&self, total: u64) {
        self.bar.set_length(total);
    }

    /// More of the work is done.
    pub(crate) fn add(&self, amount: u64) {
        self.bar.inc(amount);
        self.line();
    }

    /// The work stands at `position`.
    pub(crate) fn at(&self, position: u64) {
        self.bar.set_position(position);
        self.line();
    }

    /// Where nothing can move, a line for each tenth of the work.
    fn line(&self) {
        let (Some(all), true) = (self.bar.length().filter(|all| *all > 0), self.plain) else {
            return;
        };
        let tenths = (u128::from(self.bar.position()) * 10 / u128::from(all)) as u64;
        // The end has a line of its own.
        if tenths < 10 && self.told.fetch_max(tenths, Ordering::Relaxed) < tenths {
            let words = self.bar.prefix();
            let gap = if words.is_empty() { "" } else { ", " };
            note(format_args!("    {}0 %{gap}{words}", tenths));
        }
    }

    /// How it goes, in words beside the bar.
    pub(crate) fn tell(&self, words: String) {
        self.bar.set_prefix(words);
    }

    /// The work is done; `result` stays on the screen.
    pub(crate) fn done(self, result: impl Display) {
        if self.plain {
            note(format_args!("    {result}"));
        } else {
            let title = self.bar.message();
            self.bar.finish_and_clear();
            note(format_args!("{title:<28} {result}"));
        }
    }
}

/// A number of bytes for people: binary units, one decimal.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut name = "KiB";
    for unit in UNITS.into_iter().skip(1) {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        name = unit;
    }
    format!("{value:.1} {name}")
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_read_well() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1024), "1.0 KiB");
        assert_eq!(size(512 << 20), "512.0 MiB");
        assert_eq!(size(u64::MAX), "16384.0 PiB");
    }
}

//! What long work shows while it runs, and how it is told to stop.

use std::io::{IsTerminal, stderr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;
use tresor_store::Watch;
use tresor_store::env::Env;

use crate::terminal::{Progress, note};

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Shown {
    /// A bar, on a terminal and without --json
    Auto,
    /// A line of JSON each second
    Json,
    /// Nothing
    None,
}

impl Shown {
    /// What that means for a command that prints text or JSON.
    pub(super) fn for_output(self, json: bool) -> Shown {
        match self {
            Shown::Auto if json || !stderr().is_terminal() => Shown::None,
            other => other,
        }
    }
}

/// Least time between two lines.
const PAUSE: Duration = Duration::from_secs(1);

/// One line.
#[derive(Serialize)]
struct Line<'a> {
    progress: &'a str,
    bytes: u64,
    total: u64,
    stored: u64,
    done: bool,
}

/// Shows the store's progress.
pub(super) struct Watcher {
    title: String,
    bar: Option<Progress>,
    lines: bool,
    stop: Arc<AtomicBool>,
    env: Env,
    bytes: AtomicU64,
    total: AtomicU64,
    stored: AtomicU64,
    told: Mutex<Duration>,
}

impl Watcher {
    /// Work that has not begun yet.
    pub(super) fn new(title: &str, shown: Shown, stop: Arc<AtomicBool>, env: Env) -> Watcher {
        let told = Mutex::new(env.monotonic());
        Watcher {
            title: title.to_owned(),
            bar: (shown == Shown::Auto).then(|| Progress::bytes(title, 0)),
            lines: shown == Shown::Json,
            stop,
            env,
            bytes: AtomicU64::new(0),
            total: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            told,
        }
    }

    /// The work is done.
    pub(super) fn done(self) {
        if self.lines {
            self.line(true);
        }
        if let Some(progress) = self.bar {
            progress.done("done");
        }
    }

    fn line(&self, done: bool) {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (bytes, total, stored) = (get(&self.bytes), get(&self.total), get(&self.stored));
        let line = Line { progress: &self.title, bytes, total, stored, done };
        if let Ok(text) = serde_json::to_string(&line) {
            note(text);
        }
    }
}

impl Watch for Watcher {
    fn expect(&self, bytes: u64) {
        self.total.store(bytes, Ordering::Relaxed);
        if let Some(progress) = &self.bar {
            progress.expect(bytes);
        }
    }

    fn advance(&self, bytes: u64, stored: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.stored.fetch_add(stored, Ordering::Relaxed);
        if let Some(progress) = &self.bar {
            progress.add(bytes);
        }
        if self.lines {
            let now = self.env.monotonic();
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if now.saturating_sub(*told) >= PAUSE {
                *told = now;
                self.line(false);
            }
        }
    }

    fn cancelled(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

//! Not faster than so many bytes a second.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::source::Watch;

/// The longest that is waited before the clock and the watcher are asked again.
const LOOK: Duration = Duration::from_millis(10);

/// A brake on reading, by the monotonic clock of the environment. Several threads share it.
pub(crate) struct Pace<'a> {
    env: &'a Env,
    watch: &'a dyn Watch,
    rate: Option<u64>,
    /// When the next request may begin.
    due: Mutex<Duration>,
}

impl<'a> Pace<'a> {
    /// At most `rate` bytes a second, if there is a rate.
    pub(crate) fn new(env: &'a Env, watch: &'a dyn Watch, rate: Option<u64>) -> Self {
        Self { env, watch, rate, due: Mutex::new(Duration::ZERO) }
    }

    /// Waits until a request of so many bytes may begin. Fails once the watcher wants to stop.
    pub(crate) fn take(&self, bytes: u64) -> Result<()> {
        let begin = match self.rate {
            None => Duration::ZERO,
            Some(rate) => {
                let cost = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
                let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
                let begin = (*due).max(self.env.monotonic());
                *due = begin.saturating_add(cost);
                begin
            }
        };
        loop {
            if self.watch.cancelled() {
                return Err(Error::new(ErrorKind::Cancelled, "the check was cancelled"));
            }
            let left = begin.saturating_sub(self.env.monotonic());
            if left.is_zero() {
                return Ok(());
            }
            thread::park_timeout(left.min(LOOK));
        }
    }
}

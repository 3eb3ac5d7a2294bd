//! How long something is tried again.

use std::time::Duration;

use crate::env::Env;
use crate::error::Error;
use crate::margins;

/// The tries of one operation: a bounded number, with growing pauses between them. Each pause is
/// drawn from the upper half of its range, so that many who failed together do not come back
/// together.
pub(super) struct Patience<'a> {
    env: &'a Env,
    tries: u32,
}

impl<'a> Patience<'a> {
    pub(super) fn new(env: &'a Env) -> Self {
        Self { env, tries: 1 }
    }

    /// After a failed try: waits, or says `false` when there is no further try.
    pub(super) fn pause(&mut self, error: &Error) -> bool {
        if self.tries >= margins::TRIES {
            return false;
        }
        let pause = longest(self.tries);
        let [chance] = self.env.bytes();
        let pause = pause / 2 + pause / 2 * u32::from(chance) / u32::from(u8::MAX);
        let (tries, cause) = (self.tries, crate::error::chain(error));
        tracing::debug!(tries, cause, pause = pause.as_secs_f64(), "an object store failed");
        self.env.pause(pause);
        self.tries += 1;
        true
    }
}

/// The longest pause after this many tries.
fn longest(tries: u32) -> Duration {
    let factor = 4_u32.saturating_pow(tries.saturating_sub(1));
    margins::PAUSE.saturating_mul(factor).min(margins::PAUSE_MAX)
}

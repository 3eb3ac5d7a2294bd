//! Time and chance.
//!
//! Nothing in this workspace asks the operating system for the time or for random bytes except
//! through an [`Env`], so that a test can own both: a run with the same seed is the same run.
//!
//! There are two clocks. The *domain* clock is what schedules, retention and point times see and
//! can be simulated also by users. The *real* clock drives tokens, leases and polls.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use uuid::Uuid;

/// A source of time.
pub trait Clock: Send + Sync {
    /// The time of schedules, retention and recovery points.
    fn domain(&self) -> Timestamp;
    /// The time of the outer world: tokens, certificates, leases.
    fn real(&self) -> Timestamp;
    /// Time since some fixed instant; never goes back.
    fn monotonic(&self) -> Duration;
    /// Holds the calling thread for `time`. A clock that stands still moves on instead.
    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// A source of unpredictable bytes.
pub trait Chance: Send + Sync {
    /// Fills `out` with random bytes.
    fn fill(&self, out: &mut [u8]);
}

/// A clock and a source of chance, passed as a parameter to whoever needs one.
#[derive(Clone)]
pub struct Env {
    clock: Arc<dyn Clock>,
    chance: Arc<dyn Chance>,
}

impl Env {
    /// The machine's own clock and random generator.
    pub fn system() -> Self {
        Self {
            clock: Arc::new(SystemClock { start: Instant::now() }),
            chance: Arc::new(SystemChance),
        }
    }

    /// An environment made of the given parts.
    pub fn new(clock: Arc<dyn Clock>, chance: Arc<dyn Chance>) -> Self {
        Self { clock, chance }
    }

    /// The same source of chance with another clock.
    #[must_use]
    pub fn with_clock(&self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, chance: Arc::clone(&self.chance) }
    }

    /// The time of schedules, retention and recovery points.
    pub fn domain(&self) -> Timestamp {
        self.clock.domain()
    }

    /// The time of the outer world.
    pub fn real(&self) -> Timestamp {
        self.clock.real()
    }

    /// Time since some fixed instant.
    pub fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Holds the calling thread for `time`; a simulated clock moves on instead.
    pub fn pause(&self, time: Duration) {
        self.clock.pause(time);
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut out = [0; N];
        self.chance.fill(&mut out);
        out
    }

    /// A random (version 4) UUID.
    pub fn uuid(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.bytes()).into_uuid()
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Env")
    }
}

struct SystemClock {
    start: Instant,
}

impl Clock for SystemClock {
    fn domain(&self) -> Timestamp {
        Timestamp::now()
    }

    fn real(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// The kernel's generator, asked each time: one of our own would take longer to begin (that of
/// aws-lc 30 ms in each process) than a short command takes.
struct SystemChance;

impl Chance for SystemChance {
    fn fill(&self, out: &mut [u8]) {
        if getrandom::fill(out).is_err() {
            // Going on with predictable keys would be worse than stopping.
            tracing::error!("the system's random generator failed");
            std::process::abort();
        }
    }
}

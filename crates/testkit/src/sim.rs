//! Simulated time and seeded chance.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tresor_store::env::{Chance, Clock, Env};

/// A clock that stands still until it is moved. All three times move together.
#[derive(Debug)]
pub struct SimClock {
    start: Timestamp,
    /// Nanoseconds since the start.
    elapsed: AtomicI64,
}

impl SimClock {
    /// A clock that shows `start`.
    pub fn new(start: Timestamp) -> Self {
        Self { start, elapsed: AtomicI64::new(0) }
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let nanos = i64::try_from(by.as_nanos()).unwrap_or(i64::MAX);
        self.elapsed.fetch_add(nanos, Ordering::SeqCst);
    }

    fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::from_nanos(self.elapsed.load(Ordering::SeqCst));
        self.start.checked_add(elapsed).unwrap_or(Timestamp::MAX)
    }
}

impl Clock for SimClock {
    fn domain(&self) -> Timestamp {
        self.now()
    }

    fn real(&self) -> Timestamp {
        self.now()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.elapsed.load(Ordering::SeqCst).unsigned_abs())
    }

    fn pause(&self, time: Duration) {
        self.advance(time);
    }
}

/// Bytes that look random and follow from a seed.
#[derive(Debug)]
pub struct SimChance {
    reader: Mutex<blake3::OutputReader>,
    /// Bytes handed out, for tests that compare runs.
    used: AtomicU64,
}

impl SimChance {
    /// The bytes of this seed.
    pub fn new(seed: u64) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("tresor testkit chance");
        hasher.update(&seed.to_le_bytes());
        Self { reader: Mutex::new(hasher.finalize_xof()), used: AtomicU64::new(0) }
    }

    /// How many bytes were handed out.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::SeqCst)
    }
}

impl Chance for SimChance {
    fn fill(&self, out: &mut [u8]) {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner).fill(out);
        self.used.fetch_add(out.len() as u64, Ordering::SeqCst);
    }
}

/// An environment with a clock at 2026-01-01 and the chance of `seed`, and the clock to move it.
pub fn sim_env(seed: u64) -> (Env, Arc<SimClock>) {
    let start = Timestamp::from_second(1_767_225_600).unwrap_or(Timestamp::UNIX_EPOCH);
    let clock = Arc::new(SimClock::new(start));
    (Env::new(Arc::clone(&clock) as Arc<dyn Clock>, Arc::new(SimChance::new(seed))), clock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stands_still_until_it_is_moved_and_chance_repeats_itself() {
        let (env, clock) = sim_env(1);
        let (before, started) = (env.domain(), env.monotonic());
        assert_eq!(env.real(), before);
        clock.advance(Duration::from_secs(3600));
        assert_eq!(env.domain().duration_since(before).as_secs(), 3600);
        assert_eq!(env.monotonic() - started, Duration::from_secs(3600));
        env.pause(Duration::from_secs(400));
        assert_eq!(env.monotonic() - started, Duration::from_secs(4000));
        let (same, other) = (sim_env(1).0, sim_env(2).0);
        let drawn: [u8; 40] = env.bytes();
        assert_eq!(same.bytes::<40>(), drawn);
        assert_ne!(other.bytes::<40>(), drawn);
        assert_eq!(env.uuid().get_version_num(), 4);
    }
}

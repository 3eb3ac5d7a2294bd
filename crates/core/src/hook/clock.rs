//! A domain clock that stands still until somebody moves it.
//!
//! It never goes back: points, jobs and dates that were derived from it would contradict each
//! other. Only domain time is simulated; tokens, leases and polls stay with the outer clock.

use crate::error::{Fault, Result};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tresor_store::env::{Clock, Env};

/// The latest time that it shows, 9000-01-01: dates that are derived from it stay within what a
/// timestamp can say.
const LATEST: i64 = 221_845_392_000;

/// A domain clock that is moved by hand.
#[derive(Debug)]
pub struct ManualClock {
    outer: Env,
    now: Mutex<Timestamp>,
}

impl ManualClock {
    /// A clock that shows `start`; every other time comes from `outer`.
    #[must_use]
    pub fn new(outer: Env, start: Timestamp) -> Arc<Self> {
        Arc::new(Self { outer, now: Mutex::new(start.min(latest())) })
    }

    /// The environment whose domain time is this clock's.
    #[must_use]
    pub fn env(self: &Arc<Self>) -> Env {
        self.outer.with_clock(Arc::clone(self) as Arc<dyn Clock>)
    }

    /// Moves on by a span, days and months of the UTC calendar; the new time.
    ///
    /// # Errors
    /// `InvalidInput`, which names `advance`, when it is negative or leads too far.
    pub fn advance(&self, by: Span) -> Result<Timestamp> {
        let mut now = self.lock();
        let to = now.to_zoned(TimeZone::UTC).checked_add(by).map(|to| to.timestamp());
        let to = to.ok().filter(|to| *to <= latest());
        match to {
            Some(to) if to >= *now => {
                *now = to;
                Ok(to)
            }
            Some(_) => Err(Fault::invalid("advance", "advance: the clock never goes back.").into()),
            None => Err(too_far("advance").into()),
        }
    }

    /// Moves on to a time; the new time.
    ///
    /// # Errors
    /// `InvalidInput`, which names `to`, when it is past or too far.
    pub fn advance_to(&self, to: Timestamp) -> Result<Timestamp> {
        let mut now = self.lock();
        if to < *now {
            let message = format!("to: the clock never goes back; it shows {}.", *now);
            return Err(Fault::invalid("to", message).into());
        }
        if to > latest() {
            return Err(too_far("to").into());
        }
        *now = to;
        Ok(to)
    }

    fn lock(&self) -> MutexGuard<'_, Timestamp> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn domain(&self) -> Timestamp {
        *self.lock()
    }

    fn real(&self) -> Timestamp {
        self.outer.real()
    }

    fn monotonic(&self) -> Duration {
        self.outer.monotonic()
    }

    fn pause(&self, time: Duration) {
        self.outer.pause(time);
    }
}

fn latest() -> Timestamp {
    Timestamp::from_second(LATEST).unwrap_or(Timestamp::MAX)
}

fn too_far(field: &str) -> Fault {
    Fault::invalid(field, format!("{field}: the clock goes no further than {}.", latest()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::ToSpan;
    use tresor_testkit::sim_env;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn only_domain_time_is_moved_and_never_back() {
        let (outer, outer_clock) = sim_env(1);
        let clock = ManualClock::new(outer.clone(), at("2030-01-01T00:00:00Z"));
        let env = clock.env();
        let (real, monotonic) = (env.real(), env.monotonic());
        outer_clock.advance(Duration::from_secs(60));
        assert_eq!(env.domain(), at("2030-01-01T00:00:00Z"));
        assert_eq!(env.real().duration_since(real).as_secs(), 60);
        assert_eq!(env.monotonic() - monotonic, Duration::from_secs(60));

        assert_eq!(clock.advance(4.hours()).unwrap(), env.domain());
        assert_eq!(clock.advance(Span::new()).unwrap(), at("2030-01-01T04:00:00Z"));
        assert_eq!(clock.advance_to(env.domain()).unwrap(), at("2030-01-01T04:00:00Z"));
        let refused = clock.advance((-1).seconds()).unwrap_err();
        assert_eq!(refused.fault.target.as_deref(), Some("advance"));
        let refused = clock.advance_to(at("2030-01-01T03:59:59Z")).unwrap_err();
        assert_eq!(refused.fault.target.as_deref(), Some("to"));
        assert_eq!(env.domain(), at("2030-01-01T04:00:00Z"), "a refusal moved the clock");
        assert_eq!(outer.domain(), real + Duration::from_secs(60), "the outer clock was moved");
    }

    #[test]
    fn it_ends_before_timestamps_do() {
        let clock = ManualClock::new(sim_env(1).0, at("2030-01-01T00:00:00Z"));
        assert!(clock.advance(9000.years()).is_err());
        assert!(clock.advance_to(Timestamp::MAX).is_err());
        assert_eq!(clock.advance_to(latest()).unwrap(), at("9000-01-01T00:00:00Z"));
    }
}

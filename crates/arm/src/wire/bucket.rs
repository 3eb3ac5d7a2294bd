//! Token buckets: how much of something each of many may do over time.
//!
//! A bucket holds `burst` tokens and gets `per_minute` back; whoever finds it empty is told how
//! long to wait. At most [`KEYS_MAX`] buckets are kept, whatever number of keys come: full ones are
//! the same as none and go first, then those that were used longest ago. So who has more keys than
//! that (a network of many addresses) can have old buckets forgotten, and no more than that.
//!
//! The `governor` crate does the same sum. It keeps its keys without a bound and brings a clock of
//! its own, so both would have to be built around it; what is left is the twenty lines below.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Buckets that are kept for one kind of limit.
pub(crate) const KEYS_MAX: usize = 8192;

/// A limit over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// What can be done at once; 0 switches the limit off.
    pub burst: u32,
    /// What comes back in a minute, at least 1.
    pub per_minute: u32,
}

impl Rate {
    fn per_second(self) -> f64 {
        f64::from(self.per_minute.max(1)) / 60.0
    }
}

/// The buckets of one kind.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    rate: Rate,
    kept: Mutex<HashMap<K, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    /// When `left` was true, monotonic.
    at: Duration,
}

/// How a request for a token ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// There is no limit.
    Unlimited,
    /// Granted; so many are left.
    Left(u32),
    /// None is left; one comes in so many whole seconds, at least 1.
    Wait(u64),
}

impl<K: Eq + Hash + Clone> Buckets<K> {
    /// Buckets that are all full.
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, kept: Mutex::default() }
    }

    /// Takes a token out of a key's bucket.
    pub(crate) fn take(&self, key: &K, now: Duration) -> Taken {
        if self.rate.burst == 0 {
            return Taken::Unlimited;
        }
        let mut kept = self.locked();
        let bucket = self.refilled(kept.get(key), now);
        if bucket.left < 1.0 {
            return self.wait(bucket);
        }
        let bucket = Bucket { left: bucket.left - 1.0, ..bucket };
        self.keep(&mut kept, key, bucket);
        Taken::Left(bucket.left as u32)
    }

    /// Takes a token that may not be there: the bucket then owes it, up to as many as it holds.
    pub(crate) fn charge(&self, key: &K, now: Duration) {
        if self.rate.burst > 0 {
            let mut kept = self.locked();
            let bucket = self.refilled(kept.get(key), now);
            let left = (bucket.left - 1.0).max(-f64::from(self.rate.burst));
            self.keep(&mut kept, key, Bucket { left, ..bucket });
        }
    }

    /// What [`Buckets::take`] would find, without taking.
    pub(crate) fn look(&self, key: &K, now: Duration) -> Taken {
        if self.rate.burst == 0 {
            return Taken::Unlimited;
        }
        let bucket = self.refilled(self.locked().get(key), now);
        if bucket.left < 1.0 { self.wait(bucket) } else { Taken::Left(bucket.left as u32) }
    }

    fn refilled(&self, bucket: Option<&Bucket>, now: Duration) -> Bucket {
        let burst = f64::from(self.rate.burst);
        let left = bucket.map_or(burst, |bucket| {
            let passed = now.saturating_sub(bucket.at).as_secs_f64();
            (bucket.left + passed * self.rate.per_second()).min(burst)
        });
        Bucket { left, at: now }
    }

    fn wait(&self, bucket: Bucket) -> Taken {
        let seconds = (1.0 - bucket.left) / self.rate.per_second();
        Taken::Wait((seconds.ceil() as u64).max(1))
    }

    fn keep(&self, kept: &mut HashMap<K, Bucket>, key: &K, bucket: Bucket) {
        if kept.len() >= KEYS_MAX && !kept.contains_key(key) {
            self.make_room(kept, bucket.at);
        }
        kept.insert(key.clone(), bucket);
    }

    fn make_room(&self, kept: &mut HashMap<K, Bucket>, now: Duration) {
        let burst = f64::from(self.rate.burst);
        kept.retain(|_, bucket| self.refilled(Some(bucket), now).left < burst);
        if kept.len() < KEYS_MAX {
            return;
        }
        // An eighth at a time, so that a new key costs little however many come.
        let mut times: Vec<Duration> = kept.values().map(|bucket| bucket.at).collect();
        let (_, oldest, _) = times.select_nth_unstable(KEYS_MAX / 8);
        let oldest = *oldest;
        kept.retain(|_, bucket| bucket.at > oldest);
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<K, Bucket>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.locked().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { burst: 3, per_minute: 30 };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_bucket_empties_and_fills_again() {
        let buckets = Buckets::new(RATE);
        let take = |second| buckets.take(&"a", at(second));
        assert_eq!([take(0), take(0), take(0)], [2, 1, 0].map(Taken::Left));
        assert_eq!(take(0), Taken::Wait(2));
        assert_eq!(buckets.look(&"a", at(1)), Taken::Wait(1));
        assert_eq!((take(2), take(2)), (Taken::Left(0), Taken::Wait(2)));
        assert_eq!(buckets.take(&"b", at(2)), Taken::Left(2));
        assert_eq!(take(1000), Taken::Left(2));
    }

    #[test]
    fn waiting_as_told_is_enough_and_less_is_not() {
        for per_minute in [1, 7, 59, 60, 61, 6000] {
            let buckets = Buckets::new(Rate { burst: 1, per_minute });
            assert_eq!(buckets.take(&0, at(0)), Taken::Left(0));
            let Taken::Wait(seconds) = buckets.take(&0, at(0)) else { panic!("{per_minute}") };
            assert!(seconds >= 1);
            assert_eq!(buckets.take(&0, at(seconds)), Taken::Left(0), "{per_minute}");
        }
    }

    #[test]
    fn what_is_charged_is_owed_up_to_a_bound() {
        let buckets = Buckets::new(RATE);
        for _ in 0..5 {
            buckets.charge(&0, at(0));
        }
        assert_eq!(buckets.look(&0, at(0)), Taken::Wait(6));
        for _ in 0..50 {
            buckets.charge(&0, at(0));
        }
        assert_eq!(buckets.take(&0, at(0)), Taken::Wait(8));
        assert_eq!(buckets.take(&0, at(8)), Taken::Left(0));
    }

    #[test]
    fn a_limit_can_be_off() {
        let buckets = Buckets::new(Rate { burst: 0, per_minute: 1 });
        buckets.charge(&0, at(0));
        assert_eq!(buckets.take(&0, at(0)), Taken::Unlimited);
        assert_eq!((buckets.look(&0, at(0)), buckets.count()), (Taken::Unlimited, 0));
    }

    #[test]
    fn the_number_of_buckets_is_bounded_and_the_newest_stay() {
        let buckets = Buckets::new(Rate { burst: 1, per_minute: 1 });
        let mut last = 0;
        for key in 0..3 * KEYS_MAX as u64 {
            // A thousand a second, so that none has filled up again.
            last = key;
            buckets.take(&key, Duration::from_millis(key));
            assert!(buckets.count() <= KEYS_MAX);
        }
        let now = Duration::from_millis(last);
        assert!(matches!(buckets.look(&last, now), Taken::Wait(_)));
        assert!(matches!(buckets.look(&(last - 100), now), Taken::Wait(_)));
        assert_eq!(buckets.look(&0, now), Taken::Left(1));
    }

    #[test]
    fn full_buckets_go_before_any_that_is_not() {
        let buckets = Buckets::new(Rate { burst: 2, per_minute: 60 });
        let now = Duration::from_secs(3);
        for key in 1..KEYS_MAX as u64 {
            buckets.take(&key, Duration::ZERO);
        }
        // Used before all others, and still not full when they are.
        buckets.take(&0, Duration::ZERO);
        buckets.take(&0, now);
        buckets.take(&u64::MAX, now);
        assert_eq!((buckets.count(), buckets.look(&0, now)), (2, Taken::Left(1)));
    }
}

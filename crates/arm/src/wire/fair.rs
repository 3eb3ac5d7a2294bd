//! Places of which no holder gets more than half, so that nobody can take them all.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::{Semaphore, SemaphorePermit};
use uuid::Uuid;

/// Places that are shared by many.
#[derive(Debug)]
pub(crate) struct Fair {
    places: Semaphore,
    share: usize,
    /// How many each holds; who holds none is not here.
    held: Mutex<HashMap<Uuid, usize>>,
}

/// A place, until it is dropped.
pub(crate) struct Held<'a> {
    fair: &'a Fair,
    who: Uuid,
    _place: SemaphorePermit<'a>,
}

impl Fair {
    /// So many places.
    pub(crate) fn new(places: usize) -> Self {
        let share = places.div_ceil(2);
        Self { places: Semaphore::new(places), share, held: Mutex::default() }
    }

    /// A place for somebody, if there is one and they do not hold their share.
    pub(crate) fn take(&self, who: Uuid) -> Option<Held<'_>> {
        let mut held = self.locked();
        if held.get(&who).is_some_and(|count| *count >= self.share) {
            return None;
        }
        let place = self.places.try_acquire().ok()?;
        *held.entry(who).or_default() += 1;
        Some(Held { fair: self, who, _place: place })
    }

    /// Places that nobody holds.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.places.available_permits()
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<Uuid, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut held = self.fair.locked();
        if let Some(count) = held.get_mut(&self.who) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                held.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_all_places() {
        let fair = Fair::new(5);
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut first: Vec<_> = (0..3).map(|_| fair.take(one).unwrap()).collect();
        assert!(fair.take(one).is_none());
        let _second: Vec<_> = (0..2).map(|_| fair.take(other).unwrap()).collect();
        assert!(fair.take(other).is_none() && fair.free() == 0);
        first.pop();
        assert!(fair.take(one).is_some());
        first.clear();
        assert_eq!(fair.locked().len(), 1);
    }

    #[test]
    fn a_single_place_can_be_had() {
        let fair = Fair::new(1);
        assert!(fair.take(Uuid::nil()).is_some());
        assert!(Fair::new(0).take(Uuid::nil()).is_none());
    }
}

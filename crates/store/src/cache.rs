//! A bounded cache.
//!
//! Two generations: new and used entries live in the young one; when it has half of the
//! capacity, the old one is dropped and the young one becomes old. That is close to
//! least-recently-used, costs one hash look-up and no links, and never exceeds its bound by more
//! than one entry.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

struct Generations<K, V> {
    young: HashMap<K, (V, usize)>,
    old: HashMap<K, (V, usize)>,
    weight: usize,
}

/// A map that forgets what was not used lately.
pub(crate) struct Cache<K, V> {
    half: usize,
    inner: Mutex<Generations<K, V>>,
}

impl<K: Eq + Hash + Clone, V: Clone> Cache<K, V> {
    /// A cache for entries of `capacity` weight in all.
    pub(crate) fn new(capacity: usize) -> Self {
        let inner = Generations { young: HashMap::new(), old: HashMap::new(), weight: 0 };
        Self { half: (capacity / 2).max(1), inner: Mutex::new(inner) }
    }

    /// The value of `key`, if it is still known.
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((value, _)) = inner.young.get(key) {
            return Some(value.clone());
        }
        let (value, weight) = inner.old.remove(key)?;
        self.add(&mut inner, key.clone(), value.clone(), weight);
        Some(value)
    }

    /// Remembers `value`, which weighs `weight`.
    pub(crate) fn put(&self, key: K, value: V, weight: usize) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        self.add(&mut inner, key, value, weight);
    }

    fn add(&self, inner: &mut Generations<K, V>, key: K, value: V, weight: usize) {
        if inner.weight > 0 && inner.weight + weight > self.half {
            inner.old = std::mem::take(&mut inner.young);
            inner.weight = 0;
        }
        if let Some((_, previous)) = inner.young.insert(key, (value, weight)) {
            inner.weight -= previous;
        }
        inner.weight += weight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_used_and_stays_bounded() {
        let cache = Cache::new(8);
        for i in 0..1000 {
            cache.put(i, i * 2, 1);
            assert_eq!(cache.get(&0), Some(0), "used at every step");
        }
        let inner = cache.inner.lock().unwrap();
        assert!(inner.young.len() + inner.old.len() <= 8);
        drop(inner);
        assert_eq!(cache.get(&1), None);
    }
}

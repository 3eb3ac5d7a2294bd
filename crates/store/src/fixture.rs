//! Keys, chance and time that are always the same: for encodings that are pinned byte for byte,
//! and for fuzz targets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use crate::env::{Chance, Clock, Env};
use crate::keys::{Domain, KeyRing};

/// Counts up, so that every draw is known.
struct Counting(AtomicU8);

impl Chance for Counting {
    fn fill(&self, out: &mut [u8]) {
        out.fill_with(|| self.0.fetch_add(1, Ordering::Relaxed));
    }
}

struct Stopped;

impl Clock for Stopped {
    fn domain(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn real(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// Time stands still; what is drawn counts up from 0.
pub(crate) fn env() -> Env {
    Env::new(Arc::new(Stopped), Arc::new(Counting(AtomicU8::new(0))))
}

/// The name of the store.
pub(crate) const STORE: Uuid = Uuid::from_bytes([0xAA; 16]);

/// Its keys.
pub(crate) fn ring() -> KeyRing {
    KeyRing::random(STORE, Domain::random(&env()), &env())
}
